//! The worked example of FORMAT.md is made from a committed vector, so that it can't rot; and every code stands there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fmt::Write as _,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use evidence::{
    archive::{self, Limits},
    capture::Capture,
    custody::event::{Action, Event, Outcome, StoredPart},
    digest::Digest,
    envelope::Envelope,
    field::Field,
    ids::{AgentId, CollectionId, HoldId, HostId, KitId, OrderId},
    instant::Instant,
    keys::SigningKey,
    records::{
        CollectionRecord, DeadDisk, Extent, FileRecord, FileType, Piece, ReadBy, Times, Xattr,
    },
    statement,
    verify::Code,
};
use serde_json::Value;

const HEAD: &str = "## Worked example\n";

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Entries by name, as the archive's own reader gives them.
fn entries(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let report = archive::read(Cursor::new(zip), &Limits::default(), |entry, plain| {
        let mut bytes = Vec::new();
        plain.read_to_end(&mut bytes)?;
        found.push((entry.name.clone(), bytes));
        Ok(())
    });
    assert!(report.unwrap().faults.is_empty());
    found
}

fn hex(bytes: &[u8], from: usize) -> String {
    let mut out = String::new();
    for (at, row) in bytes.chunks(16).enumerate() {
        let digits: Vec<_> = row.iter().map(|b| format!("{b:02x}")).collect();
        let text = row.iter().map(|&b| char::from(b));
        let text: String = text
            .map(|c| if c.is_ascii_graphic() { c } else { '.' })
            .collect();
        writeln!(
            out,
            "    {:06x}  {:<47}  {text}",
            from + at * 16,
            digits.join(" ")
        )
        .unwrap();
    }
    out
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// JSON for people: long strings, which are all base64 or PEM, are cut.
fn shown(mut value: Value) -> String {
    cut(&mut value);
    indent(&serde_json::to_string_pretty(&value).unwrap())
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > 90 => {
            *text = format!("{}… ({} characters)", &text[..40], text.len());
        }
        Value::Array(items) => items.iter_mut().for_each(cut),
        Value::Object(fields) => fields.values_mut().for_each(cut),
        _ => {}
    }
}

fn payload(envelope: &[u8]) -> Value {
    serde_json::from_slice(Envelope::parse(envelope).unwrap().payload()).unwrap()
}

fn example() -> String {
    let vector = home().join("tests/vectors/genuine-receipts");
    let read = |name: &str| fs::read(vector.join(name)).unwrap();
    let zip = read("part-0001.zip");
    let entries = entries(&zip);
    let get = |name: &str| &entries.iter().find(|(n, _)| n == name).unwrap().1;
    let text = |name: &str| indent(std::str::from_utf8(get(name)).unwrap());
    let mut out = String::from(
        "\nThis part is `tests/vectors/genuine-receipts/part-0001.zip`, and a test makes this chapter from it. \
         Long base64 is cut (`…`).\n",
    );
    writeln!(
        out,
        "\nIt begins with a folder and a file, and ends with the end record:\n"
    )
    .unwrap();
    out.push_str(&hex(&zip[..160], 0));
    writeln!(out, "    ...").unwrap();
    out.push_str(&hex(&zip[zip.len() - 22..], zip.len() - 22));
    writeln!(
        out,
        "\nIts entries, in their order, with their plain lengths:\n"
    )
    .unwrap();
    for (name, bytes) in &entries {
        writeln!(out, "    {:>6}  {name}", bytes.len()).unwrap();
    }
    for name in [
        "files.jsonl",
        "results/processes.jsonl",
        "collection.json",
        "SHA256SUMS",
    ] {
        writeln!(out, "\n`{name}`:\n\n{}", text(name).trim_end_matches('\n')).unwrap();
    }
    writeln!(
        out,
        "\nThe envelope `order.json`, and the payload inside it:\n"
    )
    .unwrap();
    out.push_str(&shown(serde_json::from_slice(get("order.json")).unwrap()));
    out.push('\n');
    out.push_str(&shown(payload(get("order.json"))));
    writeln!(out, "\nThe payload of `policy.json`:\n").unwrap();
    out.push_str(&shown(payload(get("policy.json"))));
    writeln!(out, "\nThe payload of `part-0001.statement.json`:\n").unwrap();
    out.push_str(&shown(payload(&read("part-0001.statement.json"))));
    for name in ["part-0001.receipt", "enrolment.receipt"] {
        let receipt: Value = serde_json::from_slice(&read(name)).unwrap();
        let leaf = receipt["leaf_b64"].as_str().unwrap().as_bytes().to_vec();
        let leaf = data_encoding::BASE64.decode(&leaf).unwrap();
        Event::read(&leaf).unwrap();
        writeln!(out, "\n`{name}`, and the payload of its leaf:\n").unwrap();
        out.push_str(&shown(receipt));
        out.push('\n');
        out.push_str(&shown(payload(&leaf)));
    }
    let verdict = "\nA verifier that is given `tests/vectors/trust/root.crt` says: genuine and complete, exit code 0, \
        with the note `receipt-time`.\n";
    out.push_str(verdict);
    out
}

