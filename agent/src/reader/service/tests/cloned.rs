//! A cloned identity: what runs ends early, and another identity is asked for until one is kept whole.

use evidence::{
    custody::event::Action,
    digest::Digest,
    envelope::Envelope,
    ids::{AgentId, HostId},
    keys::PublicKey,
};
use protocol::enrolment::{EnrolResponse, Fork};

use super::{
    cancel::LONG,
    script::{AGENT, Courier, Host, PROFILE, parts, record},
};
use crate::{
    link::{FromReader, FromSpool},
    reader::{
        orders::subject,
        testing::{csr_key, later},
    },
};

const OTHER: AgentId = AgentId::from_bytes([2; 16]);

/// What the reader asks for.
pub(super) fn asked(courier: &mut Courier<'_>, host: &Host) -> Fork {
    let (envelope, facts) = courier.until(|said| match said {
        FromReader::Fork { envelope, host } => Some((envelope.clone(), host.clone())),
        _ => None,
    });
    let envelope = Envelope::parse(envelope.as_bytes()).unwrap();
    let fork = Fork::open(&envelope, AGENT, &[host.seal_key]).unwrap();
    assert_eq!(fork.host, facts.id);
    fork
}

/// A leaf that says that `agent` came from AGENT by its own token.
fn leaf(host: &Host, agent: AgentId, new: HostId, key: &PublicKey) -> Action {
    let enrolment = host.known().enrolment.unwrap();
    Action::Enrolled {
        agent,
        host: new,
        token_sha256: Envelope::parse(enrolment.token.as_bytes())
            .unwrap()
            .digest(),
        seal_key: key.key_id(),
        tls_key: Digest::of(b"tls"),
        forked_from: Some(AGENT),
    }
}

fn answer(host: &Host, fork: &Fork) -> EnrolResponse {
    let leaf = leaf(host, OTHER, fork.host, &csr_key(&fork.csr));
    EnrolResponse {
        receipt: host.world.receipt_of(leaf),
        ..host.world.enrolled(OTHER, fork.host, &fork.csr)
    }
}

fn hand(courier: &mut Courier<'_>, answer: &EnrolResponse) {
    courier.hand(&FromSpool::Forked {}, &serde_json::to_vec(answer).unwrap());
}

fn kept(courier: &mut Courier<'_>) -> AgentId {
    courier.until(|said| match said {
        FromReader::ForkKept { agent } => Some(*agent),
        _ => None,
    })
}

#[test]
fn what_runs_ends_early_and_then_the_host_is_another_by_the_same_token() {
    let host = Host::new();
    for name in 0..64 {
        let file = std::fs::File::create(host.path("host").join(format!("{name}"))).unwrap();
        file.set_len(1 << 30).unwrap();
    }
    let before = host.known();
    let order = host.world.order(7, LONG);
    let mut courier = host.start();
    courier.order(&host.world.handed(&order));
    let collection = courier.accepted();
    courier.serving_until(|said| matches!(said, FromReader::OpenSlot { slot: 2.., .. }));
    courier.say(&FromSpool::Cloned {});
    // Nothing new is begun.
    courier.order(&host.world.handed(&host.world.order(8, PROFILE)));
    let (_, why) = courier.ended();
    assert!(why.as_deref().unwrap().contains("two machines"), "{why:?}");
    let names = parts(&host, collection);
    let last = record(&host, collection, names.last().unwrap());
    assert!(last.last && last.ended_early == why);
    assert_eq!(last.agent, Some(AGENT), "under the old identity");
    let fork = asked(&mut courier, &host);
    hand(&mut courier, &answer(&host, &fork));
    assert_eq!(kept(&mut courier), OTHER);
    assert!(courier.leave().is_ok());
    let known = host.known();
    let enrolment = known.enrolment.as_ref().unwrap();
    assert_eq!((enrolment.agent, known.host), (OTHER, fork.host));
    assert_ne!(known.host, before.host);
    assert_eq!(enrolment.seal().unwrap().key().public(), csr_key(&fork.csr));
    let [old, new] = [before.enrolment.as_ref().unwrap(), enrolment].map(|e| subject(e).unwrap());
    assert_eq!((old.agency, old.labels), (new.agency, new.labels));
    assert!(known.running.is_none() && known.fork.is_none() && known.ended.is_none());
    assert!(
        known.used.contains_key(&order.id),
        "once on a machine, whatever it is called"
    );
    assert!(!known.cancelled.contains_key(&order.id));
    // It goes on as the other.
    let mut courier = host.start();
    courier.checkpoint_asked();
    assert!(courier.leave().is_ok());
}

#[test]
fn the_same_identity_is_asked_for_at_each_start_until_it_is_kept() {
    let host = Host::new();
    let mut asks = Vec::new();
    for _ in 0..3 {
        let mut courier = host.start();
        courier.say(&FromSpool::Cloned {});
        asks.push(asked(&mut courier, &host));
        assert!(courier.leave().is_ok());
        assert_eq!(host.known().enrolment.unwrap().agent, AGENT);
    }
    let keys: Vec<_> = asks.iter().map(|f| (f.host, csr_key(&f.csr))).collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
    let mut courier = host.start();
    courier.say(&FromSpool::Cloned {});
    let fork = asked(&mut courier, &host);
    hand(&mut courier, &answer(&host, &fork));
    assert_eq!(kept(&mut courier), OTHER);
    assert!(courier.leave().is_ok());
    // The next time it is another one.
    assert!(host.known().fork.is_none());
}

#[test]
fn an_answer_that_does_not_come_from_what_is_held_is_not_kept() {
    let host = Host::new();
    let mut courier = host.start();
    courier.say(&FromSpool::Cloned {});
    let fork = asked(&mut courier, &host);
    let good = answer(&host, &fork);
    let key = csr_key(&fork.csr);
    let said = |change: &dyn Fn(&mut Action)| {
        let mut action = leaf(&host, OTHER, fork.host, &key);
        change(&mut action);
        EnrolResponse {
            receipt: host.world.receipt_of(action),
            ..good.clone()
        }
    };
    let stranger = evidence::keys::SigningKey::generate().unwrap();
    let other_csr = crate::reader::renewal::csr(&stranger).unwrap();
    let bad = [
        EnrolResponse {
            seal_chain: host.world.seal_chain(OTHER, &other_csr, later(-60), 1000),
            ..good.clone()
        },
        said(&|a| {
            if let Action::Enrolled { forked_from, .. } = a {
                *forked_from = None;
            }
        }),
        said(&|a| {
            if let Action::Enrolled { forked_from, .. } = a {
                *forked_from = Some(OTHER);
            }
        }),
        said(&|a| {
            if let Action::Enrolled { token_sha256, .. } = a {
                *token_sha256 = Digest::of(b"another token");
            }
        }),
        said(&|a| {
            if let Action::Enrolled { host, .. } = a {
                *host = HostId::from_bytes([9; 16]);
            }
        }),
        EnrolResponse {
            receipt: "{}".into(),
            ..good.clone()
        },
    ];
    for answer in &bad {
        hand(&mut courier, answer);
    }
    // They were all judged before this one.
    hand(&mut courier, &good);
    assert_eq!(kept(&mut courier), OTHER);
    assert!(courier.leave().is_ok());
    assert_eq!(host.known().enrolment.unwrap().receipt, good.receipt);
}
