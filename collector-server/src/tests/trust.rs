//! A new policy, and a new root, come into force while the server runs; nothing else does.

use std::{fs, time::Duration};

use evidence::{
    custody::event::{Action, Event},
    envelope::{self, Envelope},
    keys::SigningKey,
};
use protocol::{
    messages::{AgentOrders, Leaves, Trust},
    policy::Policy,
    root::Root,
    version::VERSION,
};

use crate::{
    app,
    testing::{Answer, Deployment, Running, name, text},
    tests::orders::poll,
};

/// The key that `init` made.
fn root_key(d: &Deployment) -> SigningKey {
    let pem = fs::read_to_string(d.folder().offline().join("root.key")).unwrap();
    SigningKey::from_pem(&pem).unwrap()
}

/// The policy after the one in force, changed and signed by `keys`.
fn next(d: &Deployment, change: impl FnOnce(&mut Policy), keys: &[&SigningKey]) -> String {
    let mut policy = d.policy();
    policy.version += 1;
    change(&mut policy);
    signed(envelope::POLICY, &policy, keys)
}

fn signed(kind: &str, document: &impl serde::Serialize, keys: &[&SigningKey]) -> String {
    let mut envelope = Envelope::sign_document(kind, document, keys[0]).unwrap();
    keys[1..].iter().for_each(|key| envelope.add_signature(key));
    text(&envelope)
}

fn first_root(d: &Deployment) -> String {
    fs::read_to_string(d.folder().root_document(1)).unwrap()
}

/// The root after the first one: `new` alone, signed by `by`.
fn next_root(d: &Deployment, new: &SigningKey, by: &[&SigningKey]) -> String {
    let root = Root {
        v: VERSION,
        version: 2,
        deployment: name("test"),
        keys: vec![new.public()],
        threshold: 1,
    };
    assert_eq!(d.policy().deployment, root.deployment);
    signed(envelope::ROOT, &root, by)
}

async fn publish(s: &Running<'_>, roots: Vec<String>, policy: String) -> Answer {
    let offered = Trust {
        v: VERSION,
        roots,
        policy,
    };
    s.post_as("eve", "/v1/trust", &offered).await
}

/// Brings a changed policy into force.
pub(super) async fn bring_into_force(s: &Running<'_>, change: impl FnOnce(&mut Policy)) {
    let d = s.deployment;
    let policy = next(d, change, &[&root_key(d)]);
    let answer = publish(s, vec![first_root(d)], policy).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn shown(s: &Running<'_>) -> Trust {
    s.get(None, "/v1/trust").await.message()
}

#[tokio::test]
async fn a_new_policy_holds_at_once_for_people_and_waiting_agents_and_after_a_restart() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (key, old) = (root_key(&d), d.policy());
    assert_eq!(s.get_as("ann", "/v1/hosts").await.status, 200);
    let without_ann = next(
        &d,
        |p| p.people.retain(|one| one.id.as_str() != "ann"),
        &[&key],
    );
    let publishing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        publish(&s, vec![first_root(&d)], without_ann.clone()).await
    };
    let waiting = poll(&s, &agent, "&wait_ms=20000");
    let begun = std::time::Instant::now();
    let (published, heard) = tokio::join!(publishing, waiting);
    let in_force: Trust = published.message();
    assert_eq!(in_force.policy, without_ann);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(heard.message::<AgentOrders>().policy_version, 2);
    assert_eq!(s.get_as("ann", "/v1/hosts").await.status, 403);
    // The same again is no second one.
    let again = publish(&s, vec![first_root(&d)], without_ann.clone()).await;
    assert_eq!(again.status, 200, "{}", again.text());
    let leaves: Leaves = s
        .get_as("aud", "/v1/custody/leaves?from=0&count=100")
        .await
        .message();
    let published = |leaf: &String| {
        let leaf = data_encoding::BASE64.decode(leaf.as_bytes()).unwrap();
        match Event::read(&leaf).unwrap().1.action {
            Action::PolicyPublished { version, .. } => Some(version),
            _ => None,
        }
    };
    let versions: Vec<_> = leaves.leaves.iter().filter_map(published).collect();
    assert_eq!(versions, [1, 2]);
    s.stop().await;
    let s = d.start().await;
    assert_eq!(shown(&s).await.policy, without_ann);
    assert_eq!(s.get_as("ann", "/v1/hosts").await.status, 403);
    // What was signed under the old one is still explained by it.
    let kept = fs::read(d.folder().old_policy(1)).unwrap();
    let kept: Policy = Envelope::parse(&kept)
        .unwrap()
        .document(envelope::POLICY)
        .unwrap();
    assert_eq!(kept, old);
}

