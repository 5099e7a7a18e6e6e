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

#[test]
fn when_a_half_says_that_no_start_helps_there_is_no_other() {
    let signals = Signals::block().unwrap();
    let mut started = 0;
    let outcome = supervise(&signals, &Journal::silent(), HURRY, || {
        started += 1;
        Ok([shell("exit 78"), shell("exec sleep 1000")])
    });
    assert!(matches!(outcome, Err(SupervisorError::Unfit)));
    assert_eq!(started, 1);
}

#[test]
fn a_damaged_state_is_no_matter_of_time_and_a_full_disk_or_a_held_lock_is() {
    let path = std::path::PathBuf::from("/s");
    let newer = || StateError::Newer {
        path: "/s".into(),
        at: 0,
    };
    let permanent: [Box<dyn Error>; 7] = [
        Box::new(StateError::Damaged {
            path: path.clone(),
            at: 0,
        }),
        Box::new(newer()),
        Box::new(UnattendedError::State(newer())),
        Box::new(SupervisorError::Unattended(UnattendedError::State(newer()))),
        Box::new(CourierError::Folder(FolderError::NotEnrolled(path.clone()))),
        Box::new(HalfError::Limits {
            path: path.clone(),
            why: "x".into(),
        }),
        Box::new(SupervisorError::Unattended(UnattendedError::NotEnrolled(
            std::path::PathBuf::from("/f"),
        ))),
    ];
    for error in permanent {
        assert!(is_permanent(&*error), "{error}");
    }
    let passing: [Box<dyn Error>; 6] = [
        Box::new(StateError::Write(io::ErrorKind::StorageFull.into())),
        Box::new(StateError::InUse(path.clone())),
        Box::new(SupervisorError::State(StateError::InUse(path.clone()))),
        Box::new(CourierError::Folder(FolderError::InUse(path))),
        Box::new(CourierError::Thread),
        Box::new(io::Error::other("x")),
    ];
    for error in passing {
        assert!(!is_permanent(&*error), "{error}");
    }
}
