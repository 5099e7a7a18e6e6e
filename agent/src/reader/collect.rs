//! One collection from beginning to end: the artifacts in order of volatility, each into the chain of parts.

use std::{io, process::Child};

use evidence::{
    gap::{Reason, Severity},
    ids::CollectionId,
};

use super::{
    outcome::Outcome,
    pipeline::{Done, Pipeline, PipelineError},
    port::{LinkPort, SpoolPort},
    seal::{Seal, SealError},
    sink::PartSink,
    task::{Authority, Task, Watch},
};
use crate::{
    artifacts::{ARTIFACTS, Artifact, Request},
    config::{Plan, Wanted},
    courier::start,
    link::{Link, LinkError},
};

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
    /// The run can't go on.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The two halves don't understand each other.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No seal.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Starts the spool's half, gathers what `plan` wants, and waits until all of it is durable.
///
/// # Errors
/// Nothing could be collected, or the last part could not be sealed.
pub fn run(plan: &Plan, watch: &dyn Watch) -> Result<Outcome, CollectError> {
    let collection = CollectionId::random()?;
    let seal = Seal::for_run()?;
    // The only process that is ever started, and before anything of the host was read.
    let (child, socket) = start::spool_half(&plan.output).map_err(CollectError::Start)?;
    // Declared before the port, so that on every way out the link closes before the wait.
    let _waiting = Reaped(child);
    let port = LinkPort::greet(Link::new(socket))?;
    let task = Task {
        plan,
        collection,
        seal,
        authority: Authority::default(),
        attempt: 1,
        position: None,
        sealing: None,
    };
    run_task(task, &port, watch)
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
    let (collection, plan) = (task.collection, task.plan);
    let seal_fingerprint = task.seal.fingerprint();
    let mut pipeline = Pipeline::begin(task, port, watch)?;
    gather(plan, &mut pipeline)?;
    let Done { parts, counts } = pipeline.finish(None)?;
    Ok(Outcome {
        collection,
        folder: plan.output.join(collection.to_string()),
        parts,
        counts,
        ended_early: None,
        seal_fingerprint,
    })
}

/// Waits for the child when dropped: it ends by itself once the link is closed.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It told its failures over the link; its exit code adds nothing.
        let _ = self.0.wait();
    }
}

fn gather(plan: &Plan, pipeline: &mut Pipeline<'_>) -> Result<(), PipelineError> {
    pipeline.log(None, "the collection begins")?;
    for wanted in &plan.wanted {
        if !ARTIFACTS.iter().any(|a| a.name() == wanted.name) {
            let text = "this agent doesn't know the artifact";
            pipeline.gap(
                &wanted.name,
                &wanted.name,
                Reason::UnknownArtifact,
                Severity::Serious,
                text,
            )?;
        }
    }
    let mut volatile_open = false;
    for artifact in ARTIFACTS {
        let Some(wanted) = plan.wanted.iter().find(|w| w.name == artifact.name()) else {
            continue;
        };
        // What is gone in seconds is sealed and on its way before the disk is touched.
        if volatile_open && !artifact.volatile() {
            pipeline.close_part()?;
        }
        volatile_open = artifact.volatile();
        one(plan, pipeline, *artifact, wanted)?;
    }
    pipeline.log(None, "the collection ends")
}

fn one(
    plan: &Plan,
    pipeline: &mut Pipeline<'_>,
    artifact: &'static dyn Artifact,
    wanted: &Wanted,
) -> Result<(), PipelineError> {
    let name = artifact.name();
    pipeline.tell(name);
    let began = std::time::Instant::now();
    let request = Request {
        root: &plan.root,
        paths: &plan.paths,
        options: &wanted.options,
        own: &plan.own,
        pace: &crate::files::Pace::free(),
    };
    let mut sink = PartSink::new(pipeline, name);
    // A stop comes from the sink alone, and `finish` gives its cause.
    let _ = artifact.collect(&request, &mut sink);
    sink.finish()?;
    let took = began.elapsed().as_millis();
    pipeline.log(Some(name), &format!("{name} took {took} ms"))
}
