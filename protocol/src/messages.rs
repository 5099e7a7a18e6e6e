//! The messages of the endpoints: what agents, investigators and the server send each other over TLS.
//!
//! Signed documents travel inside as text (an envelope's JSON); a message itself is believed
//! only as far as its sender's TLS key reaches. Unknown fields and versions are refused.

use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId, HostId, KitId, OrderId},
    instant::Instant,
};
use serde::{Deserialize, Serialize};

use crate::{name::Name, retention::Expired, target::TargetProof};

/// The longest message body that any endpoint reads, parts of evidence apart.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// The longest that a server lets a question wait for news.
pub const MAX_WAIT_MS: u64 = 55_000;
/// The most custody leaves in one answer.
pub const MAX_LEAVES: u64 = 1000;

/// What the hash of a leaf begins with that is shown in the place of the leaf itself.
pub const WITHHELD: &str = "sha256:";

/// The header by which a refusal says why, where a program must know it.
pub const REASON_HEADER: &str = "fieldseal-reason";
/// Its value (403) for an agent that was revoked.
pub const REVOKED: &str = "revoked";
/// Its value (409) for an agent whose identity was met on two machines.
pub const CLONED: &str = "cloned";

/// `GET /v1/trust`: every root from the first on, and the policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// The message's format.
    pub v: u64,
    /// Envelopes of the roots, version 1 first.
    pub roots: Vec<String>,
    /// The policy's envelope.
    pub policy: String,
}

/// `POST /v1/time`: asks for the server's signed time; the answer is the envelope itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeRequest {
    /// The message's format.
    pub v: u64,
    /// 128 random bits in hex.
    pub nonce: String,
}

/// `GET /v1/agent/orders`: what waits for the agent that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentOrders {
    /// The message's format.
    pub v: u64,
    /// The version of the policy in force: an agent that holds an older one fetches `/v1/trust`.
    pub policy_version: u64,
    /// Orders that the agent has not reported on.
    pub orders: Vec<HandedOrder>,
    /// Envelopes of cancellations that the agent has not reported to hold.
    pub cancels: Vec<String>,
}

/// One order on its way to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedOrder {
    /// The order's envelope.
    pub order: String,
    /// That the agent is on the order's list, where it is.
    pub proof: Option<TargetProof>,
}

/// What the digest of a handed order begins with, so that it is the digest of nothing else.
const HANDED: &[u8] = b"fieldseal-handed-1\n";

impl HandedOrder {
    /// The digest of all that was handed over: signatures and proof count, so that a crippled copy of
    /// an order never speaks for the order.
    ///
    /// Part of the protocol (PROTOCOL.md, section 5): do not change.
    pub fn digest(&self) -> Digest {
        let mut bytes = HANDED.to_vec();
        bytes.extend((self.order.len() as u64).to_le_bytes());
        bytes.extend(self.order.as_bytes());
        if let Some(proof) = &self.proof {
            bytes.extend(proof.index.to_le_bytes());
            proof.proof.iter().for_each(|hash| bytes.extend(hash.0));
        }
        Digest::of(&bytes)
    }
}

/// `POST /v1/agent/reports`: how an order fares on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentReport {
    /// The message's format.
    pub v: u64,
    /// What there is to say.
    pub report: Report,
}

/// What an agent reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// The order holds and its collection begins, or goes on after a crash.
    Accepted {
        /// The order.
        order: OrderId,
        /// The collection that it has become.
        collection: CollectionId,
    },
    /// The order is not obeyed: the signed notice.
    Refused {
        /// The envelope of a `RefusalNotice`.
        notice: String,
    },
    /// A standing order or a watch holds: its captures will come.
    Held {
        /// The order.
        order: OrderId,
    },
    /// A capture of it begins, or goes on after a crash.
    Capturing {
        /// The order.
        order: OrderId,
        /// The collection that the capture is.
        collection: CollectionId,
        /// Which capture of this host it is, from 1.
        number: u32,
    },
    /// No capture of it comes any more, though it has not ended.
    Over {
        /// The order.
        order: OrderId,
        /// Why, for people.
        why: String,
    },
    /// How far it is.
    Progress {
        /// The order.
        order: OrderId,
        /// The collection.
        collection: CollectionId,
        /// Numbers.
        progress: Progress,
    },
    /// The last part is sealed; it may still be on its way.
    Ended {
        /// The order.
        order: OrderId,
        /// The collection.
        collection: CollectionId,
        /// How many parts there are.
        parts: u32,
        /// Why it was cut short, where it was.
        ended_early: Option<String>,
    },
    /// The cancellation of the order is kept: it is not obeyed any more.
    Cancelled {
        /// The order.
        order: OrderId,
    },
}

