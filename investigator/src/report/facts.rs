//! Who, what, when, on whose order: the facts of a collection as labelled lines, for any form.

use evidence::{
    count,
    instant::Instant,
    records::CollectionRecord,
    verify::{CollectionReport, Logged, PartReport, Signer},
};

use super::Check;

/// More certificates than this seal no collection.
const SIGNERS_SHOWN: usize = 8;

/// The label of [`dead_disk`].
pub(crate) const DEAD_DISK: &str = "Read from a dead disk";

/// A label and its value; values may be hostile text.
pub type Fact = (&'static str, String);

/// Facts that belong together.
#[derive(Debug)]
pub struct Group {
    /// The question that they answer.
    pub title: &'static str,
    /// The answers.
    pub facts: Vec<Fact>,
}

impl Group {
    pub(crate) fn new(title: &'static str) -> Self {
        let facts = Vec::new();
        Self { title, facts }
    }

    pub(crate) fn say(&mut self, label: &'static str, value: Option<String>) {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            self.facts.push((label, value));
        }
    }
}

/// The facts by question; what nothing is known of is left out.
pub fn groups(check: &Check, report: &CollectionReport) -> Vec<Group> {
    let mut groups = vec![
        what(report),
        order(report),
        when(report),
        sealer(report),
        checked(check),
    ];
    groups.retain(|group| !group.facts.is_empty());
    groups
}

pub(crate) fn first(report: &CollectionReport) -> Option<&CollectionRecord> {
    report.parts.iter().find_map(|p| p.record.as_ref())
}

/// Where the disk of a machine that did not run was read, and by which machine.
pub(crate) fn dead_disk(record: &CollectionRecord) -> Option<String> {
    let disk = record.dead_disk.as_ref()?;
    let (place, reader) = (&disk.mounted_at, &disk.read_by.hostname);
    Some(format!("at {place}, by {reader}"))
}

/// By which clock the times of a collection are: the host's own, or that of the machine that read its disk.
pub(crate) fn clock(record: &CollectionRecord) -> Clock {
    match record.dead_disk {
        None => Clock {
            name: "the host's clock",
            label: "The host's clock",
            begun: "Begun, by the host's clock",
            ended: "Ended, by the host's clock",
        },
        Some(_) => Clock {
            name: "the clock of the machine that read the disk",
            label: "The reading machine's clock",
            begun: "Begun, by the reading machine's clock",
            ended: "Ended, by the reading machine's clock",
        },
    }
}

/// A clock, in words.
pub(crate) struct Clock {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) begun: &'static str,
    pub(crate) ended: &'static str,
}

fn what(report: &CollectionReport) -> Group {
    let mut group = Group::new("What was collected, and where");
    group.say("Collection", report.collection.map(|id| id.to_string()));
    if let Some(record) = first(report) {
        let host = &record.host_identity;
        let system = host.os_version.as_deref().unwrap_or(&host.os);
        let text = format!("{} ({system}, {})", host.hostname, host.arch);
        group.say("Host", Some(text));
        group.say("Host id", record.host.map(|id| id.to_string()));
        group.say("Machine id", host.machine_id.clone());
        group.say(DEAD_DISK, dead_disk(record));
        group.say("Case", record.case.clone());
        let profile = record.profile.as_ref();
        group.say(
            "Profile",
            profile.map(|p| format!("{}, SHA-256 {}", p.name, p.sha256)),
        );
    }
    let sum = |figure: fn(&PartReport) -> u64| report.parts.iter().map(figure).sum::<u64>();
    let (files, bytes) = (sum(|p| p.counts.files), sum(|p| p.counts.file_bytes));
    let bytes = count::of(bytes, "byte", "bytes");
    group.say("Files", Some(format!("{files}, with {bytes}")));
    group.say("Records", Some(sum(|p| p.counts.records).to_string()));
    let opened = report.parts.iter().filter(|p| p.opened).count();
    let text = format!("{}, {opened} of them opened and read", report.parts.len());
    group.say("Parts", Some(text));
    group
}

pub(crate) fn order(report: &CollectionReport) -> Group {
    let mut group = Group::new("On whose order");
    let Some(record) = first(report) else {
        return group;
    };
    let by = record.requester.as_ref();
    if record.order.is_none() {
        group.say("Ordered by", Some("nobody: a local collection".into()));
        return group;
    }
    let ordered = report.parts.iter().find_map(|p| p.ordered.as_ref());
    let name = ordered.map(|o| o.requester.clone());
    group.say("Ordered by", name.or(by.map(|p| p.name.clone())));
    group.say("Key of who ordered", by.map(|p| p.key_sha256.to_string()));
    group.say("Signed by", ordered.map(|o| o.signers.join(", ")));
    group.say("Reason given", ordered.map(|o| o.reason.clone()));
    group.say("Order", record.order.map(|id| id.to_string()));
    group.say("Order SHA-256", record.order_sha256.map(|d| d.to_string()));
    group.say(
        "To be begun",
        ordered.map(|o| format!("from {} until {}", time(o.not_before), time(o.expires))),
    );
    group.say(
        "Policy",
        ordered.map(|o| {
            let by = if o.policy_trusted {
                "signed by the trusted root"
            } else {
                "by whom it is signed was not checked"
            };
            format!("{}, version {}, {by}", o.deployment, o.policy_version)
        }),
    );
    group
}

