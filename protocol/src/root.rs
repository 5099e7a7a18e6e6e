//! The root: the keys that sign policies, pinned at installation and changed by nothing but itself.
//!
//! Like TUF's root: a list of keys with a threshold; the next version is signed by the
//! thresholds of both the old and the new one.

use evidence::{
    envelope::{self, Envelope},
    keys::PublicKey,
};
use serde::{Deserialize, Serialize};

use crate::{error::DocumentError, name::Name, version};

const KIND: &str = "root document";

/// The root document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// The document's format.
    pub v: u64,
    /// 1, then one more each time.
    pub version: u64,
    /// The deployment that it governs.
    pub deployment: Name,
    /// The root keys.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: usize,
}

impl Root {
    /// Reads a root that its own threshold has signed. Compare the envelope's digest with the pinned one.
    ///
    /// # Errors
    /// It is malformed, invalid, or signed by too few.
    pub fn open(envelope: &Envelope) -> Result<Self, DocumentError> {
        let root: Self = version::read(envelope, envelope::ROOT, KIND)?;
        root.validate()?;
        root.check_signatures(envelope, KIND)?;
        Ok(root)
    }

    /// Reads the root that follows this one.
    ///
    /// # Errors
    /// It is not the next version, or either threshold has not signed it.
    pub fn open_next(&self, envelope: &Envelope) -> Result<Self, DocumentError> {
        let next = Self::open(envelope)?;
        if Some(next.version) != self.version.checked_add(1) {
            return Err(DocumentError::WrongSuccession {
                kind: KIND,
                found: next.version,
                held: self.version,
            });
        }
        if next.deployment != self.deployment {
            let what = "deployment";
            return Err(DocumentError::Foreign { kind: KIND, what });
        }
        self.check_signatures(envelope, KIND)?;
        Ok(next)
    }

    /// Checks that this root's threshold has signed `envelope`, a document of `kind`.
    ///
    /// # Errors
    /// Too few have.
    pub fn check_signatures(
        &self,
        envelope: &Envelope,
        kind: &'static str,
    ) -> Result<(), DocumentError> {
        let (found, needed) = (envelope.verify(&self.keys).len(), self.threshold);
        if found >= needed {
            return Ok(());
        }
        Err(DocumentError::BelowThreshold {
            kind,
            found,
            needed,
        })
    }

    /// Checks that the root is sound in itself; [`Root::open`] does, and who writes one should.
    ///
    /// # Errors
    /// Its keys, threshold or version make no sense.
    pub fn validate(&self) -> Result<(), DocumentError> {
        let invalid = |why| Err(DocumentError::invalid(KIND, why));
        if self.version == 0 {
            return invalid("versions begin at 1");
        }
        if self.threshold == 0 || self.threshold > self.keys.len() {
            return invalid("the threshold is not within 1 and the number of keys");
        }
        if self.keys.len() > envelope::MAX_SIGNATURES {
            return invalid("it has more keys than an envelope has signatures");
        }
        let mut ids: Vec<_> = self.keys.iter().map(PublicKey::key_id).collect();
        ids.sort();
        ids.dedup();
        if ids.len() != self.keys.len() {
            return invalid("a key stands in it twice");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use evidence::keys::SigningKey;

    use super::*;

    fn root(version: u64, keys: &[&SigningKey], threshold: usize) -> Root {
        Root {
            v: 1,
            version,
            deployment: "lab".parse().unwrap(),
            keys: keys.iter().map(|k| k.public()).collect(),
            threshold,
        }
    }

    fn sign(root: &Root, keys: &[&SigningKey]) -> Envelope {
        let mut envelope = Envelope::sign_document(envelope::ROOT, root, keys[0]).unwrap();
        keys[1..].iter().for_each(|key| envelope.add_signature(key));
        envelope
    }

    #[test]
    fn the_next_root_needs_old_and_new_thresholds() {
        let [a, b, c] = [(); 3].map(|()| SigningKey::generate().unwrap());
        let first = root(1, &[&a, &b], 2);
        assert!(Root::open(&sign(&first, &[&a])).is_err());
        assert!(Root::open(&sign(&first, &[&a, &a])).is_err());
        let first = Root::open(&sign(&first, &[&a, &b])).unwrap();
        let next = root(2, &[&b, &c], 1);
        assert!(first.open_next(&sign(&next, &[&a, &b])).is_ok());
        assert!(first.open_next(&sign(&next, &[&b, &c])).is_err());
        let next = root(2, &[&c], 1);
        assert!(first.open_next(&sign(&next, &[&a, &b])).is_err());
        assert!(first.open_next(&sign(&next, &[&a, &b, &c])).is_ok());
        let skipped = root(3, &[&a, &b], 2);
        assert!(first.open_next(&sign(&skipped, &[&a, &b])).is_err());
    }

    #[test]
    fn rejects_thresholds_and_keys_that_make_no_sense() {
        let a = SigningKey::generate().unwrap();
        for bad in [
            root(0, &[&a], 1),
            root(1, &[&a], 0),
            root(1, &[&a], 2),
            root(1, &[&a, &a], 1),
        ] {
            assert!(Root::open(&sign(&bad, &[&a])).is_err());
        }
    }
}
