//! What happens to a machine while its agent works: it sleeps, its clock is set, its network goes and comes another.

use std::{fs, path::Path, time::Duration};

use fieldseal_tests::{
    args,
    kit::{self, json},
    machine::Deployed,
    slow,
};
use serde_json::Value;

use crate::{arrives_whole, begun, deployed};

const DAY_MS: i64 = 86_400_000;
/// How long it sleeps.
const NAP: Duration = Duration::from_secs(5);
/// How long it stands still without knowing: past every time that a connection is kept waiting.
const STANDSTILL: Duration = Duration::from_secs(100);

/// A fixed address behind a gateway, in the place of the one that was given.
const OTHER_ADDRESS: &str = "printf '[Match]\\nName=e*\\n[Network]\\nAddress=10.0.2.77/32\\n[Route]\\nGateway=10.0.2.2\\nGatewayOnLink=yes\\n' \
    >/etc/systemd/network/all.network; networkctl reload; networkctl reconfigure eth0";

#[test]
#[ignore = "it takes five minutes"]
fn neither_sleep_nor_clock_nor_network_keeps_evidence_back() {
    let (_dir, mut deployed) = deployed("trixie");
    let fill = format!("{}; sync", slow::fill());
    deployed.machine.shell(&fill).unwrap();
    a_collection_outlives_sleep_and_a_clock_that_is_set(&deployed);
    orders_are_judged_by_the_later_of_clock_and_signed_time(&deployed);
    a_clock_that_is_behind_is_named_and_holds_up_no_longer_than_it_is(&deployed);
    the_network_may_go_and_come_back_another(&deployed);
    deployed.stage.stop().unwrap();
}

/// Suspended by itself, stopped by whoever runs the machine, set three days on: it is one attempt, and whole.
fn a_collection_outlives_sleep_and_a_clock_that_is_set(deployed: &Deployed) {
    let (order, collection) = begun(deployed);
    deployed.machine.suspend(NAP).unwrap();
    deployed.machine.freeze(STANDSTILL).unwrap();
    set_clock(deployed, "3 days");
    let running = deployed.status().unwrap()["running"].clone();
    assert_eq!(running["attempt"], 1, "{running}");
    arrives_whole(deployed, &order, &collection);
}

fn set_clock(deployed: &Deployed, by: &str) {
    let set = format!("date --set \"$(date --date '{by}')\"");
    deployed.machine.shell(&set).unwrap();
}

/// Three days ahead: an order that has ended by then is refused, another is obeyed and says how far the clock is out.
fn orders_are_judged_by_the_later_of_clock_and_signed_time(deployed: &Deployed) {
    let ordered = deployed.stage.collect_small(&[]).unwrap();
    let host = slow::watch(&deployed.stage, ordered.order().unwrap(), "5m").unwrap();
    assert_eq!(host["state"], "refused", "{host}");
    let why = host["refusal"]["text"].as_str().unwrap();
    assert!(why.contains("expired"), "{host}");
    let ordered = deployed.stage.collect_small(&["--expires", "7d"]).unwrap();
    is_ahead(deployed, ordered.order().unwrap(), 3 * DAY_MS);
    stays_calm(deployed);
}

/// Three days behind: who is connected goes on, and an order of today is not one of the future. Who begins anew finds the
/// server's certificate to be of the future, says that the clock may be why, and is back once it is right.
fn a_clock_that_is_behind_is_named_and_holds_up_no_longer_than_it_is(deployed: &Deployed) {
    set_clock(deployed, "6 days ago");
    let ordered = deployed.stage.collect_small(&[]).unwrap();
    is_ahead(deployed, ordered.order().unwrap(), -3 * DAY_MS);
    let restart = "systemctl restart fieldseal-reader fieldseal-courier";
    deployed.machine.shell(restart).unwrap();
    let is_named = |deployed: &Deployed| {
        let status = deployed.status()?;
        let told = status["courier"]["last_error"]["text"].as_str();
        Ok(told.is_some_and(|text| text.contains("Check this host's clock, then")))
    };
    deployed.until("the clock is named", is_named).unwrap();
    let ordered = deployed.stage.collect_small(&[]).unwrap();
    stays_calm(deployed);
    set_clock(deployed, "3 days");
    is_ahead(deployed, ordered.order().unwrap(), 0);
}

/// What arrives by `order` says that the host's clock is so far ahead.
fn is_ahead(deployed: &Deployed, order: &str, wanted_ms: i64) {
    let fetched = deployed.delivered(order).unwrap();
    for record in records(deployed, &fetched) {
        let ahead = record["clock"]["offset_ms"].as_i64();
        // Setting it took a while, and it stood still with the machine.
        let most_ms = 60_000 + i64::try_from(STANDSTILL.as_millis()).unwrap();
        let is_it = ahead.is_some_and(|ms| (ms - wanted_ms).abs() < most_ms);
        assert!(is_it, "{record}");
    }
}

/// The record of each part of what was fetched.
fn records(deployed: &Deployed, fetched: &Path) -> Vec<Value> {
    let opened = fetched.with_extension("opened");
    let identity = deployed.stage.path("vault/one.txt");
    let open = args!["open", fetched, "--identity", identity, "--extract", opened];
    let outcome = deployed.stage.fieldseal(&open).unwrap();
    assert!(matches!(outcome.code, 0 | 2), "{outcome:?}");
    let files = kit::files(&opened).unwrap();
    let named = files.iter().filter(|f| f.ends_with("collection.json"));
    let found: Vec<_> = named
        .map(|file| json(&fs::read_to_string(file).unwrap()).unwrap())
        .collect();
    assert!(!found.is_empty(), "{files:?}");
    found
}

/// Both halves take next to nothing of a processor while there is nothing to do: one that turns in a circle takes all.
/// The ten seconds are what is measured, and wait for nothing.
fn stays_calm(deployed: &Deployed) {
    let measure = "used() { cat /sys/fs/cgroup/system.slice/fieldseal-*/cpu.stat | awk '/^usage/ {n += $2} END {print n}'; }; \
        used; sleep 10; used";
    let told = deployed.machine.shell(measure).unwrap();
    let used: Vec<u64> = told.lines().map(|line| line.parse().unwrap()).collect();
    assert!(used[0] > 0 && used[1] - used[0] < 3_000_000, "{used:?}");
}

/// Another address, and then no way for a while: the agent is back by itself, and what was ordered meanwhile arrives.
fn the_network_may_go_and_come_back_another(deployed: &Deployed) {
    let machine = &deployed.machine;
    machine.shell(OTHER_ADDRESS).unwrap();
    machine
        .wait_until("ip route get 10.0.2.2 | grep 'src 10.0.2.77'; ! ip address | grep 10.0.2.15")
        .unwrap();
    machine.shell("ip route del default").unwrap();
    let before = last_error(deployed).unwrap();
    let is_missed = |deployed: &Deployed| Ok(last_error(deployed)? != before);
    deployed.until("the server is missed", is_missed).unwrap();
    let back = "ip route add default via 10.0.2.2 dev eth0 onlink";
    machine.shell(back).unwrap();
    deployed.collects().unwrap();
    stays_calm(deployed);
}

fn last_error(deployed: &Deployed) -> anyhow::Result<Value> {
    Ok(deployed.status()?["courier"]["last_error"].clone())
}
