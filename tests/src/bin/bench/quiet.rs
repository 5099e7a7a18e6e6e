//! What an enrolled agent costs a host on which nothing is asked of it, over minutes: memory, processor time, wake-ups, bytes
//! on the wire; beside whatever other agents run on this machine, over the same time.

use std::{
    collections::HashMap,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::{
    hashing::megabytes,
    idle,
    process::{self, run},
    report::Section,
};

/// Between two looks at the sockets, which may come and go.
const LOOK: Duration = Duration::from_secs(5);
/// After the start it is still about its first report.
const SETTLED: Duration = Duration::from_secs(90);
/// Each may cost a tenth of what a peer does.
const GOAL: f64 = 10.0;
/// So often all its processes may be woken in a minute: a long poll's end, its answer and the next, and nothing else.
const WAKES_A_MINUTE: f64 = 10.0;

/// An agent of somebody else that runs already: its name, and the first of its processes.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    name: String,
    pid: u32,
}

impl std::str::FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=');
        let parsed = pair.and_then(|(name, pid)| Some((name, pid.parse().ok()?)));
        let (name, pid) = parsed.ok_or_else(|| format!("{text:?} is not NAME=PID"))?;
        let name = name.to_owned();
        Ok(Self { name, pid })
    }
}

/// Measures a fresh agent and `peers` for `seconds`.
///
/// # Errors
/// A deployment can't be set up on this machine, or one of them ends.
pub(crate) fn measure(work: &Path, peers: &[Peer], seconds: u32) -> anyhow::Result<Section> {
    let mut section = Section::new(format!("Agents at rest, over {seconds} s"));
    let mut stage = idle::enrolled(&work.join("quiet"), &mut section)?;
    thread::sleep(SETTLED);
    let own = idle::agents()?;
    // The long poll is the courier's; nothing wakes the others.
    let others = own.iter().filter(|(name, ..)| !name.contains("courier"));
    let others = Watched::new(others.map(|(_, pid, _)| *pid).collect());
    let own = own.into_iter().map(|(_, pid, _)| pid).collect();
    let mut all = vec![("fieldseal-agent".to_owned(), Watched::new(own))];
    for peer in peers {
        let pids = process::with_descendants(peer.pid);
        all.push((peer.name.clone(), Watched::new(pids)));
    }
    if peers.is_empty() {
        section.skip("no peer was named. Start one, and give it as --beside NAME=PID.");
    }
    let begun = Instant::now();
    let others_before = others.look("fieldseal-agent")?;
    let before = all
        .iter()
        .map(|(name, one)| one.look(name))
        .collect::<anyhow::Result<Vec<_>>>()?;
    while begun.elapsed() < Duration::from_secs(u64::from(seconds)) {
        let sockets = sockets()?;
        for (_, one) in &mut all {
            one.see(&sockets);
        }
        thread::sleep(LOOK);
    }
    let others = others.look("fieldseal-agent")?.since(&others_before, 0);
    let mut costs = Vec::new();
    for ((name, one), before) in all.iter().zip(before) {
        costs.push(
            one.look(name)?
                .since(&before, one.wire_bytes())
                .told(&mut section, name),
        );
    }
    stage.stop()?;
    let Some((ours, theirs)) = costs.split_first() else {
        return Ok(section);
    };
    let a_minute = ours.wakes * 60.0 / f64::from(seconds.max(1));
    section.at_most("wake-ups a minute", "", a_minute, WAKES_A_MINUTE);
    section.at_most("wake-ups of all but the courier", "", others.wakes, 0.0);
    for ((name, _), cost) in all.iter().skip(1).zip(theirs) {
        compare(&mut section, name, ours, cost);
    }
    Ok(section)
}

fn compare(section: &mut Section, name: &str, ours: &Cost, theirs: &Cost) {
    let pairs = [
        ("memory", theirs.memory_mb, ours.memory_mb),
        ("processor time", theirs.cpu_s, ours.cpu_s),
        ("wake-ups", theirs.wakes, ours.wakes),
        ("bytes on the wire", theirs.wire_bytes, ours.wire_bytes),
    ];
    for (what, theirs, ours) in pairs {
        // Less than can be measured counts as the least that can.
        let ratio = theirs / ours.max(0.01);
        section.at_least(&format!("{what}: {name} / ours"), "x", ratio, GOAL, 1.0);
    }
}

