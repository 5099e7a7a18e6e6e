//! From installation to purge: at work as its units say, through an upgrade, kills and a power cut, removed and purged.

use std::fs;

use fieldseal_tests::{args, machine::Deployed, packaged::source, sigma, slow};
use serde_json::Value;

use crate::{arrives_whole, begun, deployed};

const UNITS: &str = "fieldseal-reader fieldseal-courier";
const BOTH: &str = "users, capabilities, no_core_dumps, locked_memory, no_new_privileges";

/// What the service manager and the kernel must say of both halves.
const IN_FORCE: &[(&str, &str)] = &[
    ("ActiveState", "active"),
    ("NRestarts", "0"),
    ("Restart", "always"),
    ("MemoryMax", "268435456"),
    ("CPUQuotaPerSecUSec", "1s"),
    ("CPUWeight", "20"),
    ("IOWeight", "20"),
    ("TasksMax", "128"),
    ("LimitMEMLOCK", "infinity"),
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("Group", "fieldseal"),
];
const IN_GROUPS: &[(&str, &str)] = &[
    ("memory.max", "268435456"),
    ("cpu.max", "100000 100000"),
    ("cpu.weight", "20"),
    ("io.weight", "default 20"),
    ("pids.max", "128"),
];

/// Tells whatever a purge has left, and of each unit that it does not run.
const LEFT: &str = "set +e; ls -d /etc/fieldseal /var/lib/fieldseal /run/fieldseal /etc/systemd/system/*/fieldseal* 2>/dev/null; \
    getent passwd fieldseal-reader fieldseal-courier; systemctl --no-legend list-units --all 'fieldseal*'; \
    systemctl is-active fieldseal-reader fieldseal-courier";

/// All that the unit files say is so, all walls stand of which `landlock` says how, and the journal has no word too many.
fn is_at_work_as_its_units_say(deployed: &Deployed, courier_walls: &str) {
    let machine = &deployed.machine;
    for half in ["reader", "courier"] {
        let shown = machine
            .shell(&format!("systemctl show fieldseal-{half}"))
            .unwrap();
        let user = format!("fieldseal-{half}");
        let lock = format!(
            "sed -n 's/^VmLck:[^0-9]*//p' /proc/$(systemctl show --value --property MainPID {user})/status"
        );
        let locked = machine.shell(&lock).unwrap();
        let locked: u64 = locked.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(locked > 1000, "{half}: {locked} kB are locked");
        for (key, wanted) in IN_FORCE.iter().chain(&[("User", user.as_str())]) {
            let line = format!("{key}={wanted}");
            assert!(shown.lines().any(|shown| shown == line), "{half}: {line}");
        }
        for (file, wanted) in IN_GROUPS {
            let group = format!("/sys/fs/cgroup/system.slice/fieldseal-{half}.service/{file}");
            assert_eq!(
                machine.shell(&format!("cat {group}")).unwrap().trim(),
                *wanted
            );
        }
    }
    let told = machine
        .shell("fieldseal-agent status --state /var/lib/fieldseal")
        .unwrap();
    for walls in [
        format!("reader: {BOTH}, system_calls\n"),
        format!("courier: {BOTH}, {courier_walls}\n"),
    ] {
        assert!(format!("{told}\n").contains(&walls), "{walls} in {told}");
    }
    let said = journal(deployed);
    let begins = |line: &&String| line.starts_with("fieldseal-reader: agent a-");
    assert_eq!(said.iter().filter(begins).count(), 1, "{said:#?}");
    // It asked to be enrolled, was, and began.
    assert_eq!(said.len(), 3, "{said:#?}");
}

/// What both halves have said since the machine was booted: the unit, and its words.
fn journal(deployed: &Deployed) -> Vec<String> {
    let read = "journalctl --boot --output json _SYSTEMD_UNIT=fieldseal-reader.service + _SYSTEMD_UNIT=fieldseal-courier.service";
    let read = deployed.machine.shell(read).unwrap();
    let lines = read.lines().map(|line| {
        let entry: Value = serde_json::from_str(line).unwrap();
        let unit = entry["_SYSTEMD_UNIT"].as_str().unwrap();
        let unit = unit.trim_end_matches(".service").to_owned();
        format!("{unit}: {}", entry["MESSAGE"].as_str().unwrap())
    });
    lines.collect()
}

/// The older kernel of this system's own suite has a part of Landlock, and says so.
#[test]
fn on_an_older_kernel_it_works_and_says_which_wall_is_not_whole() {
    let (_dir, mut deployed) = deployed("bookworm");
    let landlock = "system_calls; missing: landlock (in part: level 2 of 6; TCP takes 4, signals and abstract sockets 6)";
    is_at_work_as_its_units_say(&deployed, landlock);
    deployed.collects().unwrap();
    what_the_kernel_ends_is_an_alarm_and_begins_anew(&deployed);
    deployed.collects().unwrap();
    deployed.stage.stop().unwrap();
}

