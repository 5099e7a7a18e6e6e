//! For the courier's tests: a deployment's certificates, a real TLS server that can misbehave, and a reader's end.

mod desk;
mod http;
mod pki;
mod server;

pub(super) use desk::{AGENT, COLLECTION, Courier, part_of};
pub(super) use pki::Pki;
pub(super) use server::{Act, Server, State, receipt_for};

use std::time::{Duration, Instant};

/// Waits for a condition; no test hangs, and none depends on how fast the machine is.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: it did not come to that");
        std::thread::sleep(Duration::from_millis(5));
    }
}
