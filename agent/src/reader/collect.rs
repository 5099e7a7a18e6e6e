//! One collection from beginning to end: the artifacts in order of volatility, each into the chain of parts.

use std::{
    io,
    path::{Path, PathBuf},
    process::Child,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use evidence::{gap::Reason, ids::CollectionId};
use protocol::{live::Line, messages::Progress};

pub use super::chain::ChainError;
use super::{
    chain::Run,
    conduct::{Conductor, Done, Registry},
    outcome::Outcome,
    port::{self, LinkPort, SpoolPort},
    seal::{Seal, SealError},
    task::{Authority, Position, Task, Watch},
};
use crate::{
    artifacts::ARTIFACTS,
    config::Plan,
    courier::start,
    link::{Link, LinkError, Wrapping},
    platform::{neighbours, priority},
};

/// What a closing part takes beside what is measured: some 20 KiB, and room to spare.
const CLOSING_BYTES: u64 = 256 * 1024;
/// What a gap or a refusal takes in it at most.
const LINE_BYTES: usize = 2048;

/// Why there is no collection.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The spool's half can't be started.
    #[error(
        "the half that writes the output can't be started: {0}. Check that this program may start itself."
    )]
    Start(#[source] io::Error),
    /// No random numbers for the collection's id.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[from] getrandom::Error),
    /// It ended without its closing part.
    #[error(
        "the collection ended without its last part. {}",
        what_is_left(folder, *parts)
    )]
    Unfinished {
        /// Where its parts lie.
        folder: PathBuf,
        /// How many are finished.
        parts: u32,
        /// What happened.
        source: Box<CollectError>,
    },
    /// The run can't go on.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The two halves don't understand each other.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No seal.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl CollectError {
    /// Whether parts are left that are sealed and sound.
    pub fn leaves_evidence(&self) -> bool {
        matches!(self, Self::Unfinished { parts: 1.., .. })
    }
}

/// What a collection that was cut off has left, and what to do.
fn what_is_left(folder: &Path, parts: u32) -> String {
    let place = folder.display();
    let partial = "files there that end in .partial were not sealed and prove nothing, and the next collection into the same output folder removes them";
    match parts {
        0 => {
            format!("Nothing in {place} is finished: mend the cause and collect again; {partial}.")
        }
        1 => format!(
            "Part 1 in {place} is finished and sound: keep it, mend the cause and collect again for the rest; {partial}."
        ),
        _ => format!(
            "Parts 1 to {parts} in {place} are finished and sound: keep them, mend the cause and collect again for the rest; {partial}."
        ),
    }
}

/// Starts the spool's half, gathers what `plan` wants, and waits until all of it is durable.
///
/// # Errors
/// Nothing could be collected, or the last part could not be sealed.
pub fn run(plan: &Plan, watch: &dyn Watch) -> Result<Outcome, CollectError> {
    let collection = CollectionId::random()?;
    on_order(
        plan,
        collection,
        Seal::for_run()?,
        Authority::default(),
        watch,
    )
}

/// As [`run`], as this collection, under this seal and on this authority.
///
/// # Errors
/// As for [`run`].
pub fn on_order(
    plan: &Plan,
    collection: CollectionId,
    seal: Seal,
    authority: Authority,
    watch: &dyn Watch,
) -> Result<Outcome, CollectError> {
    // The only process that is ever started, and before anything of the host was read.
    let (child, socket) = start::spool_half(&plan.output).map_err(CollectError::Start)?;
    // Declared before the port, so that on every way out the link closes before the wait.
    let _waiting = Reaped(child);
    let port = LinkPort::greet(Link::new(socket))?;
    let task = Task {
        plan,
        collection,
        seal,
        authority,
        attempt: 1,
        position: None,
        sealing: None,
    };
    let counted = Counted {
        watch,
        parts: AtomicU32::new(0),
    };
    run_task(task, &port, &counted).map_err(|source| CollectError::Unfinished {
        folder: plan.output.join(collection.to_string()),
        parts: counted.parts.into_inner(),
        source: Box::new(source),
    })
}

/// Counts the parts that became durable, for who must tell what is left.
struct Counted<'w> {
    watch: &'w dyn Watch,
    parts: AtomicU32,
}