/// As the kernel ends a half for a call that is none of its own; the rule is the one that comes with the packages.
fn what_the_kernel_ends_is_an_alarm_and_begins_anew(deployed: &Deployed) {
    let rule = source().join("packaging/sigma/forbidden_call.yml");
    let rule = fs::read_to_string(rule).unwrap();
    for (half, ended) in [("reader", 1), ("courier", 2)] {
        let kill = format!("systemctl kill --signal SYS fieldseal-{half}");
        deployed.machine.shell(&kill).unwrap();
        let fired = |deployed: &Deployed| -> anyhow::Result<usize> {
            let read = "journalctl --boot --output cat --unit 'fieldseal-*'";
            let said = deployed.machine.shell(read)?;
            let lines: anyhow::Result<Vec<bool>> =
                said.lines().map(|line| sigma::fires(&rule, line)).collect();
            Ok(lines?.into_iter().filter(|fires| *fires).count())
        };
        deployed
            .until("it is told, and both are at work again", |deployed| {
                let active = format!("systemctl is-active {UNITS} || true");
                let active = deployed.machine.shell(&active)?;
                Ok(fired(deployed)? >= ended && active == "active\nactive\n")
            })
            .unwrap();
    }
}

#[test]
#[ignore = "it takes five minutes; the one above is its short form"]
fn a_package_comes_to_work_by_itself_and_no_restart_of_anything_loses_evidence() {
    let (_dir, mut deployed) = deployed("trixie");
    is_at_work_as_its_units_say(&deployed, "landlock, system_calls");
    deployed.collects().unwrap();
    a_collection_outlives_an_upgrade_kills_and_a_power_cut(&mut deployed);
    removed_it_keeps_what_waits_and_purged_it_leaves_nothing(&mut deployed);
    deployed.stage.stop().unwrap();
}

fn a_collection_outlives_an_upgrade_kills_and_a_power_cut(deployed: &mut Deployed) {
    deployed
        .machine
        .shell(&format!("{}; sync", slow::fill()))
        .unwrap();
    let (order, collection) = &begun(deployed);
    deployed
        .machine
        .shell("dpkg --install /mnt/newer.deb")
        .unwrap();
    goes_on(deployed, collection, 2);
    for (half, attempt) in [("reader", 3), ("courier", 4)] {
        let kill = format!("systemctl kill --signal KILL fieldseal-{half}");
        deployed.machine.shell(&kill).unwrap();
        goes_on(deployed, collection, attempt);
    }
    deployed.machine.cut_power().unwrap();
    deployed.machine.switch_on().unwrap();
    arrives_whole(deployed, order, collection);
    let ask = format!("SELECT max(attempt) AS n FROM parts WHERE collection = {collection}")
        .replace('"', "'");
    let told = deployed
        .stage
        .fieldseal(&args!["query", "C-1", ask])
        .unwrap();
    assert!(
        told.out.split_whitespace().any(|word| word == "5"),
        "{told:?}"
    );
}

/// The same collection, as its next attempt, and at its files again.
fn goes_on(deployed: &Deployed, collection: &Value, attempt: u64) {
    let is_so = |deployed: &Deployed| {
        let running = &deployed.status()?["running"];
        assert!(
            running.is_null() || running["collection"] == *collection,
            "{running}"
        );
        Ok(running["attempt"].as_u64() >= Some(attempt))
    };
    deployed
        .until(&format!("attempt {attempt} runs"), is_so)
        .unwrap();
}

fn removed_it_keeps_what_waits_and_purged_it_leaves_nothing(deployed: &mut Deployed) {
    let (order, collection) = begun(deployed);
    deployed.machine.plug(false).unwrap();
    let is_sealed = |deployed: &Deployed| {
        let status = deployed.status()?;
        Ok(status["running"].is_null() && status["courier"]["parts_waiting"] != 0)
    };
    deployed.until("it is sealed and waits", is_sealed).unwrap();

    let machine = &deployed.machine;
    machine.shell("dpkg --remove fieldseal-agent; test ! -e /run/fieldseal; test ! -e /usr/bin/fieldseal-agent").unwrap();
    let refused = machine.run("dpkg --purge fieldseal-agent").unwrap();
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(
        refused.err.contains("sealed evidence was not delivered"),
        "{refused:?}"
    );
    assert!(
        refused.err.contains(collection.as_str().unwrap()),
        "{refused:?}"
    );

    machine.plug(true).unwrap();
    machine
        .shell(&format!(
            "dpkg --install /mnt/newer.deb; systemctl is-active {UNITS}"
        ))
        .unwrap();
    arrives_whole(deployed, &order, &collection);

    // While it runs: the purge stops it.
    machine.shell("dpkg --purge fieldseal-agent").unwrap();
    let left = machine.run(LEFT).unwrap().out;
    assert_eq!(left, "inactive\ninactive\n");
}
