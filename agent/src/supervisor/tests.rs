//! What the supervisor does with halves that end, and with those that don't want to.

use std::process::Command;

use super::*;
use crate::platform::signals;

const HURRY: Patience = Patience {
    pause: Duration::from_millis(1),
    pause_max: Duration::from_millis(1),
    settled: Duration::from_secs(60),
    // Their shells inherit the blocked signals, so they are killed.
    grace: Duration::from_millis(1),
};

/// Signals are blocked for a thread, so each test has its own.
fn shell(script: &str) -> Child {
    Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .spawn()
        .unwrap()
}

#[test]
fn when_one_half_ends_both_are_started_anew() {
    let signals = Signals::block().unwrap();
    let mut started = 0;
    let outcome = supervise(&signals, &Journal::silent(), HURRY, || {
        started += 1;
        match started {
            1 => Ok([shell("exit 1"), shell("exec sleep 1000")]),
            2 => Err(io::Error::other("no process")),
            // Told to stop while both run.
            _ => {
                let pair = [shell("exec sleep 1000"), shell("exec sleep 1000")];
                signals::stop_this_thread();
                Ok(pair)
            }
        }
    });
    outcome.unwrap();
    assert_eq!(started, 3);
}
