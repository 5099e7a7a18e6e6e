//! What the reader knows from one start to the next, and every change of it.
//!
//! The names in here are the file's format: add, do not rename. What is added has a default that is not written, so that
//! an older agent, which refuses what it does not know, can be put back where nothing of it is used.

use std::collections::{BTreeMap, VecDeque};

use data_encoding::BASE64;
use evidence::{
    capture::Capture,
    digest::Digest,
    ids::{AgentId, CollectionId, HostId, OrderId},
    instant::Instant,
    keys::{KeyError, SigningKey},
    records::{Counts, Person, Refusal},
};
use protocol::{messages::HandedOrder, profile::Limits};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Begun, Recurring};
use crate::reader::{
    seal::{PartBefore, Seal},
    task::{Position, Spent},
};

/// Refusals that are remembered, so that an order that is handed again gets the same answer.
const REFUSALS: usize = 256;
/// Refusals that wait to be told in the next collection.
const UNTOLD: usize = 1024;

/// No more is kept of orders and of the policies under which they were accepted before another comes: with that one,
/// and what else is known, it is less than a record may hold.
const ORDERS_BYTES_MOST: usize = 10 << 20;
/// So often a collection is put aside without having finished an artifact meanwhile.
const ASIDE_IN_VAIN_MOST: u32 = 3;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Everything in the state file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    v: u64,
    /// The host's own random id; outlives every enrolment.
    pub host: HostId,
    /// Whom the reader stands for.
    pub enrolment: Option<Enrolment>,
    /// Envelopes of the roots, the pinned one first; the last is in force.
    pub roots: Vec<String>,
    /// The envelope of the policy in force.
    pub policy: Option<String>,
    /// Orders that were obeyed, with their ends: past it they are refused as expired anyway.
    pub used: BTreeMap<OrderId, Instant>,
    /// Orders that were cancelled, with their ends: past it they are refused as expired anyway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cancelled: BTreeMap<OrderId, Instant>,
    /// Standing orders and watches that have not ended.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recurring: BTreeMap<OrderId, Recurring>,
    /// The highest time that the server has signed.
    pub highest_signed: Option<Instant>,
    /// The collection that runs, or was cut off.
    pub running: Option<Running>,
    /// Collections that were begun and make way, since their limits hold them: the one that was put aside first is the
    /// first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<Running>,
    /// The collection that ended last.
    pub ended: Option<Ended>,
    /// Orders that were refused, the newest last.
    pub refused: VecDeque<Refused>,
    /// Refusals that no collection has told yet.
    pub untold: VecDeque<Refusal>,
    /// The last custody checkpoint that was proven to continue those before.
    pub checkpoint: Option<String>,
    /// The seal key of an enrolment that was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// The identity that was begun in the place of a cloned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Fork>,
    /// That the custody log is not the one that was seen before; the first time stays, with both notes as the proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_alarm: Option<LogAlarm>,
}

/// The custody log was cut, rewritten, or shows different faces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogAlarm {
    /// When it was found.
    pub time: Instant,
    /// What is wrong, for people.
    pub why: String,
    /// The note that was seen before.
    pub held: String,
    /// The note that denies it.
    pub shown: String,
}

/// What enrolment gave.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The agent.
    pub agent: AgentId,
    /// The seal key, PKCS#8, base64.
    seal_key: Secret,
    /// The seal certificate and what issued it, DER, base64.
    pub seal_chain: Vec<String>,
    /// From when the seal certificate holds.
    pub seal_from: Instant,
    /// Until when.
    pub seal_until: Instant,
    /// The root certificate, PEM, by which chains are judged.
    pub root_certificate: String,
    /// Digest of the pinned root document's payload.
    pub root_sha256: Digest,
    /// The deployment token's envelope: what certifies agency and labels.
    pub token: String,
    /// What any run may cost here, by the deployment file.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// The custody receipt of the enrolment.
    pub receipt: String,
    /// When.
    pub enrolled: Instant,
}

/// A text that is wiped from memory when dropped.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Secret(String);

impl Secret {
    fn of(key: &SigningKey) -> Result<Self, KeyError> {
        Ok(Self(BASE64.encode(&key.to_pkcs8_der()?)))
    }

    fn key(&self) -> Result<SigningKey, KeyError> {
        let der = BASE64.decode(self.0.as_bytes());
        let der = der.map_err(|_| KeyError::NotAPrivateKey)?;
        SigningKey::from_pkcs8_der(&Zeroizing::new(der))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Enrolment({})", self.agent)
    }
}

