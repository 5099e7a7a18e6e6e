//! One verified part into the database: its rows, and what is known of it, of its collection and of its order.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read, Seek},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use evidence::{
    archive::SUMS,
    digest::Digest,
    envelope::Envelope,
    instant::Instant,
    names as entries,
    records::CollectionRecord,
    verify::{PartReport, Verdict},
    wrap::{Identity, UnwrapReader},
};
use protocol::order::Order;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    ahead,
    catalog::{Catalog, OTHER},
    host,
    lines::{Origin, Rows, Tally},
    verified,
};

/// Longer documents of a part are not what they claim.
const DOCUMENT_BYTES: u64 = 16 << 20;

/// So much of an unknown signer's fingerprint stands in names.
const SIGNER_CHARS: usize = 16;

/// A part that was found genuine.
pub(super) struct Genuine<'a> {
    pub(super) report: &'a PartReport,
    pub(super) record: &'a CollectionRecord,
    pub(super) path: &'a Path,
    pub(super) identities: &'a [Identity],
}

impl Genuine<'_> {
    /// How an unknown signer is told from others: the beginning of the seal certificate's fingerprint.
    pub(super) fn unknown_signer(&self) -> Option<String> {
        if verified::is_known(self.report) {
            return None;
        }
        let signer = self.report.signer.as_ref();
        let fingerprint = signer.map_or_else(String::new, |s| s.certificate_sha256.to_string());
        Some(fingerprint.chars().take(SIGNER_CHARS).collect())
    }

    /// The collection as the tables have it. Anybody can seal a part that names a collection; an unknown signer's
    /// stands beside the one that it names, and is never in its way.
    pub(super) fn collection(&self) -> String {
        let named = self.record.collection;
        match self.unknown_signer() {
            Some(signer) => format!("{named} by unknown signer {signer}"),
            None => named.to_string(),
        }
    }
}

/// Why a part that is genuine by itself does not go into this database; `None` where it does.
pub(super) enum Standing {
    /// It is new here.
    New,
    /// The same part is here.
    There,
    /// It contradicts what is here.
    Against(String),
}

