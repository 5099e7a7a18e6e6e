//! The chain of parts of one run: each is sealed in its turn, names the one before, and is durable before the next
//! may name it.
//!
//! Several lanes fill parts at once; a part has its number only when it is sealed.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant as Clock},
};

use evidence::{
    gap::Reason,
    instant::Instant,
    records::{self, CollectionRecord, Counts, ProfileRef},
};

use super::{
    outcome::SealedPart,
    part::{OpenPart, PartError},
    port::{self, SealedSlot, Slot, SlotError, SpoolPort},
    seal::{PartBefore, Seal, SealError},
    shared::Shared,
    task::{Authority, Position, Spent, Task, Watch},
};
use crate::{
    host,
    link::{FromReader, LinkError},
    platform::{disk, program},
};

/// Why a run can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The spool's half failed or is gone.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The part can't be written.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The part can't be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The file that the part goes to can't be had or kept.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Where the chain stands could not be kept.
    #[error(
        "the collection's position can't be kept: {0}. Check the space and health of the agent's folder."
    )]
    Position(String),
    /// It was told to pause, and what was open is sealed.
    #[error("the collection is paused; it is taken up again later.")]
    Paused,
    /// The spool holds other parts than the reader knows of.
    #[error(
        "the spool holds {durable} parts of the collection and {known} are known of. Its chain can't be continued: collect again."
    )]
    Broken {
        /// What the reader knows.
        known: u32,
        /// What the spool says.
        durable: u32,
    },
}

/// Why a lane can't write.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The run stops, and no part is open here.
    Stopped,
    /// The open part is lost; another may be had.
    Lost(String),
    /// The run is over.
    Fatal(ChainError),
}

impl From<PartError> for Trouble {
    fn from(error: PartError) -> Self {
        match &error {
            PartError::Write(_) | PartError::Archive(_) => Self::Lost(with_cause(&error)),
            PartError::Seal(evidence::archive::SealError::Write(_)) => {
                Self::Lost(with_cause(&error))
            }
            _ => Self::Fatal(error.into()),
        }
    }
}

/// With the last cause, which tells most: the disk's own answer.
fn with_cause(error: &dyn std::error::Error) -> String {
    let mut last = error.source();
    while let Some(cause) = last.and_then(|e| e.source()) {
        last = Some(cause);
    }
    let Some(cause) = last else {
        return error.to_string();
    };
    match cause.downcast_ref::<io::Error>().is_some_and(disk::is_gone) {
        true => format!("{error} ({cause}). {}", disk::GONE),
        false => format!("{error} ({cause})"),
    }
}

impl From<SlotError> for Trouble {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::Failed(text) => Self::Lost(text),
            SlotError::Link(LinkError::GivenUp) => Self::Stopped,
            other => Self::Fatal(other.into()),
        }
    }
}

/// One run: who asks, who seals, and where the chain stands.
pub(super) struct Run<'r> {
    pub(super) shared: Arc<Shared>,
    pub(super) watch: &'r dyn Watch,
    port: &'r dyn SpoolPort,
    seal: Seal,
    authority: Authority,
    facts: CollectionRecord,
    chain: Mutex<Chain>,
    slots: AtomicU32,
    open: Mutex<BTreeMap<usize, Counts>>,
    is_paused: AtomicBool,
    begun: Clock,
    /// For how long earlier attempts were at work.
    worked: Duration,
}

struct Chain {
    parts: u32,
    before: Option<PartBefore>,
    totals: Counts,
    sealed: Vec<SealedPart>,
}

