//! The reader as a service: orders come over the link, are judged, and become collections, one at a time.
//!
//! It acts on nothing that is not durable in its state first. A conversation that breaks ends the
//! service; who supervises it starts both halves anew, and what was running goes on.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant as Moment},
};

use evidence::{digest::Digest, instant::Instant, keys::KeyError, records::Clock};
use protocol::{
    messages::{HandedOrder, Report},
    order_check::Refusal,
    target::Subject,
};

use super::{
    collect::{self, CollectError},
    conversation::{Conversation, Heard, read_handed},
    follow::{Follower, SharedState, keep},
    orders::{self, House, OrderError},
    outcome::Outcome,
    renewal::{self, RenewalError},
    seal::Seal,
    signed_time::Question,
    state::{Change, Ended, Running, State, StateError},
    task::Task,
    trust::{self, Judged, Trust, TrustError},
};
use crate::platform::handle::{AsFd as _, OwnedFd};
use crate::{
    link::{FromReader, FromSpool, Link, LinkError},
    platform::{journal::Journal, socket},
};

/// So long a collection waits for the server's time before it begins without.
const TIME_WAIT: Duration = Duration::from_secs(2);
/// So long an order waits for the policy that it names, or for a `not_before` that is near.
const PARKED: Duration = Duration::from_secs(30);
/// So many orders may wait; the server hands the rest over again later.
const WAITING: usize = 64;
/// A collection that was cut off so often is closed instead of gone on with.
const ATTEMPTS: u32 = 5;
/// What is looked after without being asked: the seal certificate's age.
const CHORES: Duration = Duration::from_secs(3600);

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
    let conversation = Conversation::greet(speaking, &mut hearing, trust.policy.version)?;
    let (events, heard) = mpsc::sync_channel(1024);
    let mut service = Service {
        conversation: Arc::new(conversation),
        state: Arc::new(Mutex::new(given.state)),
        trust,
        seal,
        subject,
        journal: given.journal,
        house: given.house,
        clock: given.clock,
        events: events.clone(),
        waiting: VecDeque::new(),
        parked: Vec::new(),
        running: None,
        questions: VecDeque::new(),
        measured: None,
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
        "agent {} of deployment {} (agency {}) begins; root {}, policy {}",
        seal.agent(),
        trust.policy.deployment,
        subject.agency,
        root.unwrap_or_default(),
        trust.policy.version
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
}

