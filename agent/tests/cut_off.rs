//! Local collections that are stopped, killed, or whose disk fills, by the real program: what is sealed is sound, the
//! chain has its end, and where it can't, that is said.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "measured times and skipped tests are for who reads the output"
)]

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use small_disk::SmallDisk;

#[path = "../../evidence/src/small_disk.rs"]
#[allow(dead_code, reason = "other tests share the file, and need more of it")]
mod small_disk;

/// Two volatile artifacts of a moment, then a walk.
const PROFILE: &str =
    "v: 1\nname: walk\nabout: For tests\nartifacts:\n- name: mounts\n- name: file_hashes\n";

/// A collection that walks `tree`, in a process group of its own.
fn start(tree: &Path, output: &Path) -> Child {
    let profile = tree.join("profile.yaml");
    fs::write(&profile, PROFILE).unwrap();
    Command::new(env!("CARGO_BIN_EXE_fieldseal-agent"))
        .args(["collect", "--json", "--unencrypted", "--foreground"])
        .arg("--profile")
        .arg(&profile)
        .arg("--path")
        .arg(tree.canonicalize().unwrap())
        .arg("--output")
        .arg(output)
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until `holds`, which it must soon.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "waited for {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// The one collection's folder below `output`.
fn folder(output: &Path) -> Option<PathBuf> {
    let all = fs::read_dir(output).ok()?;
    all.flatten()
        .map(|e| e.path())
        .find(|p| p.file_name().unwrap().to_str().unwrap().starts_with("c-"))
}

fn has(output: &Path, name: &str) -> bool {
    folder(output).is_some_and(|f| f.join(name).exists())
}

fn partials(folder: &Path) -> usize {
    let all = fs::read_dir(folder).unwrap().flatten();
    all.filter(|e| e.path().extension() == Some("partial".as_ref()))
        .count()
}

/// Lets unzip and sha256sum judge every part; gives each part's collection.json and its gaps.
fn judged(folder: &Path) -> Vec<(Value, String)> {
    let mut found = Vec::new();
    for number in 1.. {
        let part = folder.join(format!("part-{number:04}.zip"));
        if !part.exists() {
            break;
        }
        assert!(
            folder
                .join(format!("part-{number:04}.statement.json"))
                .exists()
        );
        let open = tempfile::tempdir().unwrap();
        let run = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            let out = command
                .args(args)
                .current_dir(open.path())
                .output()
                .unwrap();
            assert!(out.status.success(), "{program}: {out:?}");
        };
        run("unzip", &["-qq", part.to_str().unwrap()]);
        run("sha256sum", &["--quiet", "--strict", "-c", "SHA256SUMS"]);
        let text = fs::read(open.path().join("collection.json")).unwrap();
        let gaps = fs::read_to_string(open.path().join("gaps.jsonl")).unwrap();
        found.push((serde_json::from_slice(&text).unwrap(), gaps));
    }
    found
}

/// Some files, and then hours of zeros to digest that take nothing on the disk.
fn endless() -> tempfile::TempDir {
    let tree = many_names(2000);
    for name in 0..64 {
        let file = File::create(tree.path().join(format!("{name}"))).unwrap();
        file.set_len(1 << 30).unwrap();
    }
    tree
}

fn signal(target: &str, which: &str) {
    let sent = Command::new("kill").args([which, "--", target]).status();
    assert!(sent.unwrap().success());
}

