//! A gap: something asked for and not obtained. Silence would be a lie in evidence.

use serde::{Deserialize, Serialize};

use crate::instant::Instant;

/// Why something was not obtained: a closed list, with a text beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A path asked for by name is not there.
    NotFound,
    /// The system refused the read.
    PermissionDenied,
    /// The read failed on the way.
    ReadError,
    /// It was there when listed and gone when opened.
    Vanished,
    /// It was swapped for something else between listing and opening.
    Replaced,
    /// It did not fit a limit of size, count, time or space.
    Limit,
    /// The kernel or the system doesn't offer it.
    Unsupported,
    /// It can't be had here by its nature (a live-only artifact on a dead disk).
    NotApplicable,
    /// The order's scope leaves it out.
    OutOfScope,
    /// It lies on a file system that was not asked for.
    OtherFileSystem,
    /// Its format was not understood.
    Malformed,
    /// This agent doesn't know the artifact.
    UnknownArtifact,
    /// The run was cut off before it.
    Interrupted,
    /// Somebody authorised cancelled the order.
    Cancelled,
}

/// How much a gap weighs when the evidence is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Part of what a rule swept up.
    Ordinary,
    /// Asked for by name, or a whole artifact.
    Serious,
}

/// One line of `gaps.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The artifact that was to gather it.
    pub artifact: String,
    /// What is missing: a path as text for people, or a fact's name.
    pub subject: String,
    /// The exact bytes of a path, base64, where `subject` isn't they.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
    /// Why.
    pub reason: Reason,
    /// How much it weighs.
    pub severity: Severity,
    /// More for people: the system's own error, a count of what lies below.
    pub text: String,
    /// When.
    pub time: Instant,
}