/// `POST /v1/agent/health`: how the agent fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentHealth {
    /// The message's format.
    pub v: u64,
    /// What it says.
    pub health: Health,
}

/// What an agent says of itself. No decision rests on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The host's name now.
    pub hostname: String,
    /// The system and its version now.
    pub system: String,
    /// The agent's version now.
    pub agent_version: String,
    /// Room on the disk that holds its spool.
    pub free_bytes: Option<u64>,
    /// Sealed parts that wait there.
    pub parts_waiting: u32,
    /// Their bytes.
    pub bytes_waiting: u64,
    /// How far the host's clock is ahead of the server's.
    pub clock_ahead_ms: Option<i64>,
    /// What last went wrong and is not over.
    pub problem: Option<String>,
    /// The walls around the half that sees the host: those that stand, then those that are missing, with reasons.
    #[serde(default)]
    pub reader_walls: Option<String>,
    /// The same around the half that has the network.
    #[serde(default)]
    pub courier_walls: Option<String>,
    /// The processor time that the agent has used in the last day, or since it was started.
    #[serde(default)]
    pub cpu_day_ms: Option<u64>,
    /// The most memory that it held at once since it was started.
    #[serde(default)]
    pub memory_peak_bytes: Option<u64>,
    /// The last errors, the newest first, those that are over among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorSeen>,
}

/// An error that an agent has met; its times are the host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorSeen {
    /// What went wrong, for people.
    pub text: String,
    /// Whether it is about the server, or the way to it.
    pub way: bool,
    /// When it was first met.
    pub first: Instant,
    /// When it was last met.
    pub last: Instant,
    /// How often.
    pub times: u32,
    /// Whether it was over when this was told.
    pub over: bool,
}

/// How far a collection is: numbers and artifacts' names, never contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The artifact at work.
    pub artifact: String,
    /// Artifacts that are done.
    pub artifacts_done: u32,
    /// Artifacts in all.
    pub artifacts_total: u32,
    /// Records so far.
    pub records: u64,
    /// Files stored so far.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Gaps so far.
    pub gaps: u64,
    /// Parts sealed so far.
    pub parts_sealed: u32,
    /// Files that were found and are not dealt with yet.
    #[serde(default)]
    pub files_waiting: u64,
    /// How long it still takes, where that can be said.
    pub rest: Option<Rest>,
    /// What its limits make it wait for, if it does not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
}

impl Progress {
    /// For people: what it waits for, or how long it still takes; empty where neither can be said.
    pub fn rest_words(&self) -> String {
        let waits = self.waits_for.map(|waits| waits.words().to_owned());
        waits
            .or_else(|| self.rest.map(Rest::words))
            .unwrap_or_default()
    }
}

/// What a collection waits for before it reads on from the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// The host runs on its battery.
    Mains,
    /// It is outside of the hours that its limits leave.
    Hours,
}

impl WaitsFor {
    /// For people: "waits for mains power".
    pub fn words(self) -> &'static str {
        match self {
            Self::Mains => "waits for mains power",
            Self::Hours => "waits for its hours",
        }
    }
}

/// How long a collection still takes, its delivery apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    /// So long.
    pub seconds: u64,
    /// What is known of it.
    pub bound: Bound,
}

impl Rest {
    /// For people: "about 40 s left".
    pub fn words(self) -> String {
        let meant = match self.bound {
            Bound::About => "about",
            Bound::AtLeast => "at least",
            Bound::AtMost => "at most",
        };
        format!("{meant} {} left", span(self.seconds))
    }
}

/// Seconds in the two greatest units that are not nothing.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// How a [`Rest`] is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// All that is left is known, and how fast it goes.
    About,
    /// More may be found, or other artifacts are to come: this is for what is known so far.
    AtLeast,
    /// Only the order's limit on time is known.
    AtMost,
}

/// `GET /v1/hosts?after_agent=ID`: the hosts of the asker's agencies, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// The message's format.
    pub v: u64,
    /// By enrolment.
    pub hosts: Vec<HostRow>,
    /// Whether there are more, after the last of these.
    pub more: bool,
}