struct Collecting {
    thread: JoinHandle<()>,
    order: Digest,
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
    events: SyncSender<Event>,
    waiting: VecDeque<HandedOrder>,
    parked: Vec<Parked>,
    running: Option<Collecting>,
    questions: VecDeque<Question>,
    measured: Option<Clock>,
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
        self.resume()?;
        self.renew_seal()?;
        let mut chores = Moment::now() + CHORES;
        loop {
            let next = self.parked.iter().map(|p| p.until).min();
            let next = next.map_or(chores, |parked| parked.min(chores));
            match heard.recv_timeout(next.saturating_duration_since(Moment::now())) {
                Ok(Event::Heard((said, handed))) => self.heard(said, handed)?,
                Ok(Event::Collected(outcome)) => self.collected(outcome)?,
                Ok(Event::Over(outcome)) => return Ok(outcome?),
                Err(RecvTimeoutError::Disconnected) => return Err(LinkError::Closed.into()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.take_up_parked(false)?;
            if Moment::now() >= chores {
                chores = Moment::now() + CHORES;
                self.renew_seal()?;
            }
        }
    }

    fn heard(&mut self, said: FromSpool, handed: Option<OwnedFd>) -> Result<(), ServiceError> {
        match (said, handed) {
            (FromSpool::Order {}, Some(handed)) => self.order(&read_handed(handed)?),
            (FromSpool::Trust {}, Some(handed)) => self.newer_trust(&read_handed(handed)?),
            (FromSpool::SealRenewed { chain_pem }, None) => self.seal_renewed(&chain_pem),
            (FromSpool::Time { nonce, signed }, None) => {
                self.time_told(&nonce, signed.as_deref())?;
                Ok(())
            }
            // What answers a question that nobody waits for any more; its descriptor closes here.
            _ => Ok(()),
        }
    }

    // ---- time

    /// Asks for the server's time, and goes on without it where it doesn't come soon.
    fn ask_time(&mut self) -> Result<Option<Clock>, ServiceError> {
        let question = Question::new((self.clock)())?;
        let nonce = question.nonce();
        if self.questions.len() == 8 {
            self.questions.pop_front();
        }
        self.questions.push_back(question);
        let ask = FromReader::AskTime {
            nonce: nonce.clone(),
        };
        match self.conversation.ask_until(&ask, Moment::now() + TIME_WAIT) {
            Ok((FromSpool::Time { signed, .. }, _)) => self.time_told(&nonce, signed.as_deref()),
            Ok(_) | Err(LinkError::GivenUp) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn time_told(
        &mut self,
        nonce: &str,
        signed: Option<&str>,
    ) -> Result<Option<Clock>, ServiceError> {
        let place = self.questions.iter().position(|q| q.nonce() == nonce);
        let (Some(place), Some(signed)) = (place, signed) else {
            return Ok(None);
        };
        let Some(question) = self.questions.remove(place) else {
            return Ok(None);
        };
        let answer = match question.answered(signed, &self.trust.policy) {
            Ok(answer) => answer,
            Err(error) => {
                self.journal
                    .warning(&format!("a signed time does not hold: {error}"));
                return Ok(None);
            }
        };
        let higher = self.known().known().highest_signed < Some(answer.time);
        if higher {
            keep(&self.state, Change::SignedTime { time: answer.time })?;
        }
        self.measured = answer.clock.or(self.measured);
        Ok(answer.clock)
    }

    // ---- trust

    fn newer_trust(&mut self, message: &[u8]) -> Result<(), ServiceError> {
        match trust::judge(message, &self.trust) {
            Ok(Judged::Newer(change)) => {
                keep(&self.state, *change)?;
                let newer = Trust::of(self.known().known())?;
                self.trust = newer;
                self.journal.notice(&format!(
                    "policy {} of deployment {} is in force, under root version {}",
                    self.trust.policy.version,
                    self.trust.policy.deployment,
                    self.trust.root.version
                ));
            }
            Ok(Judged::Same) => {}
            Ok(Judged::Older { found, held }) => self.journal.warning(&format!(
                "the server offers policy {found}, and {held} is in force: it was restored from an old copy, or somebody turns it back"
            )),
            Err(error) => self
                .journal
                .warning(&format!("the server's policy does not hold: {error}")),
        }
        self.say_held()?;
        self.take_up_parked(true)
    }

    fn say_held(&self) -> Result<(), ServiceError> {
        let policy_version = self.trust.policy.version;
        Ok(self
            .conversation
            .say(&FromReader::Holds { policy_version })?)
    }

    // ---- orders

    fn order(&mut self, message: &[u8]) -> Result<(), ServiceError> {
        let handed: HandedOrder = match evidence::envelope::parse_strict(message) {
            Ok(handed) => handed,
            Err(error) => {
                self.journal.warning(&format!(
                    "something that is no order was handed over: {error}"
                ));
                return Ok(());
            }
        };
        let digest = orders::digest(&handed);
        let handed_over = handed.digest();
        let earlier = self.known().known().refusal_of(handed_over).cloned();
        if let Some(refused) = earlier {
            // The same order gets the same answer, and no second line anywhere.
            let notice = refused.notice;
            return self.report(Report::Refused { notice });
        }
        if self.running.as_ref().is_some_and(|r| r.order == digest) {
            return self.tell_accepted();
        }
        let is_same = |other: &HandedOrder| orders::digest(other) == digest;
        if self.waiting.iter().any(is_same) || self.parked.iter().any(|p| is_same(&p.handed)) {
            return Ok(());
        }
        self.decide(handed, true)
    }

    /// Judges an order and does what follows; `may_park` where it may wait for what is on its way.
    fn decide(&mut self, handed: HandedOrder, may_park: bool) -> Result<(), ServiceError> {
        let clock = self.ask_time()?;
        let now = (self.clock)();
        let judged = orders::judge(
            &handed,
            self.known().known(),
            &self.trust,
            &self.subject,
            now,
        );
        let accepted = match judged {
            Ok(accepted) => accepted,
            Err(Refusal::UnknownPolicyVersion { found, held })
                if may_park && found > held && self.parked.len() < WAITING =>
            {
                let until = Moment::now() + PARKED;
                self.parked.push(Parked { handed, until });
                return self.say_held();
            }
            Err(Refusal::NotYetValid) if may_park && self.parked.len() < WAITING => {
                let until = Moment::now() + PARKED.min(self.until_valid(&handed, now));
                self.parked.push(Parked { handed, until });
                return Ok(());
            }
            Err(refusal) => return self.refuse(&handed, refusal, now),
        };
        if self.running.is_some() {
            if self.waiting.len() < WAITING {
                self.waiting.push_back(handed);
            } else {
                self.journal
                    .warning("too many orders wait: one is left for later");
            }
            return Ok(());
        }
        let change = orders::accept(handed, &accepted, self.known().known(), &self.trust.policy)?;
        keep(&self.state, change)?;
        self.journal.notice(&format!(
            "order {} by {} is accepted: profile {}, collection {}",
            accepted.order.id,
            accepted.order.requester,
            accepted.profile.name,
            self.is_running()
                .map_or_else(String::new, |r| r.collection.to_string())
        ));
        self.tell_accepted()?;
        self.begin(clock, None)
    }

    /// How long until the order is valid, where that is soon; else no time at all.
    fn until_valid(&self, handed: &HandedOrder, now: Instant) -> Duration {
        let highest = self.known().known().highest_signed;
        let now = highest.map_or(now, |signed| signed.max(now));
        let seconds =
            orders::not_before(handed).map_or(0, |t| t.seconds.saturating_sub(now.seconds));
        match u64::try_from(seconds) {
            Ok(seconds) if seconds < PARKED.as_secs() => Duration::from_secs(seconds + 1),
            _ => Duration::ZERO,
        }
    }

    /// Judges again what has waited long enough, or, with `all`, everything.
    fn take_up_parked(&mut self, all: bool) -> Result<(), ServiceError> {
        let now = Moment::now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|parked| all || parked.until <= now);
        self.parked = later;
        for parked in due {
            let is_over = parked.until <= now;
            self.decide(parked.handed, !is_over)?;
        }
        Ok(())
    }

    fn refuse(
        &mut self,
        handed: &HandedOrder,
        refusal: Refusal,
        now: Instant,
    ) -> Result<(), ServiceError> {
        let (change, notice) = orders::refuse(handed, refusal, &self.seal, now)?;
        if let Change::Refused { told, .. } = &change {
            self.journal
                .warning(&format!("{} is refused: {}", told.what, told.why));
        }
        keep(&self.state, change)?;
        self.report(Report::Refused { notice })
    }

    // ---- collections

    /// Takes up again what was cut off.
    fn resume(&mut self) -> Result<(), ServiceError> {
        let Some(running) = self.is_running() else {
            return Ok(());
        };
        let attempt = running.attempt.saturating_add(1);
        keep(&self.state, Change::Resumed { attempt })?;
        self.journal.notice(&format!(
            "collection {} goes on: attempt {attempt}",
            running.collection
        ));
        self.tell_accepted()?;
        if attempt > 2 * ATTEMPTS {
            return self.give_up(&running);
        }
        let given_up = (attempt > ATTEMPTS)
            .then(|| format!("the collection was cut off {} times", attempt - 1));
        self.begin(self.measured, given_up)
    }

    /// Not even a closing part could be made: the chain stays without its end, which verify tells.
    fn give_up(&mut self, running: &Running) -> Result<(), ServiceError> {
        let ended = Ended {
            order: running.order,
            collection: running.collection,
            parts: running.position.as_ref().map_or(0, |p| p.parts()),
            ended_early: Some("the collection could not be brought to an end".to_owned()),
        };
        keep(&self.state, Change::Ended(ended))?;
        self.tell_ended()
    }

    fn begin(
        &mut self,
        clock: Option<Clock>,
        given_up: Option<String>,
    ) -> Result<(), ServiceError> {
        let Some(running) = self.is_running() else {
            return Ok(());
        };
        let plan = orders::plan(&running, &self.house)?;
        let authority = orders::authority(&running, self.known().known(), clock)?;
        let order = orders::digest(&running.handed);
        let follower = Follower::new(
            (running.order, running.collection),
            Arc::clone(&self.state),
            Arc::clone(&self.conversation),
            given_up,
        );
        let (seal, events) = (self.seal.clone(), self.events.clone());
        let conversation = Arc::clone(&self.conversation);
        let collect = move || {
            let task = Task {
                plan: &plan,
                collection: running.collection,
                seal,
                authority,
                attempt: running.attempt,
                position: running.position.map(Into::into),
                sealing: running.sealing.map(Into::into),
            };
            let outcome = collect::run_task(task, &*conversation, &follower);
            follower.flush();
            // Nobody waits for it once the service has ended.
            let _ = events.send(Event::Collected(outcome));
        };
        let named = thread::Builder::new().name("collection".to_owned());
        let thread = named.spawn(collect).map_err(ServiceError::Thread)?;
        self.running = Some(Collecting { thread, order });
        Ok(())
    }

    fn collected(&mut self, outcome: Result<Outcome, CollectError>) -> Result<(), ServiceError> {
        if let Some(collecting) = self.running.take() {
            // It has said its last.
            let _ = collecting.thread.join();
        }
        let outcome = outcome.map_err(|e| ServiceError::Collection(Box::new(e)))?;
        if let Some(running) = self.is_running() {
            let last = outcome.parts.iter().map(|p| p.part).max().unwrap_or(0);
            let ended = Ended {
                order: running.order,
                collection: running.collection,
                parts: running.position.map_or(last, |p| p.parts().max(last)),
                ended_early: outcome.ended_early,
            };
            self.journal.notice(&format!(
                "collection {} of order {} ended with {} parts",
                ended.collection, ended.order, ended.parts
            ));
            keep(&self.state, Change::Ended(ended))?;
            self.tell_ended()?;
        }
        while self.running.is_none() {
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            self.decide(next, true)?;
        }
        Ok(())
    }

    // ---- the seal

    fn renew_seal(&mut self) -> Result<(), ServiceError> {
        let request = {
            let state = self.known();
            let Some(enrolment) = &state.known().enrolment else {
                return Ok(());
            };
            renewal::request(enrolment, &self.seal, (self.clock)())?
        };
        if let Some(envelope) = request {
            self.conversation.say(&FromReader::RenewSeal { envelope })?;
        }
        Ok(())
    }

    fn seal_renewed(&mut self, chain_pem: &str) -> Result<(), ServiceError> {
        let judged = {
            let state = self.known();
            let Some(enrolment) = &state.known().enrolment else {
                return Ok(());
            };
            renewal::judge(chain_pem, enrolment, &self.seal, (self.clock)())
        };
        match judged {
            Ok(change) => {
                keep(&self.state, change)?;
                let renewed = self.known().known().enrolment.clone();
                if let Some(enrolment) = renewed {
                    self.seal = enrolment.seal()?;
                }
                self.journal.notice("the seal certificate was renewed");
            }
            Err(error) => self
                .journal
                .warning(&format!("the new seal certificate does not hold: {error}")),
        }
        Ok(())
    }

    // ---- reports

    fn tell_accepted(&self) -> Result<(), ServiceError> {
        match self.is_running() {
            Some(Running {
                order, collection, ..
            }) => self.report(Report::Accepted { order, collection }),
            None => Ok(()),
        }
    }

    /// Tells how the last collection ended; once more at each start, since the first time may have been lost.
    fn tell_ended(&self) -> Result<(), ServiceError> {
        let ended = self.known().known().ended.clone();
        match ended {
            Some(Ended {
                order,
                collection,
                parts,
                ended_early,
            }) => self.report(Report::Ended {
                order,
                collection,
                parts,
                ended_early,
            }),
            None => Ok(()),
        }
    }

    fn report(&self, report: Report) -> Result<(), ServiceError> {
        Ok(self.conversation.say(&FromReader::Report { report })?)
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
