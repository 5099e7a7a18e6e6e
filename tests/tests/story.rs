//! The story from order to proof: real programs over real TLS, judged by other people's tools.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use fieldseal_tests::{args, programs::Outcome, stage::Stage};
use serde_json::Value;

fn quiet(_: &str) {}

/// A deployment in which ann is investigator and admin, with this host enrolled and its agent running.
fn stage(dir: &Path) -> Stage {
    let mut stage = Stage::new(dir, quiet).unwrap();
    stage
        .make_person("ann", "Ann Example", &["investigator", "admin"])
        .unwrap();
    let vaults = ["one", "two"].map(|name| stage.make_vault(name).unwrap());
    stage.init(&["ann"], &vaults, &[]).unwrap();
    stage.serve().unwrap();
    stage.enrol("ann", &["story"]).unwrap();
    stage.run_agent().unwrap();
    stage.set_up("ann").unwrap();
    stage
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.out).unwrap_or_else(|e| panic!("{e}: {outcome:?}"))
}

fn tool(program: &str, dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.current_dir(dir).args(arguments).output().unwrap()
}

fn must(program: &str, dir: &Path, arguments: &[&str]) {
    let output = tool(program, dir, arguments);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
}

/// What every step below works on.
struct Story {
    stage: Stage,
    order: String,
    collection: PathBuf,
}

impl Story {
    fn text(&self, below: &str) -> String {
        self.stage.path(below).to_str().unwrap().to_owned()
    }

    fn verify(&self, more: &[&str]) -> Outcome {
        let (root, identity) = (
            self.stage.path("trust/root.crt"),
            self.stage.path("vault/one.txt"),
        );
        let mut arguments = Vec::from(args![
            "verify",
            self.collection,
            "--trust",
            root,
            "--identity",
            identity,
            "--json"
        ]);
        arguments.extend(more.iter().map(Into::into));
        self.stage.fieldseal(&arguments).unwrap()
    }

    fn fetch(&self) -> Outcome {
        let output = self.stage.path("evidence");
        let arguments = args!["fetch", self.order, "--output", output];
        self.stage.fieldseal(&arguments).unwrap()
    }
}

#[test]
fn from_order_to_proof() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    hosts_are_listed(&stage);
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("dropper.sh"), "#!/bin/sh\necho gotcha\n").unwrap();
    let order = collect(&stage, &tree);
    stage.wait_for_stamps().unwrap();
    let evidence = stage.path("evidence");
    let fetched = stage
        .fieldseal(&args!["fetch", order, "--output", evidence])
        .unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let collection = PathBuf::from(fetched.out.trim_end());
    let story = Story {
        stage,
        order,
        collection,
    };
    everything_lies_beside_the_parts(&story);
    strangers_tools_agree(&story);
    a_changed_part_is_found_out(&story);
    what_was_found_is_recorded(&story);
    what_was_fetched_is_loaded(&story);
    the_log_says_who_did_what(&story);
    a_revoked_agent_is_out(&story);
}

fn hosts_are_listed(stage: &Stage) {
    let hosts = json(&stage.fieldseal(&args!["hosts", "--json"]).unwrap());
    assert_eq!(hosts.as_array().unwrap().len(), 1, "{hosts}");
    assert_eq!(hosts[0]["labels"], serde_json::json!(["story"]));
    let nobody = stage.fieldseal(&args![
        "collect",
        "--host",
        "no-such-host",
        "--profile",
        "triage",
        "--case",
        "1",
        "--reason",
        "r"
    ]);
    assert_eq!(nobody.unwrap().code, 64);
    assert_eq!(stage.fieldseal(&args!["collect"]).unwrap().code, 64);
}

fn collect(stage: &Stage, tree: &Path) -> String {
    let collected = stage.fieldseal(&args![
        "collect",
        "--where",
        "label=story",
        "--profile",
        "triage",
        "--case",
        "STORY-1",
        "--reason",
        "a story",
        "--path",
        tree,
        "--watch",
        "--for",
        "10m",
        "--json"
    ]);
    let collected = collected.unwrap();
    assert!(matches!(collected.code, 0 | 2), "{collected:?}");
    let lines: Vec<Value> = collected
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(last["settled"], true, "{last}");
    assert_eq!(last["hosts"][0]["state"], "delivered", "{last}");
    lines[0]["order"].as_str().unwrap().to_owned()
}

