//! A stick that fills up, is pulled out or is slow: what was sealed stays whole, and the next run starts cleanly.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use fieldseal_tests::{
    kit::{self, files, finished, import, json, profile, put_on, run, whole},
    programs::Outcome,
    running::Running,
    stage::Stage,
    stick::{Kind, Stick, wait_until},
};
use serde_json::Value;

const MIB: usize = 1 << 20;

/// A tree of `count` files of a MiB each that no compression makes smaller.
fn tree(stage: &Stage, count: usize) -> PathBuf {
    let tree = stage.path("tree");
    fs::create_dir_all(&tree).unwrap();
    for number in 0..count {
        let bytes = fs::File::open("/dev/urandom").unwrap();
        let mut file = fs::File::create(tree.join(format!("{number:03}"))).unwrap();
        std::io::copy(&mut std::io::Read::take(bytes, MIB as u64), &mut file).unwrap();
    }
    tree
}

struct Case {
    stage: Stage,
    stick: Stick,
    tree: PathBuf,
    _dir: tempfile::TempDir,
}

fn case(kind: Kind, size_mib: u64, tree_mib: usize) -> Case {
    let dir = tempfile::tempdir().unwrap();
    let stage = kit::stage(&dir.path().join("stage")).unwrap();
    let stick = Stick::plug_in(dir.path(), kind, size_mib).unwrap();
    let tree = tree(&stage, tree_mib);
    put_on(&stage, stick.path(), &profile(&stage).unwrap(), &tree).unwrap();
    Case {
        stage,
        stick,
        tree,
        _dir: dir,
    }
}

impl Case {
    fn collect(&self) -> Outcome {
        finished(&mut run(self.stick.path(), &["--json"])).unwrap()
    }

    fn unfinished(&self) -> Vec<PathBuf> {
        let all = files(&self.stick.path().join("evidence")).unwrap();
        let is_partial = |p: &PathBuf| p.extension().is_some_and(|e| e == "partial");
        all.into_iter().filter(is_partial).collect()
    }

    fn holds(&self, name: &str) -> bool {
        let all = files(&self.stick.path().join("evidence"));
        all.is_ok_and(|all| all.iter().any(|path| path.ends_with(name)))
    }

    /// Begins to collect, and comes back when part 1 is sealed and another is being written.
    fn begun(&self) -> (Running, PathBuf) {
        let log = self.stage.path("kit.log");
        let mut command = run(self.stick.path(), &[]);
        let mut running = Running::start("the kit", &mut command, &log).unwrap();
        let is_under_way = || {
            let large = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.len() > MIB as u64);
            self.holds("part-0001.zip.age") && self.unfinished().iter().any(large)
        };
        running
            .wait_until("it writes the second part", &is_under_way)
            .unwrap();
        (running, log)
    }
}

/// How the one collection of `told` that ended as `outcome` fared, and how many of its parts have a receipt.
fn taken(told: &Outcome, outcome: &str) -> usize {
    let report = json(&told.out).unwrap();
    let all = report["collections"].as_array().unwrap();
    let one = all.iter().find(|c| c["outcome"] == outcome);
    let one = one.unwrap_or_else(|| panic!("{outcome}: {report}"));
    let parts = one["parts"].as_array().unwrap();
    parts.iter().filter(|p| p["receipt"] != Value::Null).count()
}

/// Every process below, the first of them included.
fn family(of: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
    let children = children.unwrap_or_default();
    let below = children
        .split_whitespace()
        .flat_map(|id| family(id.parse().unwrap()));
    std::iter::once(of).chain(below).collect()
}

#[test]
fn a_stick_that_fills_up_keeps_what_was_sealed_and_takes_more_once_there_is_room() {
    // The one does not say how much space it has, so that writing fails; the other does, and the agent stops before.
    for kind in [Kind::Fat32, Kind::Ntfs] {
        let case = case(kind, 64, 60);
        let full = finished(&mut run(case.stick.path(), &[])).unwrap();
        assert_eq!(full.code, 2, "{full:?}");
        let why = match kind {
            Kind::Fat32 => "It ended early: the part can't be written",
            _ => "THE STICK IS FULL",
        };
        assert!(full.out.contains(why), "{full:?}");
        assert!(case.unfinished().is_empty(), "{:?}", case.unfinished());
        assert!(!case.holds("part-0012.zip.age"), "{full:?}");
        let imported = import(&case.stage, case.stick.path(), &["--wipe"]).unwrap();
        assert_eq!(imported.code, 0, "{imported:?}");
        assert!(taken(&imported, "taken_in") >= 2);

        for number in 20..60 {
            fs::remove_file(case.tree.join(format!("{number:03}"))).unwrap();
        }
        whole(&case.collect()).unwrap();
        let imported = import(&case.stage, case.stick.path(), &[]).unwrap();
        assert_eq!(imported.code, 0, "{imported:?}");
    }
}

#[test]
fn a_stick_that_is_pulled_out_keeps_what_was_sealed_and_is_used_again() {
    for kind in [Kind::Fat32, Kind::Ext4] {
        let mut case = case(kind, 160, 60);
        let (running, log) = case.begun();
        case.stick.pull(&family(running.id())).unwrap();
        let code = running.finish().unwrap();
        let said = fs::read_to_string(&log).unwrap();
        assert_eq!(code, 3, "{said}");
        let told = ["finished and sound", "The medium was pulled out"];
        assert!(told.iter().all(|what| said.contains(what)), "{said}");
        assert!(!said.contains("panicked"), "{said}");

        case.stick.plug_in_again().unwrap();
        assert!(case.holds("part-0001.zip.age"));
        let imported = import(&case.stage, case.stick.path(), &[]).unwrap();
        assert_eq!(imported.code, 2, "{imported:?}");
        assert!(taken(&imported, "incomplete") >= 1);
        whole(&case.collect()).unwrap();
        assert!(case.unfinished().is_empty(), "{:?}", case.unfinished());
        let imported = import(&case.stage, case.stick.path(), &[]).unwrap();
        assert!(taken(&imported, "taken_in") >= 2);
        case.stick.unmount().unwrap();
    }
}

#[test]
fn a_slow_stick_is_waited_for_and_takes_no_more_memory() {
    let case = case(Kind::Fat32, 80, 24);
    let (running, log) = case.begun();
    let peak = {
        let _slowed = case.stick.slowed().unwrap();
        let family = family(running.id());
        let mut peak = 0;
        wait_until("it is over", || {
            let now: Vec<u64> = family.iter().filter_map(|id| peak_bytes(*id)).collect();
            peak = peak.max(now.iter().sum());
            Ok(now.is_empty())
        })
        .unwrap();
        peak
    };
    let code = running.finish().unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!([0, 2].contains(&code), "{said}");
    assert!(said.contains("24 files"), "{said}");
    // As much as the profile allows, and the half that keeps the parts.
    assert!(peak > 0 && peak < 128 << 20, "{peak} bytes");
}

/// The most memory that a process has had, while it lives.
fn peak_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    let status = status.ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}
