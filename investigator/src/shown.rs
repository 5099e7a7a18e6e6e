//! An order as the server shows it, before anything is signed on the strength of it: it must be the one that was asked
//! for, and its requester must have signed it. Whose role is which, agents judge.

use anyhow::{Context as _, ensure};
use evidence::{envelope::Envelope, ids::OrderId};
use protocol::{order::Order, policy::Policy};

/// Reads the order that was asked for.
///
/// # Errors
/// It is none, another, or its requester has not signed it.
pub fn order(text: &str, asked: OrderId, policy: &Policy) -> anyhow::Result<(Envelope, Order)> {
    let envelope = Envelope::parse(text.as_bytes())?;
    let order = Order::read(&envelope)?;
    check(&envelope, &order, asked, policy)?;
    Ok((envelope, order))
}

/// The same for one that was read.
///
/// # Errors
/// It is another, or its requester has not signed it.
pub fn check(
    envelope: &Envelope,
    order: &Order,
    asked: OrderId,
    policy: &Policy,
) -> anyhow::Result<()> {
    ensure!(
        order.id == asked,
        "The server shows another order than the one asked for. Tell its operator."
    );
    let requester = policy.person(&order.requester).with_context(|| {
        format!(
            "The policy does not name {}, who is said to ask for this order: nobody can say whether it is forged. \
             Hosts refuse it; have it made again.",
            order.requester
        )
    })?;
    // Another person's signature counts beside the requester's, never in its place.
    ensure!(
        !envelope.verify(&[requester.signing_key]).is_empty(),
        "{} has not signed this order. It is forged: do not sign it, and find out where it comes from.",
        order.requester
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use evidence::envelope;

    use super::*;
    use crate::{
        draft::{self, Wish},
        targets,
        testing::{World, at},
    };

    #[test]
    fn an_order_is_the_requesters_own_or_nothing_is_signed_for_it() {
        let (world, hosts) = (World::new(), [World::host(1, "a")]);
        let wish = Wish {
            profile: draft::profile_text("triage").unwrap(),
            paths: Vec::new(),
            scope: None,
            chosen: targets::by_name(&hosts, &["a".to_owned()]).unwrap(),
            open: false,
            case: "2026-1".into(),
            reason: "alert 7".into(),
            expires: "60s".parse().unwrap(),
            predecessor: None,
            rollout: None,
            recurrence: None,
            kit: None,
        };
        let made = draft::make(&wish, &world.policy, &world.policy.people[0], at(100)).unwrap();
        let signed = |order: &Order, key| Envelope::sign_document(envelope::ORDER, order, key);
        let read = |envelope: &Envelope, asked| {
            let json = String::from_utf8(envelope.to_json().unwrap()).unwrap();
            order(&json, asked, &world.policy).map(|(_, order)| order.id)
        };
        let own = signed(&made, &world.ann).unwrap();
        assert_eq!(read(&own, made.id).unwrap(), made.id);
        let said = |result: anyhow::Result<OrderId>| format!("{:#}", result.unwrap_err());
        let other = OrderId::from_bytes([9; 16]);
        assert!(said(read(&own, other)).contains("another order"));
        // Somebody of the policy, and not the one who is said to ask.
        let mut another = signed(&made, &world.eve).unwrap();
        assert!(said(read(&another, made.id)).contains("ann has not signed"));
        another.add_signature(&world.ann);
        assert!(read(&another, made.id).is_ok());
        let nobody = Order {
            requester: "joe".parse().unwrap(),
            ..made.clone()
        };
        let unnamed = signed(&nobody, &world.ann).unwrap();
        assert!(said(read(&unnamed, made.id)).contains("does not name joe"));
    }
}
