//! What the host is: system, kernel, command line, times, hardware, virtualisation; one record a fact's group.
//!
//! Everything is read from files of the tree, so that a mounted disk gives what it has. The running kernel's own words
//! (/proc, /sys) are asked only where the tree is the running host.

use std::path::Path;

use evidence::{gap::Reason, instant::Instant};
use serde_json::Map;

use super::source::{not_running, put_bytes, time};
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::{
    read_small,
    record::field,
    rules::{Rule, rule, sweep},
};

const SMALL_BYTES: u64 = 64 * 1024;

/// One fact a file: group, key, path.
const FACTS: &[(&str, &str, &str)] = &[
    ("identity", "hostname", "/etc/hostname"),
    ("identity", "machine_id", "/etc/machine-id"),
    ("identity", "debian_version", "/etc/debian_version"),
    ("identity", "time_zone", "/etc/timezone"),
    ("kernel", "kernel_hostname", "/proc/sys/kernel/hostname"),
    ("kernel", "kernel_domain", "/proc/sys/kernel/domainname"),
    ("kernel", "kernel_release", "/proc/sys/kernel/osrelease"),
    ("kernel", "kernel_version", "/proc/version"),
    ("kernel", "kernel_command_line", "/proc/cmdline"),
    ("kernel", "boot_id", "/proc/sys/kernel/random/boot_id"),
    ("kernel", "uptime", "/proc/uptime"),
    ("kernel", "load", "/proc/loadavg"),
    ("kernel", "core_pattern", "/proc/sys/kernel/core_pattern"),
    (
        "kernel",
        "kexec_load_disabled",
        "/proc/sys/kernel/kexec_load_disabled",
    ),
    ("kernel", "lockdown", "/sys/kernel/security/lockdown"),
    ("kernel", "security_modules", "/sys/kernel/security/lsm"),
    ("kernel", "selinux_enforce", "/sys/fs/selinux/enforce"),
    (
        "kernel",
        "clock_source",
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    ),
    ("hardware", "vendor", "/sys/class/dmi/id/sys_vendor"),
    ("hardware", "product", "/sys/class/dmi/id/product_name"),
    (
        "hardware",
        "product_serial",
        "/sys/class/dmi/id/product_serial",
    ),
    ("hardware", "product_uuid", "/sys/class/dmi/id/product_uuid"),
    ("hardware", "board_vendor", "/sys/class/dmi/id/board_vendor"),
    ("hardware", "board", "/sys/class/dmi/id/board_name"),
    ("hardware", "board_serial", "/sys/class/dmi/id/board_serial"),
    ("hardware", "chassis", "/sys/class/dmi/id/chassis_type"),
    ("hardware", "bios_vendor", "/sys/class/dmi/id/bios_vendor"),
    ("hardware", "bios_version", "/sys/class/dmi/id/bios_version"),
    ("hardware", "bios_date", "/sys/class/dmi/id/bios_date"),
    ("virtualisation", "hypervisor_type", "/sys/hypervisor/type"),
    ("virtualisation", "hypervisor_uuid", "/sys/hypervisor/uuid"),
];

const FIELDS: &[Field] = &[
    field(
        "group",
        "string",
        "identity, os_release, kernel, clock, hardware, virtualisation, base",
    ),
    field(
        "name",
        "string",
        "the fact's name (os_release: the file's own key)",
    ),
    field("value", "string", "what the system says"),
    field(
        "value_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field(
        "source",
        "string",
        "the file, or the kernel call, that said it",
    ),
    field(
        "time",
        "string, RFC 3339",
        "the value, where the fact is a point in time",
    ),
];

const RULES: &[Rule] = &[
    rule("/etc/os-release"),
    rule("/usr/lib/os-release"),
    rule("/etc/*-release"),
    rule("/etc/*_version"),
    rule("/etc/hostname"),
    rule("/etc/machine-id"),
    rule("/etc/timezone"),
    rule("/etc/localtime"),
    rule("/etc/adjtime"),
    rule("/etc/fstab"),
    rule("/etc/hosts"),
    rule("/etc/**"),
    rule("/usr/local/etc/**"),
    rule("/var/run"),
    rule("/run/**"),
    rule("/boot/{config,efi,grub,init,symvers,System.map,system,pve}*"),
    rule("/boot/{grub,grub2,loader}/*.{cfg,conf,env}"),
    rule("/boot/grub*/**"),
    rule("/boot/loader/**"),
    rule("/var/lib/pve-{cluster,firewall,manager}/**"),
    rule("/var/db/**"),
    rule("/var/lib/NetworkManager/**"),
    rule("/var/lib/dhcp/**"),
];

/// The artifact.
#[derive(Debug)]
pub struct System;

impl Artifact for System {
    fn name(&self) -> &'static str {
        "system"
    }

    fn about(&self) -> &'static str {
        "What the host is: system, kernel, boot, clock, hardware, virtualisation, and its settings."
    }

    fn files(&self) -> Vec<&'static str> {
        RULES.iter().map(|r| r.pattern).collect()
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let is_live = request.is_running;
        for (group, name, path) in FACTS {
            if is_live || !path.starts_with("/proc") && !path.starts_with("/sys") {
                fact(request.root, group, name, path, sink)?;
            }
        }
        os_release(request.root, sink)?;
        if is_live {
            live(request.root, sink)?;
        } else {
            not_running("kernel, clock and hardware", sink)?;
        }
        sweep(request.place(), RULES, &[], sink)
    }
}

fn fact(
    root: &Path,
    group: &str,
    name: &str,
    path: &str,
    sink: &mut dyn Sink,
) -> Result<(), Stopped> {
    match read_small(root, Path::new(path), SMALL_BYTES) {
        Ok(bytes) => sink.record(one(group, name, bytes.trim_ascii(), path)),
        // Not every host has every fact; that it has none is no gap.
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => sink.gap(path, error.reason(), &error.to_string()),
    }
}