fn ended(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

#[test]
fn a_stop_seals_what_was_read_and_the_last_part_says_so() {
    // SIGTERM as from a script, to the one process; SIGINT as from a terminal, to both halves.
    for (which, is_group) in [("-TERM", false), ("-INT", true)] {
        let (tree, output) = (endless(), tempfile::tempdir().unwrap());
        let child = start(tree.path(), output.path());
        until("the first part", || has(output.path(), "part-0001.zip"));
        let group = if is_group { "-" } else { "" };
        let told = Instant::now();
        signal(&format!("{group}{}", child.id()), which);
        let out = ended(child);
        println!("{which}: ended after {} ms", told.elapsed().as_millis());
        assert!(told.elapsed() < Duration::from_secs(10));
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        let said: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert!(said["ended_early"].as_str().unwrap().contains("signal"));
        let folder = folder(output.path()).unwrap();
        let parts = judged(&folder);
        let (last, gaps) = parts.last().unwrap();
        assert_eq!(last["last"], true);
        assert!(last["ended_early"].as_str().unwrap().contains("signal"));
        assert!(gaps.contains("\"interrupted\"") && gaps.contains("file_hashes"));
        assert_eq!(partials(&folder), 0);
    }
}

#[test]
fn a_spool_half_that_is_killed_leaves_sound_parts_and_the_next_run_tidies_up() {
    let (tree, output) = (endless(), tempfile::tempdir().unwrap());
    let child = start(tree.path(), output.path());
    until("the first part", || has(output.path(), "part-0001.zip"));
    let half = Command::new("pgrep")
        .args(["-P", &child.id().to_string()])
        .output()
        .unwrap();
    signal(String::from_utf8(half.stdout).unwrap().trim(), "-KILL");
    let out = ended(child);
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    let folder = folder(output.path()).unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    for word in [
        folder.to_str().unwrap(),
        "Part 1 ",
        "sound",
        "collect again",
    ] {
        assert!(said.contains(word), "{word:?} in {said}");
    }
    assert_eq!(judged(&folder).len(), 1);
    assert!(partials(&folder) > 0);
    fs::write(folder.join("notes.partial"), "not ours").unwrap();
    let few = tempfile::tempdir().unwrap();
    let out = ended(start(few.path(), output.path()));
    assert!(matches!(out.status.code(), Some(0 | 2)), "{out:?}");
    assert_eq!(partials(&folder), 1);
    assert_eq!(judged(&folder).len(), 1);
}

/// Records that don't get smaller by deflating.
fn many_names(count: usize) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let mut random = File::open("/dev/urandom").unwrap();
    for _ in 0..count {
        let mut bytes = [0; 60];
        random.read_exact(&mut bytes).unwrap();
        let name: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        File::create(tree.path().join(name)).unwrap();
    }
    tree
}

#[test]
fn a_disk_that_becomes_full_ends_in_a_last_part_that_says_so() {
    let Some(disk) = SmallDisk::mount(2560) else {
        return;
    };
    let tree = many_names(30_000);
    let out = ended(start(tree.path(), disk.path()));
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let folder = folder(disk.path()).unwrap();
    let parts = judged(&folder);
    let (last, gaps) = parts.last().unwrap();
    assert_eq!(last["last"], true);
    let why = last["ended_early"].as_str().unwrap();
    assert!(why.contains("shall stay free"), "{why}");
    assert!(
        gaps.contains("file_hashes") && gaps.contains("\"limit\""),
        "{gaps}"
    );
    // What was gathered until then is there.
    assert!(last["counts_so_far"]["records"].as_u64().unwrap() > 1000);
    assert_eq!(partials(&folder), 0);
}

#[test]
fn a_part_that_others_leave_no_room_for_is_told_as_lost_and_those_before_stay() {
    let Some(disk) = SmallDisk::mount(4096) else {
        return;
    };
    let tree = many_names(30_000);
    let mut child = start(tree.path(), disk.path());
    until("a part that is being filled", || {
        let filled = |f: PathBuf| fs::metadata(f.join("slot-00000002.partial")).ok();
        folder(disk.path())
            .and_then(filled)
            .is_some_and(|seen| seen.len() > 0)
    });
    // Whatever is given up is taken by somebody else at once, to the very end.
    while child.try_wait().unwrap().is_none() {
        disk.fill();
    }
    let out = ended(child);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let folder = folder(disk.path()).unwrap();
    let parts = judged(&folder);
    let (last, gaps) = parts.last().unwrap();
    assert_eq!((parts.len(), &last["last"]), (2, &Value::Bool(true)));
    let why = last["ended_early"].as_str().unwrap();
    assert!(why.contains("No space left"), "{why}");
    assert!(gaps.contains("could not be sealed"), "{gaps}");
    assert_eq!(partials(&folder), 0);
}

#[test]
fn a_disk_that_is_full_from_the_beginning_is_said_and_nothing_is_begun() {
    let Some(disk) = SmallDisk::mount(1024) else {
        return;
    };
    disk.fill();
    let tree = tempfile::tempdir().unwrap();
    let out = ended(start(tree.path(), disk.path()));
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(said.contains("No space left"), "{said}");
    assert!(said.contains(disk.path().to_str().unwrap()), "{said}");
    if let Some(folder) = folder(disk.path()) {
        assert_eq!(partials(&folder), 0);
    }
}
