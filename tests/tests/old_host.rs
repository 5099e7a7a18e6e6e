//! A kit on hosts that have little: busybox for a shell and nothing else, a root that can't be written, a user without
//! rights, a kernel of 2013.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::{
    args,
    bare_host::{BareHost, ROOT, SECRET, SOMEBODY, STICK},
    kit::{OPERATOR, build, files, json},
    programs::{self, Outcome, as_root},
    stage::Stage,
};
use serde_json::Value;

fn quiet(_: &str) {}

/// A deployment, and a kit of its with `agent` for all hosts, for all artifacts.
struct Deployed {
    dir: tempfile::TempDir,
    stage: Stage,
}

impl Deployed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Somebody shall get at the stick in it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let people: [(&str, &str, &[&str]); 1] =
            [("ann", "Ann Example", &["investigator", "admin"])];
        let home = dir.path().join("stage");
        let stage = Stage::deployed(&home, quiet, &people, &[], "connected").unwrap();
        Self { dir, stage }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn agent(&self) -> PathBuf {
        self.stage.programs().join("fieldseal-agent")
    }

    /// A stick with a kit; the files on it are `owner`'s, as those on FAT are whose who mounted it.
    fn stick(&self, name: &str, agent: &Path, owner: u32, more: &[OsString]) -> PathBuf {
        let stick = self.path(name);
        let own = args!["--agent", agent, "--output", stick];
        let all: Vec<_> = own.iter().chain(more).cloned().collect();
        let built = build(&self.stage, &all).unwrap();
        assert_eq!(built.code, 0, "{built:?}");
        hand_to(owner, &stick);
        stick
    }

    /// What was collected, once it is verified: no fault but that the server has not taken it in yet.
    fn verified(&self, stick: &Path) -> PathBuf {
        hand_to(rustix::process::geteuid().as_raw(), stick);
        let (evidence, root) = (stick.join("evidence"), self.stage.path("trust/root.crt"));
        let vault = self.stage.path("vault/one.txt");
        let verify = args![
            "verify",
            evidence,
            "--trust",
            root,
            "--identity",
            vault,
            "--json"
        ];
        let verified = self.stage.fieldseal(&verify).unwrap();
        assert_eq!(verified.code, 2, "{verified:?}");
        assert!(verified.out.contains(OPERATOR), "{verified:?}");
        evidence
    }

    /// Every line of `name` in what was collected.
    fn lines(&self, evidence: &Path, name: &str) -> Vec<Value> {
        let plain = self.path(&format!("{}.plain", name.replace('/', "-")));
        let vault = self.stage.path("vault/one.txt");
        let output = plain.join("parts");
        let open = args![
            "open",
            evidence,
            "--identity",
            vault,
            "--output",
            output,
            "--extract",
            plain
        ];
        let opened = self.stage.fieldseal(&open).unwrap();
        assert_eq!(opened.code, 0, "{opened:?}");
        let found = files(&plain)
            .unwrap()
            .into_iter()
            .filter(|path| path.ends_with(name));
        let text: String = found
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        fs::remove_dir_all(plain).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Whether what was collected tells that `path` may not be read.
    fn tells_of_secret(&self, evidence: &Path, path: &str) -> bool {
        let gaps = self.lines(evidence, "gaps.jsonl");
        gaps.iter()
            .any(|gap| gap["reason"] == "permission_denied" && gap["subject"] == path)
    }
}

fn hand_to(user: u32, stick: &Path) {
    let owner = format!("{user}:{user}");
    let mut chown = as_root("chown");
    assert!(
        chown
            .args(["-R", &owner])
            .arg(stick)
            .status()
            .unwrap()
            .success()
    );
}

/// What an officer types on the host.
fn typed() -> Vec<String> {
    let script = format!("{STICK}/run.sh");
    let typed = [
        "sh",
        &script,
        "--operator",
        OPERATOR,
        "--location",
        "Hall 3",
        "--json",
    ];
    typed.map(str::to_owned).to_vec()
}

/// That a collection came of it, which lies on the stick.
fn assert_collected(done: &Outcome) {
    assert!([0, 2].contains(&done.code), "{done:?}");
    let folder = json(&done.out).unwrap()["folder"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        folder.starts_with(&format!("{STICK}/evidence/")),
        "{folder}"
    );
}

/// The kit with `agent` on a host that has busybox and what `agent` asks for: as root, and as somebody.
fn collects_on_a_bare_host(deployed: &Deployed, agent: &Path, glibc: Option<&Path>) {
    let host = BareHost::install(&deployed.path("bare"), agent, glibc).unwrap();
    let all = args!["--profile", "full"];
    let stick = deployed.stick("stick-of-root", agent, ROOT, &all);
    assert_collected(&host.run(&stick, ROOT, &typed()).unwrap());
    let evidence = deployed.verified(&stick);
    assert!(!deployed.tells_of_secret(&evidence, SECRET));
    let hashes = deployed.lines(&evidence, "results/file_hashes.jsonl");
    for path in [SECRET, "/home/alice/note"] {
        let is_hashed = |line: &Value| line["path"] == path && line["sha256"].is_string();
        assert!(hashes.iter().any(is_hashed), "{path}: {hashes:?}");
    }

    let stick = deployed.stick("stick-of-somebody", agent, SOMEBODY, &all);
    let done = host.run(&stick, SOMEBODY, &typed()).unwrap();
    assert_collected(&done);
    assert_eq!(done.code, 2, "what may not be read is missing");
    let evidence = deployed.verified(&stick);
    assert!(deployed.tells_of_secret(&evidence, SECRET));
}

