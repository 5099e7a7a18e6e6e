//! What judges packages and units finds nothing that is not explained.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{collections::BTreeSet, process::Command};

use fieldseal_tests::{
    distribution::{Distribution, Suite},
    packaged::{Packaged, source},
    programs,
};
use serde_json::Value;

const PACKAGES: [&str; 3] = ["fieldseal-agent", "fieldseal-server", "fieldseal"];

/// What `systemd-analyze security` may find at most, in tenths.
const UNITS: [(&str, u32); 3] = [
    ("fieldseal-reader", 25),
    ("fieldseal-courier", 15),
    ("fieldseal-server", 13),
];

fn run(command: &mut Command) -> programs::Outcome {
    programs::run(command, &|_: &str| {}).unwrap()
}

#[test]
fn lintian_and_rpmlint_find_nothing_that_is_not_explained() {
    let packaged = Packaged::make().unwrap();
    for name in PACKAGES {
        let deb = packaged.package(name, "deb").unwrap();
        let judged = run(Command::new("lintian")
            .args(["--allow-root", "--fail-on", "error,warning"])
            .arg(deb));
        assert_eq!((judged.code, judged.out.trim()), (0, ""), "{judged:?}");
        let rpm = packaged.package(name, "rpm").unwrap();
        let filters = source().join("packaging/linux/rpmlint.toml");
        let judged = run(Command::new("rpmlint")
            .arg("--config")
            .arg(filters)
            .arg(rpm));
        assert!(judged.out.contains(" 0 errors, 0 warnings"), "{judged:?}");
    }
}

#[test]
fn units_are_valid_where_they_are_installed_and_closed_to_what_they_need_not() {
    let packaged = Packaged::make().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = Distribution::install(&Suite::own().unwrap(), &dir.path().join("root")).unwrap();
    for name in ["fieldseal-agent", "fieldseal-server"] {
        root.bring(&packaged.package(name, "deb").unwrap(), "/tmp/it.deb")
            .unwrap();
        root.shell("dpkg --install /tmp/it.deb").unwrap();
    }
    for (unit, tenths) in UNITS {
        let unit = format!("/usr/lib/systemd/system/{unit}.service");
        let valid = root
            .run("systemd-analyze", &["verify", "--man=no", &unit])
            .unwrap();
        assert_eq!((valid.code, valid.err.trim()), (0, ""), "{valid:?}");
        let most = format!("--threshold={tenths}");
        let judged = root.run(
            "systemd-analyze",
            &["security", "--offline=yes", "--no-pager", &most, &unit],
        );
        let judged = judged.unwrap();
        assert_eq!(judged.code, 0, "{}", judged.out);
        let of_nobody = root.run(
            "systemd-analyze",
            &["security", "--offline=yes", "--threshold=1", &unit],
        );
        assert_ne!(
            of_nobody.unwrap().code,
            0,
            "a threshold that nothing can hold is passed"
        );
    }
}

/// What would hide evidence from the reader stays off, and the unit says why beside each.
#[test]
fn the_readers_unit_hides_nothing_from_it() {
    let unit = source().join("packaging/linux/agent/fieldseal-reader.service");
    let text = std::fs::read_to_string(unit).unwrap();
    let lines: Vec<_> = text.lines().collect();
    for setting in [
        "PrivateTmp=no",
        "ProtectHome=read-only",
        "ProtectProc=default",
        "ProcSubset=all",
        "PrivateDevices=no",
        "PrivateNetwork=no",
        "PrivateUsers=no",
        "DynamicUser=no",
        "ProtectKernelModules=no",
        "ProtectKernelTunables=no",
    ] {
        let at = lines.iter().position(|line| *line == setting);
        let above = at.and_then(|at| lines.get(at - 1)).copied();
        assert!(
            above.is_some_and(|line| line.starts_with("# ")),
            "{setting}: {above:?}"
        );
    }
}

#[test]
fn a_release_names_what_it_holds_and_nothing_of_this_machine() {
    let packaged = Packaged::make().unwrap();
    let sums = run(Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(packaged.folder()));
    assert_eq!(sums.code, 0, "{sums:?}");
    let here = source().canonicalize().unwrap();
    let here = here.to_str().unwrap();
    for entry in std::fs::read_dir(packaged.folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            name == "SHA256SUMS" || sums.out.contains(&format!("{name}: OK")),
            "{name}"
        );
        if name.ends_with(".cdx.json") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                !text.contains(here) && !text.contains("/packages."),
                "{name} tells where it was made"
            );
            let list: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(list["bomFormat"], "CycloneDX");
            let parts = list["components"].as_array().unwrap();
            assert!(parts.iter().any(|part| part["name"] == "rustls"), "{name}");
            assert!(
                parts.iter().all(|part| part["name"] != "clap_mangen"),
                "{name} lists what is not linked in"
            );
        }
    }
}

/// The calls below `groups` of the installed systemd, as `systemd-analyze syscall-filter` lists them.
fn calls(groups: &str) -> BTreeSet<String> {
    let mut listed = Command::new("systemd-analyze");
    let listed = run(listed
        .args(["--no-pager", "syscall-filter"])
        .args(groups.split(' ')));
    assert_eq!(listed.code, 0, "{listed:?}");
    let mut found = BTreeSet::new();
    for line in listed
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
    {
        match line.starts_with('@') {
            true => found.extend(calls(line)),
            false => found.extend((!line.starts_with('#')).then(|| line.to_owned())),
        }
    }
    found
}

/// A unit that refuses a call which a half needs would keep it from its work, and no test here runs a unit by systemd.
#[test]
fn the_units_let_each_half_call_what_its_own_walls_let_it_call() {
    let source = source();
    let walls = source.join("agent/src/platform/sandbox/linux/calls.rs");
    let walls = std::fs::read_to_string(walls).unwrap();
    let lists = walls
        .split("const ")
        .filter(|list| list.starts_with("NEEDED"));
    let named = lists.flat_map(|list| {
        list.split("];")
            .next()
            .unwrap_or_default()
            .split("SYS_")
            .skip(1)
    });
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut needed: BTreeSet<String> = named
        .map(|rest| rest.chars().take_while(|c| is_of_name(*c)).collect())
        .collect();
    assert!(needed.len() > 60, "{needed:?}");
    // Before they are up, and for them.
    needed.extend(["prlimit64", "seccomp", "prctl", "landlock_restrict_self"].map(str::to_owned));
    // Of a higher priority nobody has a use.
    needed.remove("sched_setscheduler");
    for half in ["reader", "courier"] {
        let unit = source.join(format!("packaging/linux/agent/fieldseal-{half}.service"));
        let unit = std::fs::read_to_string(unit).unwrap();
        // Of what no rule names, all.
        let mut allowed = calls("@known");
        for rule in unit
            .lines()
            .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        {
            match rule.strip_prefix('~') {
                Some(groups) => allowed = allowed.difference(&calls(groups)).cloned().collect(),
                None if rule.starts_with('@') => allowed.extend(calls(rule)),
                None => allowed.extend(rule.split(' ').map(str::to_owned)),
            }
        }
        let refused: Vec<_> = needed.difference(&allowed).collect();
        assert!(refused.is_empty(), "the {half}'s unit refuses {refused:?}");
    }
}
