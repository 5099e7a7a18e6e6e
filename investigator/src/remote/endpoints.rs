//! One function for each thing that the server is asked (PROTOCOL.md, section 10).

use std::time::Duration;

use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId, HoldId, OrderId},
};
use protocol::{
    admission::{DecideHost, PendingHosts},
    hold::{Holds, LiftHold, PlaceHold},
    kit::{CertifiedKit, CertifyKit},
    messages::{
        CancelOrder, Collections, Consistency, Hosts, Leaves, Logged, MAX_WAIT_MS, OrderStatus,
        Orders, SignOrder, SubmitEvent, SubmitOrder, Trust,
    },
    retention::{Due, Retention, SetRetention},
    version::VERSION,
};
use serde::de::DeserializeOwned;

use super::{Download, Remote, RemoteError};

/// A checkpoint's note is not longer.
const NOTE_BYTES: u64 = 64 * 1024;
/// Nothing that lies beside a part is longer.
const BESIDE_BYTES: u64 = 4 << 20;

/// What lies beside a stored part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// The signed statement.
    Statement,
    /// The custody receipt.
    Receipt,
    /// The time stamp.
    Tsr,
}

/// Each fails as [`RemoteError`] says.
impl Remote {
    /// Roots and policy.
    pub fn trust(&self) -> Result<Trust, RemoteError> {
        self.get_message("/v1/trust", Duration::ZERO)
    }

    /// Brings a policy, and the roots that it needs, into force.
    pub fn publish(&self, offered: &Trust) -> Result<Trust, RemoteError> {
        self.post_message("/v1/trust", offered)
    }

    /// The newest checkpoint, as a signed note.
    pub fn checkpoint(&self) -> Result<Vec<u8>, RemoteError> {
        self.get_bytes("/v1/custody/checkpoint", NOTE_BYTES)
    }