/// Processes of one agent, and the sockets that were seen of them.
struct Watched {
    pids: Vec<u32>,
    /// By its own address and the other's: bytes when it was first seen, and last.
    sockets: HashMap<String, (u64, u64)>,
    is_first: bool,
}

impl Watched {
    fn new(pids: Vec<u32>) -> Self {
        Self {
            pids,
            sockets: HashMap::new(),
            is_first: true,
        }
    }

    fn see(&mut self, sockets: &[Socket]) {
        for socket in sockets.iter().filter(|s| self.pids.contains(&s.pid)) {
            // One that came meanwhile counts from its beginning.
            let first = if self.is_first { socket.bytes } else { 0 };
            let seen = self
                .sockets
                .entry(socket.ends.clone())
                .or_insert((first, 0));
            seen.1 = seen.1.max(socket.bytes);
        }
        self.is_first = false;
    }

    fn wire_bytes(&self) -> u64 {
        self.sockets
            .values()
            .map(|(first, last)| last.saturating_sub(*first))
            .sum()
    }

    fn look(&self, name: &str) -> anyhow::Result<Look> {
        let mut look = Look::default();
        for pid in &self.pids {
            let gone = || format!("process {pid} of {name} has ended");
            look.memory_bytes += process::pss_bytes(*pid).with_context(gone)?;
            look.resident_bytes += process::resident_bytes(*pid).with_context(gone)?;
            look.cpu_seconds += process::scheduled_seconds(*pid).with_context(gone)?;
            look.wakes += process::wakes(*pid).with_context(gone)?;
        }
        Ok(look)
    }
}

#[derive(Default)]
struct Look {
    memory_bytes: u64,
    resident_bytes: u64,
    cpu_seconds: f64,
    wakes: u64,
}

impl Look {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn since(&self, before: &Self, wire_bytes: u64) -> Cost {
        Cost {
            memory_mb: megabytes(self.memory_bytes),
            resident_mb: megabytes(self.resident_bytes),
            cpu_s: self.cpu_seconds - before.cpu_seconds,
            wakes: self.wakes.saturating_sub(before.wakes) as f64,
            wire_bytes: wire_bytes as f64,
        }
    }
}

/// What one agent has cost.
struct Cost {
    memory_mb: f64,
    resident_mb: f64,
    cpu_s: f64,
    wakes: f64,
    wire_bytes: f64,
}

impl Cost {
    fn told(self, section: &mut Section, name: &str) -> Self {
        section.figure(format!("{name}: memory (PSS)"), "MB", vec![self.memory_mb]);
        let resident = vec![self.resident_mb];
        section.figure(
            format!("{name}: memory (RSS, shared pages once a process)"),
            "MB",
            resident,
        );
        section.figure(format!("{name}: processor time"), "s", vec![self.cpu_s]);
        section.figure(format!("{name}: wake-ups"), "", vec![self.wakes]);
        section.figure(
            format!("{name}: TCP, both ways"),
            "B",
            vec![self.wire_bytes],
        );
        self
    }
}

/// A TCP socket of somebody.
struct Socket {
    pid: u32,
    ends: String,
    bytes: u64,
}

/// All that are connected, as the kernel counts their bytes.
fn sockets() -> anyhow::Result<Vec<Socket>> {
    let mut command = Command::new("ss");
    command.args([
        "--no-header",
        "--tcp",
        "--info",
        "--processes",
        "--oneline",
        "--numeric",
    ]);
    let ran = run(command, &[0]).context("ss of iproute2 is needed")?;
    let text = String::from_utf8_lossy(&ran.output).into_owned();
    ensure!(!text.is_empty(), "ss shows no connection");
    Ok(text.lines().filter_map(socket).collect())
}

fn socket(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace();
    let ends = format!("{} {}", words.nth(3)?, words.next()?);
    let number = |key: &str| {
        let after = line.split_once(key)?.1;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    };
    Some(Socket {
        pid: u32::try_from(number("pid=")?).ok()?,
        ends,
        bytes: number("bytes_sent:").unwrap_or(0) + number("bytes_received:").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_s_bytes_are_read_from_what_ss_says() {
        let line = "ESTAB 0 0 127.0.0.1:40000 127.0.0.1:443 users:((\"agent\",pid=7,fd=9)) cubic wscale:7,7 bytes_sent:120 bytes_acked:121 bytes_received:30";
        let seen = socket(line).unwrap();
        assert_eq!((seen.pid, seen.bytes), (7, 150));
        assert_eq!(seen.ends, "127.0.0.1:40000 127.0.0.1:443");
    }
}
