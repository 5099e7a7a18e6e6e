//! KEYS.md, procedure by procedure and to the letter, with the real programs: who may do what changes by what the root
//! keys sign, for people, server and hosts, and by nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use evidence::{
    envelope::{self, Envelope},
    keys::SigningKey,
};
use fieldseal_tests::{
    args,
    manual::{Manual, type_in},
    programs::Outcome,
    stage::Stage,
};
use protocol::{messages::Trust, policy::Policy};
use serde_json::Value;

const BOBS: &str = "home-of-bob";

fn quiet(_: &str) {}

/// A deployment in which ann is investigator and admin; its agent runs, and its root key is offline, as KEYS.md says.
fn stage(dir: &Path) -> Stage {
    let mut stage = Stage::new(dir, quiet).unwrap();
    let roles = ["investigator", "admin"];
    stage.make_person("ann", "Ann Example", &roles).unwrap();
    let vaults = ["one", "two"].map(|name| stage.make_vault(name).unwrap());
    stage.init(&["ann"], &vaults, &[]).unwrap();
    stage.serve().unwrap();
    stage.enrol("ann", &["policy"]).unwrap();
    stage.set_up("ann").unwrap();
    stage.run_agent().unwrap();
    let yaml = "v: 1\nname: small\nabout: the system alone\nartifacts: [{name: system}]\n";
    fs::write(stage.path("small.yaml"), yaml).unwrap();
    follow(&stage, "Take the root key offline", &[]);
    assert!(!stage.path("server/offline/root.key").exists());
    let key = fs::read_to_string(stage.path("root.key")).unwrap();
    assert!(evidence::keys::is_encrypted_pem(&key));
    stage
}

fn follow(stage: &Stage, heading: &str, replaced: &[(&str, &str)]) -> Vec<Outcome> {
    let manual = Manual::open("KEYS.md", stage).unwrap();
    manual.follow(heading, replaced).unwrap()
}

/// A command line that must end with `code`.
fn must(stage: &Stage, home: &str, code: i32, line: &str) -> Outcome {
    let outcome = type_in(stage, home, line).unwrap();
    assert_eq!(outcome.code, code, "{line}: {outcome:#?}");
    outcome
}

fn order_of(stage: &Stage, home: &str) -> String {
    let line = "fieldseal collect --where '*' --profile small.yaml --case C-1 --reason r";
    must(stage, home, 0, line).order().unwrap().to_owned()
}

/// Follows an order to its end.
fn watch(stage: &Stage, home: &str, order: &str) -> Outcome {
    type_in(stage, home, &format!("fieldseal watch {order} --for 2m")).unwrap()
}

fn is_obeyed(stage: &Stage, home: &str) -> String {
    let order = order_of(stage, home);
    let watched = watch(stage, home, &order);
    assert!(matches!(watched.code, 0 | 2), "{watched:#?}");
    assert!(watched.out.contains("delivered"), "{watched:#?}");
    order
}

/// The host refuses `order`, under its own signature, in these words.
fn is_refused(stage: &Stage, home: &str, order: &str, why: &str) {
    let watched = watch(stage, home, order);
    assert_eq!(watched.code, 1, "{watched:#?}");
    let told = format!("refused, signed by the agent: {why}");
    assert!(watched.out.contains(&told), "{told}: {watched:#?}");
}

/// What `fieldseal policy show` has.
fn shown(stage: &Stage) -> Value {
    let out = must(stage, "home", 0, "fieldseal policy show --json").out;
    serde_json::from_str(&out).unwrap()
}

fn set_up_bob(stage: &Stage, keys: &str) {
    let url = stage.url();
    let line = format!("fieldseal setup --server {url} --trust trust --keys keys/{keys}");
    must(stage, BOBS, 0, &line);
}

