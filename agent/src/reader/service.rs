//! The reader as a service: orders come over the link, are judged, and become collections, of which one runs at a time. One
//! that its limits hold makes way for what is due.
//!
//! It acts on nothing that is not durable in its state first. A conversation that breaks ends the
//! service; who supervises it starts both halves anew, and what was running goes on.

mod asides;
mod cancelling;
mod collections;
mod custody;
mod forking;
mod judging;
mod recurring;
mod renewals;
mod reports;
mod time;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant as Moment},
};

use evidence::{instant::Instant, keys::KeyError, records::Clock};
use protocol::{messages::HandedOrder, recurrence::Recurrence, target::Subject};

use self::asides::Unfinished;
use super::{
    collect::CollectError,
    conversation::{Conversation, Heard, read_handed},
    custody::Watcher,
    follow::SharedState,
    orders::{self, House, OrderError},
    outcome::Outcome,
    recurring::Live,
    renewal::RenewalError,
    seal::Seal,
    signed_time::Question,
    state::{Running, State, StateError},
    trust::{Trust, TrustError},
    way::Way,
};
use crate::platform::handle::{AsFd as _, OwnedFd};
use crate::{
    link::{FromReader, FromSpool, Link, LinkError},
    platform::{journal::Journal, program::Use, socket},
    stop::Stop,
};

