//! Where a walk goes by itself and where only when asked, and what stands beside a file's contents.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "skipped tests are for who reads the output"
)]

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use rustix::fs::{IFlags, XattrFlags, fsetxattr, ioctl_getflags, ioctl_setflags};
use serde_json::json;

use evidence::gap::Reason;

use super::{
    tests::{record_of, run_at as run},
    *,
};
use crate::{
    artifacts::{Record, testing::MemorySink},
    files::{record::StatRecord, stat::Stat},
};

fn of<'a>(sink: &'a MemorySink, path: &str) -> Option<&'a Record> {
    sink.records.iter().find(|r| r["path"] == path)
}

/// The gap that says that `path` was not entered.
fn elsewhere(sink: &MemorySink, path: &str) -> bool {
    let not_entered = |g: &&_| {
        let crate::artifacts::testing::SeenGap {
            subject, reason, ..
        } = *g;
        subject == path && *reason == Reason::OtherFileSystem
    };
    sink.gaps.iter().any(|g| not_entered(&g))
}

#[test]
fn other_machines_file_systems_are_entered_only_on_request() {
    let tree = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let at = tree.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, text).unwrap();
    };
    put(
        "proc/self/mountinfo",
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
         21 20 0:30 / /mnt/far rw - nfs4 server:/x rw\n\
         22 20 0:31 / /mnt/mine rw - fuse.sshfs x rw\n\
         23 20 0:32 / /mnt/memory rw - tmpfs tmpfs rw\n",
    );
    for folder in ["far", "mine", "memory"] {
        put(&format!("mnt/{folder}/file"), "x");
    }
    let (root, path) = (tree.path(), Path::new("/mnt"));
    let without = run(root, path, &json!({}));
    for folder in ["/mnt/far", "/mnt/mine"] {
        assert!(elsewhere(&without, folder), "{folder}");
        assert!(of(&without, &format!("{folder}/file")).is_none());
    }
    // This host's own memory is no other file system.
    assert!(of(&without, "/mnt/memory/file").is_some());
    let with = run(root, path, &json!({"other_file_systems": true}));
    for folder in ["far", "mine", "memory"] {
        assert!(
            of(&with, &format!("/mnt/{folder}/file")).is_some(),
            "{folder}"
        );
    }
    assert_eq!(with.gaps, []);
    // One that was asked for by name is entered all the same.
    let named = run(root, Path::new("/mnt/far"), &json!({}));
    assert!(of(&named, "/mnt/far/file").is_some());
}

