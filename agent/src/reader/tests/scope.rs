//! An order's scope: what it leaves out is not read, and stands as a gap.

use std::{
    collections::BTreeSet,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
};

use evidence::{
    gap::{Reason, Severity},
    instant::Instant,
};
use protocol::scope::Scope;
use serde_json::{Map, Value, json};

use super::fixture::{Fixture, Part, gaps, record, says, telling};
use crate::artifacts::{Artifact, Extent, Sink, Stopped, file_hashes::FileHashes};

/// The numbers of no user.
const NOBODY: &str = "4294967294";

fn scope() -> Scope {
    Scope {
        basis: "4 Gs 12/26".into(),
        users: BTreeSet::new(),
        paths: Vec::new(),
        from: None,
        until: None,
    }
}

fn with_paths(paths: &[&str]) -> Scope {
    let paths = paths.iter().map(|p| (*p).to_owned()).collect();
    Scope { paths, ..scope() }
}

fn with_user(user: impl ToString) -> Scope {
    let users = BTreeSet::from([user.to_string()]);
    Scope { users, ..scope() }
}

fn at(seconds: i64) -> Instant {
    let now = Instant::now().seconds;
    Instant {
        seconds: now + seconds,
        ns: 0,
    }
}

/// A host with bob's home, mallory's, and a link from one to the other.
fn host(scope: Scope) -> Fixture {
    let mut host = Fixture::new();
    host.put("home/bob/.bash_history", b"ls");
    host.put("home/mallory/.bash_history", b"rm");
    symlink("/home/mallory", host.path("home/bob/way-out")).unwrap();
    host.scope = Some(scope);
    host
}

fn names(sink: &mut dyn Sink) -> Result<(), Stopped> {
    for path in [
        "/home/bob/.bash_history",
        "/home/mallory/.bash_history",
        "/home/bob/way-out/.bash_history",
    ] {
        sink.file(Path::new(path))?;
    }
    Ok(())
}

fn stored(parts: &[Part]) -> Vec<String> {
    let entries = parts.iter().flat_map(|p| p.entries.keys());
    let mut files: Vec<_> = entries
        .filter(|e| e.starts_with("fs/$rootfs$/") && !e.ends_with('/'))
        .cloned()
        .collect();
    files.sort();
    files
}

fn out_of_scope(parts: &[Part]) -> Vec<(String, Severity)> {
    let gaps = gaps(parts).into_iter();
    let out = gaps.filter(|g| g.reason == Reason::OutOfScope);
    out.map(|g| (g.subject, g.severity)).collect()
}

fn kept(parts: &[Part], name: &str) -> Vec<Map<String, Value>> {
    let name = format!("results/{name}.jsonl");
    parts.iter().flat_map(|p| p.lines(&name)).collect()
}

#[test]
fn outside_the_paths_nothing_is_opened_not_even_through_a_link() {
    let host = host(with_paths(&["/home/bob"]));
    let parts = host.collect(&[
        telling(Extent::Files, "history", names),
        says("host", |sink| sink.record(record(1))),
        telling(Extent::Users("uid"), "users", |sink| sink.record(record(1))),
        telling(Extent::Events, "events", |sink| sink.record(record(1))),
    ]);
    assert_eq!(stored(&parts), ["fs/$rootfs$/home/bob/.bash_history"]);
    let gaps = out_of_scope(&parts);
    for path in [
        "/home/mallory/.bash_history",
        "/home/bob/way-out/.bash_history",
    ] {
        assert!(
            gaps.contains(&(path.into(), Severity::Ordinary)),
            "{gaps:?}"
        );
    }
    // What tells of the whole host is left out whole, and loudly.
    for name in ["host", "users", "events"] {
        assert!(kept(&parts, name).is_empty());
        assert!(gaps.contains(&(name.into(), Severity::Serious)), "{gaps:?}");
    }
}

#[test]
fn a_path_that_only_begins_like_one_of_the_scope_is_outside() {
    let host = host(with_paths(&["/home/bob"]));
    host.put("home/bobby/x", b"x");
    let bobby = |sink: &mut dyn Sink| sink.file(Path::new("/home/bobby/x"));
    let parts = host.collect(&[telling(Extent::Files, "history", bobby)]);
    assert!(stored(&parts).is_empty());
    assert_eq!(out_of_scope(&parts).len(), 1);
}