fn everything_lies_beside_the_parts(story: &Story) {
    let has = |name: &str| story.collection.join(name).is_file();
    for name in [
        "enrolment.receipt",
        "part-0001.zip.age",
        "part-0001.statement.json",
        "part-0001.receipt",
        "part-0001.tsr",
    ] {
        assert!(has(name), "{name} is missing");
    }
    assert!(!has("revocation.receipt"));
    let unfinished = |e: fs::DirEntry| e.file_name().to_string_lossy().contains("unfinished");
    let entries = fs::read_dir(&story.collection).unwrap();
    assert!(!entries.map(Result::unwrap).any(unfinished));
}

/// The number of the parts that were fetched.
fn parts(collection: &Path) -> u32 {
    let there = |n: &u32| collection.join(format!("part-{n:04}.zip.age")).exists();
    (1..).take_while(there).last().unwrap()
}

/// When part `part` was stamped, by `openssl` alone.
fn stamped(collection: &Path, part: u32) -> String {
    let tsr = format!("part-{part:04}.tsr");
    let said = tool(
        "openssl",
        collection,
        &["ts", "-reply", "-in", &tsr, "-text"],
    );
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let time = said
        .lines()
        .find_map(|l| l.strip_prefix("Time stamp: "))
        .unwrap();
    let epoch = tool("date", collection, &["-d", time, "+%s"]);
    String::from_utf8(epoch.stdout).unwrap().trim().to_owned()
}

/// age, unzip, sha256sum, openssl cms and openssl ts, on every part; no program of ours.
fn strangers_tools_agree(story: &Story) {
    let (root, tsa) = (story.text("trust/root.crt"), story.text("tsa/root.crt"));
    let vault = story.text("vault/two.txt");
    let mut found = Vec::new();
    for part in 1..=parts(&story.collection) {
        let check = story.stage.path(&format!("check-{part}"));
        fs::create_dir(&check).unwrap();
        let beside = |ending: &str| {
            let path = story.collection.join(format!("part-{part:04}.{ending}"));
            path.to_str().unwrap().to_owned()
        };
        must(
            "age",
            &check,
            &["-d", "-i", &vault, "-o", "part.zip", &beside("zip.age")],
        );
        must("unzip", &check, &["-q", "part.zip", "-d", "in"]);
        let inside = check.join("in");
        must("sha256sum", &inside, &["--quiet", "-c", "SHA256SUMS"]);
        let epoch = stamped(&story.collection, part);
        let cms = |root: &str| {
            let arguments = [
                "cms",
                "-verify",
                "-binary",
                "-inform",
                "DER",
                "-in",
                "SHA256SUMS.p7s",
                "-content",
                "SHA256SUMS",
                "-CAfile",
                root,
                "-no-CApath",
                "-no-CAstore",
                "-attime",
                &epoch,
                "-out",
                "/dev/null",
            ];
            tool("openssl", &inside, &arguments)
        };
        assert!(cms(&root).status.success(), "{:?}", cms(&root));
        assert!(!cms(&tsa).status.success(), "any root would do");
        let (statement, stamp) = (beside("statement.json"), beside("tsr"));
        let ts = [
            "ts", "-verify", "-data", &statement, "-in", &stamp, "-CAfile", &tsa,
        ];
        must("openssl", &check, &ts);
        let list = fs::read_to_string(inside.join("results/file_hashes.jsonl"));
        found.push(list.unwrap_or_default());
        let mut sums = fs::read(inside.join("SHA256SUMS")).unwrap();
        sums[0] ^= 1;
        fs::write(inside.join("SHA256SUMS"), sums).unwrap();
        assert!(!cms(&root).status.success(), "changed sums pass");
    }
    let dropper = "#!/bin/sh\necho gotcha\n";
    let digest = evidence::digest::Digest::of(dropper.as_bytes()).to_string();
    let seen = found.iter().any(|list| list.contains(&digest));
    assert!(seen, "the dropper was not hashed");
}

