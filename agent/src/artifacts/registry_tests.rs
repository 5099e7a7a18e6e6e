//! The registry, walked: what holds for every artifact.

use std::collections::BTreeSet;
use std::path::Path;

use super::testing::MemorySink;
use super::*;

#[test]
fn names_are_unique_and_in_form() {
    let mut seen = BTreeSet::new();
    for artifact in ARTIFACTS {
        let name = artifact.name();
        assert!(seen.insert(name), "{name} twice");
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
        assert!(artifact.about().ends_with('.'), "{name}: one sentence");
    }
}

#[test]
fn each_has_a_class_in_the_table_by_which_signatures_are_counted_and_nothing_else_has() {
    let gathered: Vec<_> = ARTIFACTS.iter().map(|a| a.name()).collect();
    let classed = protocol::artifacts::CLASSES.iter().map(|(name, _)| *name);
    assert_eq!(gathered, classed.collect::<Vec<_>>());
}

#[test]
fn fields_are_unique_and_told() {
    for artifact in ARTIFACTS {
        let mut seen = BTreeSet::new();
        for field in artifact.fields() {
            assert!(
                seen.insert(field.name),
                "{}: {} twice",
                artifact.name(),
                field.name
            );
            assert!(
                !field.kind.is_empty() && !field.about.is_empty(),
                "{}",
                field.name
            );
        }
    }
}

#[test]
fn the_volatile_come_first() {
    let volatile: Vec<bool> = ARTIFACTS.iter().map(|a| a.volatile()).collect();
    assert!(volatile.is_sorted_by(|a, b| a >= b), "{volatile:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn every_key_of_volatile_records_is_declared() {
    for artifact in ARTIFACTS.iter().filter(|a| a.volatile()) {
        let mut options = question(artifact.name());
        if artifact.asked() == Asked::Nothing {
            options["environment"] = true.into();
        }
        let sink = MemorySink::run(*artifact, Path::new("/"), options);
        assert_eq!(
            sink.undeclared(*artifact),
            Vec::<String>::new(),
            "{}",
            artifact.name()
        );
    }
}

/// Declared, and produced only where a test can't make it so: what changes while it is read, and what
/// takes rights or a file system that not every machine has. Each has a test of its own beside its code.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("persistence", &["immutable", "append_only", "born"]),
    (
        "file_hashes",
        &[
            "immutable",
            "append_only",
            "born",
            "xattrs",
            "xattrs_b64",
            "growth_cut",
            "shrank_while_read",
            "size_after_bytes",
            "modified_after",
            "changed_after",
        ],
    ),
    (
        "hunt_files",
        &[
            "immutable",
            "append_only",
            "born",
            "xattrs",
            "xattrs_b64",
            "target",
            "target_b64",
            "growth_cut",
            "shrank_while_read",
            "size_after_bytes",
            "modified_after",
            "changed_after",
        ],
    ),
];

/// What hunts are asked for, so that they find something.
fn question(artifact: &str) -> serde_json::Value {
    let abc = data_encoding::HEXLOWER.encode(&[0xab; 16]);
    match artifact {
        "hunt_files" => {
            use sha2::Digest as _;
            let digest = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(b"program"));
            serde_json::json!({"sha256": digest, "md5": abc, "sha1": [format!("{abc}01234567")]})
        }
        "hunt_connections" => serde_json::json!({"protocols": "tcp unix packet"}),
        "hunt_processes" => serde_json::json!({"executables": ["*"], "hidden_probe_ms": 0}),
        _ => serde_json::json!({"hidden_probe_ms": 0, "md5": true, "sha1": true}),
    }
}

