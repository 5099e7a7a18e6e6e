//! The agent's package on machines that run: a real kernel, a real service manager, a real network, all in qemu.
//!
//! It needs root, as every test that makes a userland; `CONTRIBUTING.md` says what else, and how long it takes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod life;
mod troubles;
mod whole;

use fieldseal_tests::{distribution::Suite, machine::Deployed, slow};
use serde_json::Value;

/// A machine of this suite of Debian with the agent at work, and the folder that all of it lies in.
fn deployed(suite: &str) -> (tempfile::TempDir, Deployed) {
    let dir = tempfile::tempdir().unwrap();
    let suite = Suite::other("debian", suite).unwrap();
    let deployed = Deployed::install(&suite, dir.path()).unwrap();
    (dir, deployed)
}

/// A slow collection begun on it: its order, and what the agent says of it.
fn begun(deployed: &Deployed) -> (String, Value) {
    let order = slow::begin(&deployed.stage, &[]).unwrap();
    let running = deployed.status().unwrap()["running"].clone();
    assert_eq!(running["attempt"], 1, "{running}");
    (order, running["collection"].clone())
}

/// All of that collection reaches the investigator.
fn arrives_whole(deployed: &Deployed, order: &str, collection: &Value) {
    let host = slow::watch(&deployed.stage, order, "5m").unwrap();
    assert_eq!(host["state"], "delivered", "{host}");
    slow::is_whole(&deployed.stage, order, collection).unwrap();
}
