//! A kit: built, carried to a host, used without network, altered, approved by two, brought back. With the real programs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::{
    args,
    kit::{OPERATOR, build, collect, evidence, files, finished, json, run_on, small},
    programs,
    stage::Stage,
};

const BOBS: &str = "home-of-bob";
/// Long enough that no chance puts it into ciphertext or ids.
const HOST: &str = "plant-gateway-seven";

fn quiet(_: &str) {}

/// Ann investigates and administers, bob approves; whole files need two.
fn stage(dir: &Path) -> Stage {
    let people: [(&str, &str, &[&str]); 2] = [
        ("ann", "Ann Example", &["investigator", "admin", "auditor"]),
        ("bob", "Bob Example", &["approver", "investigator"]),
    ];
    let stage = Stage::deployed(
        dir,
        quiet,
        &people,
        &["--threshold-files", "2"],
        "connected",
    )
    .unwrap();
    stage.set_up_at(BOBS, "bob").unwrap();
    stage
}

#[test]
fn a_stick_collects_without_network_tells_nothing_when_lost_and_is_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    let stick = dir.path().join("stick");
    let built = small(&stage, &stick, &args!["--uses", "1"]).unwrap();
    assert_eq!(built.code, 0, "{built:?}");
    assert!(
        built.err.contains("any host, as of the agency"),
        "{built:?}"
    );
    assert!(
        !stage
            .path("home/kits")
            .read_dir()
            .unwrap()
            .any(|e| e.is_ok())
    );
    let sums = Command::new("sha256sum")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .current_dir(&stick)
        .status();
    assert!(sums.unwrap().success());

    let mut there = run_on(
        (HOST, "/etc/machine-id"),
        &stick,
        &["--medium", "S-77", "--json"],
    );
    let done = finished(&mut there).unwrap();
    assert!([0, 2].contains(&done.code), "{done:?}");
    let folder = PathBuf::from(json(&done.out).unwrap()["folder"].as_str().unwrap());
    assert!(folder.starts_with(&stick));
    for file in files(&stick.join("evidence")).unwrap() {
        let bytes = fs::read(&file).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(
            !holds(OPERATOR) && !holds("evidence\n"),
            "{}",
            file.display()
        );
        assert!(!holds(HOST), "{} names the host", file.display());
    }

    let vault = stage.path("vault/one.txt");
    let root = stage.path("trust/root.crt");
    let verify = args![
        "verify",
        folder,
        "--trust",
        root,
        "--identity",
        vault,
        "--json"
    ];
    let verified = stage.fieldseal(&verify).unwrap();
    assert_eq!(verified.code, 2, "no receipt yet: {verified:?}");
    for said in ["Olga Operator", "S-77", "no network there"] {
        assert!(verified.out.contains(said), "{said}: {}", verified.out);
    }
    for lacking in ["kit-mismatch", "signer-unknown", "enrolment-absent"] {
        assert!(
            !verified.out.contains(lacking),
            "{lacking}: {}",
            verified.out
        );
    }

    let again = collect(&stick, &[]).unwrap();
    assert_eq!(again.code, 1);
    assert!(
        again.err.contains("as often as its order allows"),
        "{again:?}"
    );

    // Back at the office, where the server runs.
    let import = || {
        let home = stage.path("server");
        let arguments = args![
            "import",
            &stick,
            "--dir",
            home,
            "--by",
            "Ann Example",
            "--json"
        ];
        stage.run("fieldseal-server", &arguments).unwrap()
    };
    let imported = import();
    assert_eq!(imported.code, 0, "{imported:?}");
    for receipt in ["part-0001.receipt", "imported.receipt", "enrolment.receipt"] {
        assert!(folder.join(receipt).is_file(), "{receipt}: {imported:?}");
    }
    let verified = stage.fieldseal(&verify).unwrap();
    for lacking in [
        "receipt-absent",
        "receipt-invalid",
        "enrolment-invalid",
        "kit-mismatch",
    ] {
        assert!(
            !verified.out.contains(lacking),
            "{lacking}: {}",
            verified.out
        );
    }
    let size = || {
        let audited = stage.fieldseal(&args!["audit"]).unwrap();
        assert_eq!(audited.code, 0, "{audited:?}");
        for said in [
            "was certified for ann",
            "on a host without network",
            "was brought in by hand",
        ] {
            assert!(audited.out.contains(said), "{said}: {}", audited.out);
        }
        audited.out.lines().count()
    };
    let before = size();
    assert_eq!(import().code, 0, "a second time changes nothing");
    assert_eq!(size(), before);
    let order = json(&built.out).unwrap()["order"]
        .as_str()
        .unwrap()
        .to_owned();
    let fetched = stage.path("fetched");
    let outcome = stage
        .fieldseal(&args!["fetch", order, "--output", fetched])
        .unwrap();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let verified = stage
        .fieldseal(&args![
            "verify",
            fetched,
            "--trust",
            root,
            "--identity",
            vault
        ])
        .unwrap();
    assert!([0, 2].contains(&verified.code), "{verified:?}");
    let listed = stage.fieldseal(&args!["list"]).unwrap();
    assert!(listed.out.contains(HOST), "{listed:?}");
}

