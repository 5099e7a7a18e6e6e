//! `kill -9` at each step of an import that makes something durable, names it or removes it: nothing is lost, nothing is
//! there twice, and nothing is wiped from the stick that was not durable. By strace, which kills at the call itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use collector_server::folder::Folder;
use evidence::{custody::log::Log, digest::Digest};
use fieldseal_tests::{
    args,
    kit::{self, finished, json, profile, put_on, run, whole},
    running::Running,
    stage::Stage,
    stick::wait_until,
};
use serde_json::Value;

const STEPS: &str = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir";
/// The name under which the folder is dropped.
const DROPPED: &str = "pushed";

/// A stick with one collection, and a deployment that has not seen it; its server does not run.
struct Case {
    dir: tempfile::TempDir,
    stage: Stage,
    stick: PathBuf,
    collection: String,
    /// Names and bytes of the ciphertexts.
    parts: Vec<(String, Vec<u8>)>,
}

fn case() -> Case {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = kit::stage(&dir.path().join("stage")).unwrap();
    let (stick, tree) = (dir.path().join("stick"), stage.path("tree"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "evidence").unwrap();
    put_on(&stage, &stick, &profile(&stage).unwrap(), &tree).unwrap();
    let folder = whole(&finished(&mut run(&stick, &["--json"])).unwrap()).unwrap();
    stage.stop().unwrap();
    let sealed = |path: &PathBuf| path.extension().is_some_and(|e| e == "age");
    let named = |path: PathBuf| (name(&path), fs::read(&path).unwrap());
    let all = kit::files(&folder)
        .unwrap()
        .into_iter()
        .filter(sealed)
        .map(named);
    let parts: Vec<_> = all.filter(|(name, _)| name.starts_with("part-")).collect();
    assert!(parts.len() >= 2);
    let collection = name(&folder);
    Case {
        dir,
        stage,
        stick,
        collection,
        parts,
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The stick and the server as they were before, and what one try does to them.
struct Try<'c> {
    case: &'c Case,
    server: PathBuf,
    stick: PathBuf,
}

impl Case {
    fn again(&self) -> Try<'_> {
        let below = self.dir.path().join("try");
        let _ = fs::remove_dir_all(&below);
        fs::create_dir(&below).unwrap();
        let (server, stick) = (below.join("server"), below.join("stick"));
        for (from, to) in [(&self.stage.path("server"), &server), (&self.stick, &stick)] {
            let copied = Command::new("cp").arg("-a").args([from, to]).status();
            assert!(copied.unwrap().success());
        }
        Try {
            case: self,
            server,
            stick,
        }
    }
}

impl Try<'_> {
    fn import(&self) -> Vec<OsString> {
        args![
            "import",
            &self.stick,
            "--dir",
            &self.server,
            "--wipe",
            "--json"
        ]
        .into()
    }

    fn on_stick(&self, name: &str) -> PathBuf {
        self.stick
            .join("evidence")
            .join(&self.case.collection)
            .join(name)
    }

    fn is_stored(&self, bytes: &[u8]) -> bool {
        let digest = Digest::of(bytes).to_string();
        let blob = Folder::new(&self.server)
            .blobs()
            .join(&digest[..2])
            .join(&digest);
        fs::read(blob).is_ok_and(|stored| stored == bytes)
    }

    /// Whatever happened: each part is on the stick as it was, or in the store.
    fn check_nothing_is_lost(&self, step: usize) {
        for (name, bytes) in &self.case.parts {
            let is_there = fs::read(self.on_stick(name)).is_ok_and(|there| there == *bytes);
            assert!(is_there || self.is_stored(bytes), "step {step}: {name}");
        }
    }

    /// All of it is in the store, with as many leaves of the log as one import makes.
    fn check_all_is_here_once(&self, step: usize, leaves: u64) {
        for (name, bytes) in &self.case.parts {
            assert!(self.is_stored(bytes), "step {step}: {name}");
        }
        let staged = fs::read_dir(Folder::new(&self.server).staging()).unwrap();
        assert_eq!(staged.count(), 0, "step {step}");
        assert_eq!(self.leaves(), leaves, "step {step}");
    }

    fn check_wiped_with_receipts(&self, step: usize) {
        for (name, _) in &self.case.parts {
            assert!(!self.on_stick(name).exists(), "step {step}: {name}");
            let receipt = name.replace("zip.age", "receipt");
            assert!(self.on_stick(&receipt).is_file(), "step {step}: {receipt}");
        }
        for receipt in ["imported.receipt", "enrolment.receipt"] {
            assert!(self.on_stick(receipt).is_file(), "step {step}: {receipt}");
        }
    }

    fn leaves(&self) -> u64 {
        Log::open(&Folder::new(&self.server).log())
            .unwrap()
            .tree()
            .size()
    }

    /// Starts the server, killed at its `step`-th step where one is given.
    fn served(&self, step: Option<usize>) -> Running {
        let arguments = args!["serve", "--dir", &self.server];
        let mut command = match step {
            Some(step) => killed_at(step, &self.case.stage, &arguments),
            None => self.case.stage.command("fieldseal-server"),
        };
        if step.is_none() {
            command.args(arguments);
        }
        let log = self.case.dir.path().join("server.log");
        Running::start("the server", &mut command, &log).unwrap()
    }

    fn dropped(&self, ending: &str) -> PathBuf {
        let drop_folder = Folder::new(&self.server).drop_folder();
        drop_folder.join(format!("{DROPPED}{ending}"))
    }
}

