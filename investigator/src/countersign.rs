//! Another person's order on its way to a second signature: what is asked for, whether it may be signed, and the signing.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use evidence::{envelope::Envelope, ids::OrderId, instant::Instant, keys::SigningKey};
use protocol::{
    messages::{HostRow, OrderStatus, SignOrder},
    order::Order,
    target::TargetList,
    version::VERSION,
};

use crate::{approval::Approval, session::Session, shown};

/// An order as the server shows it, and the hosts that it is for.
pub struct Asked {
    /// The order.
    pub order: Order,
    /// Its envelope, with the signatures that are there.
    pub envelope: Envelope,
    /// How it fares.
    pub status: OrderStatus,
    /// Its hosts, as far as they are of the person's agencies.
    pub hosts: Vec<HostRow>,
}

impl Asked {
    /// Asks the server for the order; `all` are the hosts of the person's agencies.
    ///
    /// # Errors
    /// The server does not know it, shows another one, or shows one that its requester has not signed.
    pub fn get(session: &Session, id: OrderId, all: &[HostRow]) -> anyhow::Result<Self> {
        let status = session.remote.order(id, 0, Duration::ZERO)?;
        let policy = &session.believed.policy;
        let (envelope, order) = shown::order(&status.order, id, policy)?;
        let is_target = |h: &&HostRow| status.hosts.iter().any(|t| t.agent == h.agent);
        let hosts = all.iter().filter(is_target).cloned().collect();
        Ok(Self {
            order,
            envelope,
            status,
            hosts,
        })
    }

    /// The hosts, as others want them.
    pub fn host_refs(&self) -> Vec<&HostRow> {
        self.hosts.iter().collect()
    }

    /// How many have signed, and how many must.
    ///
    /// # Errors
    /// As for [`Approval::of`].
    pub fn approval(&self, session: &Session) -> anyhow::Result<Approval> {
        let policy = &session.believed.policy;
        Approval::of(&self.envelope, &self.order, policy, &self.host_refs())
    }

    /// Whether the person has signed it already.
    pub fn is_signed_by_me(&self, session: &Session) -> bool {
        has_signed(&self.envelope, session)
    }

    /// Stops before a signature that would be one's own second one, or that every agent would refuse.
    ///
    /// # Errors
    /// It is such a one.
    pub fn check(&self, session: &Session) -> anyhow::Result<()> {
        let (order, policy) = (&self.order, &session.believed.policy);
        ensure!(
            order.requester != session.me.id,
            "It is your own order. Another person must approve it."
        );
        ensure!(
            order.policy_version == policy.version,
            "The order was made under policy {}, and {} is in force: hosts refuse it. Have it made again.",
            order.policy_version,
            policy.version
        );
        ensure!(
            Instant::now() < order.expires,
            "The order has expired. Have it made again."
        );
        Ok(())
    }

    /// Whether the hosts that are shown are those whose list is signed; what is to be said where not.
    pub fn not_shown(&self) -> Option<String> {
        let list = TargetList::new(self.status.hosts.iter().map(|h| h.agent));
        let targets = &self.order.targets;
        if list.targets(targets.expression.clone(), targets.open) == *targets {
            return None;
        }
        Some(match targets.open {
            true => "Hosts have joined the order since it was signed; they are among those shown."
                .to_owned(),
            false => format!(
                "ATTENTION: the order is for {} hosts, and {} of them are of your agencies and shown here.",
                targets.count,
                self.status.hosts.len()
            ),
        })
    }

    /// Adds the person's signature and hands it in; what the server then holds takes the place of what was there.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn sign(&mut self, session: &Session, key: &SigningKey) -> anyhow::Result<()> {
        self.envelope.add_signature(key);
        let json = self.envelope.to_json()?;
        let sent = SignOrder {
            v: VERSION,
            order: String::from_utf8(json).context("The order is not text.")?,
        };
        let held = session.remote.sign_order(self.order.id, &sent)?;
        let held = Envelope::parse(held.order.as_bytes())?;
        ensure!(
            held.digest() == self.envelope.digest() && has_signed(&held, session),
            "The server did not take the signature. Tell its operator."
        );
        self.envelope = held;
        Ok(())
    }
}

fn has_signed(envelope: &Envelope, session: &Session) -> bool {
    let mine = session.me.signing_key.key_id().to_string();
    envelope.signatures().iter().any(|s| s.key_id == mine)
}
