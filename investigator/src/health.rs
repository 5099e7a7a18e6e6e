//! How hosts fare, by what their agents last said and when they were last heard of: one judgement for the console's pages
//! and `fieldseal hosts`.
//!
//! Nothing is taken for well that was not told: what is missing is a concern of its own, with the reason.

use std::fmt;

use clap::ValueEnum;
use evidence::instant::Instant;
use indicatif::HumanBytes;
use protocol::{
    health::missing_walls,
    messages::{Health, HostRow},
};

use crate::commands::table;

/// An agent asks for orders all the time: one that was silent for longer is not in touch.
pub const IN_TOUCH_SECONDS: i64 = 300;
/// Reports come every few hours; an older one says little about now.
const REPORT_SECONDS: i64 = 12 * 3600;
/// A spool that holds so much fills, and so does one whose disk has no more left.
const FILLING_BYTES: u64 = 1 << 30;
const DAY_MS: u64 = 24 * 3_600_000;

/// A reason to look after a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Concern {
    /// Its identity was met on two machines: it is given no more orders, and each machine gets one of its own.
    Cloned,
    /// Not heard of for more than five minutes.
    Silent,
    /// Its agent says that something went wrong, and is not over.
    Errors,
    /// A gibibyte or more of sealed evidence waits on it, or its disk has less free.
    Spool,
    /// Its clock is more than five minutes from the server's.
    Clock,
    /// A wall that the kernel keeps around the agent does not stand.
    Walls,
    /// Something that agents tell was not told, or its last report is older than twelve hours.
    Untold,
    /// Its agent was revoked, and the host was not removed.
    Revoked,
}

impl Concern {
    /// All of them, what to look at first in front.
    pub const ALL: [Self; 8] = [
        Self::Cloned,
        Self::Silent,
        Self::Errors,
        Self::Spool,
        Self::Clock,
        Self::Walls,
        Self::Untold,
        Self::Revoked,
    ];