impl<'r> Run<'r> {
    /// Begins `task`, or takes it up at `position`.
    pub(super) fn new(
        task: Task<'_>,
        position: Option<Position>,
        lanes: usize,
        port: &'r dyn SpoolPort,
        watch: &'r dyn Watch,
    ) -> Self {
        // Beside the gathering, which needs the time more; where no thread can be had, the sealing does it.
        let _ = thread::Builder::new().spawn(host::own_digest);
        let facts = facts(&task, position.as_ref(), lanes);
        let finished = position.as_ref().map_or(&[][..], |p| &p.finished);
        let spent = position.as_ref().map(|p| p.spent).unwrap_or_default();
        Self {
            shared: Arc::new(Shared::new(task.plan.clone(), finished, spent)),
            worked: Duration::from_millis(spent.work_ms),
            watch,
            port,
            seal: task.seal,
            authority: task.authority,
            facts,
            chain: Mutex::new(Chain {
                parts: position.as_ref().map_or(0, |p| p.parts),
                before: position.as_ref().map(|p| p.before),
                totals: position.map(|p| p.totals).unwrap_or_default(),
                sealed: Vec::new(),
            }),
            slots: AtomicU32::new(1),
            open: Mutex::default(),
            is_paused: AtomicBool::new(false),
            begun: Clock::now(),
        }
    }

    /// When this attempt began.
    pub(super) fn begun(&self) -> Clock {
        self.begun
    }

    /// For how long the collection has gone on, in this attempt and those before, without the time that its limits made it
    /// wait or that it left to others.
    pub(super) fn at_work(&self) -> Duration {
        let left = self.shared.waits.waited() + self.shared.pace.given_way();
        self.worked + self.begun.elapsed().saturating_sub(left)
    }

    /// Whether an earlier attempt began it.
    pub(super) fn is_resumed(&self) -> bool {
        self.facts.attempt > 1
    }

    /// Whether the run must stop; asked often, by whoever waits.
    pub(super) fn must_stop(&self) -> bool {
        if self.shared.stopped().is_none() {
            let limit_s = self.shared.plan.limits.wall_seconds;
            if limit_s > 0 && self.at_work() >= Duration::from_secs(limit_s) {
                let why = format!("the time limit of {limit_s} s was reached");
                self.shared.stop(Reason::Limit, why);
            } else if self.watch.pauses() {
                self.pause("the agent was told to stop; the collection goes on at its next start");
            } else if let Some((reason, why)) = self.watch.stop() {
                self.shared.stop(reason, why);
            } else if self.port.is_gone() {
                let why = "the half of the agent that keeps the parts is gone";
                self.shared.stop(Reason::Interrupted, why);
            } else if self.shared.pace.is_held() && self.watch.gives_way() {
                self.pause(
                    "another collection goes first; this one goes on when its limits let it",
                );
            }
        }
        self.shared.stopped().is_some()
    }

    fn pause(&self, why: &str) {
        // Before the stop, which cuts files that are being read: none of them counts as settled.
        self.is_paused.store(true, Ordering::SeqCst);
        self.shared.stop(Reason::Interrupted, why);
    }