/// A host's tree in which every artifact finds something for each of its fields.
#[cfg(target_os = "linux")]
fn full_tree() -> tempfile::TempDir {
    use crate::platform::names::OsStrExt as _;
    use std::{ffi::OsStr, fs, os::unix::fs::symlink};
    let root = tempfile::tempdir().unwrap();
    let at = |path: &[u8]| root.path().join(OsStr::from_bytes(path));
    let put = |path: &[u8], bytes: &[u8]| {
        let at = at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    };
    let link = |path: &[u8], target: &[u8]| {
        let at = at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(OsStr::from_bytes(target), at).unwrap();
    };
    put(
        b"etc/passwd",
        b"b\xff:x:0:0:\xff:/h\xff:/s\xff\nbob:x:1000:1000::/home/bob:/bin/sh\n",
    );
    put(b"etc/group", b"adm:x:4:bob\n");
    put(b"etc/shadow", b"bob:$y$j9T$x$y:19000:0:9:7::20000:\n");
    // A process with a program, a socket and a hook.
    let stat = b"7 (x) S 1 7 7 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 3 0 1 1 1";
    put(b"proc/7/stat", stat);
    put(b"proc/7/comm", b"x\n");
    put(b"proc/stat", b"btime 1\n");
    put(b"prog\xff", b"program");
    link(b"proc/7/exe", at(b"prog\xff").as_os_str().as_bytes());
    link(b"proc/7/ns/net", b"net:[1]");
    link(b"proc/7/ns/mnt", b"mnt:[2]");
    link(b"proc/7/fd/3", b"socket:[11]");
    link(b"proc/7/fd/4", b"anon_inode:bpf-map");
    put(b"proc/7/fdinfo/4", b"map_id:\t1\n");
    put(
        b"proc/7/net/tcp",
        b"h\n0: 0100007F:1F90 00000000:0000 0A 00000000:00000001 00:00000000 00000000 1000 0 11 1 f 1\n",
    );
    put(
        b"proc/7/net/unix",
        b"h\nff: 00000002 00000000 00010000 0001 01 12 /a\nb\xff\n",
    );
    put(b"proc/7/net/packet", b"h\n0 3 3 0003 2 1 0 0 13 \n");
    put(
        b"proc/7/net/dev",
        b"h\nh\n  l\xff: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n",
    );
    put(
        b"proc/7/net/route",
        b"h\neth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
    );
    put(
        b"proc/7/net/if_inet6",
        b"00000000000000000000000000000001 01 80 10 80 lo\n",
    );
    put(
        b"proc/7/net/arp",
        b"h\n192.0.2.1 0x1 0x2 02:00:00:00:00:01 * eth0\n",
    );
    put(
        b"proc/7/mountinfo",
        b"1 2 0:1 /\xff /\xfe rw shared:1 - overlay s\xff rw,lowerdir=/\xff\n\
          3 2 0:1 / /proc/9 rw - tmpfs t rw\n",
    );
    for (file, text) in [
        ("flags", "0x1003"),
        ("ifindex", "2"),
        ("mtu", "1500"),
        ("address", "02:00:00:00:00:02"),
        ("operstate", "up"),
    ] {
        put(
            &[b"sys/class/net/eth\xff/", file.as_bytes()].concat(),
            text.as_bytes(),
        );
    }
    put(b"etc/resolv.conf", b"nameserver 192.0.2.53\nsearch \xff\n");
    // The kernel.
    put(b"proc/modules", b"m\xff 16384 1 other, Live 0x0 (OE)\n");
    put(b"sys/module/n/initstate", b"live\n");
    put(b"sys/module/n/version", b"1\n");
    put(b"sys/module/n/srcversion", b"A\n");
    put(b"sys/module/n/parameters/p", b"\xff\n");
    put(b"proc/sys/kernel/tainted", b"4096\n");
    put(b"sys/kernel/security/lsm", b"\xff");
    put(b"sys/fs/bpf/p\xff", b"");
    // Logins.
    let mut login = vec![0_u8; 384];
    login[0] = 7;
    login[340] = 1;
    login[348] = 192;
    for at in [8, 40, 44, 76] {
        login[at] = 0xff;
    }
    put(b"var/log/wtmp", &login);
    put(b"var/log/btmp-\xff", &login);
    let mut last = vec![0_u8; 292];
    last[0] = 1;
    put(b"var/log/lastlog", &last);
    put(b"run/systemd/sessions/3", b"UID=0\n");
    // What the host is and starts.
    put(b"etc/hostname", b"h\xff\n");
    put(b"etc/os-release", b"ID=x\n");
    put(b"etc/cron.d/x\xff", b"x");
    link(b"etc/cron.d/link", b"/\xff");
    put(
        b"home/bob/.ssh/id_rsa",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
    );
    put(b"home/bob/.bashrc", b"HISTFILE=/dev/null\xff\n");
    put(b"h\xff/.bashrc", b"HISTSIZE=0\n");
    put(
        b"var/lib/dpkg/status",
        b"Package: \xff\nVersion: \xff\nArchitecture: \xff\nStatus: \xff\nMaintainer: \xff\nSource: \xff\n",
    );
    let sparse = fs::File::create(at(b"sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"x", 0).unwrap();
    sparse.set_len(1 << 40).unwrap();
    root
}

/// A field that no code writes any more, or that code stopped writing, is seen here.
#[cfg(target_os = "linux")]
#[test]
fn every_declared_field_is_produced() {
    let root = full_tree();
    let mut missing = Vec::new();
    for artifact in ARTIFACTS {
        // They have tests of their own, which compare every field.
        if artifact.name() == "processes" || artifact.name() == "hunt_processes" {
            continue;
        }
        let options = question(artifact.name());
        let mut records = Vec::new();
        for (root, path) in [(root.path(), "/"), (Path::new("/"), "/proc/none")] {
            // The running host tells what no tree can.
            if root == Path::new("/") && artifact.name() != "system" {
                continue;
            }
            let mut sink = MemorySink::default();
            let request = Request {
                is_running: true,
                root,
                paths: &[path.into()],
                options: options.as_object().unwrap(),
                own: &[],
                pace: &Pace::free(),
                bounds: None,
            };
            artifact.collect(&request, &mut sink).unwrap();
            assert_eq!(sink.undeclared(*artifact), Vec::<String>::new());
            records.extend(sink.records);
        }
        let has = |name: &str| {
            let told = |r: &&Record| r.get(name).is_some_and(|v| !v.is_null());
            records.iter().find(told).is_some()
        };
        let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == artifact.name());
        let elsewhere = elsewhere.map_or(&[][..], |(_, fields)| fields);
        let fields = artifact.fields().iter().map(|f| f.name);
        let silent = fields.filter(|name| !elsewhere.contains(name) && !has(name));
        missing.extend(silent.map(|name| (artifact.name(), name)));
    }
    assert_eq!(missing, []);
}

#[test]
fn what_must_be_asked_something_says_so_and_looks_at_nothing() {
    for artifact in ARTIFACTS.iter().filter(|a| a.asked() != Asked::Nothing) {
        for options in [
            serde_json::Value::Null,
            serde_json::json!({"no_such_option": 1}),
        ] {
            let sink = MemorySink::run(*artifact, Path::new("/"), options);
            assert!(sink.records.is_empty(), "{}", artifact.name());
            assert_eq!(sink.gaps.len(), 1, "{}", artifact.name());
        }
    }
}

#[test]
fn an_empty_tree_is_told_and_panics_nothing() {
    let root = tempfile::tempdir().unwrap();
    for artifact in ARTIFACTS {
        let sink = MemorySink::run(*artifact, root.path(), serde_json::Value::Null);
        assert_eq!(
            sink.undeclared(*artifact),
            Vec::<String>::new(),
            "{}",
            artifact.name()
        );
    }
}

/// What triage tools in use take by default on Linux, one sample a place.
const USUAL: &[&str] = &[
    "/etc/any/where",
    "/usr/local/etc/any",
    "/boot/config-6.1",
    "/boot/efi",
    "/boot/grub/grub.cfg",
    "/boot/initrd.img-6.1",
    "/boot/System.map-6.1",
    "/boot/symvers-6.1.gz",
    "/root/.bash_history",
    "/root/.profile",
    "/home/bob/.bashrc",
    "/home/bob/.zsh_history",
    "/home/bob/.bash_logout",
    "/home/bob/.python_history",
    "/home/bob/.config/any/where",
    "/home/bob/.config/systemd/user/x.service",
    "/home/bob/.config/autostart/x.desktop",
    "/home/bob/.wget-hsts",
    "/home/bob/.gitconfig",
    "/home/bob/.selected_editor",
    "/home/bob/.viminfo",
    "/home/bob/.lesshst",
    "/home/bob/.ssh/authorized_keys",
    "/home/bob/.ssh/known_hosts",
    "/home/bob/.ssh/id_rsa.pub",
    "/home/bob/.ssh/rc",
    "/home/bob/.rhosts",
    "/home/bob/.local/share/recently-used.xbel",
    "/home/bob/.local/share/Trash/info/x.trashinfo",
    "/etc/ssh/sshd_config",
    "/etc/ld.so.preload",
    "/etc/NetworkManager/system-connections/x",
    "/var/log/any/where",
    "/var/spool/at/x",
    "/var/spool/cron/crontabs/bob",
    "/var/spool/anacron/cron.daily",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/info/x.md5sums",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/db/any",
    "/var/adm/any",
    "/var/audit/any",
    "/var/cron/tabs/x",
    "/var/at/tabs/x",
    "/var/lib/pve-cluster/config.db",
    "/usr/lib/cron/x",
    "/usr/lib/systemd/system/x.service",
    "/run/systemd/transient/x.service",
    "/run/any",
    "/run/log/journal/1/x.journal",
    "/var/lib/docker/containers/1/config.v2.json",
    "/var/lib/docker/containers/1/1-json.log",
    "/etc/docker/daemon.json",
    "/etc/libvirt/qemu/x.xml",
    "/lib/apk/db/installed",
];

#[test]
fn what_others_take_is_taken_and_private_keys_are_not() {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let at = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, text).unwrap();
    };
    put("/etc/passwd", "bob:x:1:1::/home/bob:/bin/sh\n");
    USUAL.iter().for_each(|path| put(path, "x"));
    let key = "/home/bob/.ssh/id_rsa";
    put(key, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let mut sink = MemorySink::default();
    for artifact in ARTIFACTS {
        let one = MemorySink::run(*artifact, root.path(), serde_json::Value::Null);
        sink.files.extend(one.files);
        sink.left_out.extend(one.left_out);
    }
    let taken = |path: &&&str| !sink.files.iter().any(|f| f == Path::new(path));
    let missing: Vec<_> = USUAL.iter().filter(taken).collect();
    assert_eq!(missing, Vec::<&&str>::new());
    assert!(!sink.files.iter().any(|f| f == Path::new(key)));
    assert!(sink.left_out.iter().any(|f| f == Path::new(key)));
}