#[test]
fn a_walk_goes_where_the_scope_and_the_order_both_want_it() {
    let hashes: &dyn Artifact = &FileHashes;
    let paths = |scope| {
        let parts = host(scope).collect(&[hashes]);
        let all = kept(&parts, "file_hashes");
        let paths: Vec<String> = all
            .iter()
            .map(|r| r["path"].as_str().unwrap().into())
            .collect();
        (paths, out_of_scope(&parts))
    };
    let (found, gaps) = paths(with_paths(&["/home/bob"]));
    assert!(
        found.iter().all(|p| p.starts_with("/home/bob")),
        "{found:?}"
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(gaps[0].0, "/");
    let (found, _) = paths(with_user(NOBODY));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn of_other_users_nothing_is_read_and_nothing_told() {
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    let records = |sink: &mut dyn Sink| {
        for uid in [1000, 1001] {
            sink.record(json!({"uid": uid, "n": uid}))?;
        }
        sink.record(json!({"n": "nobody's"}))
    };
    let events = |sink: &mut dyn Sink| {
        for (user, uid) in [("1000", None), ("eve", Some(1000)), ("eve", None)] {
            sink.record(json!({"user": user, "uid": uid, "time": at(0)}))?;
        }
        Ok(())
    };
    let parts = host(with_user("1000")).collect(&[
        telling(Extent::Users("uid"), "users", records),
        telling(Extent::Events, "events", events),
        says("host", |sink| sink.record(record(1))),
    ]);
    assert_eq!(
        kept(&parts, "users"),
        [json!({"uid": 1000, "n": 1000}).as_object().unwrap().clone()]
    );
    assert_eq!(kept(&parts, "events").len(), 2);
    let told = gaps(&parts);
    let told = |artifact: &str| {
        told.iter()
            .any(|g| g.artifact == artifact && g.reason == Reason::OutOfScope)
    };
    assert!(told("users") && told("events") && told("host"));
    for (user, count) in [(own.to_string(), 2), (NOBODY.to_owned(), 0)] {
        let parts = host(with_user(user)).collect(&[telling(Extent::Files, "history", names)]);
        assert_eq!(stored(&parts).len(), count);
    }
    // A name that the host gives to nobody finds nothing, and says so.
    let parts = host(with_user("bob")).collect(&[telling(Extent::Files, "history", names)]);
    assert!(stored(&parts).is_empty());
    let stranger = gaps(&parts)
        .into_iter()
        .find(|g| g.subject == "bob")
        .unwrap();
    assert_eq!(
        (stranger.reason, stranger.severity),
        (Reason::NotFound, Severity::Serious)
    );
    // And one that it knows is its own number.
    let host = host(with_user("bob"));
    host.put(
        "etc/passwd",
        format!("bob:x:{own}:0::/:/bin/sh\n").as_bytes(),
    );
    let parts = host.collect(&[telling(Extent::Files, "history", names)]);
    assert_eq!(stored(&parts).len(), 2);
}

#[test]
fn of_other_times_nothing_is_read_and_nothing_told() {
    let past = Scope {
        until: Some(at(-3600)),
        ..scope()
    };
    let future = Scope {
        from: Some(at(3600)),
        ..scope()
    };
    let today = Scope {
        from: Some(at(-3600)),
        until: Some(at(3600)),
        ..scope()
    };
    let events = |sink: &mut dyn Sink| {
        for hours in [-2, 0, 2] {
            sink.record(json!({"user": "bob", "time": at(hours * 3600)}))?;
        }
        sink.record(json!({"user": "bob"}))
    };
    for (scope, count) in [(past, 0), (future, 0), (today, 1)] {
        let is_now = count == 1;
        let ends = scope.until;
        let parts = host(scope).collect(&[
            telling(Extent::Files, "history", names),
            telling(Extent::Events, "events", events),
            says("host", |sink| sink.record(record(1))),
        ]);
        assert_eq!(kept(&parts, "events").len(), 1);
        assert_eq!(kept(&parts, "host").len(), usize::from(is_now));
        // Whether a young file is younger than the scope's end only a file system with times of birth can tell.
        if is_now || ends.is_none() {
            assert_eq!(stored(&parts).len(), 2 * count);
        }
    }
}
