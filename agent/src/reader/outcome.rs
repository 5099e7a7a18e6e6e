//! How a collection ended, for people and for programs.

use std::path::PathBuf;

use evidence::{digest::Digest, ids::CollectionId, records::Counts};
use serde_json::{Value, json};

/// One part as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    /// Its number.
    pub part: u32,
    /// The length of its file.
    pub size_bytes: u64,
    /// The digest of its file.
    pub sha256: Digest,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The collection.
    pub collection: CollectionId,
    /// Where its parts lie.
    pub folder: PathBuf,
    /// The parts, in the order of sealing.
    pub parts: Vec<SealedPart>,
    /// How much was gathered.
    pub counts: Counts,
    /// Why it ended early, where it did.
    pub ended_early: Option<String>,
    /// Files that there was no room for where the output goes; each is among the gaps.
    pub without_room: u64,
    /// SHA-256 of the certificate of the key made for this run.
    pub seal_fingerprint: Digest,
}

impl Outcome {
    /// Whether nothing that was asked for is missing.
    pub fn is_complete(&self) -> bool {
        self.counts.gaps == 0 && self.ended_early.is_none()
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let parts: Vec<Value> = self
            .parts
            .iter()
            .map(|p| json!({"part": p.part, "size_bytes": p.size_bytes, "sha256": p.sha256}))
            .collect();
        json!({
            "collection": self.collection,
            "folder": self.folder.display().to_string(),
            "complete": self.is_complete(),
            "ended_early": self.ended_early,
            "without_room": self.without_room,
            "counts": self.counts,
            "parts": parts,
            "seal_fingerprint_sha256": self.seal_fingerprint,
        })
    }

    /// For people: the gaps first.
    pub fn to_text(&self) -> String {
        let c = &self.counts;
        let missing = match (&self.ended_early, c.gaps) {
            (Some(why), _) => format!("Ended early: {why}. {} gaps.", c.gaps),
            (None, 0) => "Complete: nothing that was asked for is missing.".to_owned(),
            (None, _) => format!(
                "{} gaps, {} of them serious (gaps.jsonl in the archive says which).",
                c.gaps, c.serious_gaps
            ),
        };
        let room = match self.without_room {
            0 => String::new(),
            files => format!(
                "\nThere was no room for {files} of the files. Make room there, and collect again."
            ),
        };
        format!(
            "{missing}{room}\nCollection {}\n  {} records, {} files ({} bytes), {} part(s)\n  in {}\nSealed by a key made for this run; its certificate's SHA-256 is\n  {}",
            self.collection,
            c.records,
            c.files,
            c.file_bytes,
            self.parts.len(),
            self.folder.display(),
            self.seal_fingerprint
        )
    }
}
