//! One test for every reason to refuse an order.

use evidence::{ids::AgentId, keys::SigningKey, wrap::Identity};

use super::*;
use crate::fixtures::{World, at, name, subject};

/// What a test may change of the situation.
struct Host {
    now: i64,
    highest: Option<i64>,
    used: BTreeSet<OrderId>,
    cancelled: BTreeSet<OrderId>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            now: 150,
            highest: None,
            used: BTreeSet::new(),
            cancelled: BTreeSet::new(),
        }
    }
}

fn class_of(name: &str) -> Option<Class> {
    match name {
        "shell_history" | "logs" => Some(Class::Files),
        "containers" => None,
        _ => Some(Class::Triage),
    }
}

fn judge_at(
    world: &World,
    host: &Host,
    order: &Order,
    keys: &[&SigningKey],
) -> Result<Accepted, Refusal> {
    let situation = Situation {
        policy: &world.policy,
        root: &world.root,
        subject: &world.subject,
        kit: None,
        now: at(host.now),
        highest_signed: host.highest.map(at),
        used: &host.used,
        cancelled: &host.cancelled,
        class_of: &class_of,
    };
    check(
        &world.sign_order(order, keys),
        Some(&world.proof),
        &situation,
    )
}

fn judge(world: &World, order: &Order, keys: &[&SigningKey]) -> Result<Accepted, Refusal> {
    judge_at(world, &Host::default(), order, keys)
}

/// The refusal after a change to the good order, signed by requester and approver.
fn changed(change: impl FnOnce(&mut World)) -> Refusal {
    let mut world = World::new();
    change(&mut world);
    judge(&world, &world.order, &[&world.ann, &world.bob]).unwrap_err()
}

#[test]
fn obeys_a_good_order_and_names_what_it_does_not_know() {
    let world = World::new();
    let accepted = judge(&world, &world.order, &[&world.bob, &world.ann]).unwrap();
    assert_eq!(accepted.signers, [name("ann"), name("bob")]);
    assert_eq!(accepted.unknown_artifacts, [name("containers")]);
    assert_eq!(accepted.profile.name.as_str(), "triage");
}

#[test]
fn refuses_a_forged_order() {
    let world = World::new();
    let stranger = SigningKey::generate().unwrap();
    for keys in [&[&stranger][..], &[&world.bob], &[&world.eve, &world.bob]] {
        assert_eq!(judge(&world, &world.order, keys), Err(Refusal::Forged));
    }
    assert_eq!(
        changed(|w| w.order.requester = name("nobody")),
        Refusal::Forged
    );
}

#[test]
fn refuses_changed_bytes() {
    let world = World::new();
    let good = world.sign_order(&world.order, &[&world.ann, &world.bob]);
    let mut other = world.order.clone();
    other.reason.push('!');
    let stranger = SigningKey::generate().unwrap();
    let unsigned = world.sign_order(&other, &[&stranger]);
    let mut json: serde_json::Value = serde_json::from_slice(&good.to_json().unwrap()).unwrap();
    let changed: serde_json::Value = serde_json::from_slice(&unsigned.to_json().unwrap()).unwrap();
    json["payload"] = changed["payload"].clone();
    let spliced = Envelope::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    let none = BTreeSet::new();
    let situation = Situation {
        policy: &world.policy,
        root: &world.root,
        subject: &world.subject,
        kit: None,
        now: at(150),
        highest_signed: None,
        used: &none,
        cancelled: &none,
        class_of: &class_of,
    };
    assert_eq!(
        check(&spliced, Some(&world.proof), &situation),
        Err(Refusal::Forged)
    );
}

#[test]
fn refuses_below_the_threshold_of_the_widest_class() {
    let world = World::new();
    let below = Refusal::BelowThreshold {
        found: 1,
        needed: 2,
    };
    for keys in [&[&world.ann][..], &[&world.ann, &world.eve]] {
        assert_eq!(judge(&world, &world.order, keys), Err(below.clone()));
    }
    let mut narrow = world.order.clone();
    narrow.profile = "v: 1\nname: x\nabout: y\nartifacts: [{name: processes}]\n".into();
    narrow.profile_digest = profile::digest(&narrow.profile);
    assert!(judge(&world, &narrow, &[&world.ann]).is_ok());
}

#[test]
fn refuses_one_person_for_two() {
    let world = World::new();
    let twice = judge(&world, &world.order, &[&world.ann, &world.bob, &world.bob]);
    let person = name("bob");
    assert_eq!(twice, Err(Refusal::SamePersonTwice { person }));
    let own = judge(&world, &world.order, &[&world.ann, &world.ann]);
    assert_eq!(own, Err(Refusal::RequesterAsApprover));
}

#[test]
fn refuses_who_may_not() {
    let person = name("eve");
    let world = World::new();
    let mut order = world.order.clone();
    order.requester = person.clone();
    let refused = judge(&world, &order, &[&world.eve, &world.bob]);
    assert_eq!(refused, Err(Refusal::NotAuthorised { person }));
    let elsewhere = changed(|w| w.policy.people[0].agencies = BTreeSet::from([name("navy")]));
    let person = name("ann");
    assert_eq!(elsewhere, Refusal::NotAuthorised { person });
}