/// So long a collection waits for the server's time before it begins without.
const TIME_WAIT: Duration = Duration::from_secs(2);
/// So many orders may wait; the server hands the rest over again later.
const WAITING: usize = 64;
/// What is looked after without being asked: the seal certificate's age, the custody log.
const CHORES: Duration = Duration::from_secs(3600);
/// How often it is looked whether a watch is due.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is looked whether a standing order is due, a collection is held that another waits for, or one that was
/// put aside may go on.
const SELDOM_LOOK: Duration = Duration::from_secs(2);

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The other half is gone or broke the protocol.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The state can't be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is in force does not hold.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// An order that was accepted can't be turned into a collection, or a refusal not be signed.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The seal key in the state is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The seal can't be renewed.
    #[error(transparent)]
    Renewal(#[from] RenewalError),
    /// A collection ended without its last part; it is taken up again at the next start.
    #[error("the collection can't go on. It is taken up again at the next start.")]
    Collection(#[source] Box<CollectError>),
    /// An identity of its own can't be asked for.
    #[error("an identity of this host's own can't be asked for.")]
    Fork(#[source] Box<super::enrol::EnrolError>),
    /// No thread.
    #[error("the system refuses another thread. Look at the host's limits.")]
    Thread(#[source] std::io::Error),
    /// No random numbers.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[from] getrandom::Error),
}

/// What the service is given.
#[derive(Debug)]
pub struct Given {
    /// The state, open.
    pub state: State,
    /// The link to the courier.
    pub socket: OwnedFd,
    /// Where misuse shall be seen.
    pub journal: Journal,
    /// What the host says.
    pub house: House,
    /// The host's clock.
    pub clock: fn() -> Instant,
    /// Told to stop, it seals what is open and ends.
    pub stop: Stop,
}

/// Serves until the courier closes the link.
///
/// # Errors
/// The halves must be started anew.
pub fn run(given: Given) -> Result<(), ServiceError> {
    let known = given.state.known();
    let trust = Trust::of(known)?;
    let enrolment = known.enrolment.as_ref().ok_or(TrustError::None)?;
    let (seal, subject) = (enrolment.seal()?, orders::subject(enrolment)?);
    tell_start(&given, &trust, &seal, &subject);
    let (mut hearing, speaking) = ends(&given.socket)?;
    let conversation =
        Conversation::greet(speaking, &mut hearing, (seal.agent(), trust.policy.version))?;
    let walls = given.house.walls.clone();
    conversation.say(&FromReader::Walls { walls })?;
    conversation.say(&FromReader::Used { used: Use::own() })?;
    let (events, heard) = mpsc::sync_channel(1024);
    let told = events.clone();
    // One that is full is looked into soon enough.
    given
        .stop
        .when_told(move || drop(told.try_send(Event::Stop)));
    let mut service = Service {
        conversation: Arc::new(conversation),
        state: Arc::new(Mutex::new(given.state)),
        trust,
        seal,
        subject,
        journal: given.journal,
        house: given.house,
        clock: given.clock,
        stop: given.stop,
        events: events.clone(),
        waiting: VecDeque::new(),
        parked: Vec::new(),
        running: None,
        asides: Vec::new(),
        is_cloned: false,
        questions: VecDeque::new(),
        measured: None,
        lives: Vec::new(),
        rests_until: None,
        log: Watcher::default(),
    };
    service.hear_in_a_thread(hearing, events)?;
    let outcome = because(service.serve(&heard), &heard);
    // A collection that still runs stops soon: its every question fails. What is durable is kept.
    drop(heard);
    socket::close(&given.socket);
    if let Some(running) = service.running.take() {
        let _ = running.thread.join();
    }
    outcome
}

/// Who finds the link closed hears from the one who listened why.
fn because(outcome: Result<(), ServiceError>, heard: &Receiver<Event>) -> Result<(), ServiceError> {
    if !matches!(outcome, Err(ServiceError::Link(LinkError::Closed))) {
        return outcome;
    }
    while let Ok(event) = heard.recv_timeout(TIME_WAIT) {
        if let Event::Over(cause) = event {
            return Ok(cause?);
        }
    }
    outcome
}

fn ends(socket: &OwnedFd) -> Result<(Link, Link), LinkError> {
    let own = || socket.as_fd().try_clone_to_owned().map(Link::new);
    let pair = own().and_then(|one| Ok((one, own()?)));
    pair.map_err(LinkError::Socket)
}

/// Loud, so that whoever guards the host sees whom this agent obeys.
fn tell_start(given: &Given, trust: &Trust, seal: &Seal, subject: &Subject) {
    let known = given.state.known();
    let root = known.enrolment.as_ref().map(|e| e.root_sha256.to_string());
    given.journal.notice(&format!(
        "agent {} of deployment {} (agency {}) begins; root {}, policy {}; walls: {}",
        seal.agent(),
        trust.policy.deployment,
        subject.agency,
        root.unwrap_or_default(),
        trust.policy.version,
        given.house.walls
    ));
    if given.state.dropped_bytes() > 0 {
        given.journal.warning(&format!(
            "the last write of the state was cut by a crash: {} bytes were dropped, and nothing had been done on them",
            given.state.dropped_bytes()
        ));
    }
}

enum Event {
    Heard(Heard),
    Over(Result<(), LinkError>),
    Collected(Result<Outcome, CollectError>),
    /// Told to stop.
    Stop,
}

struct Collecting {
    thread: JoinHandle<()>,
    what: Unfinished,
    way: Arc<Way>,
}

/// An order that can't be judged yet.
struct Parked {
    handed: HandedOrder,
    until: Moment,
}

struct Service {
    conversation: Arc<Conversation>,
    state: SharedState,
    trust: Trust,
    seal: Seal,
    subject: Subject,
    journal: Journal,
    house: House,
    clock: fn() -> Instant,
    stop: Stop,
    events: SyncSender<Event>,
    waiting: VecDeque<HandedOrder>,
    parked: Vec<Parked>,
    running: Option<Collecting>,
    /// Those that make way, as in the state.
    asides: Vec<Unfinished>,
    /// The server says that this identity lives on two machines.
    is_cloned: bool,
    questions: VecDeque<Question>,
    measured: Option<Clock>,
    /// Standing orders and watches.
    lives: Vec<Live>,
    /// None of them is looked at before, since one could not capture.
    rests_until: Option<Moment>,
    log: Watcher,
}

impl Service {
    fn hear_in_a_thread(
        &self,
        mut hearing: Link,
        events: SyncSender<Event>,
    ) -> Result<(), ServiceError> {
        let conversation = Arc::clone(&self.conversation);
        let hear = move || {
            let pass_on = |heard| events.send(Event::Heard(heard)).is_ok();
            let outcome = conversation.hear(&mut hearing, pass_on);
            // Nobody waits for it once the service has ended.
            let _ = events.send(Event::Over(outcome));
        };
        let named = thread::Builder::new().name("link".to_owned());
        named.spawn(hear).map_err(ServiceError::Thread)?;
        Ok(())
    }

    fn serve(&mut self, heard: &Receiver<Event>) -> Result<(), ServiceError> {
        self.tell_ended()?;
        self.ask_time()?;
        self.take_up_recurring()?;
        self.resume()?;
        self.renew_seal()?;
        self.ask_checkpoint()?;
        let mut chores = Moment::now() + CHORES;
        loop {
            let next = self.parked.iter().map(|p| p.until).min();
            let next = next.map_or(chores, |parked| parked.min(chores));
            let next = match self.looks() {
                Some(pause) => next.min(Moment::now() + pause),
                None => next,
            };
            if self.stop.is_told() && self.running.is_none() {
                return Ok(());
            }
            match heard.recv_timeout(next.saturating_duration_since(Moment::now())) {
                // What comes now is handed over again after the next start.
                Ok(Event::Heard(_)) if self.stop.is_told() => {}
                Ok(Event::Heard((said, handed))) => self.heard(said, handed)?,
                Ok(Event::Collected(outcome)) => self.collected(outcome)?,
                Ok(Event::Over(outcome)) => return Ok(outcome?),
                Ok(Event::Stop) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(LinkError::Closed.into()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.take_up_parked(false)?;
            if !self.stop.is_told() {
                self.end_some()?;
                self.look_for_next()?;
            }
            if Moment::now() >= chores {
                chores = Moment::now() + CHORES;
                self.conversation
                    .say(&FromReader::Used { used: Use::own() })?;
                self.renew_seal()?;
                self.ask_checkpoint()?;
                if !self.lives.is_empty() {
                    self.ask_time()?;
                }
            }
        }
    }

    /// How soon it is looked again whether something is due that nobody tells.
    fn looks(&self) -> Option<Duration> {
        let is_watch = |live: &Live| matches!(live.recurrence, Recurrence::Watch { .. });
        if self.lives.iter().any(is_watch) {
            return Some(LOOK);
        }
        let may_want_way = self.running.is_some() && !self.waiting.is_empty();
        let is_seldom = may_want_way || !self.asides.is_empty() || !self.lives.is_empty();
        is_seldom.then_some(SELDOM_LOOK)
    }

    fn heard(&mut self, said: FromSpool, handed: Option<OwnedFd>) -> Result<(), ServiceError> {
        match (said, handed) {
            (FromSpool::Order {}, Some(handed)) => self.order(&read_handed(handed)?),
            (FromSpool::Cancel {}, Some(handed)) => self.cancel(&read_handed(handed)?),
            (FromSpool::Trust {}, Some(handed)) => self.newer_trust(&read_handed(handed)?),
            (FromSpool::Cloned {}, None) => self.cloned(),
            (FromSpool::Forked {}, Some(handed)) => self.forked(&read_handed(handed)?),
            (FromSpool::SealRenewed { chain_pem }, None) => self.seal_renewed(&chain_pem),
            (FromSpool::Receipt {}, Some(handed)) => self.receipt(&read_handed(handed)?),
            (FromSpool::Checkpoint { note }, None) => self.checkpoint(note.as_deref()),
            (FromSpool::Consistency { from, to, proof }, None) => {
                self.consistency((from, to), proof.as_deref())
            }
            (FromSpool::Time { nonce, signed }, None) => {
                self.time_told(&nonce, signed.as_deref())?;
                Ok(())
            }
            // What answers a question that nobody waits for any more; its descriptor closes here.
            _ => Ok(()),
        }
    }

    fn is_running(&self) -> Option<Running> {
        self.known().known().running.clone()
    }

    fn known(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
