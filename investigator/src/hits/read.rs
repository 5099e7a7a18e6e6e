//! One part, verified and then read: the hits in it, and what its hunts could not look at.

use std::io::{BufRead as _, BufReader, Cursor, Read, Seek};

use anyhow::{Context as _, ensure};
use evidence::{
    archive::{self, Limits},
    envelope::Envelope,
    gap::{Gap, Severity},
    records::CollectionRecord,
    verify::{self, Beside, Verdict},
    wrap::UnwrapReader,
};
use protocol::order::Order;

use super::{HUNTS, Hit, Keys, PartHits};

/// No part with hits that is read here is longer; longer ones are for `open`.
const PART_BYTES: u64 = 1 << 30;
/// No line of records is longer.
const LINE_BYTES: u64 = 16 << 20;
/// No collection.json and no order is longer.
const DOCUMENT_BYTES: u64 = 16 << 20;
const RECORD: &str = "collection.json";
const ORDER: &str = "order.json";
const GAPS: &str = "gaps.jsonl";

/// The hits of the part `bytes`, if it is genuine.
///
/// # Errors
/// It is not genuine, or can't be opened.
pub(super) fn part(
    name: &str,
    bytes: &[u8],
    beside: &Beside,
    keys: &Keys,
) -> anyhow::Result<PartHits> {
    ensure!(
        bytes.len() as u64 <= PART_BYTES,
        "{name} is longer than 1 GiB. Open it with `fieldseal open`."
    );
    let report = verify::verify_part(name, Cursor::new(bytes), beside, &keys.0);
    let (is_wrapped, is_open) = (report.encrypted, report.opened);
    let reports = verify::collections(vec![report]);
    ensure!(
        verify::overall(&reports) != Verdict::NotGenuine,
        "{name} is not genuine. See what `fieldseal verify` says of it."
    );
    ensure!(
        is_open,
        "{name} can't be opened with your key. Name another with --identity."
    );
    match is_wrapped {
        true => {
            let plain = UnwrapReader::new(&keys.0.identities, Cursor::new(bytes))
                .with_context(|| format!("{name} can't be opened."))?;
            contents(BufReader::with_capacity(1 << 16, plain))
        }
        false => contents(Cursor::new(bytes)),
    }
    .with_context(|| format!("{name} can't be read."))
}

fn contents(zip: impl Read + Seek) -> anyhow::Result<PartHits> {
    let (mut lines, mut gaps) = (Vec::new(), Vec::new());
    let (mut record, mut order) = (Vec::new(), Vec::new());
    archive::read(zip, &Limits::default(), |entry, plain| {
        let name = entry.name.as_str();
        let hunt = HUNTS.into_iter().find(|hunt| {
            name.strip_prefix("results/")
                .and_then(|n| n.strip_suffix(".jsonl"))
                == Some(hunt)
        });
        match name {
            RECORD => drop(plain.take(DOCUMENT_BYTES).read_to_end(&mut record)?),
            ORDER => drop(plain.take(DOCUMENT_BYTES).read_to_end(&mut order)?),
            GAPS => each_line(plain, |line| gaps.push(line))?,
            _ => {
                if let Some(hunt) = hunt {
                    each_line(plain, |line| lines.push((hunt, line)))?;
                }
            }
        }
        Ok(())
    })?;
    let record = CollectionRecord::parse(&record)?;
    let order = match order.is_empty() {
        true => None,
        false => {
            let envelope = Envelope::parse(&order)?;
            Some((Order::read(&envelope)?.id, envelope.digest()))
        }
    };
    let hit = |(artifact, line): (&'static str, Vec<u8>)| -> anyhow::Result<Hit> {
        Ok(Hit {
            hostname: record.host_identity.hostname.clone(),
            agent: record.agent,
            collection: record.collection,
            artifact,
            record: serde_json::from_slice(&line)?,
        })
    };
    Ok(PartHits {
        order,
        hits: lines.into_iter().map(hit).collect::<anyhow::Result<_>>()?,
        gaps: gaps.iter().filter_map(|line| serious(line)).collect(),
    })
}

/// A serious gap of a hunt, in words.
fn serious(line: &[u8]) -> Option<String> {
    let gap: Gap = serde_json::from_slice(line).ok()?;
    let is_hunt = HUNTS.contains(&gap.artifact.as_str());
    (is_hunt && gap.severity == Severity::Serious)
        .then(|| format!("{}: {}: {}", gap.artifact, gap.subject, gap.text))
}

fn each_line(from: &mut dyn Read, mut take: impl FnMut(Vec<u8>)) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        if (&mut from).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        take(line);
    }
}
