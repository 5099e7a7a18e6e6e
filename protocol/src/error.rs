//! Why a document is not believed. Why an order is not obeyed stands in `order_check`.

use evidence::{envelope::EnvelopeError, instant::Instant};

/// A document is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The envelope or the JSON in it is wrong.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A version that this program doesn't know.
    #[error(
        "the {kind} is of version {found}, and this program knows {known}. Update the program."
    )]
    UnknownVersion {
        /// The document's kind.
        kind: &'static str,
        /// Its version.
        found: u64,
        /// The version known here.
        known: u64,
    },
    /// A message is not of its kind: a field is unknown, missing, or of another type.
    #[error(
        "the {kind} can't be read: {why}. If its sender is newer than this program, update this one; else update the sender."
    )]
    Unread {
        /// The message's kind.
        kind: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Too few of those who must have signed it.
    #[error(
        "the {kind} has {found} of {needed} valid signatures. Have it signed by who is missing."
    )]
    BelowThreshold {
        /// The document's kind.
        kind: &'static str,
        /// Valid signatures by distinct keys.
        found: usize,
        /// How many there must be.
        needed: usize,
    },
    /// It does not follow the one that is in force.
    #[error(
        "the {kind} has version {found} after version {held}. Get the newest from its signers."
    )]
    WrongSuccession {
        /// The document's kind.
        kind: &'static str,
        /// Its version.
        found: u64,
        /// The version in force.
        held: u64,
    },
    /// It belongs to other documents than those that are in force.
    #[error("the {kind} belongs to another {what}. Give the one of this deployment.")]
    Foreign {
        /// The document's kind.
        kind: &'static str,
        /// What differs.
        what: &'static str,
    },
    /// It contradicts itself or misses what it must have.
    #[error("the {kind} is not valid: {why}. Correct it and have it signed again.")]
    Invalid {
        /// The document's kind.
        kind: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Its time is over.
    #[error("the {kind} ended at {at}. Ask for a new one.")]
    Expired {
        /// The document's kind.
        kind: &'static str,
        /// When.
        at: String,
    },
    /// Nobody who may has signed it.
    #[error("the {0} is not signed by anybody who may. Do not use it; tell whom you have it from.")]
    NotAuthorised(&'static str),
}

impl DocumentError {
    pub(crate) fn ended(kind: &'static str, at: Instant) -> Self {
        let at = at.to_rfc3339();
        let at = at.unwrap_or_else(|| "a time far away".into());
        Self::Expired { kind, at }
    }

    pub(crate) fn invalid(kind: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::Invalid { kind, why }
    }
}