/// One enrolled host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRow {
    /// The agent.
    pub agent: AgentId,
    /// The host, as it names itself.
    pub host: HostId,
    /// Its name, as it says.
    pub hostname: String,
    /// `linux`, `windows`.
    pub os: Name,
    /// `x86_64`, `aarch64`.
    pub arch: Name,
    /// The system and its version.
    pub system: String,
    /// The agent's version.
    pub agent_version: String,
    /// Its agency, by its token.
    pub agency: Name,
    /// Its labels, by its token.
    pub labels: Vec<Name>,
    /// When it was enrolled.
    pub enrolled: Instant,
    /// When its agent last asked for orders.
    pub last_seen: Option<Instant>,
    /// From when on its seals count no more.
    pub revoked: Option<Instant>,
    /// When it was removed, where it was.
    pub removed: Option<Instant>,
    /// Why, as the admin wrote it.
    pub removal_reason: Option<String>,
    /// When its identity was met on two machines: it is given no more orders.
    pub cloned: Option<Instant>,
    /// The cloned identity that it came from.
    pub forked_from: Option<AgentId>,
    /// The identities that came from it, since it was cloned.
    pub forked_into: Vec<AgentId>,
    /// What its agent last said of itself.
    pub health: Option<Health>,
    /// When it said so.
    pub health_told: Option<Instant>,
    /// Seal certificate and issuing chain, PEM.
    pub seal_chain: String,
    /// The kit that seals by this identity, where it is no host's.
    pub kit: Option<KitId>,
}

impl HostRow {
    /// Whether orders for hosts can be for it: its identity counts, and is one machine's.
    pub fn is_target(&self) -> bool {
        self.revoked.is_none() && self.cloned.is_none() && self.kit.is_none()
    }
}

/// `POST /v1/orders`: a signed order and the list behind its targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitOrder {
    /// The message's format.
    pub v: u64,
    /// The order's envelope.
    pub order: String,
    /// The ids of which the order signs the root.
    pub targets: Vec<AgentId>,
}

/// `POST /v1/orders/{order}/signatures`: an order with one signature more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOrder {
    /// The message's format.
    pub v: u64,
    /// The order's envelope, which carries the sender's own signature.
    pub order: String,
}

/// `POST /v1/orders/{order}/cancel`: stops an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// The message's format.
    pub v: u64,
    /// The envelope of the cancellation, signed by the sender.
    pub cancel: String,
}

/// The answer to what becomes a custody leaf: an order taken in or cancelled, an event, a revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logged {
    /// The message's format.
    pub v: u64,
    /// The custody receipt, JSON.
    pub receipt: String,
}

/// `GET /v1/orders`: orders for the asker's agencies, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// The message's format.
    pub v: u64,
    /// One row an order.
    pub orders: Vec<OrderRow>,
}

/// One order in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRow {
    /// The order.
    pub order: OrderId,
    /// The case's reference.
    pub case: String,
    /// Who asked.
    pub requester: Name,
    /// When the server took it in.
    pub submitted: Instant,
    /// When it ends.
    pub expires: Instant,
    /// How many hosts it is for.
    pub hosts: u32,
    /// How many of them have answered to the end: delivered whole, or refused.
    pub settled: u32,
    /// Whether somebody has cancelled it.
    pub cancelled: bool,
    /// Why it stopped by itself, where it did.
    pub halted: Option<String>,
    /// Digest of its payload.
    pub order_sha256: Digest,
    /// The digest of the order that it continues.
    pub predecessor: Option<Digest>,
    /// How many more people must sign it before it goes out, where it waits for that.
    pub lacking: u32,
}

/// `GET /v1/orders/{id}?since=N&wait_ms=N`: an order and how it fares, at once when `revision` is past `since`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderStatus {
    /// The message's format.
    pub v: u64,
    /// Grows with every change of this order's state.
    pub revision: u64,
    /// The order's envelope.
    pub order: String,
    /// The envelope of its cancellation, where it was cancelled.
    pub cancel: Option<String>,
    /// Why it stopped by itself, where it did.
    pub halted: Option<String>,
    /// Over all of its hosts that the asker may see.
    pub totals: Totals,
    /// How it fares on them: on those that have changed since the revision asked for, at the least.
    pub hosts: Vec<OrderHost>,
}