/// A seal key that is made before it is asked to be certified, so that whoever asks again asks for the same agent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// PKCS#8, base64.
    seal_key: Secret,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Candidate")
    }
}

impl Candidate {
    /// A new key.
    ///
    /// # Errors
    /// No random numbers, or the key can't be encoded.
    pub fn new() -> Result<Self, KeyError> {
        let seal_key = Secret::of(&SigningKey::generate()?)?;
        Ok(Self { seal_key })
    }

    /// The key.
    ///
    /// # Errors
    /// What lies in the state is none.
    pub fn key(&self) -> Result<SigningKey, KeyError> {
        self.seal_key.key()
    }
}

/// What is made before another identity is asked for, so that whoever asks again asks for the same one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The new seal key, PKCS#8, base64.
    seal_key: Secret,
    /// The new host id.
    pub host: HostId,
}

impl std::fmt::Debug for Fork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fork({})", self.host)
    }
}

impl Fork {
    /// A new key and a new host.
    ///
    /// # Errors
    /// No random numbers, or the key can't be encoded.
    pub fn new() -> Result<Self, KeyError> {
        let key = SigningKey::generate()?;
        Ok(Self {
            seal_key: Secret::of(&key)?,
            host: HostId::random().map_err(KeyError::Random)?,
        })
    }

    /// The new seal key.
    ///
    /// # Errors
    /// The key in the state is none.
    pub fn key(&self) -> Result<SigningKey, KeyError> {
        self.seal_key.key()
    }
}

/// What an enrolment is made of, beside the key.
#[derive(Debug, Clone)]
pub struct Given {
    /// The agent.
    pub agent: AgentId,
    /// The seal certificate and what issued it, DER.
    pub chain: Vec<Vec<u8>>,
    /// From when to when the seal certificate holds.
    pub window: (Instant, Instant),
    /// The root certificate, PEM.
    pub root_certificate: String,
    /// Digest of the pinned root document's payload.
    pub root_sha256: Digest,
    /// The token's envelope.
    pub token: String,
    /// What any run may cost here, by the deployment file.
    pub limits: Limits,
    /// The custody receipt.
    pub receipt: String,
    /// When.
    pub enrolled: Instant,
}

impl Enrolment {
    /// For the seal key `key`.
    ///
    /// # Errors
    /// The key can't be encoded.
    pub fn new(key: &SigningKey, given: Given) -> Result<Self, KeyError> {
        Ok(Self {
            agent: given.agent,
            seal_key: Secret::of(key)?,
            seal_chain: encode_chain(&given.chain),
            seal_from: given.window.0,
            seal_until: given.window.1,
            root_certificate: given.root_certificate,
            root_sha256: given.root_sha256,
            token: given.token,
            limits: given.limits,
            receipt: given.receipt,
            enrolled: given.enrolled,
        })
    }

    /// The seal at work.
    ///
    /// # Errors
    /// The key in the state is none.
    pub fn seal(&self) -> Result<Seal, KeyError> {
        let decode = |text: &str| BASE64.decode(text.as_bytes());
        let key = self.seal_key.key()?;
        let chain: Result<Vec<_>, _> = self.seal_chain.iter().map(|c| decode(c)).collect();
        let chain = chain.map_err(|_| KeyError::Encoding)?;
        Ok(Seal::enrolled(key, self.agent, chain))
    }
}

/// A chain as the state keeps it.
pub fn encode_chain(chain: &[Vec<u8>]) -> Vec<String> {
    chain.iter().map(|der| BASE64.encode(der)).collect()
}

/// A collection that was begun and has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// The order, as it was handed over.
    pub handed: HandedOrder,
    /// The policy's envelope under which it was accepted.
    pub policy: String,
    /// Its id.
    pub order: OrderId,
    /// What it has become.
    pub collection: CollectionId,
    /// Who signed it, the requester first.
    pub signers: Vec<Person>,
    /// 1, and one more for each time that it was taken up again.
    pub attempt: u32,
    /// How many attempts ended because the agent was told to stop, which is no failure of theirs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pauses: u32,
    /// How often it was put aside since it last had finished another artifact; one that is not finished begins anew then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub aside_in_vain: u32,
    /// How many artifacts it had finished when it was put aside last.
    #[serde(default, skip_serializing_if = "is_default")]
    pub finished_before: usize,
    /// Refusals that this collection tells.
    pub refusals: Vec<Refusal>,
    /// Where its chain stands, once a part is durable.
    pub position: Option<SavedPosition>,
    /// Where it stands if the part that was handed over last became durable, which only the spool knows.
    pub sealing: Option<SavedPosition>,
    /// Who cancelled it and why, for people, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<String>,
    /// Which capture of its order it is, where the order makes many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// Why it shall end early though nobody cancelled it, for people, where it shall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<String>,
}

