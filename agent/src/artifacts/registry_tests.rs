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
    let options = serde_json::json!({"environment": true, "hidden_probe_ms": 0});
    for artifact in ARTIFACTS.iter().filter(|a| a.volatile()) {
        let sink = MemorySink::run(*artifact, Path::new("/"), options.clone());
        assert_eq!(
            sink.undeclared(*artifact),
            Vec::<String>::new(),
            "{}",
            artifact.name()
        );
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
