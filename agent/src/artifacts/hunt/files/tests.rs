//! What a hunt for files finds, what it leaves alone, and when it refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, fs::File, path::Path};

use protocol::scope::Scope as OrderScope;
use serde_json::{Value, json};
use sha2::Digest as _;

use super::*;
use crate::{
    artifacts::testing::MemorySink,
    files::{Bounds, Pace},
};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("opt/evil.so", "evil"),
        ("tmp/copy", "evil"),
        ("tmp/Evil.SO", "other"),
        ("tmp/long", "0123456789"),
        ("etc/a.conf", "a"),
    ] {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    tree
}

fn run_in(root: &Path, options: &Value, bounds: Option<&Bounds>) -> MemorySink {
    let mut sink = MemorySink::default();
    let options = options.as_object().cloned().unwrap_or_default();
    let paths = ["/".into()];
    let request = Request {
        is_running: true,
        root,
        paths: &paths,
        options: &options,
        own: &[],
        pace: &Pace::free(),
        bounds,
    };
    HuntFiles.collect(&request, &mut sink).unwrap();
    assert_eq!(sink.undeclared(&HuntFiles), Vec::<String>::new());
    sink
}

fn run(root: &Path, options: Value) -> MemorySink {
    run_in(root, &options, None)
}

fn paths(sink: &MemorySink) -> BTreeSet<&str> {
    sink.records
        .iter()
        .map(|r| r["path"].as_str().unwrap())
        .collect()
}

#[test]
fn finds_a_file_by_its_digest_whole_or_begun_wherever_it_lies() {
    let tree = tree();
    let (whole, both) = (hex(b"evil"), ["/opt/evil.so", "/tmp/copy"]);
    for sha256 in [
        json!(whole),
        json!([whole.to_uppercase(), hex(b"no such")]),
        json!(format!("{}\n{}", &hex(b"none")[..16], &whole[..16])),
    ] {
        let sink = run(tree.path(), json!({"sha256": sha256}));
        assert_eq!(paths(&sink), BTreeSet::from(both), "{sha256}");
        assert!(sink.gaps.is_empty(), "{:?}", sink.gaps);
        let hit = &sink.records[0];
        assert_eq!(hit["sha256"], whole);
        assert!(hit["matched"][0].as_str().unwrap().starts_with("sha256 "));
        assert!(hit["modified"].is_string() && hit["mode"].is_string());
    }
    assert!(
        run(tree.path(), json!({"sha256": hex(b"none")}))
            .records
            .is_empty()
    );
}

#[test]
fn finds_by_md5_and_sha1_as_well() {
    let tree = tree();
    let md5 = data_encoding::HEXLOWER.encode(&md5::Md5::digest(b"evil"));
    let sha1 = data_encoding::HEXLOWER.encode(&sha1::Sha1::digest(b"a"));
    let sink = run(tree.path(), json!({"md5": md5, "sha1": [sha1]}));
    let found = BTreeSet::from(["/opt/evil.so", "/tmp/copy", "/etc/a.conf"]);
    assert_eq!(paths(&sink), found);
    assert!(
        sink.records
            .iter()
            .all(|r| r.contains_key("md5") && r.contains_key("sha1"))
    );
}

#[test]
fn all_criteria_must_hold() {
    let tree = tree();
    for (options, found) in [
        (json!({"names": ["evil.so"]}), vec!["/opt/evil.so"]),
        (
            json!({"names": ["evil.so"], "ignore_case": true}),
            vec!["/opt/evil.so", "/tmp/Evil.SO"],
        ),
        (json!({"globs": ["*.so"]}), vec!["/opt/evil.so"]),
        (
            json!({"globs": ["/t*/*"], "at_least_bytes": 5, "at_most_bytes": 5}),
            vec!["/tmp/Evil.SO"],
        ),
        (json!({"globs": ["/*"], "at_least_bytes": 0}), vec![]),
        (json!({"at_least_bytes": 6}), vec!["/tmp/long"]),
        (
            json!({"names": ["evil.so"], "sha256": hex(b"other")}),
            vec![],
        ),
        (
            json!({"globs": ["/**/*.conf"], "modified_from": "2001-01-01T00:00:00Z"}),
            vec!["/etc/a.conf"],
        ),
        (
            json!({"globs": ["*.conf"], "changed_until": "2001-01-01T00:00:00Z"}),
            vec![],
        ),
        // A folder has a name and no content.
        (json!({"names": ["opt"]}), vec!["/opt"]),
        (json!({"names": ["opt"], "sha256": hex(b"")}), vec![]),
    ] {
        let sink = run(tree.path(), options.clone());
        assert_eq!(paths(&sink), found.into_iter().collect(), "{options}");
    }
}

#[test]
fn only_what_fits_by_name_is_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = tree();
    let unread = tree.path().join("etc/a.conf");
    fs::set_permissions(&unread, fs::Permissions::from_mode(0o000)).unwrap();
    let sink = run(
        tree.path(),
        json!({"names": ["copy"], "sha256": hex(b"evil")}),
    );
    assert_eq!(paths(&sink), BTreeSet::from(["/tmp/copy"]));
    assert_eq!(sink.records[0]["matched"][0], "name copy");
    assert!(sink.gaps.is_empty(), "{:?}", sink.gaps);
}

