//! The filters that the kernel asks about every system call of a half.
//!
//! Two, of which the stricter answer counts: one ends the process at what an attacker would want and we never do; the
//! other lets what we need through and answers to the rest that there is no such call, as an older kernel would.

use std::{collections::BTreeMap, io};

use libc::{c_long, c_ulong};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Op,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule, TargetArch, sock_filter,
};

use super::calls;
use crate::platform::sandbox::Confined;

/// System calls, each with what its arguments must be; with no rule it is the call as such.
type Calls = BTreeMap<i64, Vec<Rule>>;

/// What would write, empty or make a file. `O_RDONLY|O_TRUNC` empties one too, and through `/proc/PID/root` even where a
/// mount is read-only for us.
const WRITING: [libc::c_int; 6] = [
    libc::O_WRONLY,
    libc::O_RDWR,
    libc::O_CREAT,
    libc::O_TRUNC,
    libc::O_APPEND,
    // The bit of O_TMPFILE that is not O_DIRECTORY.
    libc::O_TMPFILE & !libc::O_DIRECTORY,
];

/// New namespaces are none of a thread.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

pub(super) fn install(whom: Confined<'_>) -> Result<(), String> {
    let programs =
        compile(whom).map_err(|error| format!("no filter for this processor: {error}"))?;
    for program in &programs {
        hand_over(program).map_err(|error| format!("the kernel takes no filter: {error}"))?;
    }
    Ok(())
}

fn compile(whom: Confined<'_>) -> Result<[BpfProgram; 2], BackendError> {
    let processor: TargetArch = std::env::consts::ARCH.try_into()?;
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let (end, pass) = (ending(), SeccompAction::Allow);
    let deadly = SeccompFilter::new(deadly(whom)?, pass.clone(), end, processor)?;
    let needed = SeccompFilter::new(needed(whom)?, absent, pass, processor)?;
    // What is installed later is asked first, and `prctl` must still be there for it.
    Ok([deadly.try_into()?, needed.try_into()?])
}

/// What ends the whole process: kernels before 4.14 would end the calling thread alone, so that there it is the signal,
/// which ends a process that does not handle it.
fn ending() -> SeccompAction {
    let wanted = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads one number, which outlives the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const wanted,
        )
    };
    match answer {
        0 => SeccompAction::KillProcess,
        _ => SeccompAction::Trap,
    }
}

/// `prctl`, since the call `seccomp` is younger (3.17) than the filters (3.5).
fn hand_over(program: &BpfProgram) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let told = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    const { assert!(size_of::<sock_filter>() == size_of::<libc::sock_filter>()) };
    // SAFETY: the program outlives the call, is as long as is said, and the kernel only copies it.
    let answer = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            c_ulong::from(libc::SECCOMP_MODE_FILTER),
            &raw const told,
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn deadly(whom: Confined<'_>) -> Result<Calls, BackendError> {
    let mut calls = plain(calls::DEADLY, calls::old::DEADLY);
    if matches!(whom, Confined::Reader) {
        calls.extend(plain(calls::DEADLY_TO_READER, calls::old::DEADLY_TO_READER));
        for (call, argument) in calls::OPENING {
            let writing = WRITING.iter().map(|flag| has(*argument, *flag));
            calls.insert(*call, writing.collect::<Result<_, _>>()?);
        }
    }
    Ok(calls)
}

