//! Whether a refusal that the server shows is the agent's own.

use anyhow::{Context as _, ensure};
use evidence::envelope::Envelope;
use protocol::{
    messages::{HostRow, OrderHost, OrderStatus},
    order::Order,
};

use super::RefusalView;
use crate::{approval::Approval, refusal as notices, session::Session, trust};

/// The refusal in words, if the agent's seal key has signed it for this order.
pub fn refusal(
    session: &Session,
    hosts: &[HostRow],
    status: &OrderStatus,
    host: &OrderHost,
    notice: &str,
) -> RefusalView {
    let opened = || {
        let row = hosts.iter().find(|row| row.agent == host.agent);
        let row = row.context("the host is not on the server's list")?;
        let order = Envelope::parse(status.order.as_bytes())?;
        let trust = &session.seal_trust;
        notices::open(notice, host.agent, &order.digest(), &row.seal_chain, trust)
    };
    match check_order(session, status).and_then(|()| opened()) {
        Ok(notice) => RefusalView {
            signed: true,
            text: notice.refusal.to_string(),
        },
        Err(error) => RefusalView {
            signed: false,
            text: format!("{error:#}"),
        },
    }
}

/// How many more people must sign the order, while every host waits.
pub fn lacking(session: &Session, hosts: &[HostRow], status: &OrderStatus) -> usize {
    let totals = &status.totals;
    if totals.waiting < totals.hosts {
        return 0;
    }
    let counted = || -> anyhow::Result<usize> {
        let envelope = Envelope::parse(status.order.as_bytes())?;
        let order = Order::read(&envelope)?;
        let is_target = |h: &&HostRow| status.hosts.iter().any(|t| t.agent == h.agent);
        let hosts: Vec<_> = hosts.iter().filter(is_target).collect();
        let policy = &session.believed.policy;
        Ok(Approval::of(&envelope, &order, policy, &hosts)?.lacking())
    };
    // What can't be read is refused by the hosts, in their own words.
    counted().unwrap_or(0)
}

/// The order in the server's answer must be one that somebody of the policy signed.
fn check_order(session: &Session, status: &OrderStatus) -> anyhow::Result<()> {
    let envelope = Envelope::parse(status.order.as_bytes())?;
    // Whoever signed it may have left since, or have other keys.
    let policies = trust::policies(&session.home, &session.believed)?;
    ensure!(
        policies.iter().any(|p| !p.signers(&envelope).is_empty()),
        "the order that the server shows is signed by nobody of the policy"
    );
    Ok(())
}