    /// That the log of `to` leaves continues that of `from`.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, RemoteError> {
        let path = format!("/v1/custody/consistency?from={from}&to={to}");
        let Consistency { proof, .. } = self.get_message(&path, Duration::ZERO)?;
        Ok(proof)
    }

    /// Leaves of the log.
    pub fn leaves(&self, from: u64, count: u64) -> Result<Leaves, RemoteError> {
        let path = format!("/v1/custody/leaves?from={from}&count={count}");
        self.get_message(&path, Duration::ZERO)
    }

    /// The hosts of the person's agencies.
    pub fn hosts(&self) -> Result<Hosts, RemoteError> {
        let after = |page: &Hosts| {
            let last = page.hosts.last().filter(|_| page.more)?;
            Some(format!("/v1/hosts?after_agent={}", last.agent))
        };
        let mut hosts = Vec::new();
        self.each_page("/v1/hosts".to_owned(), after, |page| {
            hosts.extend(page.hosts);
        })?;
        Ok(Hosts {
            v: VERSION,
            hosts,
            more: false,
        })
    }

    /// Has a kit's seal key certified.
    pub fn certify_kit(&self, asked: &CertifyKit) -> Result<CertifiedKit, RemoteError> {
        self.post_message("/v1/kits", asked)
    }

    /// Hands an order in.
    pub fn submit_order(&self, order: &SubmitOrder) -> Result<Logged, RemoteError> {
        self.post_message("/v1/orders", order)
    }

    /// Hands in an order with one signature more.
    pub fn sign_order(&self, order: OrderId, sent: &SignOrder) -> Result<OrderStatus, RemoteError> {
        self.post_message(&format!("/v1/orders/{order}/signatures"), sent)
    }

    /// Stops an order.
    pub fn cancel_order(&self, order: OrderId, sent: &CancelOrder) -> Result<Logged, RemoteError> {
        self.post_message(&format!("/v1/orders/{order}/cancel"), sent)
    }

    /// All orders.
    pub fn orders(&self) -> Result<Orders, RemoteError> {
        self.get_message("/v1/orders", Duration::ZERO)
    }

    /// How an order fares, once its revision is past `since` or `wait` is over.
    pub fn order(
        &self,
        order: OrderId,
        since: u64,
        wait: Duration,
    ) -> Result<OrderStatus, RemoteError> {
        let wait = wait.min(Duration::from_millis(MAX_WAIT_MS));
        let path = format!(
            "/v1/orders/{order}?since={since}&wait_ms={}",
            wait.as_millis()
        );
        self.get_message(&path, wait)
    }

    /// What is stored of an order, or all.
    pub fn collections(&self, order: Option<OrderId>) -> Result<Collections, RemoteError> {
        let path = match order {
            Some(order) => format!("/v1/collections?order={order}"),
            None => "/v1/collections?".to_owned(),
        };
        let after = |page: &Collections| {
            let last = page.collections.last().filter(|_| page.more)?;
            Some(format!("{path}&after_collection={}", last.collection))
        };
        let mut collections = Vec::new();
        self.each_page(path.clone(), after, |page| {
            collections.extend(page.collections);
        })?;
        Ok(Collections {
            v: VERSION,
            collections,
            more: false,
        })
    }

    /// Asks for the page at `path` and for each that `after` says comes after the one before.
    fn each_page<P: DeserializeOwned>(
        &self,
        path: String,
        after: impl Fn(&P) -> Option<String>,
        mut take: impl FnMut(P),
    ) -> Result<(), RemoteError> {
        let mut next = Some(path);
        while let Some(path) = next {
            let page: P = self.get_message(&path, Duration::ZERO)?;
            next = after(&page);
            take(page);
        }
        Ok(())
    }

    /// Every retention rule of the person's agencies.
    pub fn retention(&self) -> Result<Retention, RemoteError> {
        self.get_message("/v1/retention", Duration::ZERO)
    }

    /// Hands a retention rule in.
    pub fn set_retention(&self, sent: &SetRetention) -> Result<Logged, RemoteError> {
        self.post_message("/v1/retention", sent)
    }

    /// When each collection expires.
    pub fn due(&self) -> Result<Due, RemoteError> {
        self.get_message("/v1/retention/due", Duration::ZERO)
    }

    /// Every hold of the person's agencies.
    pub fn holds(&self) -> Result<Holds, RemoteError> {
        self.get_message("/v1/holds", Duration::ZERO)
    }

    /// Those who wait for an admin of the person's agencies.
    pub fn pending(&self) -> Result<PendingHosts, RemoteError> {
        self.get_message("/v1/hosts/pending", Duration::ZERO)
    }

    /// Hands a word on a host that waits in.
    pub fn decide_host(&self, sent: &DecideHost) -> Result<Logged, RemoteError> {
        self.post_message("/v1/hosts/pending", sent)
    }

    /// Hands a hold in.
    pub fn place_hold(&self, sent: &PlaceHold) -> Result<Logged, RemoteError> {
        self.post_message("/v1/holds", sent)
    }

    /// Hands the lifting of a hold in.
    pub fn lift_hold(&self, hold: HoldId, sent: &LiftHold) -> Result<Logged, RemoteError> {
        self.post_message(&format!("/v1/holds/{hold}/lift"), sent)
    }

    /// All parts of an order that came after `after`, as a stream of frames.
    pub fn order_parts(&self, order: OrderId, after: u64) -> Result<Download, RemoteError> {
        self.download(&format!("/v1/orders/{order}/parts?after={after}"), 0)
    }

    /// Pieces of the order's live logs that came after `after`, of one agent or all, as a stream of frames that waits for
    /// more.
    pub fn order_log(
        &self,
        order: OrderId,
        agent: Option<AgentId>,
        after: u64,
        wait: Duration,
    ) -> Result<Download, RemoteError> {
        let wait = wait.as_millis().min(u128::from(MAX_WAIT_MS));
        let agent = agent.map_or_else(String::new, |agent| format!("&agent={agent}"));
        let path = format!("/v1/orders/{order}/log?after={after}&wait_ms={wait}{agent}");
        self.download(&path, 0)
    }

    /// A stored part, from byte `from` on.
    pub fn part(
        &self,
        collection: CollectionId,
        part: u32,
        stored_sha256: Digest,
        from: u64,
    ) -> Result<Download, RemoteError> {
        let path = format!("/v1/parts/{collection}/{part}/{stored_sha256}");
        self.download(&path, from)
    }

    /// A file beside a stored part.
    pub fn beside(
        &self,
        collection: CollectionId,
        part: u32,
        stored_sha256: Digest,
        which: Beside,
    ) -> Result<Vec<u8>, RemoteError> {
        let name = match which {
            Beside::Statement => "statement",
            Beside::Receipt => "receipt",
            Beside::Tsr => "tsr",
        };
        let path = format!("/v1/parts/{collection}/{part}/{stored_sha256}/{name}");
        self.get_bytes(&path, BESIDE_BYTES)
    }

    /// Hands a custody leaf in that the person signed.
    pub fn submit_event(
        &self,
        event: String,
        reason: Option<String>,
    ) -> Result<Logged, RemoteError> {
        let sent = SubmitEvent {
            v: VERSION,
            event,
            reason,
        };
        self.post_message("/v1/custody/events", &sent)
    }
}
