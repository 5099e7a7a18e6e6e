//! Whether a refusal that the server shows is the agent's own.

use anyhow::{Context as _, ensure};
use evidence::envelope::Envelope;
use protocol::messages::{HostRow, OrderHost, OrderStatus};

use super::RefusalView;
use crate::{refusal as notices, session::Session};

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

/// The order in the server's answer must be one that somebody of the policy signed.
fn check_order(session: &Session, status: &OrderStatus) -> anyhow::Result<()> {
    let envelope = Envelope::parse(status.order.as_bytes())?;
    ensure!(
        !session.believed.policy.signers(&envelope).is_empty(),
        "the order that the server shows is signed by nobody of the policy"
    );
    Ok(())
}
