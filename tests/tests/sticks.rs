//! Kits on the file systems that sticks come with: FAT32, exFAT, NTFS. With the real programs and real drivers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use evidence::envelope::Envelope;

use fieldseal_tests::{
    kit::{self, evidence, files, finished, import, profile, put_on, run, run_on, whole},
    stage::Stage,
    stick::{Kind, Stick},
};
use protocol::kit::KitUse;

/// A machine id in a file, as hosts have one.
fn machine(dir: &Path, id: char) -> String {
    let path = dir.join(format!("machine-id-{id}"));
    fs::write(&path, format!("{}\n", id.to_string().repeat(32))).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Legal wherever a stick may be plugged in: the rules of Windows are the strictest.
fn check_names(stick: &Path) {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com1", "lpt1"];
    for file in files(stick).unwrap() {
        assert!(fs::metadata(&file).unwrap().len() < 4 << 30, "{file:?}");
        let below = file.strip_prefix(stick).unwrap();
        for name in below.iter().map(|name| name.to_str().unwrap()) {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            assert!(
                name.chars().all(is_plain) && !name.ends_with('.'),
                "{file:?}"
            );
            let stem = name.split('.').next().unwrap().to_lowercase();
            assert!(!DEVICES.contains(&stem.as_str()), "{file:?}");
        }
    }
    let names: Vec<_> = files(stick).unwrap();
    let folded: BTreeSet<_> = names
        .iter()
        .map(|n| n.to_str().unwrap().to_lowercase())
        .collect();
    assert_eq!(folded.len(), names.len(), "two names are one without case");
}

#[test]
fn several_hosts_go_on_one_stick_of_each_file_system_and_come_back_with_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let stage = kit::stage(&dir.path().join("stage")).unwrap();
    let (tree, _) = evidence(&stage).unwrap();
    let profile = profile(&stage).unwrap();
    let (a, b) = (machine(dir.path(), 'a'), machine(dir.path(), 'b'));
    for kind in Kind::STICKS {
        let mut stick = Stick::plug_in(dir.path(), kind, 64).unwrap();
        put_on(&stage, stick.path(), &profile, &tree).unwrap();
        // Two hosts of one name, the first of them twice, and this one.
        let mut folders = Vec::new();
        let path = stick.path();
        let here = run(path, &["--json"]);
        let web = [&a, &b, &a].map(|id| run_on(("web", id), path, &["--json"]));
        for mut host in web.into_iter().chain([here]) {
            folders.push(whole(&finished(&mut host).unwrap()).unwrap());
        }
        check_names(stick.path());
        // Carried to the office.
        stick.unmount().unwrap();
        stick.mount().unwrap();
        let imported = import(&stage, stick.path(), &[]).unwrap();
        assert_eq!(imported.code, 0, "{kind:?}: {imported:?}");
        for folder in &folders {
            check_proven(&stage, folder);
        }
        let again = import(&stage, stick.path(), &["--wipe"]).unwrap();
        assert_eq!(again.code, 0, "{kind:?}: {again:?}");
        for file in files(&stick.path().join("evidence")).unwrap() {
            assert!(!file.to_str().unwrap().ends_with("zip.age"), "{file:?}");
        }
        check_names(stick.path());
        let hosts: Vec<_> = folders.iter().map(|f| host(&stage, f)).collect();
        assert_eq!(hosts[0], hosts[2], "one host twice");
        let all: BTreeSet<_> = hosts.iter().collect();
        assert_eq!(all.len(), 3, "two of one name: {hosts:?}");
        assert!(
            [0, 1, 2].iter().all(|at| hosts[*at].1 == "web"),
            "{hosts:?}"
        );
    }
}

/// Id and name of the host that a collection is of, as the vault's key opens the record of its use.
fn host(stage: &Stage, folder: &Path) -> (String, String) {
    let mut age = Command::new("age");
    age.arg("--decrypt")
        .arg("--identity")
        .arg(stage.path("vault/one.txt"));
    let opened = age.arg(folder.join("use.age")).output().unwrap();
    let envelope = Envelope::parse(&opened.stdout).unwrap();
    let used: KitUse = envelope.document(evidence::envelope::KIT_USE).unwrap();
    (used.host.id.to_string(), used.host.hostname)
}

/// Receipts lie beside the parts, and prove them.
fn check_proven(stage: &Stage, folder: &Path) {
    let verified = kit::verify(stage, folder).unwrap();
    assert!([0, 2].contains(&verified.code), "{verified:?}");
    kit::lacks(
        &verified,
        &[
            "receipt-absent",
            "receipt-invalid",
            "kit-mismatch",
            "enrolment-invalid",
        ],
    )
    .unwrap();
}
