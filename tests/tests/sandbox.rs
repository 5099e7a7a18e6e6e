//! The real agent inside all its walls: two users of their own, no flag that allows less, a triage ordered and delivered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::{
    args,
    kit::{self, json},
    running::Running,
    sigma,
    stage::Stage,
    stick::{signal, wait_until},
    users::{COURIER, READER, Somebody, walls},
};
use rustix::process::Signal;

/// A deployment with this host enrolled, whose halves' folders belong to two users.
fn deployed(dir: &Path) -> Stage {
    assert!(
        rustix::process::geteuid().is_root(),
        "run this test as root: the halves are users of their own"
    );
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    let stage = Stage::deployed(dir, |_| (), &people, &[], "walled").unwrap();
    // Another user must get to its own folder.
    for above in dir.ancestors().take(2) {
        fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(stage.path("agent"), fs::Permissions::from_mode(0o755)).unwrap();
    for (half, user) in [("reader", READER), ("courier", COURIER)] {
        let folder = stage.path("agent").join(half);
        let owner = format!("{user}:{user}");
        let owned = Command::new("chown")
            .args(["-R", &owner])
            .arg(&folder)
            .status();
        assert!(owned.unwrap().success());
    }
    stage
}

fn start(stage: &Stage) -> Running {
    let mut command = stage.command("fieldseal-agent");
    command.args(args!["run", "--state", stage.path("agent")]);
    Running::start("fieldseal-agent", &mut command, &stage.path("agent.log")).unwrap()
}

/// Waits until both halves are at work.
fn comes_to_work(stage: &Stage) {
    wait_until("both halves are at work", || {
        let status = args!["status", "--json", "--state", stage.path("agent")];
        let shown = json(&stage.run("fieldseal-agent", &status)?.out)?;
        Ok(shown["courier"]["last_contact"].is_string())
    })
    .unwrap();
}

/// The two halves that `supervisor` has started: the reader's process and the courier's.
fn halves(supervisor: u32) -> Option<(u32, u32)> {
    let listed = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
    let children: Vec<u32> = listed
        .ok()?
        .split_whitespace()
        .map(|p| p.parse().unwrap())
        .collect();
    let of = |user| {
        children
            .iter()
            .copied()
            .find(|process| fact(*process, "Uid") == user)
    };
    let all = |user: u32| format!("{user}\t{user}\t{user}\t{user}");
    Some((of(all(READER))?, of(all(COURIER))?))
}

/// What the kernel says of a process.
fn fact(process: u32, name: &str) -> String {
    let status = fs::read_to_string(folder(process).join("status")).unwrap_or_default();
    fact_in(&status, name)
}

fn folder(process: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}"))
}

/// The folders of a process's threads.
fn threads(process: u32) -> Vec<PathBuf> {
    let all = fs::read_dir(folder(process).join("task")).unwrap();
    all.map(|thread| thread.unwrap().path()).collect()
}

fn fact_in(status: &str, name: &str) -> String {
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(":\t"));
    line.unwrap_or_default().to_owned()
}