#[test]
fn a_person_is_added_gets_other_keys_and_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    let renewed = follow(&stage, "Every change has four steps", &[]);
    let told = &renewed.last().unwrap().out;
    assert!(told.contains("policy 2 of demo"), "{told}");
    is_obeyed(&stage, "home");

    let added = follow(&stage, "Add a person", &[]);
    let signing = &added[added.len() - 2];
    assert!(
        signing.err.contains("added: bob (Bob Example)"),
        "{signing:?}"
    );
    set_up_bob(&stage, "bob");
    is_obeyed(&stage, BOBS);

    // What the old key has signed and no host has begun is refused.
    stage.stop_agent().unwrap();
    let by_old = order_of(&stage, BOBS);
    let changed = follow(&stage, "Change a person's keys", &[]);
    let published = changed.last().unwrap();
    assert!(published.out.contains(&by_old), "{published:?}");
    let unknown = must(&stage, BOBS, 1, "fieldseal hosts");
    assert!(
        unknown.err.contains("does not know the keys of bob"),
        "{unknown:?}"
    );
    stage.run_agent().unwrap();
    is_refused(
        &stage,
        "home",
        &by_old,
        "the order is forged: its requester has not signed it",
    );
    set_up_bob(&stage, "bob-new");
    is_obeyed(&stage, BOBS);
    // Roles are the policy's: the file of the new keys named investigator alone.
    let bob = shown(&stage)["policy"]["people"][1].clone();
    assert_eq!(
        bob["roles"],
        serde_json::json!(["investigator", "approver"])
    );

    stage.stop_agent().unwrap();
    let (by_bob, by_ann) = (order_of(&stage, BOBS), order_of(&stage, "home"));
    follow(
        &stage,
        "A key or a laptop is lost or stolen, or somebody leaves",
        &[],
    );
    must(&stage, BOBS, 1, "fieldseal hosts");
    stage.run_agent().unwrap();
    is_refused(&stage, "home", &by_bob, "the order is forged");
    is_refused(
        &stage,
        "home",
        &by_ann,
        "the order was signed under policy 4, and this host has 5",
    );
    is_obeyed(&stage, "home");
    must(&stage, "home", 0, "fieldseal audit");

    the_last_admin_is_followed_by_another(&mut stage);
}

fn the_last_admin_is_followed_by_another(stage: &mut Stage) {
    let roles = ["investigator", "admin"];
    stage.make_person("zoe", "Zoe Example", &roles).unwrap();
    stage.stop_server().unwrap();
    follow(stage, "The last admin is gone", &[]);
    stage.serve().unwrap();
    stage.set_up_at("home-of-zoe", "zoe").unwrap();
    let told = must(stage, "home-of-zoe", 0, "fieldseal policy show").out;
    assert!(told.contains("policy 6 of demo"), "{told}");
    must(stage, "home", 1, "fieldseal hosts");
    is_obeyed(stage, "home-of-zoe");
}

#[test]
fn vaults_and_thresholds_hold_for_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    let vault = shown(&stage)["policy"]["vaults"]["lab"].clone();
    let old = vault[0].as_str().unwrap().to_owned();
    let made = Manual::open("KEYS.md", &stage).unwrap();
    let first = made.commands("Change a vault's key").unwrap()[0];
    let new = must(&stage, "home", 0, first).out.trim().to_owned();
    // The recipient is known once the key is made, which the section's first command did.
    fs::rename(stage.path("vault/three.txt"), stage.path("three.txt")).unwrap();
    follow(
        &stage,
        "Change a vault's key",
        &[("age1OLD", &old), ("age1NEW", &new)],
    );
    fs::rename(stage.path("three.txt"), stage.path("vault/three.txt")).unwrap();
    let order = is_obeyed(&stage, "home");
    must(
        &stage,
        "home",
        0,
        &format!("fieldseal fetch {order} --output evidence"),
    );
    let verify = |vault: &str| {
        let line = format!(
            "fieldseal verify evidence --trust trust/root.crt --identity vault/{vault}.txt --json"
        );
        type_in(&stage, "home", &line).unwrap()
    };
    let by_new = verify("three");
    assert!(matches!(by_new.code, 0 | 2), "{by_new:?}");
    assert!(!by_new.out.contains("identity-wrong"), "{by_new:?}");
    assert!(verify("one").out.contains("identity-wrong"));

    // Two can't sign where there is one.
    let alone = "fieldseal policy draft --threshold files=2 --output no.json";
    let refused = must(&stage, "home", 1, alone);
    assert!(refused.err.contains("at most 1 can"), "{refused:?}");
    assert!(!stage.path("no.json").exists());
    follow(&stage, "Add a person", &[]);
    set_up_bob(&stage, "bob");
    follow(&stage, "How many must sign", &[]);
    let waits = "fieldseal collect --where '*' --profile small.yaml --case C-2 --reason r";
    let waits = must(&stage, "home", 0, waits);
    assert!(waits.out.contains("until 1 more"), "{waits:?}");
    let id = waits.order().unwrap();
    must(&stage, BOBS, 0, &format!("fieldseal approve {id}"));
    let watched = watch(&stage, "home", id);
    assert!(watched.out.contains("delivered"), "{watched:?}");
}

