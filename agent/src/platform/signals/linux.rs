//! Signals on Linux.

use std::{
    io,
    mem::MaybeUninit,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
    ptr,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::Told;

/// The blocked signals; whoever holds it may wait for them.
#[derive(Debug)]
pub struct Signals(libc::sigset_t);

impl Signals {
    /// Blocks them for this thread and those that it starts from now on.
    ///
    /// # Errors
    /// The system refuses, which it doesn't.
    pub fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` fills the set that it is given; the others change a set that is filled.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD] {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            set.assume_init()
        };
        // SAFETY: the set is initialised, and no old set is asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) } {
            0 => Ok(Self(set)),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Waits for one of them, at most `wait`; `None` when the time is over.
    ///
    /// # Errors
    /// The system refuses, which it doesn't.
    pub fn wait(&self, wait: Duration) -> io::Result<Option<Told>> {
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(i32::try_from(wait.subsec_nanos()).unwrap_or(0)),
        };
        // SAFETY: the set and the time are initialised, and no details are asked for.
        let signal =
            unsafe { libc::sigtimedwait(&raw const self.0, ptr::null_mut(), &raw const time) };
        match signal {
            libc::SIGCHLD => Ok(Some(Told::Child)),
            -1 => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
                error if error.kind() == io::ErrorKind::Interrupted => Ok(None),
                error => Err(error),
            },
            _ => Ok(Some(Told::Stop)),
        }
    }

    /// Waits until the service shall stop.
    ///
    /// # Errors
    /// As for [`Signals::wait`].
    pub fn wait_for_stop(&self) -> io::Result<()> {
        const LONG: Duration = Duration::from_secs(3600);
        while self.wait(LONG)? != Some(Told::Stop) {}
        Ok(())
    }
}

/// Asks a child to end.
///
/// # Errors
/// It has ended.
pub fn ask_to_end(child: &Child) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), Signal::TERM)?)
}

/// Who has started this process, or has taken its place since.
pub fn parent() -> Option<i32> {
    rustix::process::getppid().map(|parent| parent.as_raw_pid())
}

/// Whether the kernel ended it for a system call that its walls forbid.
pub fn is_forbidden_call(ended: &ExitStatus) -> bool {
    ended.signal() == Some(libc::SIGSYS)
}

/// From now on this process is asked to end when the one that started it has ended.
///
/// # Errors
/// The system refuses, which it doesn't.
pub fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::TERM,
    ))?)
}

/// Tells this thread alone to stop: other tests run beside it.
#[cfg(test)]
pub(crate) fn stop_this_thread() {
    // SAFETY: `tgkill` sends a signal to a thread of our own, which has it blocked.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            libc::getpid(),
            libc::gettid(),
            libc::SIGTERM,
        )
    };
    assert_eq!(sent, 0);
}
