//! Years pass: the agent's certificates are renewed by the real server before they end, the seal's too, and the custody
//! log says so, and what is ordered afterwards is gathered and delivered. The agent's halves run as two units of a service manager would.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use fieldseal_tests::{args, stage::Stage};

/// A TLS certificate is good for 90 days and renewed from half of them on; a seal's for three years.
const STEP_DAYS: u32 = 80;
const SEAL_HALF_DAYS: u32 = 3 * 365 / 2;

fn renewed(stage: &Stage, which: &str) -> usize {
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    audited.out.matches(which).count()
}

#[test]
fn an_agent_outlives_its_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(&dir.path().join("stage"), |_| ()).unwrap();
    let roles = ["investigator", "admin"];
    stage.make_person("ann", "Ann Example", &roles).unwrap();
    let vaults = ["one", "two"].map(|name| stage.make_vault(name).unwrap());
    stage.init(&["ann"], &vaults, &[]).unwrap();
    stage.serve().unwrap();
    stage.enrol("ann", &[]).unwrap();
    stage.set_up("ann").unwrap();

    let (mut days, mut steps) = (0, 0);
    while days <= SEAL_HALF_DAYS {
        stage.stop().unwrap();
        (days, steps) = (days + STEP_DAYS, steps + 1);
        stage.go_on_by(days).unwrap();
        stage.serve().unwrap();
        stage.run_halves().unwrap();
        let begun = Instant::now();
        while renewed(&stage, "TLS certificate renewed") < steps {
            let log = fs::read_to_string(stage.path("agent.log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "{days}: {log}");
            thread::sleep(Duration::from_millis(100));
        }
        if steps == 1 {
            collects(&stage);
        }
    }
    let begun = Instant::now();
    while renewed(&stage, ": seal certificate renewed") < 1 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the seal");
        thread::sleep(Duration::from_millis(100));
    }

    stage.stop().unwrap();
}

/// What is gathered and delivered under the new certificate is genuine.
fn collects(stage: &Stage) {
    let ordered = stage.collect_small(&["--watch", "--for", "2m"]).unwrap();
    assert!(matches!(ordered.code, 0 | 2), "{ordered:?}");
    let order = ordered.order().unwrap();
    let evidence = stage.path("evidence");
    let fetched = stage
        .fieldseal(&args!["fetch", order, "--output", evidence])
        .unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let root = stage.path("trust/root.crt");
    let collection = fetched.out.trim_end();
    let verified = stage
        .fieldseal(&args!["verify", collection, "--trust", root])
        .unwrap();
    assert!(matches!(verified.code, 0 | 2), "{verified:?}");
}