#[test]
fn a_new_root_is_followed_by_all_and_what_comes_back_is_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    stage.stop_server().unwrap();
    must(
        &stage,
        "home",
        0,
        "cp -r server server-before && cp -r home home-before",
    );
    stage.serve().unwrap();
    let key = shown(&stage)["root_key_sha256"][0].clone();
    follow(&stage, "A new root", &[("KEYID", key.as_str().unwrap())]);
    let now = shown(&stage);
    assert_eq!(
        (&now["root"]["version"], &now["policy"]["root_version"]),
        (&2.into(), &2.into())
    );
    let order = is_obeyed(&stage, "home");
    must(
        &stage,
        "home",
        0,
        &format!("fieldseal fetch {order} --output evidence"),
    );
    let verify = "fieldseal verify evidence --trust trust/root.crt --identity vault/one.txt --json --root stick/";
    let by_new = type_in(&stage, "home", &format!("{verify}root-2.json")).unwrap();
    assert!(matches!(by_new.code, 0 | 2), "{by_new:?}");
    let by_old = type_in(&stage, "home", &format!("{verify}now/root-1.json")).unwrap();
    assert_eq!(by_old.code, 1, "{by_old:?}");
    must(&stage, "home", 0, "fieldseal audit");

    // The old key signs nothing more.
    must(
        &stage,
        "home",
        0,
        "fieldseal policy draft --output late.json",
    );
    let sign = "fieldseal policy sign late.json --key root.key --output late-signed.json";
    let warned = must(
        &stage,
        "home",
        64,
        &format!("{sign} --root stick/now/root-1.json stick/root-2.json"),
    );
    assert!(warned.err.contains("is no key of the root"), "{warned:?}");
    must(&stage, "home", 0, sign);
    let refused = must(
        &stage,
        "home",
        1,
        "fieldseal policy publish late-signed.json",
    );
    assert!(
        refused.err.contains("Hosts would not believe"),
        "{refused:?}"
    );

    // A server that is set back to before all this: the tool says so, and the host keeps what it has.
    stage.stop_server().unwrap();
    must(
        &stage,
        "home",
        0,
        "mv server server-after && mv server-before server",
    );
    stage.stop_agent().unwrap();
    stage.serve().unwrap();
    stage.run_agent().unwrap();
    let alarm = must(&stage, "home", 1, "fieldseal policy show");
    assert!(
        alarm.err.contains("ALARM: the server's roots do not go on"),
        "{alarm:?}"
    );
    // Who has seen nothing newer orders by the old policy, and the host, which has, does not obey.
    let by_old = order_of(&stage, "home-before");
    let why = "the order was signed under policy 1, and this host has 2";
    is_refused(&stage, "home-before", &by_old, why);
}

/// A stranger's or an admin's way to the server: no tool of ours that could refuse first.
fn post_trust(stage: &Stage, root: &str, policy: &Envelope) -> u16 {
    let offered = Trust {
        v: 1,
        roots: vec![root.to_owned()],
        policy: String::from_utf8(policy.to_json().unwrap()).unwrap(),
    };
    fs::write(
        stage.path("offered.json"),
        serde_json::to_vec(&offered).unwrap(),
    )
    .unwrap();
    let line = format!(
        "curl --silent --output answer.txt --write-out '%{{http_code}}' --cacert trust/root.crt \
         --cert keys/ann/tls.crt --key keys/ann/tls.key --header 'Content-Type: application/json' \
         --data-binary @offered.json {}/v1/trust",
        stage.url()
    );
    must(stage, "home", 0, &line).out.parse().unwrap()
}

