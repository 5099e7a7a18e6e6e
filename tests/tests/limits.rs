//! A host on its battery: what is gone in seconds is gathered, and the disk is read once it runs on mains again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fieldseal_tests::{
    programs::{Programs, as_root},
    running::Running,
};

/// So long it is looked whether a collection that waits goes on.
const LOOKS: Duration = Duration::from_secs(5);

/// Shows the host's agent the supplies of folder `$1`, and runs the rest.
const ENTER: &str = r#"mount --bind "$1" /sys/class/power_supply; shift; exec "$@""#;

/// A supply as sysfs shows it.
fn supply(folder: &Path, name: &str, values: &[(&str, &str)]) {
    let supply = folder.join(name);
    fs::create_dir_all(&supply).unwrap();
    for (value, text) in values {
        fs::write(supply.join(value), format!("{text}\n")).unwrap();
    }
}

fn on_battery(folder: &Path, is_so: bool) {
    let (online, status) = if is_so {
        ("0", "Discharging")
    } else {
        ("1", "Charging")
    };
    supply(folder, "BAT0", &[("type", "Battery"), ("status", status)]);
    supply(folder, "AC", &[("type", "Mains"), ("online", online)]);
}

/// The parts that are whole, in the one collection below `output`.
fn parts(output: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(output).into_iter().flatten().flatten();
    let files = folders.flat_map(|f| fs::read_dir(f.path()).into_iter().flatten().flatten());
    let mut parts: Vec<_> = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|e| e == "zip"))
        .collect();
    parts.sort();
    parts
}

fn entry(part: &Path, name: &str) -> String {
    let mut read = std::process::Command::new("unzip");
    read.arg("-p").arg(part).arg(name);
    let read = fieldseal_tests::programs::run(&mut read, &|_: &str| {}).unwrap();
    read.out
}

#[test]
fn on_its_battery_a_host_gives_live_facts_alone_and_the_rest_once_it_is_on_mains() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (supplies, output, tree) = (path("supplies"), path("out"), path("tree"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), b"x").unwrap();
    on_battery(&supplies, true);
    let profile = format!(
        "v: 1\nname: mains\nabout: Processes, and hashes on mains\nartifacts: [{{name: processes}}, {{name: file_hashes}}]\n\
         paths: [{}]\nlimits: {{mains_only: true}}\n",
        tree.display()
    );
    fs::write(path("mains.yaml"), profile).unwrap();

    let agent = Programs::build().unwrap().path("fieldseal-agent");
    let mut command = as_root("unshare");
    command.args(["--mount", "sh", "-ec", ENTER, "enter"]);
    command.args([&supplies, &agent]);
    command.args(["collect", "--unencrypted", "--profile"]);
    command.arg(path("mains.yaml")).arg("--output").arg(&output);
    let mut running = Running::start("collect", &mut command, &path("log")).unwrap();

    running
        .wait_until("its first part is whole", &|| !parts(&output).is_empty())
        .unwrap();
    // Several looks of it at its supplies: it does not go on.
    let since = Instant::now();
    running
        .wait_until("it had time", &|| since.elapsed() > LOOKS)
        .unwrap();
    assert_eq!(parts(&output).len(), 1);
    on_battery(&supplies, false);
    assert!(matches!(running.finish().unwrap(), 0 | 2));

    let parts = parts(&output);
    assert!(!entry(&parts[0], "results/processes.jsonl").is_empty());
    let all = |name: &str| {
        parts
            .iter()
            .map(|part| entry(part, name))
            .collect::<String>()
    };
    assert!(all("results/file_hashes.jsonl").contains("/tree/file"));
    let log = all("log.jsonl");
    let (waits, goes_on) = (
        log.find("waits for mains power"),
        log.find("the collection goes on"),
    );
    assert!(waits.unwrap() < goes_on.unwrap(), "{log}");
}
