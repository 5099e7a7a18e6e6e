//! `run` by itself: starts both halves, and both anew when either ends.
//!
//! A process of its own, because neither half may start programs once its walls are up. It opens
//! nothing, has one thread, and waits for signals alone; a service manager that watches the two
//! halves as units of their own makes it unnecessary.

use std::{
    io,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::{
    cli::Half,
    halves,
    platform::{
        handle::OwnedFd,
        journal::{Journal, SOCKETS},
        signals::{self, Signals, Told},
        socket,
    },
};

/// How patient the supervisor is.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// The first pause before a new start; each further one is twice as long.
    pause: Duration,
    /// The longest.
    pause_max: Duration,
    /// Halves that lived so long begin with the first pause again.
    settled: Duration,
    /// So long a half may take to end when told to; then it is killed.
    grace: Duration,
}

const PATIENCE: Patience = Patience {
    pause: Duration::from_millis(500),
    pause_max: Duration::from_secs(60),
    settled: Duration::from_secs(60),
    grace: Duration::from_secs(10),
};

/// The supervisor can't go on.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// Signals can't be waited for.
    #[error(
        "signals can't be waited for. This is a fault of the system or ours; please report it."
    )]
    Signals(#[source] io::Error),
    /// There is nothing to run.
    #[error(transparent)]
    State(#[from] crate::reader::state::StateError),
    /// The host was never enrolled.
    #[error(
        "this host is not enrolled. Run `fieldseal-agent enrol` with a deployment token first."
    )]
    NotEnrolled,
}

/// Runs both halves until told to stop.
///
/// # Errors
/// Signals can't be waited for, or the host is not enrolled.
pub fn run(state: &Path) -> Result<(), SupervisorError> {
    let known = crate::reader::state::State::look(&halves::reader_folder(state))?;
    if known.enrolment.is_none() {
        return Err(SupervisorError::NotEnrolled);
    }
    drop(known);
    let signals = Signals::block().map_err(SupervisorError::Signals)?;
    let journal = Journal::open(&SOCKETS);
    let pair = || {
        let (one, other) = socket::pair()?;
        let reader = start(Half::Reader, state, one)?;
        match start(Half::Courier, state, other) {
            Ok(courier) => Ok([reader, courier]),
            Err(error) => {
                end(&signals, PATIENCE.grace, [reader]);
                Err(error)
            }
        }
    };
    supervise(&signals, &journal, PATIENCE, pair).map_err(SupervisorError::Signals)
}

fn start(half: Half, state: &Path, socket: OwnedFd) -> io::Result<Child> {
    halves::itself()
        .arg("half")
        .arg(half.name())
        .arg("--state")
        .arg(state)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .spawn()
}

/// Starts a pair, waits until one of it ends or all shall stop, and does so again.
fn supervise(
    signals: &Signals,
    journal: &Journal,
    patience: Patience,
    mut pair: impl FnMut() -> io::Result<[Child; 2]>,
) -> io::Result<()> {
    let mut pause = patience.pause;
    loop {
        let began = Instant::now();
        match pair() {
            Ok(mut children) => {
                let told = until_one_ends(signals, &mut children)?;
                let all = end(signals, patience.grace, children);
                if told == Told::Stop {
                    return Ok(());
                }
                if began.elapsed() >= patience.settled {
                    pause = patience.pause;
                }
                journal.warning(&format!(
                    "a half of the agent has ended ({all}); both are started anew in {} ms",
                    pause.as_millis()
                ));
            }
            Err(error) => journal.warning(&format!("the agent's halves can't be started: {error}")),
        }
        if is_stopped_within(signals, pause)? {
            return Ok(());
        }
        pause = patience.pause_max.min(pause * 2);
    }
}

fn until_one_ends(signals: &Signals, children: &mut [Child; 2]) -> io::Result<Told> {
    const LONG: Duration = Duration::from_secs(3600);
    loop {
        // Looked at before each wait: one that ended earlier sends no signal any more.
        for child in children.iter_mut() {
            if child.try_wait()?.is_some() {
                return Ok(Told::Child);
            }
        }
        if signals.wait(LONG)? == Some(Told::Stop) {
            return Ok(Told::Stop);
        }
    }
}

fn is_stopped_within(signals: &Signals, pause: Duration) -> io::Result<bool> {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        if signals.wait(left)? == Some(Told::Stop) {
            return Ok(true);
        }
    }
}

/// Ends the children, at first kindly; says how each ended.
fn end<const N: usize>(signals: &Signals, grace: Duration, mut children: [Child; N]) -> String {
    let until = Instant::now() + grace;
    let mut asked = false;
    let mut told: Vec<String> = Vec::new();
    loop {
        told.clear();
        let mut alive = 0;
        for child in &mut children {
            match child.try_wait() {
                Ok(Some(status)) => told.push(status.to_string()),
                // What can't be waited for is not there any more.
                Err(error) => told.push(error.to_string()),
                Ok(None) => {
                    alive += 1;
                    if !asked {
                        // It may have ended in this moment.
                        let _ = signals::ask_to_end(child);
                    }
                }
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if alive == 0 || left.is_zero() {
            break;
        }
        asked = true;
        // Whatever comes, the next look finds it.
        let _ = signals.wait(left);
    }
    for child in &mut children {
        // Those that have ended are not touched by it.
        let _ = child.kill();
        let _ = child.wait();
    }
    told.join(", ")
}

#[cfg(test)]
mod tests;
