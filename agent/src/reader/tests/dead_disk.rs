//! A disk whose system does not run: its own names and files, no link out of it, and nothing that only a kernel tells.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, SystemTime},
};

use evidence::gap::{Reason, Severity};

use super::fixture::{Fixture, Part, gaps};
use crate::artifacts::{ARTIFACTS, Artifact, Asked};

/// What a folder outside of the disk holds, where links of the disk would lead if they were followed as they are.
const OUTSIDE: &[u8] = b"outsider:x:0:0::/:/bin/sh\n";

fn disk() -> Fixture {
    let mut disk = Fixture::new();
    disk.is_running = false;
    disk.put("usr/lib/os-release", b"PRETTY_NAME=\"Old System\"\n");
    disk.put("etc/hostname", b"dead-1\n");
    disk.put("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
    disk.put("real/passwd", b"ann:x:7:7::/home/ann:/bin/sh\n");
    disk.put("real/hosts", b"192.0.2.1 inside\n");
    disk.put("home/ann/.bash_history", b"id\n");
    // Absolute, as systems have them: they mean the disk's own root.
    symlink("/usr/lib/os-release", disk.path("etc/os-release")).unwrap();
    symlink("/real/passwd", disk.path("etc/passwd")).unwrap();
    symlink("../../../../real/hosts", disk.path("etc/hosts")).unwrap();
    disk
}

fn all() -> Vec<&'static dyn Artifact> {
    let alone = |a: &&'static dyn Artifact| a.asked() == Asked::Nothing;
    ARTIFACTS.iter().copied().filter(alone).collect()
}

#[test]
fn it_is_collected_under_its_own_name_and_its_links_stay_inside() {
    let disk = disk();
    let parts = disk.collect(&all());
    let record = parts[0].record();
    let host = &record.host_identity;
    assert_eq!(host.hostname, "dead-1");
    assert_eq!(host.os_version.as_deref(), Some("Old System"));
    assert_eq!(host.machine_id.as_ref().unwrap().len(), 32);
    assert_eq!((&host.kernel, &host.hardware), (&None, &None));
    assert_eq!((record.boot_time, host.arch.as_str()), (None, "unknown"));
    let read = record.dead_disk.unwrap();
    assert_eq!(read.mounted_at, disk.host.path().to_str().unwrap());
    assert_eq!(
        read.read_by.kernel,
        crate::host::identity("/".as_ref()).kernel
    );
    let records = |name: &str| -> Vec<serde_json::Value> {
        let name = format!("results/{name}.jsonl");
        parts.iter().flat_map(|p| p.lines(&name)).collect()
    };
    let accounts = records("accounts");
    assert!(accounts.iter().any(|a| a["name"] == "ann"), "{accounts:?}");
    let resolution = records("network");
    assert_eq!(resolution.len(), 2, "{resolution:?}");
    let hosts = resolution.iter().find(|r| r["path"] == "/etc/hosts");
    assert_eq!(hosts.unwrap()["lines"][0], "192.0.2.1 inside");
    let history = b"id\n".as_slice();
    let taken = |p: &Part| p.entries.get("fs/$rootfs$/home/ann/.bash_history").cloned();
    assert_eq!(parts.iter().find_map(taken).as_deref(), Some(history));
}

#[test]
fn what_only_a_running_system_tells_is_said_to_be_not_applicable() {
    let parts = disk().collect(&all());
    let gaps = gaps(&parts);
    let not_applicable: Vec<_> = gaps
        .iter()
        .filter(|g| g.reason == Reason::NotApplicable)
        .map(|g| g.artifact.as_str())
        .collect();
    let running = all().into_iter().filter(|a| a.needs_running());
    let mut expected: Vec<_> = running.map(|a| a.name()).collect();
    // These tell of both.
    expected.extend(["network", "sessions", "system"]);
    let sorted = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(sorted(not_applicable), sorted(expected));
    let ordinary = |g: &&evidence::gap::Gap| g.reason == Reason::NotApplicable;
    assert!(
        gaps.iter()
            .filter(ordinary)
            .all(|g| g.severity == Severity::Ordinary)
    );
}

#[test]
fn access_times_stay_where_they_are() {
    let disk = disk();
    let read = [
        "var/log/wtmp",
        "var/lib/dpkg/status",
        "etc/shadow",
        "etc/hostname",
        "real/passwd",
        "real/hosts",
        "home/ann/.bash_history",
    ];
    for name in ["var/log/wtmp", "var/lib/dpkg/status", "etc/shadow"] {
        disk.put(name, b"x:y:0:0");
    }
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in read {
        let file = fs::File::open(disk.path(name)).unwrap();
        file.set_times(fs::FileTimes::new().set_accessed(old))
            .unwrap();
    }
    disk.collect(&all());
    for name in read {
        let accessed = fs::metadata(disk.path(name)).unwrap().accessed().unwrap();
        assert_eq!(accessed, old, "{name}");
    }
}

#[test]
fn no_link_leads_out_of_it() {
    let disk = disk();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("passwd"), OUTSIDE).unwrap();
    let out = outside.path().join("passwd");
    for name in ["etc/passwd", "etc/hosts", "etc/os-release"] {
        fs::remove_file(disk.path(name)).unwrap();
    }
    for name in [
        "etc/passwd",
        "etc/shadow",
        "etc/hosts",
        "etc/hostname2",
        "etc/crontab",
    ] {
        symlink(&out, disk.path(name)).unwrap();
    }
    fs::create_dir_all(disk.path("var/log")).unwrap();
    for name in [
        "var/log/wtmp",
        "var/log/btmp",
        "var/log/lastlog",
        "var/log/syslog",
    ] {
        symlink(&out, disk.path(name)).unwrap();
    }
    // A folder, and one that climbs.
    symlink(outside.path(), disk.path("etc/cron.d")).unwrap();
    let climbs = format!("{}{}", "../".repeat(30), outside.path().display());
    symlink(climbs, disk.path("etc/ssh")).unwrap();
    let parts = disk.collect(&all());
    for part in &parts {
        for (name, bytes) in &part.entries {
            let holds = bytes.windows(8).any(|w| w == b"outsider");
            assert!(!holds, "{name} holds what lies outside of the disk");
        }
    }
}
