//! A host on its battery: what is gone in seconds is gathered, and the disk is read once it runs on mains again. Meanwhile
//! other orders are obeyed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use fieldseal_tests::{
    args,
    programs::{Programs, as_root},
    running::Running,
    stage::Stage,
};
use serde_json::Value;

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

/// What runs the rest of its command line where the host has these supplies.
fn shown(supplies: &Path) -> Command {
    let mut command = as_root("unshare");
    command.args(["--mount", "sh", "-ec", ENTER, "enter"]);
    command.arg(supplies);
    command
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
    let mut read = Command::new("unzip");
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
    let mut command = shown(&supplies);
    command.arg(&agent);
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

/// Follows `order` for `time`: the exit code and the one host's last row.
fn watch(stage: &Stage, order: &str, time: &str) -> (i32, Value) {
    let watched = stage.fieldseal(&args!["watch", order, "--for", time, "--json"]);
    let watched = watched.unwrap();
    let last = watched.out.lines().last().unwrap_or_default();
    let seen: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {watched:?}"));
    (watched.code, seen["hosts"][0].clone())
}

/// What the order became reached the server, and is genuine and complete.
fn is_whole(stage: &Stage, order: &str) {
    let output = stage.path(order);
    let fetched = stage.fieldseal(&args!["fetch", order, "--output", output]);
    assert_eq!(fetched.unwrap().code, 0);
    let trust = stage.path("server/trust/root.crt");
    let vault = stage.path("vault/one.txt");
    let arguments = args!["verify", output, "--trust", trust, "--identity", vault];
    let verified = stage.fieldseal(&arguments).unwrap();
    // That the kernel shows not every mount is nobody's fault; nothing else may be amiss.
    let amiss = verified.out.split_once("\nReservations\n");
    let amiss = amiss.and_then(|(_, after)| after.split("\n\n").next());
    let mut amiss = amiss.iter().flat_map(|text| text.lines());
    let is_whole = amiss.all(|line| !line.starts_with("  [") || line.starts_with("  [gaps]"));
    assert!(matches!(verified.code, 0 | 2) && is_whole, "{verified:?}");
    assert!(!verified.out.contains("interrupted"), "{verified:?}");
    assert!(verified.out.starts_with("GENUINE"), "{verified:?}");
}

/// Orders a collection by such a profile.
fn ordered(stage: &Stage, yaml: &str) -> String {
    let profile = stage.path("profile.yaml");
    fs::write(&profile, format!("v: 1\nabout: For a test\n{yaml}\n")).unwrap();
    let ordered = stage.collect(&profile, &[]).unwrap();
    ordered.order().unwrap().to_owned()
}

#[test]
fn a_collection_that_waits_for_mains_lets_another_order_be_obeyed_and_ends_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (supplies, tree) = (dir.path().join("supplies"), dir.path().join("tree"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), b"x").unwrap();
    on_battery(&supplies, true);
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    let mut stage =
        Stage::deployed(&dir.path().join("stage"), |_| (), &people, &[], "laptop").unwrap();
    stage.run_agent_within(shown(&supplies)).unwrap();
    let on_mains = format!(
        "name: mains\nartifacts: [{{name: mounts}}, {{name: file_hashes}}]\npaths: [{}]\nlimits: {{mains_only: true}}",
        tree.display()
    );
    let waits = ordered(&stage, &on_mains);
    while watch(&stage, &waits, "1s").1["progress"]["waits_for"] != "mains" {}

    let other = ordered(&stage, "name: at-once\nartifacts: [{name: mounts}]");
    let (exit, host) = watch(&stage, &other, "1m");
    assert!(
        matches!(exit, 0 | 2) && host["state"] == "delivered",
        "{host}"
    );
    let status = args!["status", "--state", stage.path("agent")];
    let told = stage.run("fieldseal-agent", &status).unwrap().out;
    assert!(
        told.contains(&format!("Put aside   order {waits}")),
        "{told}"
    );
    let (_, host) = watch(&stage, &waits, "1s");
    assert_eq!(host["progress"]["waits_for"], "mains", "{host}");

    on_battery(&supplies, false);
    let (exit, host) = watch(&stage, &waits, "1m");
    assert!(
        matches!(exit, 0 | 2) && host["state"] == "delivered",
        "{host}"
    );
    assert_eq!(host["ended_early"], Value::Null, "{host}");
    is_whole(&stage, &waits);
    is_whole(&stage, &other);
    stage.stop().unwrap();
}