/// How the part stands to what the database has.
pub(super) fn standing(connection: &Connection, part: &Genuine<'_>) -> anyhow::Result<Standing> {
    let record = part.record;
    let collection = part.collection();
    let digest = |number: u32| -> rusqlite::Result<Option<(String, Option<String>)>> {
        let sql =
            "SELECT plain_sha256, previous_sha256 FROM parts WHERE collection = ?1 AND part = ?2";
        connection
            .query_row(sql, params![collection, number], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
    };
    let own = part.report.plain_sha256.map(|d| d.to_string());
    if let Some((there, _)) = digest(record.part)? {
        return Ok(if Some(&there) == own.as_ref() {
            Standing::There
        } else {
            Standing::Against("another part of this number is loaded already".to_owned())
        });
    }
    let previous = record.previous_sha256.map(|d| d.to_string());
    if let Some((before, _)) = digest(record.part.saturating_sub(1))?
        && Some(before) != previous
    {
        return Ok(Standing::Against(
            "it does not follow on the part before it, which is loaded".to_owned(),
        ));
    }
    if let Some((_, named)) = digest(record.part.saturating_add(1))?
        && named != own
    {
        return Ok(Standing::Against(
            "the part after it, which is loaded, does not follow on it".to_owned(),
        ));
    }
    let sql = "SELECT agent, order_sha256 FROM collections WHERE collection = ?1";
    let owner: Option<(Option<String>, Option<String>)> = connection
        .query_row(sql, [&collection], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let mine = (
        record.agent.map(|a| a.to_string()),
        record.order_sha256.map(|d| d.to_string()),
    );
    Ok(match owner {
        Some(owner) if owner != mine => Standing::Against(
            "other parts of its collection are loaded, and are of another agent or order"
                .to_owned(),
        ),
        _ => Standing::New,
    })
}

/// Loads it. The caller takes everything back where it fails.
pub(super) fn load(
    connection: &Connection,
    catalog: &mut Catalog,
    part: &Genuine<'_>,
) -> anyhow::Result<Tally> {
    let host = host::label(connection, part)?;
    let origin = Origin {
        host: host.clone(),
        collection: part.collection(),
        part: part.record.part,
    };
    let shown = part.path.display();
    let open = || File::open(part.path).map(|file| BufReader::with_capacity(1 << 17, file));
    let file = open().with_context(|| format!("{shown} can't be opened."))?;
    let mut rows = Rows::new(connection, origin)?;
    let order = if part.report.encrypted {
        let plain = UnwrapReader::new(part.identities, file)
            .with_context(|| format!("{shown} can't be decrypted."))?;
        read(plain, catalog, connection, &mut rows, part)?
    } else {
        read(file, catalog, connection, &mut rows, part)?
    };
    let tally = rows.tally;
    drop(rows);
    note_collection(connection, part, &host, order.as_ref())?;
    note_part(connection, part, &host, tally)?;
    Ok(tally)
}

/// Which entries hold what is loaded.
fn is_wanted(name: &str) -> bool {
    name.starts_with("results/")
        || table_of_list(name).is_some()
        || matches!(name, SUMS | "order.json")
}

fn table_of_list(entry: &str) -> Option<&str> {
    let list = entry.strip_suffix(".jsonl")?;
    matches!(list, "files" | "gaps" | "log").then_some(list)
}

/// Reads the part once more, and only what is loaded of it. It must be, to the byte, what was verified.
fn read<R: Read + Seek + Send>(
    zip: R,
    catalog: &mut Catalog,
    connection: &Connection,
    rows: &mut Rows<'_>,
    part: &Genuine<'_>,
) -> anyhow::Result<Option<Order>> {
    let (mut sums, mut order) = (Vec::new(), Vec::new());
    let (report, digests) = ahead::read(zip, is_wanted, |name, plain| match name {
        SUMS => document(plain, &mut sums),
        "order.json" => document(plain, &mut order),
        _ => take(catalog, connection, rows, name, plain),
    })?;
    ensure!(
        report.faults.is_empty() && is_as_verified(&digests, &sums, part.report.sums_sha256),
        "{} was changed after it was verified. Fetch it again.",
        part.path.display()
    );
    let envelope = Envelope::parse(&order).ok();
    Ok(envelope.and_then(|envelope| Order::read(&envelope).ok()))
}

fn take(
    catalog: &mut Catalog,
    connection: &Connection,
    rows: &mut Rows<'_>,
    entry: &str,
    plain: &mut dyn BufRead,
) -> anyhow::Result<()> {
    let (name, artifact) = match table_of_list(entry) {
        Some(list) => (list.to_owned(), None),
        None => {
            let inner = entry
                .strip_prefix("results/")
                .and_then(|n| n.strip_suffix(".jsonl"));
            let bytes = inner.and_then(entries::unescape).unwrap_or_default();
            let artifact = String::from_utf8_lossy(&bytes).into_owned();
            let name = catalog.of_artifact(connection, &artifact)?;
            (name.clone(), (name == OTHER).then_some(artifact))
        }
    };
    let Some(table) = catalog.tables.get_mut(&name) else {
        bail!("there is no table for {name:?}. This is a fault of the program; please report it.");
    };
    rows.take(table, entry, artifact.as_deref(), plain)
}

fn document(plain: &mut dyn BufRead, into: &mut Vec<u8>) -> anyhow::Result<()> {
    let read = plain.take(DOCUMENT_BYTES + 1).read_to_end(into)?;
    ensure!(
        read as u64 <= DOCUMENT_BYTES,
        "a document of the part is longer than it may be"
    );
    Ok(())
}

/// Whether each entry that was read has its digest in the very SHA256SUMS that the verifier read, and each that stands
/// in it and is wanted was read.
fn is_as_verified(
    digests: &HashMap<String, Digest>,
    sums: &[u8],
    verified: Option<Digest>,
) -> bool {
    let listed: HashMap<&str, &str> = std::str::from_utf8(sums)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, name)| (name, digest))
        .collect();
    let is_listed = |(name, digest): (&String, &Digest)| {
        name == SUMS
            || listed
                .get(name.as_str())
                .is_some_and(|l| *l == digest.to_string())
    };
    let is_read = |name: &&str| !is_wanted(name) || digests.contains_key(*name);
    verified == Some(Digest::of(sums))
        && digests.iter().all(is_listed)
        && listed.keys().all(is_read)
}