#[test]
fn an_altered_kit_refuses_to_run_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    let stick = dir.path().join("stick");
    assert_eq!(small(&stage, &stick, &[]).unwrap().code, 0);
    let alter = |what: &str, change: &dyn Fn(&Path)| {
        let copy = dir.path().join(what);
        let copied = Command::new("cp").arg("-r").args([&stick, &copy]).status();
        assert!(copied.unwrap().success());
        change(&copy);
        let refused = collect(&copy, &[]).unwrap();
        assert_eq!(refused.code, 1, "{what}: {refused:?}");
        assert!(refused.err.contains("ALTERED"), "{what}: {refused:?}");
        assert!(files(&copy.join("evidence")).unwrap().is_empty(), "{what}");
    };
    let append = |name: &'static str| {
        move |copy: &Path| {
            let path = copy.join(name);
            let mut bytes = fs::read(&path).unwrap();
            bytes.push(b'\n');
            fs::write(path, bytes).unwrap();
        }
    };
    alter("readme", &append("README.txt"));
    alter("sums", &append("SHA256SUMS"));
    alter("target", &append("kit/target.json"));
    alter("more", &|copy| {
        fs::write(copy.join("kit/more"), "x").unwrap()
    });
    alter("key", &|copy| {
        let path = copy.join("kit/seal.pem");
        fs::write(&path, fs::read(stage.path("keys/ann/signing.key")).unwrap()).unwrap();
    });
    let whole = Command::new("sh")
        .arg(stick.join("run.sh"))
        .arg("--check")
        .status();
    assert!(whole.unwrap().success());
}

#[test]
fn the_policys_threshold_and_the_named_hosts_hold_for_kits_too() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    let (tree, _) = evidence(&stage).unwrap();
    let stick = dir.path().join("stick");
    let files = args![
        "--profile",
        "files",
        "--path",
        tree,
        "--output",
        stick,
        "--passphrase"
    ];
    let waits = build(&stage, &files).unwrap();
    assert_eq!(waits.code, 1, "no passphrase, no terminal: {waits:?}");
    let files = args!["--profile", "files", "--path", tree, "--output", stick];
    let waits = build(&stage, &files).unwrap();
    assert_eq!(waits.code, 2, "{waits:?}");
    let order = waits.order().unwrap();
    let early = args!["kit", "build", "--order", order, "--output", stick];
    assert_eq!(stage.fieldseal(&early).unwrap().code, 2);
    assert!(!stick.join("kit").exists());
    let approved = stage.fieldseal_at(BOBS, &args!["approve", order]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    assert!(
        approved.err.contains("which seals with the key"),
        "{approved:?}"
    );
    let built = stage.fieldseal(&early).unwrap();
    assert_eq!(built.code, 0, "{built:?}");
    let done = collect(&stick, &["--json"]).unwrap();
    assert!([0, 2].contains(&done.code), "{done:?}");

    let other = dir.path().join("other");
    let named = small(&stage, &other, &args!["--host", "some-other-host"]).unwrap();
    assert_eq!(named.code, 0, "{named:?}");
    let refused = collect(&other, &[]).unwrap();
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("does not name this host"),
        "{refused:?}"
    );
}

/// Calls by which a file system is changed.
const CHANGES: &str = "openat,open,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,truncate,\
     chmod,fchmodat,chown,fchownat,utimensat,setxattr,mknod,mknodat,socket,connect";

#[test]
fn nothing_is_written_but_on_the_stick_and_nobody_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    let stick = dir.path().canonicalize().unwrap().join("stick");
    assert_eq!(small(&stage, &stick, &[]).unwrap().code, 0);
    let log = dir.path().join("calls");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", &format!("trace={CHANGES}"), "-o"])
        .arg(&log);
    let agent = stick.join(format!(
        "bin/linux-{}/fieldseal-agent",
        std::env::consts::ARCH
    ));
    command.arg(agent).arg("kit").arg("--kit").arg(&stick);
    command.args(["--operator", OPERATOR, "--location", "Room 1"]);
    let done = programs::run(&mut command, &quiet).unwrap();
    assert!([0, 2].contains(&done.code), "{done:?}");
    let calls = fs::read_to_string(&log).unwrap();
    assert!(
        calls.contains(".partial"),
        "the trace sees what is written: {calls}"
    );
    let on_stick = format!("\"{}/", stick.display());
    for call in calls.lines() {
        let is_read =
            call.contains("open") && call.contains("O_RDONLY") && !call.contains("O_CREAT");
        let is_local = call.contains("socket(AF_UNIX") || call.contains("socket(AF_NETLINK");
        // What failed changed nothing, and /dev/null keeps nothing.
        let is_void = call.contains(" = -1 ") || call.contains("\"/dev/null\"");
        let is_end = call.contains("resumed>") || call.contains("+++") || call.contains("---");
        assert!(
            is_read || is_local || is_void || is_end || call.contains(&on_stick),
            "{call}"
        );
    }
}
