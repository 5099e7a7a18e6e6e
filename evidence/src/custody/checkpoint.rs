//! Checkpoints: what the log's key says about the log's size and root (C2SP `tlog-checkpoint`).
//!
//! Three lines in a signed note: origin, size, root. Whoever keeps one can later
//! demand proof that the log only grew.

use data_encoding::BASE64;

use super::{
    note::{LogKey, LogSigner, NoteError},
    proof::{self, ProofError},
};
use crate::digest::Digest;

/// A checkpoint is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is no checkpoint.
    #[error(
        "the signed text is no checkpoint: {0}. The log's software is wrong; ask its operator."
    )]
    Malformed(&'static str),
    /// It speaks of another log than its signer's.
    #[error("the checkpoint speaks of {0:?}, which is not its signer's log. Do not trust it.")]
    OtherOrigin(String),
}

/// Size and root of a log at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many leaves it had.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The signed text: origin, size and root, a line each.
    pub fn text(&self) -> String {
        let root = BASE64.encode(&self.root.0);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// The signed note over `size` and `root` of the signer's log.
    ///
    /// # Errors
    /// The text can't be signed; it can't happen with a [`LogSigner`]'s own name.
    pub fn sign(signer: &LogSigner, size: u64, root: Digest) -> Result<String, CheckpointError> {
        let origin = signer.public().name().to_owned();
        Ok(signer.sign(&Self { origin, size, root }.text())?)
    }

    /// Reads a note's checkpoint and checks that `key`, whose log it must speak of, signed it.
    ///
    /// # Errors
    /// The note, its signature or its text is wrong.
    pub fn verify(note: &str, key: &LogKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse_text(key.open(note)?)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::OtherOrigin(checkpoint.origin));
        }
        Ok(checkpoint)
    }

    /// Reads the signed text. Extension lines are opaque and ignored, as C2SP has it.
    fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Malformed;
        let text = text.strip_suffix('\n').ok_or(wrong("no final newline"))?;
        let lines: Vec<&str> = text.split('\n').collect();
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(wrong("fewer than three lines"));
        };
        if origin.is_empty() || extensions.iter().any(|line| line.is_empty()) {
            return Err(wrong("an empty line"));
        }
        let root = BASE64
            .decode(root.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(wrong("the root is not 32 bytes of base64"))?;
        Ok(Self {
            origin: (*origin).to_owned(),
            size: decimal(size).ok_or(wrong("the size is not a number"))?,
            root: Digest(root),
        })
    }

    /// Checks that `newer` only continues this log.
    ///
    /// # Errors
    /// It doesn't: the log was cut or rewritten.
    pub fn verify_continued_by(&self, newer: &Self, proof: &[Digest]) -> Result<(), ProofError> {
        if self.origin != newer.origin {
            return Err(ProofError::WrongRoot);
        }
        proof::verify_consistency(self.size, &self.root, newer.size, &newer.root, proof)
    }
}

/// ASCII digits without sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::fixtures::{signer, tree};

    #[test]
    fn a_signed_checkpoint_reads_back() {
        let signer = signer();
        let tree = tree(5);
        let note = Checkpoint::sign(&signer, 5, tree.root()).unwrap();
        let read = Checkpoint::verify(&note, signer.public()).unwrap();
        assert_eq!((read.size, read.root), (5, tree.root()));
        assert_eq!(read.origin, signer.public().name());
    }

    #[test]
    fn only_growth_is_continuation() {
        let at = |size| Checkpoint {
            origin: "log".into(),
            size,
            root: tree(size).root(),
        };
        let proof = tree(9).prove_consistency(4, 9).unwrap();
        assert_eq!(at(4).verify_continued_by(&at(9), &proof), Ok(()));
        assert!(at(9).verify_continued_by(&at(4), &proof).is_err());
        let mut other = at(9);
        other.origin = "other".into();
        assert!(at(4).verify_continued_by(&other, &proof).is_err());
    }

    #[test]
    fn rejects_what_is_signed_but_no_checkpoint() {
        let root = BASE64.encode(&[1; 32]);
        let name = signer().public().name().to_owned();
        for text in [
            "\n".to_owned(),
            format!("{name}\n5\n"),
            format!("{name}\n05\n{root}\n"),
            format!("{name}\n+5\n{root}\n"),
            format!("{name}\n\n{root}\n"),
            format!("{name}\n18446744073709551616\n{root}\n"),
            format!("{name}\n5\n{}\n", &root[..40]),
            format!("other\n5\n{root}\n"),
            format!("{name}\n5\n{root}\n\n"),
        ] {
            let note = signer().sign(&text).unwrap();
            assert!(
                Checkpoint::verify(&note, signer().public()).is_err(),
                "{text:?}"
            );
        }
        let extended = signer()
            .sign(&format!("{name}\n5\n{root}\nmore\n"))
            .unwrap();
        assert!(Checkpoint::verify(&extended, signer().public()).is_ok());
    }
}