fn format_md() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("FORMAT.md")
}

#[test]
fn the_worked_example_is_a_committed_part() {
    let format = fs::read_to_string(format_md()).unwrap();
    let (_, found) = format.split_once(HEAD).unwrap();
    let made = example();
    assert!(
        found == made,
        "make it again: cargo test -p fieldseal-evidence --test format -- --ignored"
    );
}

#[test]
fn every_code_and_its_meaning_stand_in_the_specification() {
    let format = fs::read_to_string(format_md()).unwrap();
    let missing: Vec<_> = Code::ALL
        .iter()
        .map(|code| row(*code))
        .filter(|row| !format.contains(row.as_str()))
        .collect();
    assert!(missing.is_empty(), "{}", missing.join(""));
}

fn row(code: Code) -> String {
    let weight = format!("{:?}", code.weight()).to_lowercase();
    format!("| `{code}` | {weight} | {} |\n", code.meaning())
}

/// One of each custody event.
fn events() -> Vec<Action> {
    let (agent, order) = (AgentId::from_bytes([1; 16]), OrderId::from_bytes([2; 16]));
    let some = Digest::of(b"some");
    let part = StoredPart {
        collection: CollectionId::from_bytes([3; 16]),
        part: 1,
        stored_sha256: some,
    };
    vec![
        Action::PolicyPublished {
            policy_sha256: some,
            version: 1,
        },
        Action::Enrolled {
            agent,
            host: HostId::from_bytes([4; 16]),
            token_sha256: some,
            seal_key: some,
            tls_key: some,
            forked_from: Some(agent),
        },
        Action::Admitted {
            host: HostId::from_bytes([2; 16]),
            seal_key: some,
            admission_sha256: some,
            by_key: some,
        },
        Action::TurnedAway {
            host: HostId::from_bytes([2; 16]),
            seal_key: some,
            admission_sha256: some,
            by_key: some,
        },
        Action::Cloned { agent },
        Action::Renewed {
            agent,
            seal_key: None,
            tls_key: None,
        },
        Action::Revoked {
            agent,
            invalid_from: Instant { seconds: 0, ns: 0 },
        },
        Action::Removed {
            agent,
            invalid_from: Instant { seconds: 0, ns: 0 },
            reason_sha256: some,
        },
        Action::Ordered {
            order,
            order_sha256: some,
        },
        Action::Approved {
            order,
            order_sha256: some,
            by_key: some,
        },
        Action::Cancelled {
            order,
            order_sha256: some,
            cancel_sha256: some,
            by_key: some,
        },
        Action::Halted {
            order,
            order_sha256: some,
        },
        Action::Lapsed {
            order,
            order_sha256: some,
        },
        Action::KitCertified {
            agent,
            kit: KitId::from_bytes([6; 16]),
            seal_key: some,
            by_key: some,
        },
        Action::KitUsed {
            agent,
            kit: KitId::from_bytes([6; 16]),
            collection: part.collection,
            order_sha256: some,
            use_sha256: some,
            key: SigningKey::generate().unwrap().public(),
        },
        Action::Imported {
            collection: part.collection,
            handed_in_sha256: some,
        },
        Action::Refused {
            agent,
            order_sha256: some,
            notice_sha256: some,
        },
        Action::Received {
            part,
            agent,
            size_bytes: 1,
            statement_sha256: some,
        },
        Action::Fetched { part, by_key: some },
        Action::LogRead {
            collection: part.collection,
            by_key: some,
        },
        Action::Verified {
            part,
            outcome: Outcome::Genuine,
        },
        Action::Quarantined { part },
        Action::Retention {
            rule_sha256: some,
            version: 1,
            by_key: some,
        },
        Action::Held {
            hold: HoldId::from_bytes([6; 16]),
            hold_sha256: some,
            by_key: some,
        },
        Action::HoldLifted {
            hold: HoldId::from_bytes([6; 16]),
            hold_sha256: some,
            lift_sha256: some,
            by_key: some,
        },
        Action::Expired {
            collection: part.collection,
            parts: vec![some],
            rule_sha256: some,
        },
    ]
}

#[test]
fn every_custody_event_stands_in_the_specification_with_its_fields() {
    let format = fs::read_to_string(format_md()).unwrap();
    let (_, table) = format
        .split_once("| event | signed by | fields | says |\n")
        .unwrap();
    let rows = table.lines().skip(1).take_while(|l| l.starts_with('|'));
    let said: Vec<(String, Vec<String>)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            let mut fields = in_code(cells[3]);
            fields.sort();
            (in_code(cells[1]).remove(0), fields)
        })
        .collect();
    let written = |action: &Action| {
        let value = serde_json::to_value(action).unwrap();
        let mut fields = value.as_object().unwrap().clone();
        let event = fields.remove("event").unwrap();
        (
            event.as_str().unwrap().to_owned(),
            fields.keys().cloned().collect(),
        )
    };
    let held: Vec<(String, Vec<String>)> = events().iter().map(written).collect();
    assert_eq!(said, held);
    for outcome in ["genuine", "genuine_with_gaps", "not_genuine"] {
        let value = Value::String(outcome.into());
        assert!(serde_json::from_value::<Outcome>(value).is_ok());
    }
}