impl Running {
    /// What an order, as it was handed over under `policy`, becomes: nothing of it is gathered yet.
    pub fn new(
        (handed, policy): (HandedOrder, String),
        order: OrderId,
        collection: CollectionId,
        signers: Vec<Person>,
    ) -> Self {
        Self {
            handed,
            policy,
            order,
            collection,
            signers,
            attempt: 1,
            pauses: 0,
            aside_in_vain: 0,
            finished_before: 0,
            refusals: Vec::new(),
            position: None,
            sealing: None,
            cancelled: None,
            capture: None,
            cut_short: None,
        }
    }

    /// Whether it may be put aside, though what it has not finished begins anew: a long artifact must come to its end.
    pub fn may_make_way(&self) -> bool {
        self.finished() > self.finished_before || self.aside_in_vain < ASIDE_IN_VAIN_MOST
    }

    fn finished(&self) -> usize {
        self.position.as_ref().map_or(0, |p| p.finished.len())
    }

    fn put_aside(&mut self) {
        self.pauses = self.pauses.saturating_add(1);
        self.aside_in_vain = match self.finished() > self.finished_before {
            true => 1,
            false => self.aside_in_vain.saturating_add(1),
        };
        self.finished_before = self.finished();
    }
}

/// A [`Position`] as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPosition {
    started: Instant,
    parts: u32,
    plain_sha256: Digest,
    stored_sha256: Digest,
    totals: Counts,
    finished: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    spent: Spent,
}

impl From<&Position> for SavedPosition {
    fn from(position: &Position) -> Self {
        Self {
            started: position.started,
            parts: position.parts,
            plain_sha256: position.before.plain_sha256,
            stored_sha256: position.before.stored_sha256,
            totals: position.totals,
            finished: position.finished.clone(),
            spent: position.spent,
        }
    }
}

impl From<SavedPosition> for Position {
    fn from(saved: SavedPosition) -> Self {
        Self {
            started: saved.started,
            parts: saved.parts,
            before: PartBefore {
                plain_sha256: saved.plain_sha256,
                stored_sha256: saved.stored_sha256,
            },
            totals: saved.totals,
            finished: saved.finished,
            spent: saved.spent,
        }
    }
}

impl SavedPosition {
    /// Where a chain of one part stands that has finished so much.
    #[cfg(test)]
    pub(super) fn finished_for_test(finished: &[&str]) -> Self {
        Self {
            started: Instant { seconds: 0, ns: 0 },
            parts: 1,
            plain_sha256: Digest::of(b"plain"),
            stored_sha256: Digest::of(b"stored"),
            totals: Counts::default(),
            finished: finished.iter().map(ToString::to_string).collect(),
            spent: Spent::default(),
        }
    }

    /// How many parts are durable.
    pub fn parts(&self) -> u32 {
        self.parts
    }
}

/// A collection that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// The order.
    pub order: OrderId,
    /// What it became.
    pub collection: CollectionId,
    /// How many parts there are.
    pub parts: u32,
    /// Why it was cut short, where it was.
    pub ended_early: Option<String>,
}

/// An order that was refused, and the answer that it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Digest of what was handed over: order, signatures and proof.
    pub handed_sha256: Digest,
    /// The signed notice.
    pub notice: String,
}

