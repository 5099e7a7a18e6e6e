//! `/proc/PID/stat` and `/proc/PID/status`: the kernel's numbers about one process.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::artifacts::Record;
use crate::artifacts::passwd::Names;
use crate::artifacts::source::{put, put_bytes, time};

/// The flag of a thread of the kernel itself (PF_KTHREAD).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The fields of `stat` that records hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) name: Vec<u8>,
    pub(crate) state: String,
    pub(crate) ppid: u32,
    pub(crate) start_ticks: u64,
    pub(crate) kernel_thread: bool,
    numbers: Vec<i128>,
}

impl Stat {
    /// Reads the line. The name may hold anything, even `)` and spaces, so the last `)` ends it.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let open = bytes.iter().position(|&b| b == b'(')?;
        let close = bytes.iter().rposition(|&b| b == b')')?;
        let name = bytes.get(open + 1..close)?.to_owned();
        let rest = String::from_utf8_lossy(bytes.get(close + 1..)?).into_owned();
        let mut words = rest.split_ascii_whitespace();
        let state = words.next()?.to_owned();
        let numbers: Vec<i128> = words.map_while(|w| w.parse().ok()).collect();
        let unsigned = |at: usize| numbers.get(at).and_then(|&n| u64::try_from(n).ok());
        Some(Self {
            name,
            state,
            ppid: u32::try_from(*numbers.first()?).ok()?,
            start_ticks: unsigned(18)?,
            kernel_thread: unsigned(5)? & KERNEL_THREAD != 0,
            numbers,
        })
    }

    fn number(&self, at: usize) -> Option<i64> {
        self.numbers.get(at).and_then(|&n| i64::try_from(n).ok())
    }

    /// Puts what it says into `record`.
    pub(crate) fn describe(&self, clock: &Clock, record: &mut Record) {
        put_bytes(record, "name", &self.name);
        put(record, "state", self.state.clone());
        put(record, "ppid", self.ppid);
        put(record, "kernel_thread", self.kernel_thread);
        put(record, "start_ticks", self.start_ticks);
        put(record, "start_time", clock.at(self.start_ticks));
        put(record, "process_group", self.number(1));
        put(record, "session", self.number(2));
        put(record, "tty", self.number(3).filter(|&n| n != 0));
        put(record, "cpu_user_ms", clock.ms(self.number(10)));
        put(record, "cpu_system_ms", clock.ms(self.number(11)));
        put(record, "threads", self.number(16));
        put(record, "virtual_bytes", self.number(19));
    }
}

/// Turns clock ticks since boot into times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) boot_seconds: Option<i64>,
    pub(crate) ticks: u64,
}

impl Clock {
    /// The clock of a host whose `/proc/stat` says `stat`.
    pub(crate) fn new(stat: &str, ticks: u64) -> Self {
        let boot = stat.lines().find_map(|l| l.strip_prefix("btime "));
        Self {
            boot_seconds: boot.and_then(|b| b.trim().parse().ok()),
            ticks: ticks.max(1),
        }
    }

    fn at(&self, ticks: u64) -> Value {
        let (Some(boot), Ok(whole)) = (self.boot_seconds, i64::try_from(ticks / self.ticks)) else {
            return Value::Null;
        };
        let Some(seconds) = boot.checked_add(whole) else {
            return Value::Null;
        };
        let part = u128::from(ticks % self.ticks) * 1_000_000_000 / u128::from(self.ticks);
        time(seconds, u32::try_from(part).unwrap_or(0))
    }

    fn ms(&self, ticks: Option<i64>) -> Option<u64> {
        let ticks = u64::try_from(ticks?).ok()?;
        Some(ticks.saturating_mul(1000) / self.ticks)
    }
}

/// Puts what `/proc/PID/status` says into `record`.
pub(crate) fn describe_status(text: &str, users: &Names, record: &mut Record) {
    let lines: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|l| l.split_once(':'))
        .map(|(k, v)| (k, v.trim()))
        .collect();
    let ids = |key: &str| numbers(lines.get(key).copied().unwrap_or_default());
    let uids = ids("Uid");
    put(
        record,
        "user",
        uids.first().map_or(Value::Null, |&id| users.of(id)),
    );
    for (key, ids) in [("uid", &uids), ("gid", &ids("Gid"))] {
        for (at, kind) in ["real", "effective", "saved", "filesystem"]
            .iter()
            .enumerate()
        {
            put(record, &format!("{key}_{kind}"), ids.get(at).copied());
        }
    }
    put(record, "groups", ids("Groups"));
    put(record, "pid_in_namespaces", ids("NSpid"));
    put(
        record,
        "tracer_pid",
        ids("TracerPid").first().copied().filter(|&p| p != 0),
    );
    put(
        record,
        "no_new_privileges",
        lines.get("NoNewPrivs").map(|&v| v == "1"),
    );
    put(record, "seccomp_mode", ids("Seccomp").first().copied());
    let kib = |key: &str| ids(key).first().map(|&n| u64::from(n) * 1024);
    put(record, "resident_bytes", kib("VmRSS"));
    put(record, "swap_bytes", kib("VmSwap"));
    let capability = |key: &str| lines.get(key).copied();
    put(
        record,
        "capabilities",
        json!({
            "inheritable": capability("CapInh"),
            "permitted": capability("CapPrm"),
            "effective": capability("CapEff"),
            "bounding": capability("CapBnd"),
            "ambient": capability("CapAmb"),
        }),
    );
}

/// The thread group that `status` names: a number under `/proc` may be a thread's, not a process's.
pub(crate) fn thread_group(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|l| l.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

fn numbers(text: &str) -> Vec<u32> {
    let words = text.split_ascii_whitespace();
    words.map_while(|w| w.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let tail = "S 7 1 1 0 -1 4194304 0 0 0 0 150 50 0 0 20 0 3 0 1234 4096 1";
        let line = format!("9 (a) R 1 (b\n) {tail}");
        let stat = Stat::parse(line.as_bytes()).unwrap();
        assert_eq!((stat.ppid, stat.start_ticks), (7, 1234));
        assert_eq!(stat.name, b"a) R 1 (b\n");
        let clock = Clock::new("cpu 1\nbtime 1000\n", 100);
        let mut record = Record::new();
        stat.describe(&clock, &mut record);
        assert_eq!(record["start_time"], "1970-01-01T00:16:52.340000000Z");
        assert_eq!(record["cpu_user_ms"], 1500);
        assert_eq!(record["threads"], 3);
    }

    #[test]
    fn garbage_is_no_process() {
        for bytes in [
            &b""[..],
            b")(",
            b"1 (",
            b"1 ()",
            b"1 (x) S",
            b"1 (x) S -4 1",
            b"\xff(\xff)\xff",
        ] {
            assert_eq!(Stat::parse(bytes), None);
        }
    }
}