fn when(report: &CollectionReport) -> Group {
    let mut group = Group::new("When, and on whose word that rests");
    if let Some(record) = first(report) {
        let by = clock(record);
        let told = |at| format!("{} ({})", time(at), by.name);
        group.say("Begun", Some(told(record.started)));
        let clock = record.clock.map_or_else(
            || "never compared with a signed time".to_owned(),
            |c| {
                format!(
                    "{} ms from the server's signed time, give or take {} ms",
                    c.offset_ms, c.bound_ms
                )
            },
        );
        group.say(by.label, Some(clock));
        let ended = report.parts.iter().filter_map(|p| p.record.as_ref());
        let ended = ended.filter(|r| r.last).map(|r| r.ended).max();
        group.say("Ended", ended.map(told));
    }
    for part in &report.parts {
        let number = part.number.map_or_else(|| "?".into(), |n| n.to_string());
        let sealed = part.time.map(|t| {
            format!(
                "part {number}: {} or before, {}",
                time(t.at),
                t.basis.in_words()
            )
        });
        group.say("Sealed", sealed);
        let received = part
            .received
            .map(|at| format!("part {number}: {}", time(at)));
        group.say("Received by the server", received);
        let logged = part
            .logged
            .as_ref()
            .map(|l| format!("part {number}: {}", leaf(l)));
        group.say("In the custody log", logged);
        let stamp = part.stamp.as_ref().map(|s| {
            let known = if s.anchored { "" } else { " (not known here)" };
            format!("part {number}: {} by {}{known}", time(s.at), s.authority)
        });
        group.say("Time stamp", stamp);
    }
    group
}

pub(crate) fn sealer(report: &CollectionReport) -> Group {
    let mut group = Group::new("Who sealed it");
    let mut shown = Vec::new();
    for signer in report.parts.iter().filter_map(|p| p.signer.as_ref()) {
        if shown.contains(&signer.certificate_sha256) || shown.len() == SIGNERS_SHOWN {
            continue;
        }
        shown.push(signer.certificate_sha256);
        let name = signer
            .agent
            .map_or_else(|| "an unnamed key".to_owned(), |a| format!("agent {a}"));
        let known = if signer.trusted {
            "its certificate leads to the trusted root"
        } else {
            "nobody vouches for it here"
        };
        group.say("Sealed by", Some(format!("{name}; {known}")));
        let enrolled = report.parts.iter().any(|p| {
            let same = |s: &Signer| s.certificate_sha256 == signer.certificate_sha256;
            p.enrolled && p.signer.as_ref().is_some_and(same)
        });
        let text = if enrolled {
            "the custody log certifies it for this agent"
        } else {
            "nothing here shows that the custody log knows it"
        };
        group.say("Its key", Some(text.into()));
        let print = signer.certificate_sha256.to_string();
        group.say("Seal certificate SHA-256", Some(print));
    }
    if let Some(record) = first(report) {
        group.say("Agent's version", Some(record.agent_version.clone()));
        group.say(
            "Agent's program SHA-256",
            record.agent_sha256.map(|d| d.to_string()),
        );
        group.say("Walls around its reader", Some(record.sandbox.clone()));
    }
    group
}

pub(crate) fn checked(check: &Check) -> Group {
    let mut group = Group::new("How this was checked");
    let at = format!(
        "{}, {} (clock of this machine)",
        check.program,
        time(check.at)
    );
    group.say("By", Some(at));
    if check.roots_sha256.is_empty() {
        let none = "none: the signer stays unknown".to_owned();
        group.say("Under the root", Some(none));
    }
    for root in &check.roots_sha256 {
        group.say("Under the root", Some(format!("SHA-256 {root}")));
    }
    for root in &check.stamp_roots_sha256 {
        group.say("Time stamps under", Some(format!("SHA-256 {root}")));
    }
    group
}

/// Where the custody log says something, and by what that is proven.
pub(crate) fn leaf(logged: &Logged) -> String {
    let Logged {
        index,
        origin,
        size,
        root,
    } = logged;
    format!("leaf {index} of {origin}, proven by its root over {size} leaves, {root}")
}

/// For people: to the second, and that it is UTC.
pub(crate) fn time(at: Instant) -> String {
    let Some(text) = at.to_rfc3339() else {
        return format!("{} s from 1970", at.seconds);
    };
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock} UTC"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        let at = |seconds| Instant { seconds, ns: 5 };
        assert_eq!(time(at(1_700_000_000)), "2023-11-14 22:13:20 UTC");
        assert_eq!(time(at(i64::MAX)), "9223372036854775807 s from 1970");
    }
}