#[test]
fn every_custody_event_of_the_code_is_in_the_list() {
    // The enum may grow, so its source is asked how many events it has; the last one is for those of later programs.
    let source = fs::read_to_string(home().join("src/custody/event.rs")).unwrap();
    let (_, body) = source.split_once("pub enum Action {\n").unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let variants = body
        .lines()
        .filter(|line| line.starts_with("    ") && line.as_bytes()[4].is_ascii_uppercase());
    assert_eq!(variants.count(), events().len() + 1);
}

/// A record of a file with a value in every field.
fn full_file_record() -> FileRecord {
    let text = || Some("x".to_owned());
    let mut record = FileRecord::new("x", b"/\xff", FileType::File);
    (record.entry, record.why_no_entry, record.hard_link_of) = (text(), text(), text());
    (record.inode, record.device) = (text(), text());
    (record.target, record.target_b64) = (text(), text());
    (record.size_bytes, record.claimed_size_bytes) = (Some(1), Some(2));
    (record.mode, record.uid, record.gid) = (Some(1), Some(2), Some(3));
    (record.sha256, record.link_count) = (Some(Digest::of(b"x")), Some(1));
    (record.times_after, record.read_by) = (Some(Times::default()), Some(ReadBy::Live));
    record.pieces = vec![Piece {
        entry: "pieces/x/000001".into(),
        number: 1,
        offset_bytes: 0,
        size_bytes: 1,
        sha256: Digest::of(b"x"),
        last: true,
    }];
    record.only_extents = vec![Extent {
        offset_bytes: 0,
        size_bytes: 1,
    }];
    record.xattrs = vec![Xattr {
        name: "x".into(),
        name_b64: None,
        value_b64: String::new(),
    }];
    record
}

#[test]
fn the_tables_of_records_have_their_fields() {
    let format = fs::read_to_string(format_md()).unwrap();
    let vector = home().join("tests/vectors/genuine-receipts");
    let entries = entries(&fs::read(vector.join("part-0001.zip")).unwrap());
    let (_, json) = entries
        .iter()
        .find(|(n, _)| n == "collection.json")
        .unwrap();
    let mut collection = CollectionRecord::parse(json).unwrap();
    collection.monotonic_ns = Some("1".into());
    collection.capture = Some(Capture {
        number: 1,
        due: None,
        missed: 0,
        watched_since: None,
        changes: Vec::new(),
        out_of_scope: 0,
        blind: Vec::new(),
    });
    collection.field = Some(Field {
        kit: KitId::from_bytes([6; 16]),
        operator: "o".into(),
        location: "l".into(),
        medium: None,
        operator_time: None,
        remark: None,
    });
    collection.dead_disk = Some(DeadDisk {
        mounted_at: "/mnt".into(),
        read_by: collection.host_identity.clone(),
    });
    let statement = fs::read(vector.join("part-0001.statement.json")).unwrap();
    let (_, statement) = statement::read_unverified(&statement).unwrap();
    for (heading, record) in [
        (
            "### 4.1 files.jsonl",
            serde_json::to_value(full_file_record()),
        ),
        ("### 4.3 collection.json", serde_json::to_value(collection)),
        ("## 7. The statement", serde_json::to_value(statement)),
    ] {
        let (_, chapter) = format.split_once(&format!("\n{heading}\n")).unwrap();
        let lines = chapter.lines().skip_while(|line| !line.starts_with('|'));
        let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
        let mut said: Vec<_> = rows
            .flat_map(|row| in_code(row.split('|').nth(1).unwrap()))
            .collect();
        said.sort();
        let record = record.unwrap();
        let held: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
        assert_eq!(said, held, "{heading}");
    }
}

fn in_code(cell: &str) -> Vec<String> {
    let inside = cell.split('`').skip(1).step_by(2);
    inside.map(str::to_owned).collect()
}

#[test]
#[ignore = "writes the example and the table of codes into FORMAT.md"]
fn write() {
    let format = fs::read_to_string(format_md()).unwrap();
    let (before, _) = format.split_once(HEAD).unwrap();
    let head = "| code | weight | what it says |\n|---|---|---|\n";
    let (start, rest) = before.split_once(head).unwrap();
    let after: String = rest
        .split_inclusive('\n')
        .skip_while(|line| line.starts_with('|'))
        .collect();
    let rows: String = Code::ALL.iter().map(|code| row(*code)).collect();
    fs::write(
        format_md(),
        format!("{start}{head}{rows}{after}{HEAD}{}", example()),
    )
    .unwrap();
}
