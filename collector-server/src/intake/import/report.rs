//! What became of everything on a stick, for people and for programs.

use evidence::{digest::Digest, ids::CollectionId};
use serde::{Deserialize, Serialize};

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is durable now.
    TakenIn,
    /// It was durable already.
    WasHere,
    /// What came is durable; more is missing.
    Incomplete,
    /// It is not believed, and lies in quarantine.
    SetApart,
    /// The server could not; it may be tried again.
    Failed,
}

/// What became of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReport {
    /// Its number.
    pub part: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Its digest as stored, where it is durable.
    pub stored_sha256: Option<Digest>,
    /// Its receipt, where it is durable.
    pub receipt: Option<String>,
    /// Why not, where it is not.
    pub reason: Option<String>,
}

/// What became of one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionReport {
    /// The collection.
    pub collection: CollectionId,
    /// Its folder, from the stick's own on.
    pub folder: String,
    /// The host, where its use was believed.
    pub hostname: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether its last part and all before it are durable.
    pub whole: bool,
    /// Why not all of it, where that is so.
    pub reasons: Vec<String>,
    /// Where the server keeps what it set apart, from its folder on.
    pub quarantine: Option<String>,
    /// Its parts.
    pub parts: Vec<PartReport>,
    /// The receipt of the kit's certification.
    pub certified: Option<String>,
    /// The receipt of the import.
    pub imported: Option<String>,
}

/// What became of a stick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The report's format.
    pub v: u64,
    /// Why nothing could be looked at, where that is so.
    pub failure: Option<String>,
    /// Each collection that was found.
    pub collections: Vec<CollectionReport>,
}

impl Report {
    /// Of these collections.
    pub fn of(collections: Vec<CollectionReport>) -> Self {
        Self {
            v: 1,
            failure: None,
            collections,
        }
    }

    /// Of nothing.
    pub fn failed(why: String) -> Self {
        Self {
            failure: Some(why),
            ..Self::of(Vec::new())
        }
    }

    /// 0 all is taken in, 2 something was set apart or is missing, 1 something failed, or there was nothing.
    pub fn exit_code(&self) -> u8 {
        let any = |outcome| self.collections.iter().any(|c| c.outcome == outcome);
        if self.failure.is_some() || self.collections.is_empty() || any(Outcome::Failed) {
            return 1;
        }
        match any(Outcome::SetApart) || any(Outcome::Incomplete) {
            true => 2,
            false => 0,
        }
    }

    /// Whether all of it is durable here, so that nothing is lost with the folder that it came in.
    pub fn is_taken_in(&self) -> bool {
        let is_here =
            |c: &CollectionReport| matches!(c.outcome, Outcome::TakenIn | Outcome::WasHere);
        self.failure.is_none()
            && !self.collections.is_empty()
            && self.collections.iter().all(is_here)
    }

    /// For people. What a stick says of itself is shown inert.
    pub fn text(&self) -> String {
        if let Some(why) = &self.failure {
            return format!("Nothing was taken in: {}\n", inert(why));
        }
        if self.collections.is_empty() {
            return "There is no collection: no folder is called by the id of one. Give the stick, or its folder evidence.\n".into();
        }
        self.collections
            .iter()
            .map(CollectionReport::text)
            .collect()
    }
}

impl CollectionReport {
    fn text(&self) -> String {
        let host = self
            .hostname
            .as_deref()
            .map_or(String::new(), |name| format!(" of {}", inert(name)));
        let said = match self.outcome {
            Outcome::TakenIn => "taken in",
            Outcome::WasHere => "was here already",
            Outcome::Incomplete => "not whole",
            Outcome::SetApart => "SET APART",
            Outcome::Failed => "FAILED",
        };
        let parts = self.parts.iter().filter(|p| p.receipt.is_some()).count();
        let mut text = format!(
            "{}{host}: {said}, {parts} of {} parts are durable\n",
            self.collection,
            self.parts.len()
        );
        for reason in &self.reasons {
            text += &format!("  {}\n", inert(reason));
        }
        if let Some(place) = &self.quarantine {
            text += &format!("  what was set apart lies in the server's folder, {place}\n");
        }
        text
    }
}

/// Without what a terminal would obey.
fn inert(text: &str) -> String {
    let shown = |c: char| {
        match c {
        c if c.is_control() || "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{200b}\u{200e}\u{200f}".contains(c) => '\u{fffd}',
        c => c,
    }
    };
    text.chars().map(shown).collect()
}