#[test]
fn a_triage_is_gathered_and_delivered_inside_all_walls() {
    let dir = tempfile::tempdir().unwrap();
    let stage = deployed(&dir.path().join("stage"));
    let agent = start(&stage);
    wait_until("both halves run as users of their own", || {
        Ok(halves(agent.id()).is_some())
    })
    .unwrap();
    let (reader, courier) = halves(agent.id()).unwrap();
    wait_until("both are confined", || {
        // The second filter is the last wall.
        let confined = |process| fact(process, "Seccomp_filters") == "2";
        Ok(confined(reader) && confined(courier))
    })
    .unwrap();
    // Of every thread: one that had begun before the walls went up would stand outside of them.
    for process in [reader, courier] {
        wait_until("its threads have begun", || Ok(threads(process).len() > 1)).unwrap();
        for thread in threads(process) {
            let Ok(status) = fs::read_to_string(thread.join("status")) else {
                // It has ended meanwhile.
                continue;
            };
            let fact = |name| fact_in(&status, name);
            assert_eq!(fact("NoNewPrivs"), "1");
            assert_eq!(fact("Seccomp"), "2");
            assert_eq!(fact("Seccomp_filters"), "2");
            assert_eq!(fact("Groups").trim(), "");
            assert_eq!(fact("CapEff"), self::fact(process, "CapEff"));
        }
    }
    for process in [reader, courier] {
        let locked = fact(process, "VmLck");
        let locked: u64 = locked.trim_end_matches(" kB").trim().parse().unwrap();
        let limits = fs::read_to_string(folder(process).join("limits")).unwrap();
        let may_lock = limits
            .lines()
            .any(|l| l.starts_with("Max locked memory") && l.contains("unlimited"));
        assert_eq!(locked > 1000, may_lock, "{locked} kB are locked");
        let core = limits.lines().find(|l| l.starts_with("Max core file size"));
        let core: Vec<_> = core.unwrap().split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"]);
        // Of a process that can't be dumped, what the kernel tells is root's.
        let owner = fs::metadata(folder(process).join("mem")).unwrap().uid();
        assert_eq!(owner, 0);
    }
    // CAP_DAC_READ_SEARCH (2) and CAP_SYS_PTRACE (19).
    let (both, none) = ("0000000000080004", "0000000000000000");
    for (process, wanted) in [(reader, both), (courier, none)] {
        let sets = ["CapPrm", "CapEff", "CapBnd"].map(|set| fact(process, set));
        assert_eq!(sets, [wanted; 3]);
        let sets = ["CapInh", "CapAmb"].map(|set| fact(process, set));
        assert_eq!(sets, [none; 2]);
    }

    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("secret"), "nobody else's").unwrap();
    fs::set_permissions(tree.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    // Its memory and its open files are seen by the reader, and by no other user.
    let somebody = Somebody::start().unwrap();
    let fetched = collected(&stage, &tree);

    let opened = dir.path().join("opened");
    let identity = stage.path("vault/one.txt");
    let open = args!["open", fetched, "--identity", identity, "--extract", opened];
    let outcome = stage.fieldseal(&open).unwrap();
    assert!([0, 2].contains(&outcome.code), "{outcome:?}");
    let up = "users, capabilities, no_core_dumps, locked_memory, no_new_privileges, system_calls";
    let (reader_walls, courier_walls) = (
        walls(up),
        walls(&up.replace("system_calls", "landlock, system_calls")),
    );
    for record in texts(&opened, "collection.json") {
        assert_eq!(json(&record).unwrap()["sandbox"], reader_walls);
    }
    let processes = texts(&opened, "processes.jsonl").concat();
    let lines = || processes.lines().map(|line| json(line).unwrap());
    let process = lines().find(|line| line["pid"] == somebody.id()).unwrap();
    // What another user's process runs is seen by the reader alone.
    assert!(process.to_string().contains("/sleep"), "{process}");
    assert!(
        process["exe_sha256"].is_string() || process["exe"].is_string(),
        "{process}"
    );
    let hashed = texts(&opened, "file_hashes.jsonl").concat();
    assert!(
        hashed
            .lines()
            .any(|l| l.contains("tree/secret") && l.contains("sha256"))
    );

    let arguments = args!["status", "--state", stage.path("agent")];
    let status = || stage.run("fieldseal-agent", &arguments).unwrap();
    wait_until("it has told how it fares", || {
        Ok(status().out.contains("\nClock "))
    })
    .unwrap();
    let status = status();
    let clock = status.out.lines().find(|l| l.starts_with("Clock "));
    // Both run on one clock.
    assert!(clock.unwrap().contains("Clock       0."), "{status:?}");
    let used = status.out.lines().find(|l| l.starts_with("Used "));
    assert!(used.unwrap().contains("s of a processor"), "{status:?}");
    assert!(
        status.out.contains(&format!("reader: {reader_walls}\n")),
        "{status:?}"
    );
    assert!(
        status.out.contains(&format!("courier: {courier_walls}")),
        "{status:?}"
    );
    let hosts = stage.fieldseal(&args!["hosts", "--json"]).unwrap();
    assert!(hosts.out.contains(&courier_walls), "{hosts:?}");

    let log = || fs::read_to_string(stage.path("agent.log")).unwrap();
    let (foreign, ours) = (rule("foreign_root"), root_of(&stage));
    let fired = |rule: &str| {
        log()
            .lines()
            .filter(|l| sigma::fires(rule, l).unwrap())
            .count()
    };
    assert_eq!(
        fired(&foreign),
        1,
        "one start line, and the root is not listed"
    );
    assert_eq!(fired(&foreign.replace(&"0".repeat(64), &ours)), 0);
    assert_eq!(fired(&rule("forbidden_call")), 0);

    // As the kernel ends a half that makes a forbidden call.
    signal(reader, Signal::SYS).unwrap();
    wait_until("it is told", || {
        Ok(log().contains("it may have been taken over"))
    })
    .unwrap();
    wait_until("both are started anew", || {
        Ok(halves(agent.id()).is_some_and(|(now, _)| now != reader))
    })
    .unwrap();
    assert_eq!(fired(&rule("forbidden_call")), 1);
    agent.stop().unwrap();
}

/// A rule that is published with the packages.
fn rule(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/sigma");
    fs::read_to_string(folder.join(format!("{name}.yml"))).unwrap()
}

