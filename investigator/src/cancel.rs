//! The signed word that stops an order.

use anyhow::ensure;
use evidence::{
    custody::receipt::Proven,
    envelope::{self, Envelope},
    instant::Instant,
};
use protocol::{
    messages::{CancelOrder, OrderStatus},
    order::{Cancel, Order},
    policy::{Policy, Role},
    version::VERSION,
};

use crate::{inert::inert, session::Session};

/// What the cancellation of `order` says.
pub fn draft(session: &Session, envelope: &Envelope, order: &Order, reason: &str) -> Cancel {
    Cancel {
        v: VERSION,
        deployment: order.deployment.clone(),
        order: order.id,
        order_digest: envelope.digest(),
        expires: order.expires,
        by: session.me.id.clone(),
        time: Instant::now(),
        reason: reason.to_owned(),
    }
}

/// What is signed, in words, inert.
pub fn in_words(session: &Session, order: &Order) -> String {
    format!(
        "To be signed by {}: order {} of {} (case {}) stops on all of its hosts; what they have is sealed.",
        session.me.id,
        order.id,
        inert(order.requester.as_str()),
        inert(&order.case),
    )
}

/// Stops where the person has no role that may cancel, before the server does.
///
/// # Errors
/// The policy gives none.
pub fn demand(session: &Session) -> anyhow::Result<()> {
    const MAY: [Role; 3] = [Role::Investigator, Role::Approver, Role::Admin];
    ensure!(
        MAY.iter().any(|role| session.me.roles.contains(role)),
        "The policy does not name {} as investigator, approver or admin. Ask one of them to cancel the order.",
        session.me.id
    );
    Ok(())
}

/// That an order was cancelled, by whom and why; nothing where the server shows no cancellation. Hostile text.
pub fn told(status: &OrderStatus, policy: &Policy) -> Option<String> {
    let text = status.cancel.as_ref()?;
    let read = || {
        let envelope = Envelope::parse(text.as_bytes()).ok()?;
        let cancel = Cancel::read(&envelope).ok()?;
        let by = policy.person(&cancel.by)?;
        (!envelope.verify(&[by.signing_key]).is_empty()).then_some(cancel)
    };
    Some(match read() {
        Some(cancel) => format!("Cancelled by {}: {}", cancel.by, cancel.reason),
        None => "The server says that it was cancelled, and nobody of the policy has signed that. Tell its operator."
            .to_owned(),
    })
}

/// Signs `cancel` and hands it in; it counts once it is in the log.
///
/// # Errors
/// The key stays locked, or the server does not take it.
pub fn hand_in(
    session: &Session,
    cancel: &Cancel,
    key: &evidence::keys::SigningKey,
) -> anyhow::Result<Proven> {
    let signed = Envelope::sign_document(envelope::CANCEL, cancel, key)?;
    let sent = CancelOrder {
        v: VERSION,
        cancel: String::from_utf8(signed.to_json()?)?,
    };
    let logged = session.remote.cancel_order(cancel.order, &sent)?;
    session.prove_logged(&logged.receipt)
}
