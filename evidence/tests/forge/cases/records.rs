//! Records that contradict what the part stores, sealed so by the agent's own key.

use serde_json::{Value, json};

use super::super::{
    Case,
    deployment::Deployment,
    draft::{Draft, file_record, folder, line, seal_entries, written},
};

type Change = fn(&mut Draft);

/// A part that `change` has been at before it was sealed.
fn made(world: &Deployment, change: Change) -> super::super::Files {
    let mut draft = Draft::ordered(world);
    change(&mut draft);
    draft.folder(&world.agent)
}

fn relist(draft: &mut Draft, change: impl FnOnce(&mut Value)) {
    let text = String::from_utf8(draft.files.clone()).unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    change(&mut lines[1]);
    draft.files = lines.iter().flat_map(line).collect();
}

fn results(draft: &mut Draft, text: &str) {
    draft.content[2].1 = text.as_bytes().to_vec();
}

/// collection.json put in as it is.
fn with_collection(world: &Deployment, change: fn(String) -> String) -> super::super::Files {
    let draft = Draft::ordered(world);
    let mut entries = draft.entries();
    let record = entries.last_mut().unwrap();
    record.1 = change(String::from_utf8(record.1.clone()).unwrap()).into_bytes();
    let zip = written(&seal_entries(entries, &world.agent, 30));
    let statement = draft.statement(&zip, None, None, &world.agent);
    folder(1, zip, &statement, &world.agent)
}

const FORGED: &[(&str, &str, Change, &[&str])] = &[
    (
        "records-count-files",
        "collection.json counts a file more.",
        |d| d.counts = json!({"files": 2}),
        &["count-mismatch"],
    ),
    (
        "records-count-gaps",
        "collection.json counts no gap where there is one.",
        |d| {
            d.gaps = gap("serious");
            d.counts = json!({"gaps": 0, "serious_gaps": 0});
        },
        &["count-mismatch", "gaps"],
    ),
    (
        "records-totals",
        "The totals so far are not the sum of the parts.",
        |d| {
            d.record["counts_so_far"] = json!({"files": 7});
        },
        &["count-mismatch"],
    ),
    (
        "records-file-size",
        "files.jsonl gives a file another size.",
        |d| relist(d, |r| r["size_bytes"] = 8.into()),
        &["file-size"],
    ),
    (
        "records-file-digest",
        "files.jsonl gives a file another digest.",
        |d| relist(d, |r| r["sha256"] = "00".repeat(32).into()),
        &["file-digest"],
    ),
    (
        "records-file-absent",
        "files.jsonl records a stored file that is not there.",
        |d| relist(d, |r| r["entry"] = "fs/$rootfs$/etc/shadow".into()),
        &["file-absent", "file-unlisted"],
    ),
    (
        "records-file-unlisted",
        "A stored file has no record.",
        |d| {
            d.files
                .truncate(d.files.iter().position(|&b| b == b'\n').unwrap() + 1)
        },
        &["file-unlisted"],
    ),
    (
        "records-file-twice",
        "Two records claim one stored file.",
        |d| {
            let more = line(&file_record(
                "/etc/other",
                "fs/$rootfs$/etc/hostname",
                b"host-1\n",
            ));
            d.files.extend(more);
        },
        &["file-twice"],
    ),
    (
        "records-files-garbage",
        "A line of files.jsonl is no record.",
        |d| d.files.extend(b"{\"path\":1}\n"),
        &["record-malformed"],
    ),
    (
        "records-key-twice",
        "A record names a key twice, so that two readers may read two values.",
        |d| results(d, "{\"pid\":1,\"pid\":2}\n"),
        &["record-malformed"],
    ),
    (
        "records-key-twice-deep",
        "A record names a key twice, deep inside.",
        |d| results(d, "{\"a\":[{\"b\":1,\"b\":2}]}\n"),
        &["record-malformed"],
    ),
    (
        "records-no-line-feed",
        "The last record does not end in a line feed.",
        |d| results(d, "{\"pid\":1}\n{\"pid\":2}"),
        &["record-malformed"],
    ),
    (
        "records-not-objects",
        "Records are lists.",
        |d| results(d, "[1]\n"),
        &["record-malformed"],
    ),
    (
        "records-byte-order-mark",
        "Records begin with a byte order mark.",
        |d| results(d, "\u{feff}{\"pid\":1}\n"),
        &["record-malformed"],
    ),
    (
        "records-nan",
        "A record holds NaN.",
        |d| results(d, "{\"pid\":NaN}\n"),
        &["record-malformed"],
    ),
    (
        "records-log-garbage",
        "A line of the log is no JSON.",
        |d| d.log.extend(b"began\n"),
        &["record-malformed"],
    ),
    (
        "records-other-agent",
        "collection.json names another agent than the seal.",
        |d| d.record["agent"] = json!(super::super::deployment::OTHER_AGENT),
        &["seal-identity", "statement-invalid"],
    ),
];

fn gap(severity: &str) -> Vec<u8> {
    line(&json!({
        "artifact": "tiny", "subject": "/etc/shadow", "reason": "permission_denied",
        "severity": severity, "text": "denied", "time": super::super::at(2),
    }))
}

pub(super) fn cases(world: &Deployment) -> Vec<Case> {
    let mut cases: Vec<_> = FORGED
        .iter()
        .map(|(name, about, change, codes)| Case::forged(name, about, made(world, *change), codes))
        .collect();
    cases.push(Case::forged(
        "records-version",
        "collection.json is of a version that is not known.",
        with_collection(world, |s| s.replacen("\"v\": 1", "\"v\": 2", 1)),
        &["version-unknown"],
    ));
    cases.push(Case::forged(
        "records-collection-key-twice",
        "collection.json names a key twice that is not even known.",
        with_collection(world, |s| s.replacen('{', "{\"later\":1,\"later\":2,", 1)),
        &["collection-malformed"],
    ));
    cases.push(Case::forged(
        "records-collection-garbage",
        "collection.json is no JSON.",
        with_collection(world, |_| "none\n".into()),
        &["collection-malformed"],
    ));
    cases.push(Case::reserved(
        "genuine-gaps",
        "Something could not be collected, and the part says so.",
        made(world, |d| d.gaps = gap("serious")),
        &["gaps"],
    ));
    cases.push(Case::reserved(
        "genuine-ended-early",
        "The collection was cut off, and the part says so.",
        made(world, |d| d.record["ended_early"] = "cancelled".into()),
        &["ended-early"],
    ));
    cases.push(Case::reserved(
        "link-to-nothing",
        "A further name of a file leads to content that no part holds.",
        made(world, |d| {
            let mut link = file_record("/etc/link", "", b"");
            for gone in ["entry", "size_bytes", "sha256"] {
                link.as_object_mut().unwrap().remove(gone);
            }
            link["hard_link_of"] = "fs/$rootfs$/etc/gone".into();
            d.files.extend(line(&link));
        }),
        &["link-absent"],
    ));
    cases.push(Case::genuine(
        "genuine-same-name-but-case",
        "Two names differ only in case, as a Unix host may have them.",
        made(world, |d| {
            d.store("/etc/Hostname", b"host-2\n");
            let last = d.content.pop().unwrap();
            d.content.insert(2, last);
        }),
    ));
    cases
}