    /// Whether it stops without ending its chain.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::SeqCst)
    }

    /// An empty file for a part. A `closing` one is waited for even when the run stops.
    pub(super) fn open_slot(&self, closing: bool) -> Result<Slot, Trouble> {
        let number = self.slots.fetch_add(1, Ordering::Relaxed);
        let give_up = || !closing && self.must_stop();
        if give_up() {
            return Err(Trouble::Stopped);
        }
        let collection = self.facts.collection;
        Ok(port::open_slot(
            self.port, collection, number, closing, &give_up,
        )?)
    }

    /// Begins a part in `file`.
    pub(super) fn new_part(&self, file: File) -> Result<OpenPart, Trouble> {
        let plan = &self.shared.plan;
        Ok(OpenPart::new(file, &plan.recipients, plan.part_limits())?)
    }

    /// Gives up a file: nothing in it was sealed.
    pub(super) fn discard(&self, slot: u32) {
        let collection = self.facts.collection;
        // Where the link is broken, the spool removes it by itself.
        let _ = self.port.tell(&FromReader::Discard { collection, slot });
    }

    /// Seals `part` as the next of the chain, and waits until it is durable.
    pub(super) fn seal(
        &self,
        lane: usize,
        (slot, part): (u32, OpenPart),
        last: bool,
        ended_early: Option<String>,
    ) -> Result<(), Trouble> {
        let mut chain = self.chain();
        let number = chain.parts.saturating_add(1);
        let totals = chain.totals.plus(part.counts());
        let record = CollectionRecord {
            part: number,
            previous_sha256: chain.before.map(|b| b.plain_sha256),
            last,
            ended_early,
            counts: part.counts(),
            counts_so_far: totals,
            ended: Instant::now(),
            agent_sha256: host::own_digest(),
            ..self.facts.clone()
        };
        let written = part.finish(&record, &self.authority, &self.seal)?;
        let recipients = &self.shared.plan.recipients;
        let before = chain.before.as_ref();
        let statement = self.seal.statement(&record, &written, before, recipients);
        let statement = statement.map_err(|e| Trouble::Fatal(e.into()))?;
        let finished = self.shared.tally.finished_with(lane);
        let spent = Spent {
            work_ms: u64::try_from(self.at_work().as_millis()).unwrap_or(u64::MAX),
            ..self.shared.tally.spent_on(&finished)
        };
        let position = Position {
            started: self.facts.started,
            parts: number,
            before: PartBefore {
                plain_sha256: written.plain_sha256,
                stored_sha256: written.stored_sha256,
            },
            totals,
            finished,
            spent,
        };
        let kept = |outcome: Result<(), String>| {
            outcome.map_err(|e| Trouble::Fatal(ChainError::Position(e)))
        };
        kept(self.watch.sealing(&position))?;
        let sealed = SealedSlot {
            slot,
            part: number,
            size_bytes: written.stored_bytes,
            statement,
        };
        port::seal(self.port, self.facts.collection, sealed)?;
        chain.parts = number;
        chain.before = Some(position.before);
        chain.totals = totals;
        chain.sealed.push(SealedPart {
            part: number,
            size_bytes: written.stored_bytes,
            sha256: written.stored_sha256,
        });
        self.shared.tally.sealed(lane);
        self.set_counts(lane, Counts::default());
        kept(self.watch.durable(&position))
    }

    /// Ends the conversation; what was sealed in this run, and all counts.
    pub(super) fn end(&self) -> Result<(Vec<SealedPart>, Counts), ChainError> {
        port::end(self.port, self.facts.collection)?;
        let mut chain = self.chain();
        Ok((std::mem::take(&mut chain.sealed), chain.totals))
    }

    /// What the open part of `lane` holds by now.
    pub(super) fn set_counts(&self, lane: usize, counts: Counts) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(lane, counts);
    }

    /// Everything so far, and the parts sealed; none while a part is being sealed.
    pub(super) fn counts(&self) -> Option<(Counts, u32)> {
        let chain = self.chain.try_lock().ok()?;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = open.values().fold(chain.totals, |sum, c| sum.plus(*c));
        Some((counts, chain.parts))
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What every part of the collection says alike; the rest is filled in as each closes.
fn facts(task: &Task<'_>, position: Option<&Position>, lanes: usize) -> CollectionRecord {
    let (plan, authority) = (task.plan, &task.authority);
    let (now, since_boot) = (Instant::now(), program::since_boot());
    CollectionRecord {
        v: records::VERSION,
        collection: task.collection,
        // Without enrolment: the id that the run's own seal certificate names.
        agent: Some(task.seal.agent()),
        host: authority.host,
        order: authority.order_id,
        order_sha256: authority.order_sha256,
        policy_sha256: authority.policy_sha256,
        requester: authority.requester.clone(),
        signers: authority.signers.clone(),
        case: plan.case.clone(),
        host_identity: plan.identity(),
        dead_disk: plan.dead_disk(),
        clock: authority.clock,
        boot_time: plan
            .is_running
            .then(|| host::boot_time(&plan.root))
            .flatten(),
        monotonic_ns: since_boot.map(|time| time.as_nanos().to_string()),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        // Known by the time when the first part is sealed.
        agent_sha256: None,
        profile: Some(ProfileRef {
            name: plan.profile.clone(),
            sha256: plan.profile_sha256,
        }),
        limits: plan.limits_told(lanes),
        part: 0,
        previous_sha256: None,
        last: false,
        attempt: task.attempt,
        ended_early: None,
        counts: Counts::default(),
        counts_so_far: Counts::default(),
        sandbox: plan.walls.to_string(),
        started: position.map_or(now, |p| p.started),
        ended: now,
        unencrypted: plan.recipients.is_empty(),
        refusals: authority.refusals.clone(),
        capture: authority.capture.clone(),
        field: authority.field.clone(),
    }
}