/// How an order fares over all of its hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Hosts that it is for.
    pub hosts: u64,
    /// Those whose agents have not answered yet, neither to the order nor to its cancellation.
    pub waiting: u64,
    /// Those that are at it, or whose parts are on their way.
    pub running: u64,
    /// Those that have delivered.
    pub delivered: u64,
    /// Those that refuse.
    pub refused: u64,
    /// Those that will not begin: it has expired, was cancelled, or has stopped by itself.
    pub not_begun: u64,
    /// Collections that were cut short.
    pub ended_early: u64,
    /// Records so far.
    pub records: u64,
    /// Files stored so far.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Gaps so far.
    pub gaps: u64,
}

/// How an order fares on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderHost {
    /// The agent.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// Where it stands.
    pub state: HostState,
    /// The collection that it has become; of a standing order or a watch the newest.
    pub collection: Option<CollectionId>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// The envelope of the refusal.
    pub refusal: Option<String>,
    /// Why the collection was cut short, where it was.
    pub ended_early: Option<String>,
    /// Parts that are durable here.
    pub parts_received: u32,
    /// Of a standing order or a watch: what came of it so far.
    pub captures: Option<Captures>,
}

/// What came of a standing order or a watch on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Captures {
    /// How many have begun.
    pub begun: u32,
    /// How many of them are here whole.
    pub delivered: u32,
    /// When the server heard of the newest.
    pub newest: Option<Instant>,
    /// Why no more will come, where that is so before the order's end.
    pub over: Option<String>,
}

/// Where an order stands on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// The agent has not asked yet.
    Waiting,
    /// The agent keeps the order, and collects by the clock.
    Standing,
    /// The agent keeps the order, and collects what changes.
    Watching,
    /// Its collection runs, or is on its way.
    Running,
    /// The last part and all before it are durable here, by their signed chain.
    Delivered,
    /// The agent refuses.
    Refused,
    /// The order ended before the agent asked.
    Expired,
    /// The order was cancelled; the agent may hold it, and has not said yet that it keeps the cancellation.
    Cancelling,
    /// The order was cancelled before the agent began.
    Cancelled,
    /// The order stopped by itself before the agent began.
    Halted,
    /// The host was removed, or its agent revoked, before all was delivered.
    Removed,
    /// The agent's identity was met on two machines before it began; the identities that come from it are other hosts.
    Cloned,
}

/// `GET /v1/collections?order=ID&after_collection=ID`: what is stored (all that the asker may see, where no order is
/// named), a page at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collections {
    /// The message's format.
    pub v: u64,
    /// The newest first.
    pub collections: Vec<CollectionRow>,
    /// Whether there are more, after the last of these.
    pub more: bool,
}

/// One stored collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionRow {
    /// The collection.
    pub collection: CollectionId,
    /// Who sealed it.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// The order, where the statement names one that is known here.
    pub order: Option<OrderId>,
    /// The case of that order.
    pub case: Option<String>,
    /// Whether the last part and all before it are here.
    pub complete: bool,
    /// Its parts, in order.
    pub parts: Vec<PartRow>,
    /// The custody receipt of the agent's enrolment, JSON: it names the seal key.
    pub enrolment: String,
    /// The custody receipt of the agent's revocation, JSON, where it was revoked.
    pub revocation: Option<String>,
    /// Whether a legal hold keeps it.
    pub held: bool,
    /// By which rule its stored parts are gone, where they are.
    pub expired: Option<Expired>,
}

/// One stored part. Its files are at `/v1/parts/COLLECTION/PART/SHA256` and below it
/// at `/statement`, `/receipt` and `/tsr`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRow {
    /// Its number, from 1.
    pub part: u32,
    /// SHA-256 of the stored file.
    pub stored_sha256: Digest,
    /// How long it is.
    pub size_bytes: u64,
    /// When it became durable.
    pub received: Instant,
    /// Whether it says that it is the last.
    pub last: bool,
    /// Whether a time stamp lies beside it.
    pub has_tsr: bool,
    /// Whether it was set apart because it is not genuine.
    pub quarantined: bool,
}

/// The longest part whose content comes along in the stream of an order's parts.
pub const MAX_INLINE_BYTES: u64 = 1 << 20;
/// No head of a frame is longer.
pub const MAX_FRAME_HEAD_BYTES: usize = 12 << 20;

