//! Why something on a stick is not taken in.

use std::error::Error;

use crate::{custody::CustodyError, refusal::Refusal, store::index::IndexError};

/// Why something is not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A file is not there.
    #[error("{0} is missing. Copy the collection's whole folder from the kit.")]
    Missing(String),
    /// It is a link, a pipe, or too large.
    #[error("{0} is no plain file or folder of a size that can be. Find out who put it there.")]
    NotAFile(String),
    /// The medium does not give it.
    #[error("{name} can't be read: {why}. Try another reader or a copy of the medium.")]
    Unreadable {
        /// The file.
        name: String,
        /// What the system said.
        why: String,
    },
    /// It does not open or does not read.
    #[error("{name} can't be used: {why}")]
    Malformed {
        /// The file.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Two things that must be the same are not.
    #[error(
        "the {0} is another one in the use, its leaf, the folder or the kit. Find out who put it together."
    )]
    Foreign(&'static str),
    /// Not a kit of this deployment, or one that was revoked.
    #[error(
        "it was made by no kit that counts here. See whether the kit was revoked, or is another deployment's."
    )]
    NoKit,
    /// The order does not stand behind it.
    #[error("the order does not stand behind it: {0}")]
    Order(String),
    /// A host that the order does not name.
    #[error(
        "the order does not name the host {0}. Ask for an order that does, or find out why the kit was used there."
    )]
    Host(String),
    /// The server's own path says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Fault {
    pub(super) fn unreadable(name: &str, why: impl Error) -> Self {
        Self::Unreadable {
            name: name.to_owned(),
            why: why.to_string(),
        }
    }

    pub(super) fn malformed(name: &'static str, why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        Self::Malformed { name, why }
    }

    /// Whether it is the server that could not, so that the same may well be taken in later.
    pub(super) fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refusal::Failed(_) | Refusal::Full | Refusal::Busy | Refusal::Locked)
        )
    }

    /// Whether something is not there that may come yet.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

impl From<IndexError> for Fault {
    fn from(error: IndexError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<CustodyError> for Fault {
    fn from(error: CustodyError) -> Self {
        Self::Refused(error.into())
    }
}