#[test]
fn hostile_names_are_found_by_their_exact_bytes() {
    use crate::platform::names::OsStrExt as _;
    let tree = tempfile::tempdir().unwrap();
    for name in [&b"a\nb"[..], b"\xff\xfe", b"[x]"] {
        fs::write(tree.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let sink = run(tree.path(), json!({"names": ["a\nb"]}));
    assert_eq!(paths(&sink), BTreeSet::from(["/a\nb"]));
    let sink = run(tree.path(), json!({"sha256": hex(b"\xff\xfe")}));
    let exact = data_encoding::BASE64.encode(b"/\xff\xfe");
    assert_eq!(sink.records[0]["path_b64"], exact);
    let sink = run(tree.path(), json!({"globs": ["[[]x]"]}));
    assert_eq!(paths(&sink), BTreeSet::from(["/[x]"]));
}

#[test]
fn what_can_not_be_read_as_a_criterion_is_told_and_nothing_is_looked_for() {
    let tree = tree();
    for options in [
        json!({}),
        json!({"hits": 5}),
        json!({"sha256": "abc"}),
        json!({"sha256": &hex(b"evil")[..63]}),
        json!({"sha256": [hex(b"evil"), "zz"]}),
        json!({"sha256": []}),
        json!({"sha256": " "}),
        json!({"md5": hex(b"evil")}),
        json!({"names": "evil.so"}),
        json!({"names": [""]}),
        json!({"names": ["opt/evil.so"]}),
        json!({"globs": ["[x"]}),
        json!({"globs": ["*"], "at_least_bytes": -1}),
        json!({"globs": ["*"], "modified_from": "yesterday"}),
        json!({"globs": ["*"], "regex": ["x"]}),
        json!({"sha256": vec!["0".repeat(16); 100_001]}),
    ] {
        let sink = run(tree.path(), options.clone());
        assert!(sink.records.is_empty(), "{options:.80}");
        let [gap] = &sink.gaps[..] else {
            panic!("{options:.80}: {:?}", sink.gaps);
        };
        assert_eq!(gap.reason, Reason::Malformed);
        assert!(gap.text.ends_with("nothing was looked for"), "{}", gap.text);
    }
}

#[test]
fn a_hundred_thousand_digests_are_looked_for_at_once() {
    let tree = tree();
    let mut all: Vec<String> = (0..99_999_u64).map(|n| format!("{n:016x}")).collect();
    all.push(hex(b"evil")[..16].to_owned());
    let sink = run(tree.path(), json!({"sha256": all.join(" ")}));
    assert_eq!(sink.records.len(), 2);
}

#[test]
fn more_hits_than_are_told_end_the_hunt_with_a_gap() {
    let tree = tree();
    let sink = run(
        tree.path(),
        json!({"at_least_bytes": 1, "hits": 2, "threads": 1}),
    );
    assert_eq!(sink.records.len(), 2);
    assert_eq!(
        (sink.gaps[0].subject.as_str(), sink.gaps[0].reason),
        ("hits", Reason::Limit)
    );
    let sink = run(tree.path(), json!({"at_least_bytes": 1, "hits": 5}));
    assert_eq!((sink.records.len(), sink.gaps.len()), (5, 0));
}

#[test]
fn a_long_sparse_file_is_a_gap_where_all_else_fits() {
    let tree = tempfile::tempdir().unwrap();
    File::create(tree.path().join("hole"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let sink = run(tree.path(), json!({"sha256": hex(b"x")}));
    assert!(sink.records.is_empty());
    assert_eq!(sink.gaps[0].reason, Reason::Limit);
    let sink = run(
        tree.path(),
        json!({"sha256": hex(b"x"), "names": ["other"]}),
    );
    assert!(sink.gaps.is_empty());
    let sink = run(tree.path(), json!({"names": ["hole"]}));
    assert_eq!(sink.records[0]["size_bytes"], 1_u64 << 40);
}

#[test]
fn what_the_scope_leaves_out_is_no_hit_and_its_number_says_nothing_of_the_question() {
    let tree = tree();
    let scope = |users: &[&str], paths: &[&str]| OrderScope {
        basis: "4 Gs 12/26".into(),
        users: users.iter().map(|u| (*u).to_owned()).collect(),
        paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        from: None,
        until: None,
    };
    let question = json!({"sha256": hex(b"evil")});
    let bounds = Bounds::new(scope(&[], &["/tmp"]), &std::collections::BTreeMap::new());
    let sink = run_in(tree.path(), &question, Some(&bounds));
    assert_eq!(paths(&sink), BTreeSet::from(["/tmp/copy"]));
    assert_eq!(sink.gaps[0].reason, Reason::OutOfScope);
    let bounds = Bounds::new(
        scope(&["4294967294"], &[]),
        &std::collections::BTreeMap::new(),
    );
    let told = |question: &Value| {
        let sink = run_in(tree.path(), question, Some(&bounds));
        assert!(sink.records.is_empty() && sink.gaps.is_empty());
        sink.out_of_scope
    };
    let counts = told(&question);
    assert!(counts.iter().sum::<u64>() > 0);
    assert_eq!(counts, told(&json!({"names": ["evil.so"]})));
}

#[test]
fn a_path_that_is_not_there_is_a_gap() {
    let tree = tree();
    let question = json!({"names": ["x"]});
    let mut sink = MemorySink::default();
    let request = Request {
        is_running: true,
        root: tree.path(),
        paths: &["/none".into()],
        options: question.as_object().unwrap(),
        own: &[],
        pace: &Pace::free(),
        bounds: None,
    };
    HuntFiles.collect(&request, &mut sink).unwrap();
    assert_eq!(sink.gaps[0].reason, Reason::NotFound);
}
