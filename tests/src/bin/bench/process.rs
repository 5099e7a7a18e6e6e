//! Runs one command to its end: how long it took, and how much memory it and the processes below it had at their peaks.

use std::{
    collections::HashMap,
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// Between two looks at the memory: a look costs a few microseconds, and the peak is kept by the kernel.
const LOOK: Duration = Duration::from_millis(2);

/// A command that ended.
pub(crate) struct Run {
    /// From its start to its end.
    pub(crate) seconds: f64,
    /// The kernel's high-water marks of all its processes, summed.
    pub(crate) peak_bytes: u64,
    /// What it printed.
    pub(crate) output: Vec<u8>,
}

/// Runs `command`; `good` are its exit codes that mean success.
///
/// # Errors
/// It can't be started, or ended otherwise.
pub(crate) fn run(mut command: Command, good: &[i32]) -> anyhow::Result<Run> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("{name} can't be started"))?;
    let drained = [drain(child.stdout.take()), drain(child.stderr.take())];
    let mut peaks = HashMap::new();
    let status = loop {
        look(child.id(), &mut peaks);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    let [output, errors] = drained.map(|reader| reader.join().unwrap_or_default());
    ensure!(
        status.code().is_some_and(|code| good.contains(&code)),
        "{name} ended with {status}: {}",
        String::from_utf8_lossy(&errors)
    );
    Ok(Run {
        seconds,
        peak_bytes: peaks.values().sum(),
        output,
    })
}

fn drain(stream: Option<impl std::io::Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // A stream that breaks off has given what it had.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Notes the high-water marks of `pid` and of all below it.
fn look(pid: u32, peaks: &mut HashMap<u32, u64>) {
    for pid in with_descendants(pid) {
        if let Some(bytes) = status_bytes(pid, "VmHWM:") {
            let peak = peaks.entry(pid).or_default();
            *peak = bytes.max(*peak);
        }
    }
}

/// A process and all that it started, directly or not.
pub(crate) fn with_descendants(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(pid) = all.get(at) {
        let threads = fs::read_dir(format!("/proc/{pid}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children"));
            let pids = children.unwrap_or_default();
            all.extend(
                pids.split_whitespace()
                    .filter_map(|p| p.parse::<u32>().ok()),
            );
        }
        at += 1;
    }
    all
}

fn status_bytes(pid: u32, key: &str) -> Option<u64> {
    kilobytes(
        &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        key,
    )
}

/// What a process holds now, shared pages counted by their share; none where it has ended.
pub(crate) fn pss_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    kilobytes(&text, "Pss:")
}

/// What a process holds in memory now; none where it has ended.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The seconds that a process has had of the cores since its start; none where it has ended.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        .map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// As [`cpu_seconds`], to the nanosecond, by the scheduler's own count of each of its threads.
pub(crate) fn scheduled_seconds(pid: u32) -> Option<f64> {
    let of_thread = |text: String| text.split_whitespace().next()?.parse::<u64>().ok();
    let all = each_thread(pid, "schedstat")?.into_iter().map(of_thread);
    Some(all.sum::<Option<u64>>()? as f64 / 1e9)
}

/// How often its threads gave up a processor by themselves, so that each time was woken again; none where it has ended.
pub(crate) fn wakes(pid: u32) -> Option<u64> {
    let of_thread = |text: String| {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    each_thread(pid, "status")?.into_iter().map(of_thread).sum()
}

fn each_thread(pid: u32, file: &str) -> Option<Vec<String>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let texts = threads.map(|thread| fs::read_to_string(thread.path().join(file)));
    texts.collect::<Result<_, _>>().ok()
}

/// What a process has written by now, into whatever; none where it has ended.
pub(crate) fn written_bytes(pid: u32) -> Option<u64> {
    passed_bytes(pid, "wchar:")
}

/// What a process has read by now, from whatever; none where it has ended.
pub(crate) fn read_bytes(pid: u32) -> Option<u64> {
    passed_bytes(pid, "rchar:")
}

fn passed_bytes(pid: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let count = text.lines().find_map(|line| line.strip_prefix(key))?;
    count.trim().parse().ok()
}

/// User and system time of a `stat` line; the name in brackets may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_what_a_command_starts_counts() {
        // Two shells, the inner one waited for: both have a peak of their own.
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'sleep 0.3'; exit 3"]);
        let run = run(command, &[3]).unwrap();
        assert!(run.seconds >= 0.3);
        assert!(run.peak_bytes > 0);
    }

    #[test]
    fn a_failure_is_told_with_what_the_command_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 1"]);
        let error = run(command, &[0]).err().unwrap().to_string();
        assert!(error.contains("broken"), "{error}");
    }

    #[test]
    fn user_and_system_time_count_whatever_the_program_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 1 2 3 4 250 50 8 9 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(300));
    }

    #[test]
    fn kilobytes_are_read_by_key() {
        let text = "Rss: 9 kB\nPss:      12 kB\nPss_Dirty: 3 kB\n";
        assert_eq!(kilobytes(text, "Pss:"), Some(12 * 1024));
    }
}