impl Watch for Counted<'_> {
    fn progress(&self, progress: &Progress) {
        self.watch.progress(progress);
    }

    fn sealing(&self, position: &Position) -> Result<(), String> {
        self.watch.sealing(position)
    }

    fn durable(&self, position: &Position) -> Result<(), String> {
        self.parts.store(position.parts, Ordering::Relaxed);
        self.watch.durable(position)
    }

    fn line(&self, line: &Line) {
        self.watch.line(line);
    }

    fn since(&self, begun: Instant) -> Duration {
        self.watch.since(begun)
    }

    fn stop(&self) -> Option<(Reason, String)> {
        self.watch.stop()
    }

    fn pauses(&self) -> bool {
        self.watch.pauses()
    }

    fn gives_way(&self) -> bool {
        self.watch.gives_way()
    }
}

/// Gathers what `task` says into the spool behind `port`, and waits until all of it is durable.
///
/// It returns within about two seconds once [`Watch::stop`] says so, with what was gathered sealed.
///
/// # Errors
/// Nothing could be collected, or the chain could not be ended; the spool then holds what was sealed before, and the
/// task can be taken up again.
pub fn run_task(
    task: Task<'_>,
    port: &dyn SpoolPort,
    watch: &dyn Watch,
) -> Result<Outcome, CollectError> {
    run_with(task, port, watch, ARTIFACTS)
}

/// As [`run_task`], with the artifacts of `registry`.
pub(super) fn run_with(
    task: Task<'_>,
    port: &dyn SpoolPort,
    watch: &dyn Watch,
    registry: Registry,
) -> Result<Outcome, CollectError> {
    let (collection, plan) = (task.collection, task.plan);
    if plan.background {
        priority::lower();
    }
    neighbours::prepare();
    let seal_fingerprint = task.seal.fingerprint();
    let durable = begin(&task, port)?;
    let position = position(&task, durable)?;
    let lanes = plan.lanes();
    let run = Run::new(task, position, lanes, port, watch);
    let Done {
        parts,
        counts,
        ended_early,
        without_room,
    } = Conductor::new(&run, registry).conduct(lanes)?;
    Ok(Outcome {
        collection,
        folder: plan.output.join(collection.to_string()),
        parts,
        counts,
        ended_early,
        without_room,
        seal_fingerprint,
    })
}

fn begin(task: &Task<'_>, port: &dyn SpoolPort) -> Result<u32, CollectError> {
    let wrapping = if task.plan.recipients.is_empty() {
        Wrapping::None
    } else {
        Wrapping::Age
    };
    // A certificate that the server has issued is known to it, and stands in every seal.
    let for_run = task.authority.order_id.is_none();
    let certificate = for_run.then(|| task.seal.certificate_pem());
    let closing_bytes = closing_bytes(task);
    Ok(port::begin(
        port,
        task.collection,
        wrapping,
        certificate,
        closing_bytes,
    )?)
}

/// What the part that ends the chain may need: the envelopes that every part holds, a line for each artifact that is
/// not whole, each refusal, and as much again as such a part has ever taken.
fn closing_bytes(task: &Task<'_>) -> u64 {
    let Authority {
        order,
        policy,
        refusals,
        capture,
        ..
    } = &task.authority;
    let lines = task.plan.wanted.len() + task.plan.foreseen.len() + refusals.len();
    let told = capture.as_ref().and_then(|c| serde_json::to_vec(c).ok());
    let told = told.map_or(0, |json| json.len());
    let measured = order.len() + policy.len() + told + lines * LINE_BYTES;
    CLOSING_BYTES + measured as u64
}

/// Where the chain stands, by what the reader kept and what the spool says.
fn position(task: &Task<'_>, durable: u32) -> Result<Option<Position>, CollectError> {
    let kept = [&task.position, &task.sealing];
    let known = |p: &&Option<Position>| p.as_ref().map_or(0, |p| p.parts) == durable;
    match kept.into_iter().find(known) {
        Some(position) => Ok(position.clone()),
        None => {
            let known = task.position.as_ref().map_or(0, |p| p.parts);
            Err(ChainError::Broken { known, durable }.into())
        }
    }
}

/// Waits for the child when dropped: it ends by itself once the link is closed.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It told its failures over the link; its exit code adds nothing.
        let _ = self.0.wait();
    }
}