#[test]
fn a_kit_collects_where_busybox_is_the_only_tool() {
    let deployed = Deployed::new();
    collects_on_a_bare_host(&deployed, &deployed.agent(), None);
}

#[test]
fn a_kit_collects_where_nothing_but_the_stick_can_be_written() {
    let deployed = Deployed::new();
    let agent = deployed.agent();
    let host = BareHost::install(&deployed.path("bare"), &agent, None).unwrap();
    let host = host.read_only();
    let stick = deployed.stick("stick", &agent, ROOT, &args!["--profile", "full"]);
    for place in [
        "/new",
        "/tmp/new",
        "/proc/sys/kernel/domainname",
        "/dev/new",
    ] {
        let line = format!("echo new >{place}");
        let tried = host.run(&stick, ROOT, &["sh", "-c", &line]).unwrap();
        assert_ne!(tried.code, 0, "{place} can be written: {tried:?}");
        assert!(tried.err.contains("Read-only file system"), "{tried:?}");
    }
    assert_collected(&host.run(&stick, ROOT, &typed()).unwrap());
    deployed.verified(&stick);
}

#[test]
fn a_user_without_rights_collects_what_they_may_and_is_told_of_the_rest() {
    let deployed = Deployed::new();
    let tree = deployed.path("tree");
    fs::create_dir(&tree).unwrap();
    let (open, closed) = (tree.join("open"), tree.join("closed"));
    for (path, mode) in [(&open, 0o644), (&closed, 0o000)] {
        fs::write(path, "evidence").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let more = args!["--profile", "hashes", "--path", tree];
    let stick = deployed.stick("stick", &deployed.agent(), SOMEBODY, &more);
    let mut start = as_root("setpriv");
    start.args(["--reuid=4711", "--regid=4711", "--clear-groups", "sh"]);
    start.arg(stick.join("run.sh"));
    start.args(["--operator", OPERATOR, "--location", "Hall 3"]);
    let done = programs::run(&mut start, &quiet).unwrap();
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.out.contains("could not be had"), "{done:?}");
    let evidence = deployed.verified(&stick);
    assert!(deployed.tells_of_secret(&evidence, closed.to_str().unwrap()));
    let hashes = deployed.lines(&evidence, "results/file_hashes.jsonl");
    let is_open =
        |line: &Value| line["path"] == open.to_str().unwrap() && line["sha256"].is_string();
    assert!(hashes.iter().any(is_open), "{hashes:?}");
}

/// Calls that Linux 3.10 does not have, which came with glibc 2.17's time.
const YOUNGER_CALLS: &str = "statx,getrandom,memfd_create,copy_file_range,preadv2,pwritev2,openat2,faccessat2,clone3,\
     close_range,mount_setattr,open_tree,move_mount,pidfd_open,pidfd_send_signal,pidfd_getfd,io_uring_setup,\
     renameat2,execveat,sched_setattr,seccomp,rseq,landlock_create_ruleset,membarrier,epoll_pwait2";

#[test]
fn a_kit_collects_under_a_kernel_of_2013() {
    let deployed = Deployed::new();
    let tree = deployed.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "evidence").unwrap();
    let more = args!["--profile", "triage", "--path", tree];
    let stick = deployed.stick(
        "stick",
        &deployed.agent(),
        rustix::process::geteuid().as_raw(),
        &more,
    );
    let mut start = Command::new("strace");
    start.args(["-f", "-qq", "-o", "/dev/null"]);
    start.args(["-e", &format!("trace={YOUNGER_CALLS}")]);
    start.args(["-e", &format!("inject={YOUNGER_CALLS}:error=ENOSYS")]);
    start.arg("sh").arg(stick.join("run.sh"));
    start.args(["--operator", OPERATOR, "--location", "Hall 3"]);
    let done = programs::run(&mut start, &quiet).unwrap();
    assert!([0, 2].contains(&done.code), "{done:?}");
    let evidence = deployed.verified(&stick);
    let hashes = deployed.lines(&evidence, "results/file_hashes.jsonl");
    let hashed = tree.join("a");
    let is_hashed =
        |line: &Value| line["path"] == hashed.to_str().unwrap() && line["sha256"].is_string();
    assert!(hashes.iter().any(is_hashed), "{hashes:?}");
}

/// Where it is set: a folder with another glibc (`libc.so.6`, `ld-linux-x86-64.so.2` and the rest) for the host.
const OTHER_GLIBC: &str = "FIELDSEAL_OTHER_GLIBC";

/// Needs python3-venv, and ten minutes the first time.
#[test]
#[ignore = "it builds the portable program, which takes minutes"]
fn the_portable_program_collects_where_busybox_is_the_only_tool() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/portable.sh");
    let deployed = Deployed::new();
    let built = Command::new(&script)
        .arg(deployed.path("portable"))
        .status();
    assert!(built.unwrap().success());
    let name = format!("fieldseal-agent-linux-{}", std::env::consts::ARCH);
    let agent = deployed.path("portable").join(name);
    let glibc = std::env::var_os(OTHER_GLIBC).map(PathBuf::from);
    collects_on_a_bare_host(&deployed, &agent, glibc.as_deref());
}
