//! What the supervisor does with halves that end, and with those that don't want to.

use std::process::Command;

use super::*;

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
                let own = rustix::process::getpid();
                let thread = rustix::thread::gettid();
                send_to_thread(own, thread);
                Ok(pair)
            }
        }
    });
    outcome.unwrap();
    assert_eq!(started, 3);
}

/// To this thread alone: other tests run beside it.
fn send_to_thread(process: Pid, thread: Pid) {
    // SAFETY: `tgkill` sends a signal to a thread of our own, which has it blocked.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            process.as_raw_nonzero().get(),
            thread.as_raw_nonzero().get(),
            libc::SIGTERM,
        )
    };
    assert_eq!(sent, 0);
}
