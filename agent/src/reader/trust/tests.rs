//! What takes the place of what is in force, and what never does.

use evidence::{
    envelope::{self, Envelope},
    ids::AgentId,
    keys::SigningKey,
};
use protocol::policy::Policy;

use super::*;
use crate::reader::{
    state::State,
    testing::{World, text},
};

fn enrolled(world: &World) -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().unwrap();
    let mut state = State::open(folder.path()).unwrap();
    let agent = AgentId::from_bytes([1; 16]);
    state.keep(world.enrolment(agent)).unwrap();
    (folder, state)
}

#[test]
fn a_newer_policy_is_kept_and_an_older_one_noted() {
    let world = World::new();
    let (_folder, mut state) = enrolled(&world);
    let held = Trust::of(state.known()).unwrap();
    assert_eq!(held.policy.version, 3);
    assert!(matches!(
        judge(&world.trust(&world.policy), &held),
        Ok(Judged::Same)
    ));
    let Ok(Judged::Newer(change)) = judge(&world.trust(&world.next_policy()), &held) else {
        panic!("not newer");
    };
    state.keep(*change).unwrap();
    let held = Trust::of(state.known()).unwrap();
    assert_eq!(held.policy.version, 4);
    assert!(matches!(
        judge(&world.trust(&world.policy), &held),
        Ok(Judged::Older { found: 3, held: 4 })
    ));
}

#[test]
fn a_new_root_is_followed_with_the_policy_that_it_signs() {
    let mut world = World::new();
    let (_folder, mut state) = enrolled(&world);
    let held = Trust::of(state.known()).unwrap();
    let (first, old_key) = (world.root_text(), world.root_key.clone());
    let new_key = SigningKey::generate().unwrap();
    world.root.version = 2;
    world.root.keys = vec![new_key.public()];
    let mut second = Envelope::sign_document(envelope::ROOT, &world.root, &new_key).unwrap();
    let message = |root: &Envelope, policy: &Policy, world: &World| {
        let trust = Handed {
            v: 1,
            roots: vec![first.clone(), text(root)],
            policy: world.policy_text(policy),
        };
        serde_json::to_vec(&trust).unwrap()
    };
    let mut policy = world.next_policy();
    policy.root_version = 2;
    world.root_key = new_key;
    // Not signed by the old root's key.
    assert!(judge(&message(&second, &policy, &world), &held).is_err());
    second.add_signature(&old_key);
    let Ok(Judged::Newer(change)) = judge(&message(&second, &policy, &world), &held) else {
        panic!("not newer");
    };
    state.keep(*change).unwrap();
    let held = Trust::of(state.known()).unwrap();
    assert_eq!((held.root.version, held.policy.version), (2, 4));
    // A policy of the root before can't come back.
    policy.version = 9;
    policy.root_version = 1;
    world.root_key = old_key;
    assert!(judge(&message(&second, &policy, &world), &held).is_err());
}

#[test]
fn foreign_documents_are_refused() {
    let (world, other) = (World::new(), World::new());
    let (_folder, state) = enrolled(&world);
    let held = Trust::of(state.known()).unwrap();
    let mut policy = other.next_policy();
    assert!(judge(&other.trust(&policy), &held).is_err());
    policy.deployment = "other".parse().unwrap();
    assert!(judge(&world.trust(&policy), &held).is_err());
    for garbage in [&b""[..], b"{}", br#"{"v":1,"roots":[],"policy":"{}"}"#] {
        assert!(judge(garbage, &held).is_err());
    }
}

#[test]
fn a_state_with_another_root_than_the_pinned_is_refused() {
    let (world, other) = (World::new(), World::new());
    let (_folder, state) = enrolled(&world);
    let mut known = state.known().clone();
    known.roots = vec![other.root_text()];
    assert!(matches!(Trust::of(&known), Err(TrustError::NotPinned)));
}