/// One thing that became known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    clippy::large_enum_variant,
    reason = "changes are made one at a time and written at once"
)]
pub enum Change {
    /// An enrolment is about to be asked for.
    EnrolmentBegun {
        /// What was made for it.
        candidate: Candidate,
        /// Which host asks.
        host: HostId,
    },
    /// The host is enrolled, under this root and policy.
    Enrolled {
        /// What enrolment gave.
        enrolment: Enrolment,
        /// The pinned root's envelope.
        root: String,
        /// Those that follow it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more_roots: Vec<String>,
        /// The policy's envelope.
        policy: String,
    },
    /// Newer documents are in force.
    Trust {
        /// Roots that follow those that are known.
        more_roots: Vec<String>,
        /// The policy, where a newer one came.
        policy: Option<String>,
    },
    /// The server signed a higher time.
    SignedTime {
        /// The time.
        time: Instant,
    },
    /// An order is used from here on, and its collection runs.
    Accepted {
        /// The collection.
        running: Running,
        /// The order's end.
        expires: Instant,
    },
    /// A standing order or a watch is used from here on, and kept.
    Recurs {
        /// The order.
        recurring: Recurring,
        /// The order's end.
        expires: Instant,
    },
    /// A capture of it is counted, and runs.
    Capturing(Begun),
    /// It makes no more.
    Over {
        /// The order.
        order: OrderId,
    },
    /// It was left to be taken up again, since the agent was told to stop.
    Paused {},
    /// What runs is put aside for another one, which is no failure of it.
    PutAside {},
    /// One of those that were put aside runs again.
    TakenUp {
        /// Which.
        collection: CollectionId,
    },
    /// The collection that was cut off is taken up again.
    Resumed {
        /// Which attempt this is.
        attempt: u32,
    },
    /// A further part of it is about to be handed over.
    Sealing {
        /// Where the chain stands once it is durable.
        position: SavedPosition,
    },
    /// A further part of it is durable.
    Durable {
        /// Where the chain stands.
        position: SavedPosition,
    },
    /// It came to its end.
    Ended(Ended),
    /// An order was refused.
    Refused {
        /// The answer that it got, where it shall get the same again.
        refused: Option<Refused>,
        /// What the next collection tells of it.
        told: Refusal,
    },
    /// Somebody authorised stopped an order: it is not obeyed any more, and its collection ends.
    Cancelled {
        /// The order.
        order: OrderId,
        /// The order's end.
        expires: Instant,
        /// Who and why, for people.
        why: String,
    },
    /// What runs, and what is put aside, shall end early; the orders are not cancelled by that.
    CutShort {
        /// Why, for people.
        why: String,
    },
    /// Another identity is about to be asked for.
    ForkBegun {
        /// What was made for it.
        fork: Fork,
    },
    /// The reader is another agent and another host from here on, in the place of a cloned identity.
    Forked {
        /// What the server gave.
        enrolment: Enrolment,
        /// The new host id.
        host: HostId,
    },
    /// The seal key has a new certificate.
    Renewed {
        /// The chain, DER, base64.
        seal_chain: Vec<String>,
        /// From when it holds.
        from: Instant,
        /// Until when.
        until: Instant,
    },
    /// A newer checkpoint of the custody log was seen.
    Checkpoint {
        /// The signed note.
        note: String,
    },
    /// The custody log denies what it said before.
    LogAlarm {
        /// How.
        alarm: LogAlarm,
        /// What the next collection tells of it.
        told: Refusal,
    },
}