#[test]
fn refuses_outside_its_time_by_the_later_clock() {
    let world = World::new();
    let judged = |now, highest| {
        let host = Host {
            now,
            highest,
            ..Host::default()
        };
        judge_at(&world, &host, &world.order, &[&world.ann, &world.bob]).err()
    };
    let expired = |what: &str| Some(Refusal::Expired { what: what.into() });
    assert_eq!(judged(99, None), Some(Refusal::NotYetValid));
    assert_eq!(judged(100, None), None);
    assert_eq!(judged(199, None), None);
    assert_eq!(judged(200, None), expired("order"));
    assert_eq!(judged(150, Some(200)), expired("order"));
    assert_eq!(judged(0, Some(150)), None);
    assert_eq!(judged(10_000, None), expired("policy"));
}

#[test]
fn refuses_a_second_use_and_a_cancelled_order() {
    let world = World::new();
    let ids = BTreeSet::from([world.order.id]);
    let keys = [&world.ann, &world.bob];
    let used = Host {
        used: ids.clone(),
        ..Host::default()
    };
    assert_eq!(
        judge_at(&world, &used, &world.order, &keys),
        Err(Refusal::Replayed)
    );
    let cancelled = Host {
        cancelled: ids,
        ..Host::default()
    };
    assert_eq!(
        judge_at(&world, &cancelled, &world.order, &keys),
        Err(Refusal::Cancelled)
    );
}

#[test]
fn refuses_a_foreign_target() {
    let stranger = AgentId::from_bytes([99; 16]);
    assert_eq!(
        changed(|w| w.subject = subject(stranger)),
        Refusal::ForeignTarget
    );
    assert_eq!(
        changed(|w| w.order.targets.count = 1),
        Refusal::ForeignTarget
    );
    assert_eq!(changed(|w| w.proof.proof.clear()), Refusal::ForeignTarget);
    let mut world = World::new();
    world.subject = subject(stranger);
    world.order.targets.open = true;
    assert!(judge(&world, &world.order, &[&world.ann, &world.bob]).is_ok());
}

#[test]
fn refuses_other_policies_roots_and_deployments() {
    for refusal in [
        changed(|w| w.order.policy_version = 2),
        changed(|w| w.order.policy_version = 4),
        changed(|w| w.root.version = 2),
    ] {
        assert!(matches!(
            refusal,
            Refusal::UnknownPolicyVersion { held: 3, .. }
        ));
    }
    let foreign = changed(|w| w.order.deployment = name("other"));
    assert_eq!(foreign, Refusal::ForeignDeployment);
}

#[test]
fn refuses_a_swapped_or_bad_profile() {
    let swapped = changed(|w| w.order.profile.push_str("# more\n"));
    assert_eq!(swapped, Refusal::WrongProfileDigest);
    let bad = changed(|w| {
        w.order.profile = "v: 1".into();
        w.order.profile_digest = profile::digest("v: 1");
    });
    assert!(matches!(bad, Refusal::BadProfile { .. }));
    let path = changed(|w| w.order.parameters.paths.push("relative".into()));
    assert!(matches!(path, Refusal::BadProfile { .. }));
}

#[test]
fn refuses_recipients_outside_the_policy_and_a_vault_left_out() {
    let stranger = Identity::generate().recipient();
    let foreign = changed(|w| w.order.recipients.push(stranger));
    assert_eq!(foreign, Refusal::RecipientsNotInPolicy);
    let short = changed(|w| {
        w.order.recipients.pop();
    });
    assert_eq!(short, Refusal::VaultLeftOut);
    let mut world = World::new();
    world
        .order
        .recipients
        .push(world.policy.people[0].recipient.clone());
    assert!(judge(&world, &world.order, &[&world.ann, &world.bob]).is_ok());
}

#[test]
fn refuses_what_it_does_not_understand() {
    for refusal in [
        changed(|w| w.order.v = 2),
        changed(|w| w.order.nonce.clear()),
    ] {
        assert!(matches!(refusal, Refusal::Malformed { .. }));
    }
}

#[test]
fn a_refusal_reads_back() {
    let json = serde_json::to_string(&Refusal::Expired {
        what: "order".into(),
    })
    .unwrap();
    assert_eq!(json, r#"{"code":"expired","what":"order"}"#);
    assert!(serde_json::from_str::<Refusal>(&json).is_ok());
}

#[test]
fn no_order_has_a_place_for_a_server_a_root_or_software() {
    let world = World::new();
    let host = Host::default();
    let situation = Situation {
        policy: &world.policy,
        root: &world.root,
        subject: &world.subject,
        kit: None,
        now: at(host.now),
        highest_signed: None,
        used: &host.used,
        cancelled: &host.cancelled,
        class_of: &class_of,
    };
    for field in ["server", "root", "update", "run"] {
        let mut order = serde_json::to_value(&world.order).unwrap();
        order[field] = "https://elsewhere.example".into();
        let signed =
            Envelope::sign_document(evidence::envelope::ORDER, &order, &world.ann).unwrap();
        assert!(
            matches!(
                check(&signed, Some(&world.proof), &situation),
                Err(Refusal::Malformed { .. })
            ),
            "{field}"
        );
    }
}