#[tokio::test]
async fn what_does_not_follow_is_refused_and_changes_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (key, stranger) = (root_key(&d), SigningKey::generate().unwrap());
    let before = shown(&s).await;
    let other = Deployment::new().await;
    let roots = || vec![first_root(&d)];
    let cases = [
        (
            "the same",
            roots(),
            next(&d, |p| p.version = 1, &[&key]),
            200,
        ),
        (
            "another of the same version",
            roots(),
            next(
                &d,
                |p| {
                    p.version = 1;
                    p.expires.seconds += 1;
                },
                &[&key],
            ),
            409,
        ),
        ("by nobody", roots(), next(&d, |_| {}, &[&stranger]), 422),
        (
            "by an admin",
            roots(),
            next(&d, |_| {}, &[&d.person("eve").signing]),
            422,
        ),
        (
            "of another deployment",
            roots(),
            next(&d, |p| p.deployment = name("other"), &[&key]),
            422,
        ),
        (
            "no time key of ours",
            roots(),
            next(&d, |p| p.time_keys = vec![stranger.public()], &[&key]),
            422,
        ),
        (
            "another log",
            roots(),
            next(&d, |p| p.log_key = other.policy().log_key, &[&key]),
            422,
        ),
        (
            "one recipient",
            roots(),
            next(
                &d,
                |p| p.vaults.values_mut().for_each(|v| v.truncate(1)),
                &[&key],
            ),
            422,
        ),
        ("no root", vec![], next(&d, |_| {}, &[&key]), 422),
        (
            "another root",
            vec![first_root(&other)],
            next(&d, |_| {}, &[&key]),
            422,
        ),
        (
            "a root by itself alone",
            vec![first_root(&d), next_root(&d, &stranger, &[&stranger])],
            next(&d, |p| p.root_version = 2, &[&stranger]),
            422,
        ),
        (
            "a root whose policy names the old one",
            vec![first_root(&d), next_root(&d, &stranger, &[&key, &stranger])],
            next(&d, |_| {}, &[&key]),
            422,
        ),
        ("no envelope", roots(), "{}".to_owned(), 400),
    ];
    for (what, roots, policy, status) in cases {
        let answer = publish(&s, roots, policy).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    assert_eq!(shown(&s).await, before);
    s.stop().await;
    app::check(&d.path(), &d.config()).unwrap();
    assert!(!d.folder().root_document(2).exists());
}

#[tokio::test]
async fn a_new_root_takes_the_place_of_the_old_one_and_a_cut_off_publication_is_made_again() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (old, new) = (root_key(&d), SigningKey::generate().unwrap());
    let second = next_root(&d, &new, &[&old, &new]);
    let policy = next(&d, |p| p.root_version = 2, &[&new]);
    s.stop().await;
    // Cut off between the root and its policy.
    fs::write(d.folder().root_document(2), &second).unwrap();
    let s = d.start().await;
    assert_eq!(shown(&s).await.roots, [first_root(&d)]);
    let roots = vec![first_root(&d), second.clone()];
    let answer = publish(&s, roots.clone(), policy.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The old key signs nothing more.
    let by_old = next(&d, |_| {}, &[&old]);
    assert_eq!(publish(&s, roots.clone(), by_old).await.status, 422);
    s.stop().await;
    let s = d.start().await;
    let trust = shown(&s).await;
    assert_eq!((trust.roots, trust.policy), (roots, policy));
    // Hosts are let in under it as before.
    s.enrol("lab").await;
}