/// The server's program, to be killed when one of its threads comes to its `step`-th step.
fn killed_at(step: usize, stage: &Stage, arguments: &[OsString]) -> Command {
    let mut command = Command::new("strace");
    let inject = format!("inject={STEPS}:signal=KILL:when={step}");
    // As a daemon beside it, so that the program is our own child.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &inject]);
    command.arg(stage.programs().join("fieldseal-server"));
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn is_killed(command: &mut Command) -> bool {
    const KILL: i32 = 9;
    command.status().unwrap().signal() == Some(KILL)
}

#[test]
fn the_command_alone_is_killed_at_each_step_and_goes_on() {
    let case = case();
    let clean = case.again();
    let imported = case.stage.run("fieldseal-server", &clean.import()).unwrap();
    assert_eq!(imported.code, 0, "{imported:?}");
    let leaves = clean.leaves();
    for step in 1.. {
        let tried = case.again();
        let was_killed = is_killed(&mut killed_at(step, &case.stage, &tried.import()));
        tried.check_nothing_is_lost(step);
        let imported = case.stage.run("fieldseal-server", &tried.import()).unwrap();
        assert_eq!(imported.code, 0, "step {step}: {imported:?}");
        tried.check_all_is_here_once(step, leaves);
        tried.check_wiped_with_receipts(step);
        if !was_killed {
            assert!(step > 10, "so few steps can't be");
            return;
        }
    }
}

#[test]
fn the_server_is_killed_at_each_step_of_what_was_dropped_and_goes_on() {
    let case = case();
    for step in 1.. {
        let tried = case.again();
        let drop_folder = Folder::new(&tried.server).drop_folder();
        let _ = fs::create_dir(&drop_folder);
        let from = tried.stick.join("evidence");
        fs::rename(from, tried.dropped("")).unwrap();
        let is_done = || tried.dropped(".report.json").exists() && !tried.dropped("").exists();
        let mut served = tried.served(Some(step));
        let was_killed = served.wait_until("all is taken in", &is_done).is_err();
        drop(served);
        let mut served = tried.served(None);
        served.wait_until("all is taken in", &is_done).unwrap();
        served.stop().unwrap();
        let report = fs::read_to_string(tried.dropped(".report.json")).unwrap();
        let report = &json(&report).unwrap()["collections"][0];
        let parts = report["parts"].as_array().unwrap();
        assert_eq!(parts.len(), case.parts.len(), "step {step}: {report}");
        assert!(
            parts.iter().all(|p| p["receipt"] != Value::Null),
            "step {step}: {report}"
        );
        // The kit's use, its parts, the import.
        let before = Log::open(&Folder::new(&case.stage.path("server")).log()).unwrap();
        let leaves = before.tree().size() + case.parts.len() as u64 + 2;
        tried.check_all_is_here_once(step, leaves);
        if !was_killed {
            assert!(step > 10, "so few steps can't be");
            return;
        }
    }
}

#[test]
fn the_command_beside_a_server_is_killed_at_each_step_and_goes_on() {
    let case = case();
    let mut tried = case.again();
    let drop_folder = Folder::new(&tried.server).drop_folder();
    let mut served = tried.served(None);
    served
        .wait_until("it looks into the drop folder", &|| drop_folder.exists())
        .unwrap();
    for step in 1.. {
        let fresh = tried.stick.clone();
        fs::remove_dir_all(&fresh).unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .args([&case.stick, &fresh])
            .status();
        assert!(copied.unwrap().success());
        tried.stick = fresh;
        let was_killed = is_killed(&mut killed_at(step, &case.stage, &tried.import()));
        tried.check_nothing_is_lost(step);
        let imported = case.stage.run("fieldseal-server", &tried.import()).unwrap();
        assert_eq!(imported.code, 0, "step {step}: {imported:?}");
        tried.check_wiped_with_receipts(step);
        let unfinished = || {
            let names = fs::read_dir(&drop_folder).unwrap();
            Ok(!names.flatten().any(|entry| entry.path().is_dir()))
        };
        wait_until("no copy is left in the drop folder", unfinished).unwrap();
        if !was_killed {
            assert!(step > 5, "so few steps can't be");
            break;
        }
    }
    served.stop().unwrap();
    let before = Log::open(&Folder::new(&case.stage.path("server")).log()).unwrap();
    let leaves = before.tree().size() + case.parts.len() as u64 + 2;
    tried.check_all_is_here_once(0, leaves);
}
