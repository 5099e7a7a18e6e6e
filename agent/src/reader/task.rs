//! What one collection is told before it begins: on whose authority, under which seal, and where its chain stands.

use std::time::{Duration, Instant as Clock};

use evidence::{
    capture::Capture,
    digest::Digest,
    field::Field,
    gap::Reason,
    ids::{CollectionId, HostId, OrderId},
    instant::Instant,
    records::{self, Counts, Person, Refusal},
};
use protocol::{live::Line, messages::Progress};
use serde::{Deserialize, Serialize};

use super::seal::{PartBefore, Seal};
use crate::config::Plan;

/// On whose authority a collection is made; a local one has none.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// The host, where it is enrolled.
    pub host: Option<HostId>,
    /// The order's envelope as received; empty without one.
    pub order: Vec<u8>,
    /// The policy's envelope as received; empty without one.
    pub policy: Vec<u8>,
    /// The order.
    pub order_id: Option<OrderId>,
    /// Digest of the order's payload.
    pub order_sha256: Option<Digest>,
    /// Digest of the policy's payload.
    pub policy_sha256: Option<Digest>,
    /// Who asked.
    pub requester: Option<Person>,
    /// Who signed, the requester first.
    pub signers: Vec<Person>,
    /// The clock against the server's signed time.
    pub clock: Option<records::Clock>,
    /// Orders refused since the last collection.
    pub refusals: Vec<Refusal>,
    /// Which capture of the order it is, where the order makes many.
    pub capture: Option<Capture>,
    /// What the person at the host said, where it is collected with a kit.
    pub field: Option<Field>,
}

/// What a collection has used of its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// Files that its finished artifacts took.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// For how long it was at work.
    pub work_ms: u64,
}

/// Where the chain of a collection that was cut off stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// When the collection was first begun.
    pub started: Instant,
    /// Parts that are durable.
    pub parts: u32,
    /// The last of them.
    pub before: PartBefore,
    /// What is in them.
    pub totals: Counts,
    /// Artifacts that are whole in them, by name.
    pub finished: Vec<String>,
    /// What is used of the limits.
    pub spent: Spent,
}

/// One collection that can begin, or go on.
#[derive(Debug)]
pub struct Task<'p> {
    /// What it gathers.
    pub plan: &'p Plan,
    /// Its id.
    pub collection: CollectionId,
    /// Who seals.
    pub seal: Seal,
    /// On whose authority.
    pub authority: Authority,
    /// 1, and one more for each time that it was taken up again.
    pub attempt: u32,
    /// What an earlier attempt left: where its chain stands by the last [`Watch::durable`].
    pub position: Option<Position>,
    /// The last [`Watch::sealing`], where none was durable after it. The part may have become durable all the same;
    /// the spool says.
    pub sealing: Option<Position>,
}

/// Who follows a collection while it runs, and may stop it.
pub trait Watch: Sync {
    /// How far it is; called often.
    fn progress(&self, progress: &Progress);

    /// One more line of the run's log, as it is written; called from several threads.
    fn line(&self, line: &Line) {
        let _ = line;
    }

    /// How much time has passed since `begun`.
    fn since(&self, begun: Clock) -> Duration {
        begun.elapsed()
    }

    /// A part is about to be handed over. Kept before that, so that the chain is never forked: after a crash only
    /// the spool knows whether the part became durable.
    ///
    /// # Errors
    /// It could not be kept; the run stops.
    fn sealing(&self, position: &Position) -> Result<(), String> {
        let _ = position;
        Ok(())
    }

    /// A part is durable: from here the collection can be taken up again.
    ///
    /// # Errors
    /// It could not be kept; the run stops.
    fn durable(&self, position: &Position) -> Result<(), String>;

    /// Why the run must stop now, if it must: the reason of the gaps that it leaves, and a text for people.
    fn stop(&self) -> Option<(Reason, String)>;

    /// Whether the run must stop without ending its chain: what is open is sealed, and the collection is taken up
    /// again.
    fn pauses(&self) -> bool {
        false
    }

    /// Whether another collection can begin in the place of this one, which pauses for it where its limits hold it.
    fn gives_way(&self) -> bool {
        false
    }
}
