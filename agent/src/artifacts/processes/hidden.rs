//! Processes that answer by their number and stand under `/proc/N`, but that the folder does not list: what a
//! rootkit's filter of the listing leaves behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::platform::procfs;

use super::stat::{Stat, thread_group};

/// What probing found.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// Processes that are there and not listed.
    pub(crate) hidden: Vec<u32>,
    /// The last number that was probed.
    pub(crate) reached: u32,
    /// Whether time ran out before the highest number.
    pub(crate) cut: bool,
}

/// Asks for every number up to the host's highest whether it `answers`, for at most `longest`.
pub(crate) fn probe(
    proc: &Path,
    listed: &BTreeSet<u32>,
    answers: impl Fn(u32) -> bool,
    longest: Duration,
) -> Probe {
    let begun = Instant::now();
    let highest = highest(proc);
    let mut found = Probe::default();
    let mut suspects = Vec::new();
    for pid in 1..=highest {
        if pid % 1024 == 0 && begun.elapsed() > longest {
            found.cut = true;
            break;
        }
        found.reached = pid;
        if !listed.contains(&pid)
            && answers(pid)
            && let Some(start) = process_start(proc, pid)
        {
            suspects.push((pid, start));
        }
    }
    // One that was only born since the first listing stands in a second one; one that is still
    // there after it, the same by its start, and in neither, is hidden.
    if !suspects.is_empty() {
        let Ok(again) = procfs::pids(proc) else {
            return found;
        };
        suspects.retain(|&(pid, start)| {
            again.binary_search(&pid).is_err() && process_start(proc, pid) == Some(start)
        });
        found.hidden = suspects.into_iter().map(|(pid, _)| pid).collect();
    }
    found
}

/// The start of process `pid`; `None` for a thread (whose number answers too) and for nothing.
fn process_start(proc: &Path, pid: u32) -> Option<u64> {
    let folder = proc.join(pid.to_string());
    let status = procfs::read_capped(&folder.join("status"), 1 << 16).ok()?;
    if thread_group(&String::from_utf8_lossy(&status.bytes)) != Some(pid) {
        return None;
    }
    let stat = procfs::read_capped(&folder.join("stat"), 1 << 14).ok()?;
    Stat::parse(&stat.bytes).map(|s| s.start_ticks)
}

fn highest(proc: &Path) -> u32 {
    /// The kernel's own limit (PID_MAX_LIMIT).
    const LIMIT: u32 = 4 << 20;
    let said = procfs::read_capped(&proc.join("sys/kernel/pid_max"), 64).ok();
    let number = said.and_then(|s| String::from_utf8_lossy(&s.bytes).trim().parse().ok());
    number.unwrap_or(LIMIT).min(LIMIT)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_missing_from_both_listings_is_hidden() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(proc.path().join("sys/kernel")).unwrap();
        std::fs::write(proc.path().join("sys/kernel/pid_max"), "32\n").unwrap();
        let listed = proc.path().join("7");
        std::fs::create_dir(&listed).unwrap();
        std::fs::write(listed.join("status"), "Tgid:\t7\n").unwrap();
        std::fs::write(
            listed.join("stat"),
            "7 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 5 0 0",
        )
        .unwrap();
        // Listed the second time: born meanwhile, not hidden.
        let found = probe(
            proc.path(),
            &BTreeSet::new(),
            |_| true,
            Duration::from_secs(5),
        );
        assert!(found.hidden.is_empty());
        assert_eq!((found.reached, found.cut), (32, false));
        assert_eq!(process_start(proc.path(), 7), Some(5));
    }

    #[test]
    fn nothing_is_hidden_here() {
        let proc = Path::new("/proc");
        let listed = procfs::pids(proc).unwrap().into_iter().collect();
        let found = probe(proc, &listed, procfs::answers, Duration::from_secs(20));
        assert_eq!(found.hidden, Vec::<u32>::new());
    }
}