impl Known {
    /// A host that nobody has enrolled.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            v: 1,
            host: HostId::random()?,
            enrolment: None,
            roots: Vec::new(),
            policy: None,
            used: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            recurring: BTreeMap::new(),
            highest_signed: None,
            running: None,
            aside: Vec::new(),
            ended: None,
            refused: VecDeque::new(),
            untold: VecDeque::new(),
            checkpoint: None,
            candidate: None,
            fork: None,
            log_alarm: None,
        })
    }

    /// The stricter of `own`, the host's limits, and those that it was enrolled with.
    pub fn stricter_limits(&self, own: &Limits) -> Limits {
        match &self.enrolment {
            Some(enrolment) => own.stricter(&enrolment.limits),
            None => own.clone(),
        }
    }

    /// Collections that were begun and have not ended, the one that runs first.
    pub fn begun(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().chain(&self.aside)
    }

    /// Whether one more order may be kept beside those that are: all of them make one record at the next start.
    pub fn has_room(&self) -> bool {
        let begun = self.begun().map(|r| (&r.handed, &r.policy));
        let recurring = self.recurring.values().map(|r| (&r.handed, &r.policy));
        let bytes = begun
            .chain(recurring)
            .map(|(handed, policy)| handed.order.len() + policy.len());
        bytes.sum::<usize>() <= ORDERS_BYTES_MOST
    }

    fn begun_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.running.iter_mut().chain(&mut self.aside)
    }

    /// The answer that an order of this digest got before, if it was refused.
    pub fn refusal_of(&self, handed_sha256: Digest) -> Option<&Refused> {
        self.refused
            .iter()
            .find(|r| r.handed_sha256 == handed_sha256)
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::EnrolmentBegun { candidate, host } => {
                self.host = host;
                self.candidate = Some(candidate);
            }
            Change::Enrolled {
                enrolment,
                root,
                more_roots,
                policy,
            } => {
                self.enrolment = Some(enrolment);
                self.candidate = None;
                self.roots = vec![root];
                self.roots.extend(more_roots);
                self.policy = Some(policy);
                // Of another deployment's log, perhaps; who enrols a host anew has seen the alarm.
                self.log_alarm = None;
            }
            Change::Trust { more_roots, policy } => {
                self.roots.extend(more_roots);
                self.policy = policy.or(self.policy.take());
            }
            Change::SignedTime { time } => {
                self.highest_signed = self.highest_signed.max(Some(time));
                self.forget_expired();
            }
            Change::Accepted { running, expires } => {
                self.used.insert(running.order, expires);
                self.running = Some(running);
                self.untold.clear();
            }
            Change::Recurs { recurring, expires } => {
                self.used.insert(recurring.order, expires);
                self.recurring.insert(recurring.order, recurring);
            }
            Change::Capturing(begun) => {
                if let Some(kept) = self.recurring.get_mut(&begun.order) {
                    let refusals = self.untold.drain(..).collect();
                    self.running = Some(kept.begin(begun, refusals));
                }
            }
            Change::Over { order } => {
                self.recurring.remove(&order);
            }
            Change::Resumed { attempt } => {
                if let Some(running) = &mut self.running {
                    running.attempt = attempt;
                }
            }
            Change::Paused {} => {
                if let Some(running) = &mut self.running {
                    running.pauses = running.pauses.saturating_add(1);
                }
            }
            Change::PutAside {} => {
                if let Some(mut running) = self.running.take() {
                    running.put_aside();
                    self.aside.push(running);
                }
            }
            Change::TakenUp { collection } => {
                let place = self.aside.iter().position(|r| r.collection == collection);
                if let (None, Some(at)) = (&self.running, place) {
                    let mut running = self.aside.remove(at);
                    running.attempt = running.attempt.saturating_add(1);
                    self.running = Some(running);
                }
            }
            Change::Sealing { position } => {
                if let Some(running) = &mut self.running {
                    running.sealing = Some(position);
                }
            }
            Change::Durable { position } => {
                if let Some(running) = &mut self.running {
                    running.position = Some(position);
                    running.sealing = None;
                }
            }
            Change::Ended(ended) => {
                self.running = None;
                self.ended = Some(ended);
            }
            Change::Refused { refused, told } => {
                if let Some(refused) = refused {
                    push(&mut self.refused, refused, REFUSALS);
                }
                push(&mut self.untold, told, UNTOLD);
            }
            Change::Cancelled {
                order,
                expires,
                why,
            } => {
                self.cancelled.insert(order, expires);
                self.recurring.remove(&order);
                for begun in self.begun_mut().filter(|r| r.order == order) {
                    begun.cancelled.get_or_insert_with(|| why.clone());
                }
            }
            Change::Renewed {
                seal_chain,
                from,
                until,
            } => {
                if let Some(enrolment) = &mut self.enrolment {
                    (enrolment.seal_from, enrolment.seal_until) = (from, until);
                    enrolment.seal_chain = seal_chain;
                }
            }
            Change::CutShort { why } => {
                for begun in self.begun_mut() {
                    begun.cut_short.get_or_insert_with(|| why.clone());
                }
            }
            Change::ForkBegun { fork } => self.fork = Some(fork),
            Change::Forked { enrolment, host } => {
                self.host = host;
                self.enrolment = Some(enrolment);
                self.fork = None;
                // Answers and ends of the old agent. What was used and cancelled stays so: an order is obeyed once
                // on a machine, whatever that is called.
                self.refused.clear();
                self.ended = None;
                self.running = None;
                self.aside.clear();
                // They were for the old agent.
                self.recurring.clear();
            }
            Change::Checkpoint { note } => self.checkpoint = Some(note),
            Change::LogAlarm { alarm, told } => {
                if self.log_alarm.is_none() {
                    self.log_alarm = Some(alarm);
                }
                push(&mut self.untold, told, UNTOLD);
            }
        }
    }

    /// An order is forgotten only once the server itself has signed a time past its end: from
    /// then on it is refused as expired, whatever the host's clock says.
    fn forget_expired(&mut self) {
        if let Some(highest) = self.highest_signed {
            self.used.retain(|_, expires| *expires > highest);
            self.cancelled.retain(|_, expires| *expires > highest);
            self.recurring.retain(|_, kept| kept.until > highest);
        }
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}