/// Something mounted for a test, and unmounted after it.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// None, and said, where this test may not mount.
    fn new(kind: &str, options: &str, at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", kind, "-o", options, kind]).arg(at);
        match mount.output() {
            Ok(out) if out.status.success() => Some(Self(at.to_owned())),
            other => {
                println!("SKIPPED: no {kind} can be mounted here (that takes root): {other:?}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: nothing may be left mounted, whatever a failed test has open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn layers_of_other_folders_are_entered_only_on_request_and_memory_always() {
    let tree = tempfile::tempdir().unwrap();
    let at = |path: &str| tree.path().join(path);
    // An overlay can't lie on every file system; it can on this one.
    let Some(memory) = Mounted::new("tmpfs", "size=1m,mode=700", &at("memory")) else {
        return;
    };
    fs::write(memory.0.join("file"), "x").unwrap();
    for folder in ["lower", "upper", "work"] {
        fs::create_dir(memory.0.join(folder)).unwrap();
    }
    fs::write(memory.0.join("lower/layered"), "x").unwrap();
    let below = |name: &str| format!("{}dir={}", name, memory.0.join(name).display());
    let options = format!(
        "{},{},workdir={}",
        below("lower"),
        below("upper"),
        memory.0.join("work").display()
    );
    let sees = |sink: &MemorySink, path: &str| of(sink, path).is_some();
    let path = Path::new("/");
    let without = run(tree.path(), path, &json!({}));
    assert!(sees(&without, "/memory/file") && without.gaps.is_empty());
    let Some(_layers) = Mounted::new("overlay", &options, &at("layers")) else {
        return;
    };
    let without = run(tree.path(), path, &json!({}));
    assert!(elsewhere(&without, "/layers"));
    assert!(!sees(&without, "/layers/layered") && sees(&without, "/memory/lower/layered"));
    let with = run(tree.path(), path, &json!({"other_file_systems": true}));
    assert!(sees(&with, "/layers/layered") && with.gaps.is_empty());
}

#[test]
fn extended_attributes_stand_in_the_record_byte_for_byte() {
    let tree = tempfile::tempdir().unwrap();
    let file = File::create(tree.path().join("f")).unwrap();
    File::create(tree.path().join("bare")).unwrap();
    let set: [(&[u8], &[u8]); 4] = [
        (b"user.note", b"a\0\xff"),
        (b"user.empty", b""),
        (b"user.\xff1", b"one"),
        (b"user.\xfe1", b"another"),
    ];
    for (name, value) in set {
        if let Err(error) = fsetxattr(&file, name, value, XattrFlags::CREATE) {
            println!("SKIPPED: this file system takes no user attributes ({error})");
            return;
        }
    }
    let sink = run(tree.path(), Path::new("/"), &json!({}));
    let exact = data_encoding::BASE64.encode(b"a\0\xff");
    assert_eq!(of(&sink, "/f").unwrap()["xattrs"]["user.note"], exact);
    assert_eq!(of(&sink, "/f").unwrap()["xattrs"]["user.empty"], "");
    assert_eq!(
        of(&sink, "/f").unwrap()["xattrs"]
            .as_object()
            .unwrap()
            .len(),
        2
    );
    let b64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    assert_eq!(
        of(&sink, "/f").unwrap()["xattrs_b64"],
        json!({b64(b"user.\xff1"): b64(b"one"), b64(b"user.\xfe1"): b64(b"another")})
    );
    assert!(!of(&sink, "/bare").unwrap().contains_key("xattrs"));
}

#[test]
fn what_a_file_became_while_it_was_read_stands_beside_what_it_was() {
    let tree = tempfile::tempdir().unwrap();
    let path = tree.path().join("f");
    fs::write(&path, "before").unwrap();
    let (folder, name) = open_parent(tree.path(), Path::new("/f")).unwrap();
    let stat = folder.look(&name).unwrap();
    let opened = folder.open(&name, &stat).unwrap();
    let (entry, file) = Entry::opened("/f".into(), opened);
    fs::write(&path, "longer than before").unwrap();
    let (pace, stop) = (Pace::free(), AtomicBool::new(false));
    let mut digesting = Digesting::new(Wanted::default());
    digesting.add(entry, file, &stat, (&pace, &stop));
    let (record, _) = record_of(digesting.next((&pace, &stop)).unwrap());
    let now = Stat::of_open(File::open(&path).unwrap()).unwrap();
    assert_eq!(record["size_bytes"], 6);
    assert_eq!(record["size_after_bytes"], 18);
    assert_eq!(record["changed_while_read"], true);
    assert_eq!(record["modified_after"], json!(now.modified));
    assert_eq!(record["changed_after"], json!(now.changed));
}

/// A file with a flag that would keep it from being removed.
struct Flagged(File);

impl Drop for Flagged {
    fn drop(&mut self) {
        let _ = ioctl_setflags(&self.0, IFlags::empty());
    }
}

#[test]
fn immutable_and_append_only_files_are_marked() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("plain"), "x").unwrap();
    let mut flagged = Vec::new();
    for (name, flag) in [
        ("immutable", IFlags::IMMUTABLE),
        ("append_only", IFlags::APPEND),
    ] {
        let file = Flagged(File::create(tree.path().join(name)).unwrap());
        let set = ioctl_getflags(&file.0).and_then(|old| ioctl_setflags(&file.0, old | flag));
        if let Err(error) = set {
            println!("SKIPPED: the flag can't be set here (that takes root): {error}");
            return;
        }
        flagged.push(file);
    }
    let sink = run(tree.path(), Path::new("/"), &json!({}));
    for (path, is_immutable, is_append_only) in [
        ("/immutable", true, false),
        ("/append_only", false, true),
        ("/plain", false, false),
    ] {
        let record = of(&sink, path).unwrap();
        let is = |key: &str| record.get(key) == Some(&true.into());
        assert_eq!(
            (is("immutable"), is("append_only")),
            (is_immutable, is_append_only),
            "{path}"
        );
    }
}

/// As above where no flag can be set: what statx said stands in the record.
#[test]
fn what_the_system_says_of_the_flags_is_told() {
    let tree = tempfile::tempdir().unwrap();
    let file = File::create(tree.path().join("f")).unwrap();
    let stat = Stat::of_open(&file).unwrap();
    for (immutable, append_only) in [(true, false), (false, true), (false, false)] {
        let stat = Stat {
            immutable,
            append_only,
            ..stat
        };
        let record = serde_json::to_value(StatRecord::from(&stat)).unwrap();
        assert_eq!(record.get("immutable").is_some(), immutable);
        assert_eq!(record.get("append_only").is_some(), append_only);
    }
}
