//! What a collection says, read back from its encrypted parts.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, ensure};
use evidence::{
    archive::{self, Limits},
    digest::{Digest, DigestWriter},
    gap::Gap,
    records::{CollectionRecord, FileRecord},
    wrap::Identity,
};
use serde_json::{Map, Value};

use super::report::PartFile;
use crate::{
    commands::{files, open},
    fetch,
};

/// No collection.json is longer.
const RECORD_BYTES: u64 = 4 << 20;

/// Everything that a collection says.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The first part's collection.json.
    pub(super) collection: Option<CollectionRecord>,
    /// The records of each artifact.
    pub(super) records: BTreeMap<String, Vec<Map<String, Value>>>,
    /// The lines of files.jsonl.
    pub(super) files: Vec<FileRecord>,
    /// Digest and size of what is stored, by the entry's name.
    pub(super) contents: BTreeMap<String, (Digest, u64)>,
    /// The gaps.
    pub(super) gaps: Vec<Gap>,
    /// The files that it was read from.
    pub(super) parts: Vec<PartFile>,
}

impl Found {
    /// Reads every part of the collection in `folder`.
    ///
    /// # Errors
    /// There is none, or one can't be opened with `identity` or read to its end.
    pub(super) fn read(folder: &Path, identity: &Identity) -> anyhow::Result<Self> {
        let mut found = Self::default();
        for path in files::parts(&[folder.to_owned()])?.parts {
            let shown = path.display();
            let plain = open::plain_of(&path, std::slice::from_ref(identity))?;
            found
                .part(BufReader::with_capacity(1 << 16, plain))
                .with_context(|| format!("{shown} can't be read."))?;
            let (sha256, size_bytes) = fetch::digest_of(&path)?;
            found.parts.push(PartFile {
                path,
                size_bytes,
                sha256,
            });
        }
        Ok(found)
    }

    fn part(&mut self, zip: impl Read + io::Seek) -> anyhow::Result<()> {
        let report = archive::read(zip, &Limits::default(), |entry, plain| {
            self.entry(&entry.name, plain)
        })?;
        ensure!(
            report.faults.is_empty(),
            "its form is faulty: {:?}",
            report.faults
        );
        Ok(())
    }

    fn entry(&mut self, name: &str, plain: &mut dyn Read) -> io::Result<()> {
        let artifact = name
            .strip_prefix("results/")
            .and_then(|n| n.strip_suffix(".jsonl"));
        match (name, artifact) {
            (_, Some(artifact)) => {
                let records = self.records.entry(artifact.to_owned()).or_default();
                lines(plain, records)
            }
            ("files.jsonl", _) => lines(plain, &mut self.files),
            ("gaps.jsonl", _) => lines(plain, &mut self.gaps),
            ("collection.json", _) => {
                let mut json = Vec::new();
                plain.take(RECORD_BYTES).read_to_end(&mut json)?;
                let record = CollectionRecord::parse(&json).map_err(io::Error::other)?;
                self.collection.get_or_insert(record);
                Ok(())
            }
            (stored, _) if stored.starts_with("fs/") && !stored.ends_with('/') => {
                let mut hash = DigestWriter::new(io::sink());
                io::copy(plain, &mut hash)?;
                let (_, sha256, size_bytes) = hash.finish();
                self.contents
                    .insert(stored.to_owned(), (sha256, size_bytes));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn lines<T: serde::de::DeserializeOwned>(
    plain: &mut dyn Read,
    into: &mut Vec<T>,
) -> io::Result<()> {
    let plain = BufReader::new(plain);
    for line in serde_json::Deserializer::from_reader(plain).into_iter::<T>() {
        into.push(line.map_err(io::Error::from)?);
    }
    Ok(())
}
