//! Whom the reader believes: the pinned root, the roots that follow it, and the policy that they sign.
//!
//! What the courier hands over is judged here. Nothing older ever takes the place of what is in force.

use evidence::{digest::Digest, envelope::Envelope};
use protocol::{
    error::DocumentError, messages::Trust as Handed, policy::Policy, root::Root, version,
};

use super::state::{Change, Known};

/// No more roots are followed in one step: each costs up to 16 signatures twice.
const ROOTS_MAX: usize = 1024;

/// What is in force can't be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Before enrolment there is none.
    #[error("there is no root and no policy yet. Enrol this host first.")]
    None,
    /// A document does not hold.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The first root is not the pinned one.
    #[error("the root document is not the one that was pinned at enrolment. Enrol the host anew.")]
    NotPinned,
    /// More roots than anybody makes.
    #[error("there are {0} root documents. Give those of this deployment.")]
    TooMany(usize),
}

impl From<evidence::envelope::EnvelopeError> for TrustError {
    fn from(error: evidence::envelope::EnvelopeError) -> Self {
        Self::Document(error.into())
    }
}

/// What is in force.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The root.
    pub root: Root,
    /// The policy.
    pub policy: Policy,
    /// Digest of the policy's payload.
    pub policy_sha256: Digest,
}

impl Trust {
    /// What `known` says, checked anew from the pinned root on.
    ///
    /// # Errors
    /// There is none, or it does not hold.
    pub fn of(known: &Known) -> Result<Self, TrustError> {
        let enrolment = known.enrolment.as_ref().ok_or(TrustError::None)?;
        let (first, more) = known.roots.split_first().ok_or(TrustError::None)?;
        let first = Envelope::parse(first.as_bytes())?;
        if first.digest() != enrolment.root_sha256 {
            return Err(TrustError::NotPinned);
        }
        let mut root = Root::open(&first)?;
        for next in more {
            root = root.open_next(&Envelope::parse(next.as_bytes())?)?;
        }
        let text = known.policy.as_ref().ok_or(TrustError::None)?;
        let envelope = Envelope::parse(text.as_bytes())?;
        Ok(Self {
            policy: Policy::open(&envelope, &root)?,
            policy_sha256: envelope.digest(),
            root,
        })
    }
}

/// What came of a `Trust` message.
#[derive(Debug)]
pub enum Judged {
    /// Newer documents, to be kept.
    Newer(Box<Change>),
    /// What is held already.
    Same,
    /// A policy older than the one in force: somebody tries to turn the clock back, or a server
    /// was restored from an old copy.
    Older {
        /// Its version.
        found: u64,
        /// The one in force.
        held: u64,
    },
}

/// Judges `message`, the bytes of a `Trust` message, against what is in force.
///
/// # Errors
/// It does not read, or its documents do not follow from those in force.
pub fn judge(message: &[u8], held: &Trust) -> Result<Judged, TrustError> {
    let handed: Handed = version::read_message(message, "message of trust")?;
    let (root, more_roots) = follow(handed.roots, &held.root)?;
    let envelope = Envelope::parse(handed.policy.as_bytes())?;
    let policy = Policy::open(&envelope, &root)?;
    let (found, in_force) = (policy.version, held.policy.version);
    if found < in_force {
        return Ok(Judged::Older {
            found,
            held: in_force,
        });
    }
    if found == in_force && more_roots.is_empty() {
        return Ok(Judged::Same);
    }
    // A new root without a policy of its own would leave the reader without any.
    policy.check_update(&held.policy, &root)?;
    Ok(Judged::Newer(Box::new(Change::Trust {
        more_roots,
        policy: Some(handed.policy),
    })))
}

/// What a reader believes first: what follows from the root that came with the installation.
#[derive(Debug)]
pub struct First {
    /// The root in force.
    pub root: Root,
    /// The envelopes of the roots after the pinned one.
    pub more_roots: Vec<String>,
    /// The policy that it signed.
    pub policy: Policy,
}

/// Judges `message`, the bytes of a `Trust` message, by the pinned root alone.
///
/// # Errors
/// It does not read, or its documents do not follow from that root.
pub fn first(message: &[u8], pinned: &Root) -> Result<First, TrustError> {
    let handed: Handed = version::read_message(message, "message of trust")?;
    let (root, more_roots) = follow(handed.roots, pinned)?;
    let envelope = Envelope::parse(handed.policy.as_bytes())?;
    Ok(First {
        policy: Policy::open(&envelope, &root)?,
        root,
        more_roots,
    })
}

/// The root that is reached from `held`, and the envelopes of those in between.
fn follow(roots: Vec<String>, held: &Root) -> Result<(Root, Vec<String>), TrustError> {
    if roots.len() > ROOTS_MAX {
        return Err(TrustError::TooMany(roots.len()));
    }
    let (mut root, mut more_roots) = (held.clone(), Vec::new());
    for text in roots {
        let envelope = Envelope::parse(text.as_bytes())?;
        // Those up to the one in force are not looked into: the reader has its own.
        if version_of(&envelope)? <= root.version {
            continue;
        }
        root = root.open_next(&envelope)?;
        more_roots.push(text);
    }
    Ok((root, more_roots))
}

fn version_of(envelope: &Envelope) -> Result<u64, DocumentError> {
    #[derive(serde::Deserialize)]
    struct Head {
        version: u64,
    }
    let Head { version } = envelope.document(evidence::envelope::ROOT)?;
    Ok(version)
}

#[cfg(test)]
mod tests;
