//! On whose order, from which host, by whom, where and when: the facts of the form.

use evidence::{
    count,
    field::Field,
    records::{CollectionRecord, HostIdentity},
    verify::CollectionReport,
};

use crate::report::facts::{self, Group, time};

/// On whose order, for which case.
pub(super) fn order(report: &CollectionReport) -> Group {
    let mut group = Group::new("On whose order");
    let record = facts::first(report);
    group.say("Case", record.and_then(|r| r.case.clone()));
    group.facts.extend(facts::order(report).facts);
    let ordered = report.parts.iter().find_map(|p| p.ordered.as_ref());
    let approved = ordered.map(|o| {
        let others = o.signers.iter().filter(|name| **name != o.requester);
        others.cloned().collect::<Vec<_>>().join(", ")
    });
    group.say("Approved by", approved);
    let profile = record.and_then(|r| r.profile.as_ref());
    let profile = profile.map(|p| format!("{}, SHA-256 {}", p.name, p.sha256));
    group.say("What was asked for", profile);
    group
}

/// By what the host is known again.
pub(super) fn host(report: &CollectionReport) -> Group {
    let mut group = Group::new("The host");
    let Some(record) = facts::first(report) else {
        return group;
    };
    let host = &record.host_identity;
    group.say("Name", Some(host.hostname.clone()));
    group.say("System", Some(system(host)));
    group.say("Machine id", host.machine_id.clone());
    group.say(facts::DEAD_DISK, facts::dead_disk(record));
    group.say("Id in the deployment", record.host.map(|id| id.to_string()));
    if let Some(hardware) = &host.hardware {
        for (label, values) in [
            ("Maker, model, serial numbers", &hardware.firmware),
            ("Network interfaces", &hardware.macs),
            ("Disks", &hardware.disks),
        ] {
            for (name, value) in values {
                group.say(label, Some(format!("{name}: {value}")));
            }
        }
    }
    group
}

fn system(host: &HostIdentity) -> String {
    let name = host.os_version.as_deref().unwrap_or(&host.os);
    let kernel = host.kernel.as_deref().map(|k| format!(", kernel {k}"));
    format!("{name}, {}{}", host.arch, kernel.unwrap_or_default())
}

/// Who, where, when, by which clock, with which outcome.
pub(super) fn acquisition(report: &CollectionReport) -> Group {
    let mut group = Group::new("The acquisition");
    group.say("Collection", report.collection.map(|id| id.to_string()));
    group.say("Fingerprint of the last part", fingerprint(report));
    let Some(record) = facts::first(report) else {
        return group;
    };
    if let Some(field) = &record.field {
        said_at_the_host(&mut group, field, record);
    }
    let by = facts::clock(record);
    group.say(by.begun, Some(time(record.started)));
    let clock = record.clock.map(|c| {
        let (offset, bound) = (c.offset_ms, c.bound_ms);
        format!("{offset} ms from the server's signed time, give or take {bound} ms")
    });
    group.say(by.label, clock);
    let last = last(report);
    let ended = last.map(|r| time(r.ended));
    group.say(by.ended, ended);
    group.say("Outcome", Some(outcome(report, last)));
    group
}

/// What the operator typed, and their clock beside the host's.
fn said_at_the_host(group: &mut Group, field: &Field, record: &CollectionRecord) {
    group.say("Collected by", Some(field.operator.clone()));
    group.say("Place", Some(field.location.clone()));
    group.say("Medium's serial number", field.medium.clone());
    group.say(
        "Time by the operator's clock",
        field.operator_time.map(time),
    );
    let apart = field.operator_time.map(|said| {
        let seconds = record.started.seconds.saturating_sub(said.seconds);
        format!("{seconds} s after the operator's when it began, what was typed meanwhile included")
    });
    group.say(facts::clock(record).label, apart);
    group.say("Remark", field.remark.clone());
}

/// Who collected, or what did.
pub(super) fn operator(report: &CollectionReport) -> String {
    let record = facts::first(report);
    let field = record.and_then(|r| r.field.as_ref());
    let agent = record
        .and_then(|r| r.agent)
        .map(|a| format!("the agent {a}"));
    field.map_or_else(|| super::named(agent), |field| field.operator.clone())
}

/// Who sealed, by certificate and key; and with which kit.
pub(super) fn sealer(report: &CollectionReport) -> Group {
    let mut group = Group::new("Who sealed it");
    let record = facts::first(report);
    let field = record.and_then(|r| r.field.as_ref());
    group.say("Kit", field.map(|f| f.kit.to_string()));
    group.facts.extend(facts::sealer(report).facts);
    let signer = report.parts.iter().find_map(|p| p.signer.as_ref());
    let key = signer.and_then(|s| s.key_sha256).map(|d| d.to_string());
    group.say("Seal key (SHA-256)", key);
    group
}

fn last(report: &CollectionReport) -> Option<&CollectionRecord> {
    let mut records = report.parts.iter().filter_map(|p| p.record.as_ref());
    records.find(|record| record.last)
}

/// Of the last part as it was stored: it is what the host's screen showed.
fn fingerprint(report: &CollectionReport) -> Option<String> {
    let last = report.parts.iter().rfind(|part| part.last == Some(true))?;
    let stored = last.cipher_sha256.or(last.plain_sha256)?;
    Some(stored.fingerprint())
}

fn outcome(report: &CollectionReport, last: Option<&CollectionRecord>) -> String {
    let gaps: u64 = report.parts.iter().map(|p| p.counts.gaps).sum();
    let serious: u64 = report.parts.iter().map(|p| p.counts.serious_gaps).sum();
    let files: u64 = report.parts.iter().map(|p| p.counts.files).sum();
    let records: u64 = report.parts.iter().map(|p| p.counts.records).sum();
    let word = match last.map(|record| &record.ended_early) {
        None => "the last part is not here".to_owned(),
        Some(Some(why)) => format!("ended early: {why}"),
        Some(None) if gaps > 0 => "complete with gaps".to_owned(),
        Some(None) => "complete".to_owned(),
    };
    let (files, records) = (
        count::of(files, "file", "files"),
        count::of(records, "record", "records"),
    );
    format!(
        "{word}; {files}, {records}, {} ({serious} serious)",
        count::of(gaps, "gap", "gaps")
    )
}