/// The fingerprint of the root that this host's agent obeys.
fn root_of(stage: &Stage) -> String {
    let status = args!["status", "--json", "--state", stage.path("agent")];
    let shown = stage.run("fieldseal-agent", &status).unwrap();
    let root = &json(&shown.out).unwrap()["root_sha256"];
    root.as_str().unwrap().to_owned()
}

fn collected(stage: &Stage, tree: &Path) -> std::path::PathBuf {
    let profile = stage.path("walled.yaml");
    let yaml = "v: 1\nname: walled\nabout: most of all\nartifacts: [{name: system}, {name: processes}, {name: network}, \
        {name: users}, {name: file_hashes}]\n";
    fs::write(&profile, yaml).unwrap();
    let more = args!["--path", tree, "--watch", "--json"];
    let outcome = stage.collect(&profile, &more).unwrap();
    assert!([0, 2].contains(&outcome.code), "{outcome:?}");
    // One line a state; the first is the order's.
    let first = outcome.out.lines().next().unwrap();
    let order = json(first).unwrap()["order"].as_str().unwrap().to_owned();
    let fetched = stage.path("evidence");
    let outcome = stage
        .fieldseal(&args!["fetch", order, "--output", fetched])
        .unwrap();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    fetched
}

/// What the files of this name below say.
fn texts(below: &Path, name: &str) -> Vec<String> {
    let files = kit::files(below).unwrap();
    let named = files.iter().filter(|file| file.ends_with(name));
    let texts: Vec<_> = named
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    assert!(!texts.is_empty(), "{name}: {files:?}");
    texts
}

#[test]
fn without_its_walls_it_does_not_start_unless_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let stage = deployed(&dir.path().join("stage"));
    let reader = stage.path("agent/reader");
    for entry in [reader.clone(), reader.join("state")] {
        chown(&entry, Some(COURIER), Some(COURIER)).unwrap();
    }
    let mut command = stage.command("fieldseal-agent");
    command.args(args!["run", "--state", stage.path("agent")]);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(78));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("both halves are one user"), "{said}");
    assert!(said.contains("--sandbox available"), "{said}");

    let mut command = stage.command("fieldseal-agent");
    command.args(args![
        "run",
        "--state",
        stage.path("agent"),
        "--sandbox",
        "available"
    ]);
    let agent = Running::start("fieldseal-agent", &mut command, &stage.path("agent.log")).unwrap();
    comes_to_work(&stage);
    agent.stop().unwrap();
}

/// How often `needle` stands in the memory of `process`.
fn copies(process: u32, needle: &[u8]) -> usize {
    let memory = File::open(folder(process).join("mem")).unwrap();
    let maps = fs::read_to_string(folder(process).join("maps")).unwrap();
    let readable = maps.lines().filter(|line| line.contains(" r"));
    let mut found = 0;
    for line in readable {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // The kernel's own pages can't be read.
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            let fits = bytes.windows(needle.len());
            found += fits.filter(|window| window == &needle).count();
        }
    }
    found
}

/// What stands between `before` and `after` in `bytes`.
fn between(bytes: &[u8], before: &str, after: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let rest = text.split_once(before).unwrap().1;
    rest.split_once(after).unwrap().0.as_bytes().to_vec()
}

#[test]
fn each_key_lies_in_the_memory_of_its_own_half_and_nothing_that_it_was_read_from() {
    let dir = tempfile::tempdir().unwrap();
    let stage = deployed(&dir.path().join("stage"));
    let read = |path: &str| fs::read(stage.path("agent").join(path)).unwrap();
    let seal = between(&read("reader/state"), "\"seal_key\":\"", "\"");
    let tls = between(&read("courier/tls.key"), "KEY-----\n", "\n");
    assert!(seal.len() > 100 && tls.len() == 64);
    let seal_der = data_encoding::BASE64.decode(&seal).unwrap();
    let agent = start(&stage);
    comes_to_work(&stage);
    let (reader, courier) = halves(agent.id()).unwrap();
    let as_they_lie = || {
        for (process, what, key, wanted) in [
            (reader, "the seal key's text", &seal, 1),
            (reader, "what that says", &seal_der, 0),
            (reader, "the TLS key's text", &tls, 0),
            (courier, "the TLS key's text", &tls, 1),
            (courier, "the seal key's text", &seal, 0),
            (agent.id(), "the seal key's text", &seal, 0),
            (agent.id(), "the TLS key's text", &tls, 0),
        ] {
            // One more lies there for the moment in which the state is written.
            wait_until(&format!("{what} lies in {process} {wanted} times"), || {
                Ok(copies(process, key) == wanted)
            })
            .unwrap();
        }
    };
    as_they_lie();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    collected(&stage, &tree);
    as_they_lie();
    agent.stop().unwrap();
}