fn a_changed_part_is_found_out(story: &Story) {
    let verified = story.verify(&[]);
    assert!(matches!(verified.code, 0 | 2), "{verified:?}");
    for missing in [
        "receipt-absent",
        "enrolment-absent",
        "not taken into account",
    ] {
        assert!(!verified.out.contains(missing), "{missing}: {verified:?}");
    }
    let part = story.collection.join("part-0001.zip.age");
    let held = fs::read(&part).unwrap();
    let mut changed = held.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&part, &changed).unwrap();
    assert_eq!(story.verify(&[]).code, 1);
    let refused = story.fetch();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("Move it away"), "{refused:?}");
    assert_eq!(fs::read(&part).unwrap(), changed, "nothing is overwritten");
    fs::remove_file(&part).unwrap();
    let fetched = story.fetch();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert_eq!(fs::read(&part).unwrap(), held);
    assert_eq!(story.verify(&[]).code, verified.code);
}

/// What the investigator found becomes a leaf that she signed.
fn what_was_found_is_recorded(story: &Story) {
    let recorded = story.verify(&["--record"]);
    assert!(matches!(recorded.code, 0 | 2), "{recorded:?}");
    assert!(recorded.err.contains("of the custody log"), "{recorded:?}");
}

/// The order names the case, the investigator's own key opens the parts, and the pinned root is trusted.
fn what_was_fetched_is_loaded(story: &Story) {
    let output = story.stage.path("evidence");
    let loaded = args!["fetch", story.order, "--output", output, "--load"];
    let loaded = story.stage.fieldseal(&loaded).unwrap();
    assert_eq!(loaded.code, 0, "{loaded:?}");
    assert!(loaded.out.contains("case STORY-1"), "{loaded:?}");
    let asked = "SELECT reason, signer_known FROM orders, parts WHERE part = 1";
    let asked = args!["query", "STORY-1", asked, "--csv"];
    let asked = story.stage.fieldseal(&asked).unwrap();
    assert!(asked.out.contains("a story,1"), "{asked:?}");
    let found = args!["query", "STORY-1", "--search", "dropper.sh", "--json"];
    let found = story.stage.fieldseal(&found).unwrap();
    assert!(found.out.contains("file_hashes"), "{found:?}");
}

fn the_log_says_who_did_what(story: &Story) {
    let audited = story.stage.fieldseal(&args!["audit", "--json"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    let audit = json(&audited);
    let rows = audit["audit"]["rows"].as_array().unwrap();
    let events: Vec<_> = rows.iter().map(|r| r["event"].as_str().unwrap()).collect();
    for event in [
        "policy_published",
        "enrolled",
        "ordered",
        "received",
        "fetched",
        "verified",
    ] {
        assert!(events.contains(&event), "{event} not in {events:?}");
    }
    let told = story
        .stage
        .fieldseal(&args!["audit", "--case", "STORY-1"])
        .unwrap();
    assert!(told.out.contains("handed out to ann"), "{told:?}");
    let other = story
        .stage
        .fieldseal(&args!["audit", "--case", "OTHER"])
        .unwrap();
    assert!(!other.out.contains("handed out"), "{other:?}");
    let listed = json(
        &story
            .stage
            .fieldseal(&args!["list", "--case", "STORY-1", "--json"])
            .unwrap(),
    );
    assert_eq!(listed["orders"][0]["order"], story.order);
    assert_eq!(listed["collections"][0]["complete"], true);
}

fn a_revoked_agent_is_out(story: &Story) {
    let hosts = json(&story.stage.fieldseal(&args!["hosts", "--json"]).unwrap());
    let agent = hosts[0]["agent"].as_str().unwrap();
    let now = evidence::instant::Instant::now().to_rfc3339().unwrap();
    let revoked = story
        .stage
        .fieldseal(&args!["revoke", agent, "--from", now])
        .unwrap();
    assert_eq!(revoked.code, 0, "{revoked:?}");
    let again = story.stage.fieldseal(&args![
        "collect",
        "--host",
        agent,
        "--profile",
        "triage",
        "--case",
        "STORY-1",
        "--reason",
        "r"
    ]);
    let again = again.unwrap();
    assert!(
        again.code == 1 && again.err.contains("revoked"),
        "{again:?}"
    );
    let fetched = story.fetch();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert!(story.collection.join("revocation.receipt").is_file());
    let verified = story.verify(&[]);
    assert!(
        matches!(verified.code, 0 | 2),
        "sealed before: {verified:?}"
    );
    assert_eq!(story.stage.fieldseal(&args!["audit"]).unwrap().code, 0);
}