fn needed(whom: Confined<'_>) -> Result<Calls, BackendError> {
    let mut calls = plain(calls::NEEDED, calls::old::NEEDED);
    let executable = libc::PROT_EXEC;
    let writable = libc::PROT_WRITE;
    // A thread of ours, and nothing that is more than one.
    let thread = libc::CLONE_THREAD;
    calls.insert(
        libc::SYS_clone,
        vec![masked(0, thread | NAMESPACES, thread)?],
    );
    // `abort` sends to oneself.
    let own = u64::from(std::process::id());
    calls.insert(libc::SYS_tgkill, vec![is(0, own)?]);
    calls.insert(libc::SYS_mprotect, vec![masked(2, executable, 0)?]);
    calls.insert(
        libc::SYS_prlimit64,
        vec![all(&[on(0, 0)?, pointer(2, 0)?])?],
    );
    for (call, argument) in calls::OF_ITSELF {
        calls.insert(*call, vec![is(*argument, 0)?]);
    }
    // A connection that is made by the first bytes passes no other rule for connections.
    let fast = libc::MSG_FASTOPEN;
    calls.insert(libc::SYS_sendmsg, vec![masked(2, fast, 0)?]);
    calls.insert(libc::SYS_fcntl, one_of(1, calls::FCNTL)?);
    calls.insert(libc::SYS_prctl, one_of(0, calls::PRCTL)?);
    calls.insert(libc::SYS_ioctl, one_of(1, calls::IOCTL)?);
    match whom {
        Confined::Reader => {
            calls.extend(plain(calls::NEEDED_BY_READER, &[]));
            calls.insert(libc::SYS_mmap, vec![masked(2, executable, 0)?]);
            // To whom a socket is connected, and to nobody else.
            let told = all(&[pointer(4, 0)?, on_mask(3, fast, 0)?])?;
            calls.insert(libc::SYS_sendto, vec![told]);
        }
        Confined::Courier { .. } => {
            calls.extend(plain(
                calls::NEEDED_BY_COURIER,
                calls::old::NEEDED_BY_COURIER,
            ));
            // A C library may still load how names are looked up.
            let no_code = [masked(2, executable, 0)?, masked(2, writable, 0)?];
            calls.insert(libc::SYS_mmap, no_code.into());
            calls.insert(libc::SYS_sendto, vec![masked(3, fast, 0)?]);
            calls.insert(libc::SYS_sendmmsg, vec![masked(3, fast, 0)?]);
            calls.insert(libc::SYS_socket, sockets()?);
        }
    }
    Ok(calls)
}

/// Sockets of the families, kinds and protocols that are listed: others are made by the same call and go other ways.
fn sockets() -> Result<Vec<Rule>, BackendError> {
    const KIND: libc::c_int = 0xf;
    let rule = |(family, kind, protocol): &(libc::c_int, libc::c_int, libc::c_int)| {
        all(&[
            on(0, u64::from(family.cast_unsigned()))?,
            on_mask(1, KIND, *kind)?,
            on(2, u64::from(protocol.cast_unsigned()))?,
        ])
    };
    calls::SOCKETS.iter().map(rule).collect()
}

fn plain(calls: &[c_long], old: &[c_long]) -> Calls {
    let all = calls.iter().chain(old);
    all.map(|call| (*call, Vec::new())).collect()
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<Rule>, BackendError> {
    values.iter().map(|value| is(argument, *value)).collect()
}

fn is(argument: u8, value: u64) -> Result<Rule, BackendError> {
    all(&[on(argument, value)?])
}

fn has(argument: u8, flag: libc::c_int) -> Result<Rule, BackendError> {
    masked(argument, flag, flag)
}

fn masked(argument: u8, mask: libc::c_int, value: libc::c_int) -> Result<Rule, BackendError> {
    all(&[on_mask(argument, mask, value)?])
}

/// A rule whose conditions must all hold.
fn all(conditions: &[Condition]) -> Result<Rule, BackendError> {
    Rule::new(conditions.to_vec())
}

/// An argument that is a number of 32 bits.
fn on(argument: u8, value: u64) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Dword, Op::Eq, value)
}

/// An argument that is an address.
fn pointer(argument: u8, value: u64) -> Result<Condition, BackendError> {
    Condition::new(argument, Width::Qword, Op::Eq, value)
}

fn on_mask(argument: u8, mask: libc::c_int, value: libc::c_int) -> Result<Condition, BackendError> {
    let (mask, value) = (u64::from(mask.cast_unsigned()), value.cast_unsigned());
    Condition::new(argument, Width::Dword, Op::MaskedEq(mask), value.into())
}
