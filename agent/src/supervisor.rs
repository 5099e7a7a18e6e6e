//! `run` by itself: starts both halves, and both anew when either ends.
//!
//! A process of its own, because neither half may start programs once its walls are up. It opens
//! nothing, has one thread, and waits for signals alone; a service manager that watches the two
//! halves as units of their own makes it unnecessary.

use std::{
    error::Error,
    io::{self, IsTerminal as _},
    path::Path,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::{
    cli::{Half, Sandbox},
    courier::{folder::FolderError, service::CourierError},
    exit::Exit,
    halves::{self, HalfError},
    platform::{
        handle::OwnedFd,
        journal::{Journal, SOCKETS},
        signals::{self, Signals, Told},
        socket,
    },
    reader::state::{State, StateError},
    unattended::{self, UnattendedError},
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
    /// The host was never enrolled, and can't do it by itself.
    #[error(transparent)]
    Unattended(#[from] UnattendedError),
    /// Another agent has the state, and somebody looks on who can end it.
    #[error(transparent)]
    State(#[from] StateError),
    /// A half says that no new start would help.
    #[error(
        "the agent can't work here, and starting it again would not help. Mend what its halves have said above, then run it again."
    )]
    Unfit,
}

/// Whether starting a half again would end as it did: what lies there can't be used.
///
/// A lock that another agent holds is no such thing: one that was told to end may hang on a disk that does not answer.
pub fn is_permanent(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<SupervisorError>() {
        return match error {
            SupervisorError::Unattended(error) => error.is_permanent(),
            SupervisorError::Unfit => true,
            SupervisorError::Signals(_) | SupervisorError::State(_) => false,
        };
    }
    if let Some(error) = error.downcast_ref::<UnattendedError>() {
        return error.is_permanent();
    }
    if let Some(error) = error.downcast_ref::<CourierError>() {
        return match error {
            CourierError::Folder(error) => {
                !matches!(error, FolderError::Disk(_) | FolderError::InUse(_))
            }
            CourierError::Access(_) | CourierError::Tls(_) => true,
            CourierError::ReaderNotEnrolled(_) => true,
            _ => false,
        };
    }
    error.downcast_ref().is_some_and(StateError::is_permanent)
        || matches!(
            error.downcast_ref(),
            Some(HalfError::Limits { .. } | HalfError::Sandbox { .. })
        )
}

/// Runs both halves until told to stop.
///
/// # Errors
/// Signals can't be waited for, or the host is not enrolled and there is no `deployment` file.
pub fn run(
    state: &Path,
    sandbox: Sandbox,
    deployment: Option<&Path>,
) -> Result<(), SupervisorError> {
    unattended::reader_source(state, deployment)?;
    if io::stderr().is_terminal() {
        // A person is told at once what a service waits for.
        State::check_free(&halves::reader_folder(state))?;
    }
    let signals = Signals::block().map_err(SupervisorError::Signals)?;
    let journal = Journal::open(&SOCKETS);
    let pair = || {
        let (one, other) = socket::pair()?;
        let begin = |half, socket| start(half, state, (sandbox, deployment), socket);
        let reader = begin(Half::Reader, one)?;
        match begin(Half::Courier, other) {
            Ok(courier) => Ok([reader, courier]),
            Err(error) => {
                end(&signals, PATIENCE.grace, [reader]);
                Err(error)
            }
        }
    };
    supervise(&signals, &journal, PATIENCE, pair)
}

fn start(
    half: Half,
    state: &Path,
    (sandbox, deployment): (Sandbox, Option<&Path>),
    socket: OwnedFd,
) -> io::Result<Child> {
    let mut command = halves::itself();
    command.arg("half").arg(half.name());
    command.args(["--sandbox", sandbox.name()]);
    command.arg("--state").arg(state);
    if let Some(file) = deployment {
        command.arg("--deployment").arg(file);
    }
    command
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
) -> Result<(), SupervisorError> {
    let mut pause = patience.pause;
    loop {
        let began = Instant::now();
        match pair() {
            Ok(mut children) => {
                let told = until_one_ends(signals, &mut children);
                let told = told.map_err(SupervisorError::Signals)?;
                let ends = end(signals, patience.grace, children);
                if told == Told::Stop {
                    return Ok(());
                }
                let all = in_words(&ends);
                if ends.iter().any(is_unfit) {
                    journal.warning(&format!(
                        "the agent can't work here ({all}); it is not started again until somebody has mended it"
                    ));
                    return Err(SupervisorError::Unfit);
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
        if is_stopped_within(signals, pause).map_err(SupervisorError::Signals)? {
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

fn is_unfit(end: &io::Result<ExitStatus>) -> bool {
    let code = end.as_ref().ok().and_then(ExitStatus::code);
    code == Some(i32::from(Exit::Unfit.number()))
}

fn in_words(ends: &[io::Result<ExitStatus>]) -> String {
    let all: Vec<String> = ends
        .iter()
        .map(|end| match end {
            Ok(status) if signals::is_forbidden_call(status) => format!(
                "{status}: it made a system call that is none of its own, so that it may have been taken over"
            ),
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        })
        .collect();
    all.join(", ")
}

/// Ends the children, at first kindly; says how each ended by itself.
fn end<const N: usize>(
    signals: &Signals,
    grace: Duration,
    mut children: [Child; N],
) -> Vec<io::Result<ExitStatus>> {
    let until = Instant::now() + grace;
    let mut asked = false;
    let mut told = Vec::new();
    loop {
        told.clear();
        let mut alive = 0;
        for child in &mut children {
            match child.try_wait() {
                Ok(Some(status)) => told.push(Ok(status)),
                // What can't be waited for is not there any more.
                Err(error) => told.push(Err(error)),
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
        // Those that have ended are not touched by it. One that may not be killed (root without CAP_KILL, and a half of
        // another user) is not waited for: it ends once its link is closed.
        if child.kill().is_ok() {
            let _ = child.wait();
        }
    }
    told
}

#[cfg(test)]
mod tests;
