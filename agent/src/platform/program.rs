//! The program that runs, as a file and as something to start again.
//!
//! # Platform behaviour
//! Linux: by descriptor, not by name, since the file may have been replaced since we were started. Elsewhere by name.

use std::{io, path::PathBuf, process::Command};

use serde::{Deserialize, Serialize};

/// Where the running program lies.
///
/// # Errors
/// The system doesn't say.
pub fn own_path() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}

/// This program once more, by its own name in the system's lists.
pub fn again() -> Command {
    let mut command = Command::new(own_path().unwrap_or_default());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::arg0(&mut command, "fieldseal-agent");
    #[cfg(not(unix))]
    let _ = &mut command;
    command
}

/// Gives this process, started by [`again`], its own name in the system's lists.
///
/// # Errors
/// The system refuses, which it doesn't.
pub fn name_process() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::set_name(c"fieldseal-agent")?;
    Ok(())
}

/// Has the whole program in memory, so that it can still say what happened once the stick that it was started from is
/// pulled out. Pages that were never read would end it with SIGBUS then.
pub fn hold_in_memory() {
    #[cfg(target_os = "linux")]
    if rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT).is_ok() {
        return;
    }
    // An ordinary user may pin little; what was read stays for as long as there is memory.
    let read = own_path().and_then(std::fs::File::open);
    let _ = read.and_then(|mut program| io::copy(&mut program, &mut io::sink()));
}

/// The host's own name and its kernel's release, where the system tells them.
pub fn host_and_kernel() -> (String, Option<String>) {
    #[cfg(unix)]
    {
        let told = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        (text(told.nodename()), Some(text(told.release())))
    }
    #[cfg(not(unix))]
    {
        let name = std::env::var_os("COMPUTERNAME").unwrap_or_default();
        (name.to_string_lossy().into_owned(), None)
    }
}

/// What this process has used of all processors; `None` where the system doesn't say, and no share can be held.
pub fn cpu_time() -> Option<std::time::Duration> {
    #[cfg(unix)]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let ns = u32::try_from(now.tv_nsec).unwrap_or(0);
        Some(std::time::Duration::new(seconds, ns))
    }
    #[cfg(not(unix))]
    None
}

/// How many processors the host lets this process run on, whatever share of them a service manager allows it: a limit that
/// is a share of the host's is one of all of these.
pub fn processors() -> u64 {
    #[cfg(target_os = "linux")]
    if let Ok(all) = rustix::thread::sched_getaffinity(None) {
        return u64::from(all.count());
    }
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// What one process has used since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// Processor time.
    pub cpu_ms: u64,
    /// The most memory that it held at once.
    pub memory_peak_bytes: u64,
}

impl Use {
    /// This process's own; 0 where the system doesn't say.
    pub fn own() -> Self {
        let cpu = cpu_time().unwrap_or_default();
        Self {
            cpu_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
            memory_peak_bytes: memory_peak().unwrap_or(0),
        }
    }
}

/// The most memory that this process held at once, bytes; `None` where the system doesn't say.
fn memory_peak() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The time since the host was started, sleep included; `None` where the system doesn't say.
pub fn since_boot() -> Option<std::time::Duration> {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).ok()?;
        let ns = u32::try_from(now.tv_nsec).ok()?;
        Some(std::time::Duration::new(seconds, ns))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        assert!(Use::own().memory_peak_bytes > 1 << 20);
    }

    #[test]
    fn all_processors_count_that_the_host_allows() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let mut lines = status.lines();
        let allowed = lines.find_map(|line| line.strip_prefix("Cpus_allowed:"));
        let digits = allowed.unwrap().chars().filter_map(|c| c.to_digit(16));
        let count: u32 = digits.map(u32::count_ones).sum();
        assert_eq!(processors(), u64::from(count));
    }
}
