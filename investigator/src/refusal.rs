//! An agent's refusal, believed only when it is signed by the seal key of that very agent.

use anyhow::ensure;
use evidence::{digest::Digest, envelope::Envelope, ids::AgentId, seal::Trust};
use protocol::order::RefusalNotice;

use crate::seal_key;

/// Reads the refusal of `order` by `agent`, whose seal certificate and issuers are `chain_pem`.
///
/// # Errors
/// The chain does not lead to the root, is not the agent's, has not signed the notice, or the
/// notice speaks of something else.
pub fn open(
    notice: &str,
    agent: AgentId,
    order: &Digest,
    chain_pem: &str,
    trust: &Trust,
) -> anyhow::Result<RefusalNotice> {
    let envelope = Envelope::parse(notice.as_bytes())?;
    let claimed: RefusalNotice =
        protocol::version::read(&envelope, evidence::envelope::REFUSAL, "refusal")?;
    let key = seal_key::of(agent, chain_pem, trust, claimed.time)?;
    let notice = RefusalNotice::open(&envelope, &key)?;
    ensure!(
        notice.agent == agent && notice.order_digest == *order,
        "The refusal speaks of another agent or another order."
    );
    Ok(notice)
}

#[cfg(test)]
mod tests {
    use evidence::{envelope, keys::SigningKey, seal::self_signed_seal};
    use protocol::order_check::Refusal;

    use super::*;
    use crate::testing::at;

    struct Host {
        key: SigningKey,
        agent: AgentId,
        der: Vec<u8>,
    }

    fn host(number: u8) -> Host {
        let (key, agent) = (
            SigningKey::generate().unwrap(),
            AgentId::from_bytes([number; 16]),
        );
        let der = self_signed_seal(&key, agent, at(1_800_000_000)).unwrap();
        Host { key, agent, der }
    }

    impl Host {
        fn pem(&self) -> String {
            crate::testing::pem(&self.der)
        }

        fn refuses(&self, order: Digest) -> String {
            let notice = RefusalNotice {
                v: 1,
                order_digest: order,
                handed_digest: order,
                order: None,
                agent: self.agent,
                time: at(1_800_000_001),
                refusal: Refusal::Replayed,
            };
            let made = Envelope::sign_document(envelope::REFUSAL, &notice, &self.key).unwrap();
            String::from_utf8(made.to_json().unwrap()).unwrap()
        }
    }

    #[test]
    fn only_the_agents_own_seal_key_refuses() {
        let (one, two) = (host(1), host(2));
        let trust = Trust::from_der(&one.der).unwrap();
        let order = Digest::of(b"order");
        let open_as = |notice: &str, agent, order: &Digest, chain: &str| {
            open(notice, agent, order, chain, &trust)
        };
        let good = open_as(&one.refuses(order), one.agent, &order, &one.pem()).unwrap();
        assert_eq!(good.refusal, Refusal::Replayed);
        let other = Digest::of(b"other");
        assert!(open_as(&one.refuses(other), one.agent, &order, &one.pem()).is_err());
        assert!(open_as(&two.refuses(order), one.agent, &order, &one.pem()).is_err());
        assert!(open_as(&two.refuses(order), two.agent, &order, &two.pem()).is_err());
        assert!(open_as(&one.refuses(order), two.agent, &order, &one.pem()).is_err());
        assert!(
            open(
                &one.refuses(order),
                one.agent,
                &order,
                &one.pem(),
                &Trust::none()
            )
            .is_err()
        );
    }
}