/// `GET /v1/orders/ORDER/parts?after=CURSOR`: the head of one part in the stream, as one line of JSON; `content_bytes`
/// bytes of the stored file follow the line's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartFrame {
    /// The message's format.
    pub v: u64,
    /// Where the stream goes on after this part.
    pub cursor: u64,
    /// The collection that it is of.
    pub collection: CollectionId,
    /// Who sealed it.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// Whether the collection's last part and all before it are here.
    pub complete: bool,
    /// The part.
    pub part: PartRow,
    /// The statement's envelope, as it was sent.
    pub statement: String,
    /// The custody receipt of the part, JSON.
    pub receipt: String,
    /// The time stamp in base64, where there is one.
    pub tsr: Option<String>,
    /// The custody receipt of the agent's enrolment, JSON.
    pub enrolment: String,
    /// The custody receipt of the agent's revocation, JSON, where it was revoked.
    pub revocation: Option<String>,
    /// By which rule the stored file is gone, where it is.
    pub expired: Option<Expired>,
    /// How much follows: all of the stored file, or nothing of one that is longer than 1 MiB or has expired.
    pub content_bytes: u64,
}

/// `POST /v1/custody/events`: a leaf signed by the person who sends it (`verified`, `revoked`, `removed`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitEvent {
    /// The message's format.
    pub v: u64,
    /// The leaf's envelope.
    pub event: String,
    /// The text of which a `removed` leaf has the digest.
    pub reason: Option<String>,
}

/// `GET /v1/custody/leaves?from=N&count=N`: the log itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaves {
    /// The message's format.
    pub v: u64,
    /// The index of the first leaf here.
    pub from: u64,
    /// Leaves, base64.
    pub leaves: Vec<String>,
}

/// `GET /v1/custody/consistency?from=N&to=N`: that the log of `to` leaves continues that of `from`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// The message's format.
    pub v: u64,
    /// The proof (RFC 6962, 2.1.2).
    pub proof: Vec<Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::read_message;

    #[test]
    fn what_was_handed_over_is_known_by_its_exact_bytes() {
        let handed = |order: &str, proof: Option<(u64, &[u8])>| HandedOrder {
            order: order.to_owned(),
            proof: proof.map(|(index, hashes)| TargetProof {
                index,
                proof: hashes.iter().map(|byte| Digest([*byte; 32])).collect(),
            }),
        };
        // By hand: `printf 'fieldseal-handed-1\n\2\0\0\0\0\0\0\0{}' | sha256sum`.
        let expected = "50b46b3fbfa77fc642a1765703a553f034f96620c32bef3c6b716bf2704b6ea9";
        assert_eq!(handed("{}", None).digest().to_string(), expected);
        let all = [
            handed("{}", None),
            handed("{} ", None),
            handed("{}", Some((0, &[]))),
            handed("{}", Some((1, &[]))),
            handed("{}", Some((0, &[1]))),
            handed("{}", Some((0, &[1, 2]))),
            handed("{}", Some((0, &[2, 1]))),
        ];
        let digests: std::collections::BTreeSet<_> = all.iter().map(HandedOrder::digest).collect();
        assert_eq!(digests.len(), all.len());
    }

    #[test]
    fn what_is_left_is_told_as_it_is_meant() {
        let words = |seconds, bound| Rest { seconds, bound }.words();
        assert_eq!(words(7, Bound::About), "about 7 s left");
        assert_eq!(words(90, Bound::AtLeast), "at least 1 min 30 s left");
        assert_eq!(words(7_260, Bound::AtMost), "at most 2 h 1 min left");
    }

    #[test]
    fn messages_refuse_what_they_do_not_know() {
        let id = OrderId::from_bytes([1; 16]);
        let collection = CollectionId::from_bytes([2; 16]);
        let report = AgentReport {
            v: 1,
            report: Report::Accepted {
                order: id,
                collection,
            },
        };
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            read_message::<AgentReport>(json.as_bytes(), "report").unwrap(),
            report
        );
        for bad in [
            json.replace("accepted", "run"),
            json.replace(r#""v":1"#, r#""v":2"#),
            json.replace(r#""v":1"#, r#""v":1,"x":0"#),
            json.replace(r#""report":"accepted""#, r#""report":"accepted","x":0"#),
        ] {
            assert!(
                read_message::<AgentReport>(bad.as_bytes(), "report").is_err(),
                "{bad}"
            );
        }
    }
}