#[test]
fn what_the_root_has_not_signed_is_refused_by_tool_and_server() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    follow(&stage, "Every change has four steps", &[]);
    let first = fs::read(stage.path("stick/now/policy.json")).unwrap();
    let first = Envelope::parse(&first).unwrap();
    let root = fs::read_to_string(stage.path("stick/now/root-1.json")).unwrap();
    let held = fs::read(stage.path("stick/policy.json")).unwrap();
    let mut next: Policy = Envelope::parse(&held)
        .unwrap()
        .document(envelope::POLICY)
        .unwrap();
    next.version += 1;
    let stranger = SigningKey::generate().unwrap();
    let forged = Envelope::sign_document(envelope::POLICY, &next, &stranger).unwrap();
    let publish = |policy: &Envelope, why: &str| {
        fs::write(stage.path("offered-policy.json"), policy.to_json().unwrap()).unwrap();
        let refused = must(
            &stage,
            "home",
            1,
            "fieldseal policy publish offered-policy.json",
        );
        assert!(refused.err.contains(why), "{why}: {refused:?}");
    };
    publish(&first, "Policy 1 does not take the place of policy 2");
    publish(&forged, "Hosts would not believe this policy");
    // By the root itself, but with a word about another server: there is no place for it.
    let key = fs::read_to_string(stage.path("root.key")).unwrap();
    let key = SigningKey::from_encrypted_pem(&key, fieldseal_tests::manual::PASSPHRASE).unwrap();
    for (field, value) in [
        ("server", "https://elsewhere.example"),
        ("root", "another"),
        ("update", "https://elsewhere.example/agent"),
    ] {
        let mut json = serde_json::to_value(&next).unwrap();
        json[field] = value.into();
        let more = Envelope::sign_document(envelope::POLICY, &json, &key).unwrap();
        publish(&more, "is no policy and no root");
        // It does not even read.
        assert_eq!(post_trust(&stage, &root, &more), 400);
    }
    assert_eq!(post_trust(&stage, &root, &first), 409);
    assert_eq!(post_trust(&stage, &root, &forged), 422);
    assert_eq!(shown(&stage)["policy"]["version"], 2);
    // And what is signed, newer and whole is taken, so that the way was the right one.
    let good = Envelope::sign_document(envelope::POLICY, &next, &key).unwrap();
    assert_eq!(post_trust(&stage, &root, &good), 200);
    assert_eq!(shown(&stage)["policy"]["version"], 3);
}

#[test]
fn the_end_of_a_policy_is_told_and_nobody_but_an_admin_publishes() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    follow(&stage, "Add a person", &[]);
    set_up_bob(&stage, "bob");
    let refused = must(
        &stage,
        BOBS,
        1,
        "fieldseal policy publish stick/policy.json",
    );
    assert!(
        refused.err.contains("does not name bob as admin"),
        "{refused:?}"
    );
    let again = must(
        &stage,
        "home",
        0,
        "fieldseal policy publish stick/policy.json",
    );
    assert!(again.out.contains("in force already"), "{again:?}");
    // The yearly section's steps, for ten days.
    let manual = Manual::open("KEYS.md", &stage).unwrap();
    let steps = manual.commands("Every change has four steps").unwrap();
    let steps = steps
        .join(" && ")
        .replace("policy draft", "policy draft --expires 10d");
    let soon = must(&stage, "home", 0, &format!("rm -r stick && {steps}"));
    assert!(
        soon.err.contains("hosts refuse orders from then on"),
        "{soon:?}"
    );
    stage.go_on_by(11).unwrap();
    let over = stage.fieldseal(&args!["policy", "show"]).unwrap();
    assert!(over.err.contains("ATTENTION: policy 3 ended"), "{over:?}");
}