    /// Its name on the command line and in addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cloned => "cloned",
            Self::Silent => "silent",
            Self::Errors => "errors",
            Self::Spool => "spool",
            Self::Clock => "clock",
            Self::Walls => "walls",
            Self::Untold => "untold",
            Self::Revoked => "revoked",
        }
    }

    /// In words, of a host.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Cloned => "cloned",
            Self::Silent => "silent",
            Self::Errors => "with errors",
            Self::Spool => "spool fills",
            Self::Clock => "clock off",
            Self::Walls => "walls missing",
            Self::Untold => "not all told",
            Self::Revoked => "revoked",
        }
    }

    /// What it means, as the command line's help says it too.
    pub fn about(self) -> String {
        let help = self.to_possible_value();
        let help = help.as_ref().and_then(|value| value.get_help());
        help.map(ToString::to_string).unwrap_or_default()
    }

    /// What of `host` gives reason for it; none where nothing does.
    pub fn of(self, host: &HostRow, now: Instant) -> Option<String> {
        match (self, host.health.as_ref()) {
            (Self::Cloned, _) => host.cloned.map(|at| cloned(host, at)),
            (Self::Revoked, _) => host.revoked.map(revoked),
            (Self::Silent, _) => silent(host, now),
            (Self::Untold, _) => {
                let untold = untold(host, now);
                (!untold.is_empty()).then(|| untold.join("; "))
            }
            (_, None) => None,
            (Self::Errors, Some(health)) => health.problem.clone(),
            (Self::Spool, Some(health)) => is_filling(health).then(|| spool(health)),
            (Self::Clock, Some(health)) => {
                health.clock_ahead_ms.filter(|_| is_off(health)).map(clock)
            }
            (Self::Walls, Some(health)) => walls(health),
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether anybody expects to hear of it: it is a host's, and counts.
pub fn is_looked_after(host: &HostRow) -> bool {
    host.is_target() && host.removed.is_none()
}

/// Every reason to look after `host`, with its words; none where it is well, was removed, or is a kit. Of an identity that
/// counts no more, that is the only one.
pub fn concerns(host: &HostRow, now: Instant) -> Vec<(Concern, String)> {
    let all: &[Concern] = if host.removed.is_some() || host.kit.is_some() {
        &[]
    } else if host.revoked.is_some() {
        &[Concern::Revoked]
    } else if host.cloned.is_some() {
        &[Concern::Cloned]
    } else {
        &Concern::ALL
    };
    let found = all.iter();
    found
        .filter_map(|one| Some((*one, one.of(host, now)?)))
        .collect()
}

fn cloned(host: &HostRow, at: Instant) -> String {
    let became: Vec<_> = host.forked_into.iter().map(ToString::to_string).collect();
    let at = table::time(at);
    match became.as_slice() {
        [] => format!("met on two machines at {at}; nothing came of it yet"),
        ids => format!("met on two machines at {at}; became {}", ids.join(", ")),
    }
}

fn revoked(from: Instant) -> String {
    let from = table::time(from);
    format!("revoked from {from}; it gets no orders, and nothing of it is taken")
}

fn is_off(health: &Health) -> bool {
    health.is_clock_off() == Some(true)
}

/// Seconds since it was last heard of.
fn silence(host: &HostRow, now: Instant) -> Option<i64> {
    host.last_seen.map(|at| now.seconds - at.seconds)
}

fn silent(host: &HostRow, now: Instant) -> Option<String> {
    match silence(host, now) {
        None => Some("never heard of since it was enrolled: see whether its agent runs".to_owned()),
        Some(..=IN_TOUCH_SECONDS) => None,
        Some(seconds) => Some(format!("not heard of for {}", hours(seconds))),
    }
}

fn hours(seconds: i64) -> String {
    match seconds {
        ..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn untold(host: &HostRow, now: Instant) -> Vec<String> {
    let Some(health) = &host.health else {
        return vec![no_report(host).to_owned()];
    };
    let lacking = [
        (
            health.reader_walls.is_none(),
            "walls of the reader",
            NO_READER_WALLS,
        ),
        (
            health.courier_walls.is_none(),
            "walls of the courier",
            NO_COURIER_WALLS,
        ),
        (health.clock_ahead_ms.is_none(), "clock", NO_CLOCK),
        (health.free_bytes.is_none(), "free room", NO_ROOM),
        (
            health.cpu_day_ms.is_none() || health.memory_peak_bytes.is_none(),
            "use of the host",
            NO_USE,
        ),
    ];
    let lacking = lacking.into_iter().filter(|(is_so, ..)| *is_so);
    let mut untold: Vec<_> = lacking
        .map(|(_, what, why)| format!("{what}: {why}"))
        .collect();
    let age = host.health_told.map(|at| now.seconds - at.seconds);
    if let Some(seconds) = age.filter(|age| *age > REPORT_SECONDS && silent(host, now).is_none()) {
        untold.push(format!(
            "it is in touch, and its last report is {} old",
            hours(seconds)
        ));
    }
    untold
}

/// Why there is no report.
pub fn no_report(host: &HostRow) -> &'static str {
    match host.last_seen {
        None => "no report yet: its agent was enrolled and has not been heard of",
        Some(_) => "no report yet: one comes within a minute of the agent's start",
    }
}

/// Why the walls around the half that sees the host are not known.
pub const NO_READER_WALLS: &str = "not known: the reader had not told them by the last report";
/// Why those around the half that has the network are not known.
pub const NO_COURIER_WALLS: &str = "not known: an agent of its version does not tell them";
/// Why the clock is not known.
pub const NO_CLOCK: &str = "not known: the server's time could not be had at the last report";
/// Why the use of the host is not known.
pub const NO_USE: &str = "not known: the reader had not told it by the last report";
const NO_ROOM: &str = "not known: the host's system does not say";

fn is_filling(health: &Health) -> bool {
    health.bytes_waiting >= FILLING_BYTES
        || health.free_bytes.is_some_and(|free| free < FILLING_BYTES)
}

/// What waits for delivery, and the room that is left.
pub fn spool(health: &Health) -> String {
    let waits = match health.parts_waiting {
        0 => "nothing waits".to_owned(),
        1 => format!("1 part waits, {}", HumanBytes(health.bytes_waiting)),
        parts => format!("{parts} parts wait, {}", HumanBytes(health.bytes_waiting)),
    };
    match health.free_bytes {
        Some(free) => format!("{waits}; {} free", HumanBytes(free)),
        None => waits,
    }
}

/// How far a clock is ahead of the server's, in seconds.
pub fn ahead(ahead_ms: i64) -> String {
    match (ahead_ms as f64 / 100.0).round() / 10.0 {
        0.0 => "0.0 s".to_owned(),
        seconds => format!("{seconds:+.1} s"),
    }
}

/// How far a clock is off.
pub fn clock(ahead_ms: i64) -> String {
    format!("{} from the server's", ahead(ahead_ms))
}

/// The processor time that the agent took in the last day, or since its start where that is less.
pub fn cpu(health: &Health) -> Option<String> {
    let ms = health.cpu_day_ms?;
    let share = ms as f64 * 100.0 / DAY_MS as f64;
    Some(format!(
        "{:.1} s ({share:.2} % of a core)",
        ms as f64 / 1000.0
    ))
}

/// The most memory that it held since its start.
pub fn memory(health: &Health) -> Option<String> {
    Some(HumanBytes(health.memory_peak_bytes?).to_string())
}

fn walls(health: &Health) -> Option<String> {
    let halves = [
        ("reader", &health.reader_walls),
        ("courier", &health.courier_walls),
    ];
    let missing: Vec<_> = halves
        .into_iter()
        .filter_map(|(half, walls)| {
            let missing = missing_walls(walls.as_deref()?)?;
            Some(format!("{half}: {missing}"))
        })
        .collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at};

    fn well() -> HostRow {
        HostRow {
            last_seen: Some(at(1000)),
            health_told: Some(at(1000)),
            health: Some(Health {
                hostname: "h".into(),
                system: "Debian 12".into(),
                agent_version: "0.1.0".into(),
                free_bytes: Some(FILLING_BYTES),
                parts_waiting: 1,
                bytes_waiting: FILLING_BYTES - 1,
                clock_ahead_ms: Some(300_000),
                problem: None,
                reader_walls: Some("users, system_calls".into()),
                courier_walls: Some("users, landlock".into()),
                cpu_day_ms: Some(8_640),
                memory_peak_bytes: Some(1 << 20),
                errors: Vec::new(),
            }),
            ..World::host(1, "h")
        }
    }

    /// What is told of [`well`] once `change` was made, at `now`.
    fn told(now: i64, change: impl FnOnce(&mut HostRow)) -> Vec<(Concern, String)> {
        let mut host = well();
        change(&mut host);
        concerns(&host, at(now))
    }

    fn health(host: &mut HostRow) -> &mut Health {
        host.health.as_mut().unwrap()
    }

    #[track_caller]
    fn one(found: &[(Concern, String)], concern: Concern, says: &str) {
        let [(found, words)] = found else {
            panic!("{found:?}");
        };
        assert_eq!(*found, concern);
        assert!(words.contains(says), "{words}");
    }

    #[test]
    fn a_host_is_well_at_the_edge_of_each_figure_and_not_past_it() {
        assert_eq!(told(1300, |_| ()), []);
        one(&told(1301, |_| ()), Concern::Silent, "for 5 min");
        one(
            &told(1000, |h| h.last_seen = None),
            Concern::Silent,
            "never",
        );
        let problem = |h: &mut HostRow| health(h).problem = Some("disk full".into());
        one(&told(1000, problem), Concern::Errors, "disk full");
        let waits = |h: &mut HostRow| health(h).bytes_waiting += 1;
        one(&told(1000, waits), Concern::Spool, "1 part waits, 1.00 GiB");
        let little = |h: &mut HostRow| health(h).free_bytes = Some(7);
        one(&told(1000, little), Concern::Spool, "7 B free");
        let off = |h: &mut HostRow| health(h).clock_ahead_ms = Some(-300_001);
        one(&told(1000, off), Concern::Clock, "-300.0 s");
        let open = |h: &mut HostRow| {
            health(h).courier_walls = Some("users; missing: landlock (no kernel)".into());
        };
        let told = told(1000, open);
        one(&told, Concern::Walls, "courier: landlock (no kernel)");
    }

    #[test]
    fn an_identity_that_counts_no_more_is_told_as_that_and_as_nothing_else() {
        let ill = |h: &mut HostRow| (h.last_seen, h.health) = (None, None);
        let cloned = |h: &mut HostRow| {
            ill(h);
            h.cloned = Some(at(7));
        };
        one(&told(9000, cloned), Concern::Cloned, "nothing came of it");
        let became = |h: &mut HostRow| {
            cloned(h);
            h.forked_into = vec![h.agent];
        };
        one(&told(9000, became), Concern::Cloned, "became a-");
        let revoked = |h: &mut HostRow| {
            cloned(h);
            h.revoked = Some(at(8));
        };
        one(&told(9000, revoked), Concern::Revoked, "revoked from");
        let removed = |h: &mut HostRow| {
            revoked(h);
            h.removed = Some(at(9));
        };
        assert_eq!(told(9000, removed), []);
    }

    #[test]
    fn what_was_not_told_is_never_taken_for_well_and_says_why() {
        let none = |h: &mut HostRow| (h.health, h.health_told) = (None, None);
        one(&told(1000, none), Concern::Untold, "within a minute");
        let holes = |h: &mut HostRow| {
            let health = health(h);
            (
                health.reader_walls,
                health.clock_ahead_ms,
                health.cpu_day_ms,
            ) = (None, None, None);
        };
        let found = told(1000, holes);
        one(&found, Concern::Untold, NO_READER_WALLS);
        assert!(found[0].1.contains(NO_CLOCK) && found[0].1.contains(NO_USE));
        let now = 1000 + REPORT_SECONDS;
        assert_eq!(told(now, |h| h.last_seen = Some(at(now))), []);
        let old = told(now + 1, |h| h.last_seen = Some(at(now)));
        one(&old, Concern::Untold, "12 h old");
    }

    #[test]
    fn nobody_looks_after_what_does_not_count_any_more() {
        assert_eq!(told(9999, |h| h.removed = Some(at(1))), []);
        for change in [
            (|h| h.removed = Some(at(1))) as fn(&mut HostRow),
            |h| h.revoked = Some(at(1)),
            |h| h.cloned = Some(at(1)),
        ] {
            let mut host = well();
            change(&mut host);
            assert!(!is_looked_after(&host));
        }
    }

    #[test]
    fn each_concern_has_its_name_and_says_what_it_means() {
        for concern in Concern::ALL {
            assert_eq!(Concern::from_str(concern.name(), false), Ok(concern));
            assert!(concern.about().len() > 20, "{concern}");
        }
        assert_eq!(Concern::ALL.len(), Concern::value_variants().len());
        let told = well().health.unwrap();
        assert_eq!(cpu(&told).unwrap(), "8.6 s (0.01 % of a core)");
        assert_eq!(memory(&told).unwrap(), "1.00 MiB");
        assert_eq!(
            [-49, 50, -600_000].map(ahead),
            ["0.0 s", "+0.1 s", "-600.0 s"]
        );
    }
}