fn time(at: Instant) -> Option<String> {
    at.to_rfc3339()
}

fn note_collection(
    connection: &Connection,
    part: &Genuine<'_>,
    host: &str,
    order: Option<&Order>,
) -> anyhow::Result<()> {
    let record = part.record;
    let order_id = record.order.map(|o| o.to_string());
    if let Some(id) = &order_id {
        // What an unknown signer says of an order never stands in a known one's place.
        let otherwise = match part.unknown_signer() {
            Some(_) => "IGNORE",
            None => "REPLACE",
        };
        connection.execute(
            &format!("INSERT OR {otherwise} INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
            params![
                id,
                record.order_sha256.map(|d| d.to_string()),
                record.case,
                record.requester.as_ref().map(|p| &p.name),
                order.map(|o| &o.reason),
                record.profile.as_ref().map(|p| &p.name),
                order.and_then(|o| time(o.expires)),
                serde_json::to_string(&record.signers)?,
            ],
        )?;
    }
    connection.execute(
        "INSERT INTO collections VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT DO UPDATE SET
            ended = max(ended, excluded.ended),
            ended_early = coalesce(excluded.ended_early, ended_early),
            last_part = coalesce(excluded.last_part, last_part),
            details = iif(excluded.last_part IS NULL, details, excluded.details)",
        params![
            part.collection(),
            host,
            order_id,
            record.order_sha256.map(|d| d.to_string()),
            record.case,
            record.agent.map(|a| a.to_string()),
            record.agent_version,
            record.profile.as_ref().map(|p| &p.name),
            time(record.started),
            time(record.ended),
            record.boot_time.and_then(time),
            record.clock.map(|c| c.offset_ms),
            record.ended_early,
            record.last.then_some(record.part),
            serde_json::to_string(record)?,
        ],
    )?;
    Ok(())
}

fn note_part(
    connection: &Connection,
    part: &Genuine<'_>,
    host: &str,
    tally: Tally,
) -> anyhow::Result<()> {
    let (report, record) = (part.report, part.record);
    let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
    let verdict = match report.findings.verdict() {
        Verdict::GenuineComplete => "genuine",
        Verdict::GenuineReserved => "genuine_with_reservations",
        Verdict::NotGenuine => bail!("a part that is not genuine is never loaded"),
    };
    connection.execute(
        "INSERT INTO parts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
         ?19, ?20, ?21)",
        params![
            part.collection(),
            record.part,
            host,
            absolute(part.path),
            report.encrypted,
            report.size_bytes,
            report.plain_sha256.map(|d| d.to_string()),
            report.cipher_sha256.map(|d| d.to_string()),
            record.previous_sha256.map(|d| d.to_string()),
            verdict,
            serde_json::to_string(report.findings.list())?,
            report.signer.as_ref().map(|s| s.certificate_sha256.to_string()),
            report.signer.as_ref().map(|s| s.trusted),
            report.time.and_then(|t| time(t.at)),
            report.time.map(|t| serde_json::to_value(t.basis)).transpose()?.and_then(text),
            report.received.and_then(time),
            record.attempt,
            record.last,
            tally.records,
            tally.faults,
            time(Instant::now()),
        ],
    )?;
    Ok(())
}

/// Where the part lies, whatever folder a later program is started in.
pub(super) fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_gone_at_the_second_read_is_noticed() {
        let [list, results, content] = [b"a", b"b", b"c"].map(|bytes| Digest::of(bytes));
        let sums = format!(
            "{content}  files/etc/passwd\n{list}  gaps.jsonl\n{results}  results/processes.jsonl\n"
        );
        let verified = Some(Digest::of(sums.as_bytes()));
        let is_same = |read: &[(&str, Digest)]| {
            let read = read
                .iter()
                .map(|(name, digest)| ((*name).to_owned(), *digest));
            is_as_verified(&read.collect(), sums.as_bytes(), verified)
        };
        let both = [("gaps.jsonl", list), ("results/processes.jsonl", results)];
        assert!(is_same(&both));
        assert!(!is_same(&both[..1]));
        assert!(!is_same(&both[1..]));
        assert!(!is_same(&[both[0], (both[1].0, list)]));
        assert!(!is_same(&[both[0], both[1], ("log.jsonl", list)]));
    }
}
