//! An order's scope: what it leaves out is not read, and stands as a gap.

use std::{
    collections::BTreeSet,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
};

use evidence::{
    gap::{Reason, Severity},
    instant::Instant,
    records::FileRecord,
};
use protocol::scope::Scope;
use serde_json::{Map, Value, json};

use super::fixture::{Fixture, Part, gaps, record, says, telling};
use crate::artifacts::{
    Artifact, Extent, Sink, Stopped, file_hashes::FileHashes, sessions::Sessions,
    shell_history::ShellHistory,
};

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

/// How many files of `artifact` were left out, all told.
fn left_out(parts: &[Part], artifact: &str) -> u64 {
    let gaps = gaps(parts).into_iter();
    let counted = gaps.filter(|g| g.artifact == artifact && g.text.contains("files and folders"));
    let count = |text: &str| text.split(' ').next().unwrap().parse::<u64>().unwrap();
    counted.map(|g| count(&g.text)).sum()
}

/// Whether anything in the archive tells of mallory or of what is mallory's.
fn names_mallory(parts: &[Part]) -> bool {
    let all = parts.iter().flat_map(|p| &p.entries);
    let mut told = all.filter(|(name, _)| !name.starts_with("fs/"));
    told.any(|(_, text)| String::from_utf8_lossy(text).contains("mallory"))
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
    assert_eq!(left_out(&parts, "history"), 2);
    let gaps = out_of_scope(&parts);
    assert!(
        gaps.contains(&("scope".into(), Severity::Ordinary)),
        "{gaps:?}"
    );
    assert!(!names_mallory(&parts));
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

/// Two users with homes and start-up files; mallory's are another user's where that can be made so.
fn two_homes(scope: Scope) -> Fixture {
    let mut host = Fixture::new();
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    let passwd = format!("bob:x:{own}:0::/home/bob:/b\nmallory:x:1001:1::/home/mallory:/b\n");
    host.put("etc/passwd", passwd.as_bytes());
    host.put("etc/profile", b"HISTSIZE=7\n");
    host.put("srv/secret", b"mallory's");
    let startup = b"HISTFILE=/srv/secret\n";
    for home in ["home/bob", "home/mallory"] {
        host.put(&format!("{home}/.bashrc"), startup);
        host.put(&format!("{home}/.bash_history"), b"ls");
    }
    symlink("/home/bob/.bashrc", host.path("home/mallory/.profile")).unwrap();
    symlink("/home/mallory/.bashrc", host.path("home/bob/.profile")).unwrap();
    host.scope = Some(scope);
    host
}

/// Gives `paths` to another user; only root can.
fn give(host: &Fixture, paths: &[&str], uid: u32) -> bool {
    let give = |path: &&str| std::os::unix::fs::lchown(host.path(path), Some(uid), Some(uid));
    paths.iter().try_for_each(give).is_ok()
}

const MALLORYS: &[&str] = &[
    "home/mallory",
    "home/mallory/.bashrc",
    "home/mallory/.bash_history",
    "home/mallory/.profile",
    "srv/secret",
];

fn paths_of(parts: &[Part], name: &str) -> Vec<String> {
    let records = kept(parts, name).into_iter();
    let mut paths: Vec<_> = records
        .map(|r| r["path"].as_str().unwrap().to_owned())
        .collect();
    paths.sort();
    paths
}

#[test]
fn start_up_files_outside_the_paths_are_not_read_nor_what_they_lead_to() {
    let parts = two_homes(with_paths(&["/home/bob"])).collect(&[&ShellHistory]);
    assert_eq!(paths_of(&parts, "shell_history"), ["/home/bob/.bashrc"]);
    assert_eq!(
        stored(&parts),
        [
            "fs/$rootfs$/home/bob/.bash_history",
            "fs/$rootfs$/home/bob/.bashrc"
        ]
    );
    // /etc/profile, mallory's home, the link out of bob's, and where bob's history goes.
    assert_eq!(left_out(&parts, "shell_history"), 4);
    assert!(!names_mallory(&parts));
    assert!(gaps(&parts).iter().all(|g| g.subject == "scope"));
}

#[test]
fn start_up_files_of_other_users_are_not_read_nor_what_they_lead_to() {
    let nobodys = two_homes(with_user(NOBODY)).collect(&[&ShellHistory]);
    assert!(kept(&nobodys, "shell_history").is_empty() && stored(&nobodys).is_empty());
    assert!(!names_mallory(&nobodys));
    let files = |parts: &[Part]| {
        let all = parts
            .iter()
            .flat_map(|p| p.lines::<FileRecord>("files.jsonl"));
        let own = all.filter(|f| f.artifact == "shell_history");
        own.map(|f| f.path).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(files(&nobodys), 0);
    // By its name or number, a user is the same.
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    for bob in ["bob".to_owned(), own.to_string()] {
        let host = two_homes(with_user(bob));
        if !give(&host, MALLORYS, 1001) {
            continue;
        }
        let parts = host.collect(&[&ShellHistory]);
        assert_eq!(
            paths_of(&parts, "shell_history"),
            ["/etc/profile", "/home/bob/.bashrc"]
        );
        assert_eq!(stored(&parts).len(), 2, "{:?}", stored(&parts));
        assert_eq!(files(&parts), 2);
        assert!(!names_mallory(&parts) && left_out(&parts, "shell_history") > 0);
    }
}

#[test]
fn a_record_of_a_file_that_lacks_what_it_is_judged_by_is_left_out() {
    let records = |sink: &mut dyn Sink| {
        sink.record(json!({"n": 1}))?;
        sink.record(json!({"path": "/home/mallory/x", "uid": 7}))?;
        sink.record(json!({"path": "/home/bob/x", "path_b64": "L2hvbWUv/w==", "uid": 7}))?;
        sink.record(json!({"path": "/home/bob/x", "uid": 8}))?;
        sink.record(json!({"path": "/home/bob/x"}))?;
        sink.record(json!({"path": "/home/bob/x", "uid": 7}))
    };
    let of_bob = |from| Scope {
        users: BTreeSet::from(["7".to_owned()]),
        paths: vec!["/home/bob".into()],
        from,
        ..scope()
    };
    let count = |scope| {
        let parts = host(scope).collect(&[telling(Extent::Files, "history", records)]);
        kept(&parts, "history").len()
    };
    assert_eq!(count(of_bob(None)), 1);
    assert_eq!(count(of_bob(Some(at(-60)))), 0);
}

#[test]
fn a_link_to_what_is_left_out_is_not_told_of() {
    let host = host(with_user(NOBODY));
    symlink("/home/mallory/.bash_history", host.path("home/bob/peek")).unwrap();
    let peek = |sink: &mut dyn Sink| {
        sink.file(Path::new("/home/bob/peek"))?;
        // Nobody knows whose it would be.
        sink.file(Path::new("/home/mallory/none"))
    };
    let parts = host.collect(&[telling(Extent::Files, "history", peek)]);
    assert_eq!(left_out(&parts, "history"), 2);
    assert!(!names_mallory(&parts));
}

#[test]
fn the_sessions_of_a_user_are_told_whatever_names_the_user() {
    let mut wtmp = vec![0_u8; 2 * 384];
    for (at, user) in [(0, &b"bob"[..]), (384, b"mallory")] {
        wtmp[at] = 7;
        wtmp[at + 44..at + 44 + user.len()].copy_from_slice(user);
        wtmp[at + 340..at + 344].copy_from_slice(&1_700_000_000_u32.to_ne_bytes());
    }
    for user in ["1000", "bob"] {
        let host = host(Scope {
            from: Some(Instant {
                seconds: 1_600_000_000,
                ns: 0,
            }),
            ..with_user(user)
        });
        let passwd = b"bob:x:1000:0::/:/b\nmallory:x:1001:0::/:/b\n";
        host.put("etc/passwd", passwd);
        host.put("var/log/wtmp", &wtmp);
        for (id, uid, name, us) in [
            ("1", 1000, "bob", 1_700_000_000_000_005_u64),
            ("2", 1001, "mallory", 1_700_000_000_000_005),
            ("3", 1000, "bob", 1_500_000_000_000_000),
        ] {
            let text = format!("UID={uid}\nUSER={name}\nREALTIME={us}\n");
            host.put(&format!("run/systemd/sessions/{id}"), text.as_bytes());
        }
        let records = kept(&host.collect(&[&Sessions]), "sessions");
        assert_eq!(records.len(), 2, "{user}: {records:?}");
        let session = records.iter().find(|r| r["type"] == "session").unwrap();
        assert_eq!(
            (&session["id"], &session["uid"], &session["user"]),
            (&"1".into(), &1000.into(), &"bob".into())
        );
        assert_eq!(session["time"], "2023-11-14T22:13:20.000005000Z");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_left_out_is_never_opened() {
    use rustix::fs::inotify;
    let opens = |scope: Scope| {
        let host = two_homes(scope);
        host.put("home/mallory/.config/key.pem", b"PRIVATE KEY-----");
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        for path in [
            "home/bob/.bashrc",
            "home/mallory/.bashrc",
            "home/mallory/.bash_history",
            "home/mallory/.config/key.pem",
            "srv/secret",
            "etc/profile",
        ] {
            inotify::add_watch(&watch, host.path(path), inotify::WatchFlags::OPEN).unwrap();
        }
        let paths = telling(Extent::Files, "history", |sink| {
            sink.file(Path::new("/home/mallory/.bashrc"))
        });
        host.collect(&[paths, &ShellHistory, &FileHashes]);
        rustix::io::read(&watch, &mut [0_u8; 4096]).is_ok()
    };
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    assert!(opens(with_user(own)));
    assert!(!opens(with_user(NOBODY)));
    assert!(!opens(with_paths(&["/usr"])));
    assert!(!opens(Scope {
        from: Some(at(3600)),
        ..scope()
    }));
}
