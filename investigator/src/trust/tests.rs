//! What the tool believes of what a server shows, and what is an alarm.

use evidence::{envelope, keys::SigningKey};

use super::*;
use crate::testing::World;

fn home(dir: &tempfile::TempDir) -> Home {
    Home::locate(Some(dir.path()), None).unwrap()
}

#[test]
fn only_the_pinned_root_leads_to_a_policy() {
    let (world, other) = (World::new(), World::new());
    assert!(judge(&world.root_envelope(), &world.trust()).is_ok());
    assert!(judge(&other.root_envelope(), &world.trust()).is_err());
    let mut mixed = world.trust();
    mixed.policy = other.trust().policy;
    assert!(judge(&world.root_envelope(), &mixed).is_err());
    mixed.roots.clear();
    assert!(judge(&world.root_envelope(), &mixed).is_err());
}

#[test]
fn a_rolled_back_policy_is_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let (home, mut world) = (home(&dir), World::new());
    let pinned = world.root_envelope();
    let old = world.trust();
    update(&home, &pinned, &old).unwrap();
    world.policy.version += 1;
    update(&home, &pinned, &world.trust()).unwrap();
    let error = update(&home, &pinned, &old).unwrap_err();
    assert!(error.to_string().contains("ALARM"), "{error:#}");
    assert!(update(&home, &pinned, &world.trust()).is_ok());
}

#[test]
fn a_second_policy_of_one_version_is_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let (home, mut world) = (home(&dir), World::new());
    let pinned = world.root_envelope();
    update(&home, &pinned, &world.trust()).unwrap();
    world.policy.expires.seconds += 1;
    let error = update(&home, &pinned, &world.trust()).unwrap_err();
    assert!(error.to_string().contains("ALARM"), "{error:#}");
}

#[test]
fn earlier_policies_still_explain_old_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let (home, mut world) = (home(&dir), World::new());
    let pinned = world.root_envelope();
    update(&home, &pinned, &world.trust()).unwrap();
    let old = world.time_key.public();
    world.rotate_time_key();
    let now = update(&home, &pinned, &world.trust()).unwrap();
    assert!(!now.policy.time_keys.contains(&old));
    let all = policies(&home, &now).unwrap();
    assert_eq!(all.len(), 2);
    assert!(all[1].time_keys.contains(&old));
}

/// The root after the world's, by `new` alone, and a policy of it.
fn with_second_root(world: &World, new: &SigningKey) -> TrustMessage {
    let text = |e: Envelope| String::from_utf8(e.to_json().unwrap()).unwrap();
    let mut root = world.root.clone();
    root.version = 2;
    root.keys = vec![new.public()];
    let mut second = Envelope::sign_document(envelope::ROOT, &root, new).unwrap();
    second.add_signature(&world.root_key);
    let mut policy = world.policy.clone();
    (policy.version, policy.root_version) = (policy.version + 1, 2);
    let policy = Envelope::sign_document(envelope::POLICY, &policy, new).unwrap();
    TrustMessage {
        v: 1,
        roots: vec![text(world.root_envelope()), text(second)],
        policy: text(policy),
    }
}

#[test]
fn a_new_root_is_followed_and_no_other_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (home, world) = (home(&dir), World::new());
    let pinned = world.root_envelope();
    let [new, other] = [(); 2].map(|()| SigningKey::generate().unwrap());
    update(&home, &pinned, &world.trust()).unwrap();
    let second = with_second_root(&world, &new);
    let now = update(&home, &pinned, &second).unwrap();
    assert_eq!((now.root.version, now.roots), (2, second.roots.clone()));
    // Another second root, signed by the first one as well; and the first one alone.
    let fork = with_second_root(&world, &other);
    for shown in [&fork, &world.trust()] {
        let error = update(&home, &pinned, shown).unwrap_err();
        assert!(error.to_string().contains("ALARM"), "{error:#}");
    }
    // A second root that the first one has not signed.
    let mut alone = with_second_root(&World::new(), &new);
    alone.roots[0] = second.roots[0].clone();
    assert!(judge(&pinned, &alone).is_err());
    assert!(update(&home, &pinned, &second).is_ok());
}

#[test]
fn a_policy_that_orders_were_signed_under_and_that_is_not_shown_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (home, mut world) = (home(&dir), World::new());
    let seen = |version| Seen {
        version,
        order: OrderId::from_bytes([1; 16]),
        person: "ann".parse().unwrap(),
    };
    assert_eq!(withheld(&home, &world.policy).unwrap(), None);
    remember_seen(&home, &seen(world.policy.version + 1)).unwrap();
    remember_seen(&home, &seen(1)).unwrap();
    let told = withheld(&home, &world.policy).unwrap().unwrap();
    assert!(
        told.contains("under policy 4") && told.contains("shows policy 3"),
        "{told}"
    );
    world.policy.version += 1;
    assert_eq!(withheld(&home, &world.policy).unwrap(), None);
}