fn one(group: &str, name: &str, value: &[u8], source: &str) -> Record {
    let mut record = Map::new();
    record.insert("group".to_owned(), group.into());
    record.insert("name".to_owned(), name.into());
    put_bytes(&mut record, "value", value);
    record.insert("source".to_owned(), source.into());
    record
}

fn os_release(root: &Path, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let path = "/etc/os-release";
    let bytes = match read_small(root, Path::new(path), SMALL_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => return sink.gap(path, error.reason(), &error.to_string()),
    };
    for line in String::from_utf8_lossy(&bytes).lines() {
        if let Some((key, value)) = line.split_once('=').filter(|(k, _)| !k.starts_with('#')) {
            let value = value.trim_matches(['"', '\'']);
            sink.record(one("os_release", key, value.as_bytes(), path))?;
        }
    }
    Ok(())
}

/// What only the running kernel knows.
fn live(root: &Path, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let mut clock = one("clock", "now", b"", "clock_gettime(CLOCK_REALTIME)");
    let now = Instant::now();
    clock.insert("time".to_owned(), time(now.seconds, now.ns));
    sink.record(clock)?;
    boot_time(sink)?;
    base(sink)?;
    virtualisation(root, sink)
}

fn boot_time(sink: &mut dyn Sink) -> Result<(), Stopped> {
    match sysinfo::System::boot_time() {
        Ok(boot) => {
            let mut record = one(
                "clock",
                "boot_time",
                boot.to_string().as_bytes(),
                "/proc/stat",
            );
            let seconds = i64::try_from(boot).unwrap_or(i64::MAX);
            record.insert("time".to_owned(), time(seconds, 0));
            sink.record(record)
        }
        Err(error) => {
            let text = format!("The boot time can't be read: {error}.");
            sink.gap("boot time", Reason::Unsupported, &text)
        }
    }
}

/// The portable base, the same on every system.
fn base(sink: &mut dyn Sink) -> Result<(), Stopped> {
    let own = [
        ("os_name", sysinfo::System::name()),
        ("os_version", sysinfo::System::long_os_version()),
        ("host_name", sysinfo::System::host_name()),
        ("architecture", Ok(sysinfo::System::cpu_arch())),
    ];
    for (name, value) in own {
        match value {
            Ok(value) => sink.record(one("base", name, value.as_bytes(), "sysinfo"))?,
            Err(error) => sink.gap(name, Reason::Unsupported, &format!("Not known: {error}."))?,
        }
    }
    match sysinfo::System::new() {
        Ok(system) => machine(system, sink),
        Err(error) => {
            let text = format!("Processor and memory are not known: {error}.");
            sink.gap("processor and memory", Reason::Unsupported, &text)
        }
    }
}

fn machine(mut system: sysinfo::System, sink: &mut dyn Sink) -> Result<(), Stopped> {
    system.refresh_memory();
    system.refresh_cpu_all();
    let cpu = system.cpus().first().map_or("", |c| c.brand()).to_owned();
    let facts = [
        ("cpu", cpu),
        ("cpu_count", system.cpus().len().to_string()),
        ("memory_bytes", system.total_memory().to_string()),
        ("swap_bytes", system.total_swap().to_string()),
    ];
    for (name, value) in facts {
        sink.record(one("base", name, value.as_bytes(), "sysinfo"))?;
    }
    Ok(())
}

fn virtualisation(root: &Path, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let cpu = match read_small(root, Path::new("/proc/cpuinfo"), SMALL_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => return sink.gap("/proc/cpuinfo", error.reason(), &error.to_string()),
    };
    let is_guest = String::from_utf8_lossy(&cpu)
        .split_whitespace()
        .any(|w| w == "hypervisor");
    let text = if is_guest { "true" } else { "false" };
    sink.record(one(
        "virtualisation",
        "cpu_hypervisor_flag",
        text.as_bytes(),
        "/proc/cpuinfo",
    ))?;
    for path in ["/.dockerenv", "/run/.containerenv"] {
        if read_small(root, Path::new(path), SMALL_BYTES).is_ok() {
            sink.record(one(
                "virtualisation",
                "container_mark",
                path.as_bytes(),
                path,
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::artifacts::testing::MemorySink;

    fn value(sink: &MemorySink, name: &str) -> Option<Value> {
        let found = sink.records.iter().find(|r| r["name"] == name)?;
        found.get("value").cloned()
    }

    #[test]
    fn tells_a_mounted_tree_from_the_running_host() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("etc")).unwrap();
        std::fs::write(tree.path().join("etc/hostname"), "web1\n").unwrap();
        std::fs::write(
            tree.path().join("etc/os-release"),
            "ID=debian\n#x=y\nNAME=\"D\"\n",
        )
        .unwrap();
        let sink = MemorySink::run(&System, tree.path(), Value::Null);
        assert_eq!(value(&sink, "hostname"), Some("web1".into()));
        assert_eq!(value(&sink, "NAME"), Some("D".into()));
        assert_eq!(value(&sink, "kernel_release"), None);
        assert!(sink.gaps.iter().any(|g| g.reason == Reason::NotApplicable));
        assert!(sink.undeclared(&System).is_empty());
    }

    #[test]
    fn the_running_host_has_a_kernel() {
        let sink = MemorySink::run(&System, Path::new("/"), Value::Null);
        assert!(value(&sink, "kernel_release").is_some());
        assert!(value(&sink, "boot_time").is_some());
        assert!(sink.undeclared(&System).is_empty());
    }
}
