//! Times of extracted files, as files.jsonl has them.

use std::{
    fs::{FileTimes, OpenOptions},
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use evidence::{instant::Instant, records::Times};

/// Puts a file's own times back; times that this system can't hold are left as they are.
///
/// # Errors
/// The system's.
pub(super) fn restore(path: &Path, times: &Times) -> io::Result<()> {
    let mut wanted = FileTimes::new();
    let (modified, accessed) = (
        times.modified.and_then(system),
        times.accessed.and_then(system),
    );
    if modified.is_none() && accessed.is_none() {
        return Ok(());
    }
    if let Some(time) = modified {
        wanted = wanted.set_modified(time);
    }
    if let Some(time) = accessed {
        wanted = wanted.set_accessed(time);
    }
    OpenOptions::new().write(true).open(path)?.set_times(wanted)
}

fn system(at: Instant) -> Option<SystemTime> {
    let seconds = Duration::from_secs(at.seconds.unsigned_abs());
    let whole = if at.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole?.checked_add(Duration::from_nanos(at.ns.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_to_the_nanosecond_and_far_ones_do_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"x").unwrap();
        let modified = Instant {
            seconds: 1_700_000_000,
            ns: 123_456_789,
        };
        let accessed = Instant { seconds: -5, ns: 1 };
        let times = Times {
            modified: Some(modified),
            accessed: Some(accessed),
            ..Times::default()
        };
        restore(&path, &times).unwrap();
        let seen = std::fs::metadata(&path).unwrap();
        assert_eq!(seen.modified().unwrap(), system(modified).unwrap());
        assert_eq!(seen.accessed().unwrap(), system(accessed).unwrap());
        for seconds in [i64::MIN, i64::MAX] {
            let far = Times {
                modified: Some(Instant { seconds, ns: 0 }),
                ..Times::default()
            };
            // An error or none, but never a panic.
            let _either = restore(&path, &far);
        }
    }
}
