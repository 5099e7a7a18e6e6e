//! Receipts: a leaf, its inclusion proof and a checkpoint in one file that verifies offline.
//!
//! Unknown fields are ignored, an unknown version is named and refused. Whoever signed
//! the leaf, and what it says, is for the reader of the leaf.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::{
    checkpoint::{Checkpoint, CheckpointError},
    leaf_hash,
    note::LogKey,
    proof::{self, ProofError},
    tree::Tree,
};
use crate::digest::Digest;

/// The version written and read here.
const VERSION: u64 = 1;
/// The longest receipt that is read: the longest leaf in base64, and room.
const MAX_RECEIPT_BYTES: usize = 2 * 1024 * 1024;
/// No tree of 2^64 leaves needs more.
const MAX_PROOF: usize = 64;

/// A receipt does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is no receipt.
    #[error("this is not a custody receipt: {0}. Fetch it again from the server.")]
    Malformed(String),
    /// A later format.
    #[error("the receipt is of version {0}, which this program does not know. Use a newer one.")]
    UnknownVersion(u64),
    /// Its checkpoint is wrong.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its proof is wrong.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// The file beside a part: `part-0001.receipt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    v: u64,
    /// The leaf's bytes, base64.
    leaf_b64: String,
    /// Its index in the log.
    index: u64,
    /// The hashes of the inclusion proof, hex, from the leaf upwards.
    proof: Vec<Digest>,
    /// The signed note.
    checkpoint: String,
}

/// What a receipt has proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// Its index in the log.
    pub index: u64,
    /// What the log's key has said.
    pub checkpoint: Checkpoint,
}

#[derive(Deserialize)]
struct Version {
    v: u64,
}

impl Receipt {
    /// The receipt for `leaf` at `index` under the signed note `checkpoint` of `size` leaves.
    ///
    /// `None` when the tree doesn't hold so many, or another leaf there.
    pub fn new(
        tree: &Tree,
        leaf: &[u8],
        index: u64,
        size: u64,
        checkpoint: String,
    ) -> Option<Self> {
        if tree.leaf(index) != Some(&leaf_hash(leaf)) {
            return None;
        }
        Some(Self {
            v: VERSION,
            leaf_b64: BASE64.encode(leaf),
            index,
            proof: tree.prove_inclusion(index, size)?,
            checkpoint,
        })
    }

    /// Reads a receipt file; nothing is proven by it yet.
    ///
    /// # Errors
    /// It is no receipt, or of an unknown version.
    pub fn parse(json: &[u8]) -> Result<Self, ReceiptError> {
        let wrong = |e: serde_json::Error| ReceiptError::Malformed(e.to_string());
        if json.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptError::Malformed("it is too long".into()));
        }
        let Version { v } = serde_json::from_slice(json).map_err(wrong)?;
        if v != VERSION {
            return Err(ReceiptError::UnknownVersion(v));
        }
        let receipt: Self = serde_json::from_slice(json).map_err(wrong)?;
        if receipt.proof.len() > MAX_PROOF {
            return Err(ProofError::WrongLength.into());
        }
        Ok(receipt)
    }

    /// The leaf's bytes, for who made the receipt: nothing is proven of them.
    pub fn unproven_leaf(&self) -> Option<Vec<u8>> {
        BASE64.decode(self.leaf_b64.as_bytes()).ok()
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// Never in practice: every field is text or a number.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Checks the receipt offline against the log's public key.
    ///
    /// # Errors
    /// The checkpoint is not the log's, or the leaf is not in the log it speaks of.
    pub fn verify(&self, key: &LogKey) -> Result<Proven, ReceiptError> {
        let leaf = BASE64
            .decode(self.leaf_b64.as_bytes())
            .map_err(|_| ReceiptError::Malformed("the leaf is not base64".into()))?;
        let checkpoint = Checkpoint::verify(&self.checkpoint, key)?;
        proof::verify_inclusion(
            &leaf_hash(&leaf),
            self.index,
            checkpoint.size,
            &self.proof,
            &checkpoint.root,
        )?;
        Ok(Proven {
            leaf,
            index: self.index,
            checkpoint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::fixtures::{leaf, signer, tree};

    fn receipt(index: u64, size: u64) -> Receipt {
        let tree = tree(size);
        let note = Checkpoint::sign(&signer(), size, tree.root()).unwrap();
        Receipt::new(&tree, &leaf(index), index, size, note).unwrap()
    }

    #[test]
    fn verifies_offline() {
        for (index, size) in [(0, 1), (3, 7), (6, 7), (69, 70)] {
            let json = receipt(index, size).to_json().unwrap();
            let read = Receipt::parse(&json).unwrap();
            let proven = read.verify(signer().public()).unwrap();
            assert_eq!((proven.leaf, proven.index), (leaf(index), index));
            assert_eq!(proven.checkpoint.size, size);
        }
    }

    #[test]
    fn a_receipt_cut_at_any_byte_is_refused() {
        let json = receipt(3, 7).to_json().unwrap();
        for cut in 0..json.len() - 2 {
            assert!(Receipt::parse(&json[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn rejects_another_leaf_index_or_proof() {
        let good = receipt(3, 7);
        let key = signer().public().clone();
        let mut other = good.clone();
        other.leaf_b64 = BASE64.encode(b"leaf 4");
        assert!(other.verify(&key).is_err());
        let mut other = good.clone();
        other.index = 4;
        assert!(other.verify(&key).is_err());
        let mut other = good.clone();
        other.proof = receipt(2, 7).proof;
        assert!(other.verify(&key).is_err());
        let mut other = good;
        other.checkpoint = receipt(3, 8).checkpoint;
        assert!(other.verify(&key).is_err());
        assert!(Receipt::new(&tree(7), b"leaf 4", 3, 7, String::new()).is_none());
    }

    #[test]
    fn names_an_unknown_version_and_ignores_unknown_fields() {
        assert_eq!(
            Receipt::parse(br#"{"v":2,"new":true}"#),
            Err(ReceiptError::UnknownVersion(2))
        );
        let json = String::from_utf8(receipt(0, 1).to_json().unwrap()).unwrap();
        let more = json.replacen('{', "{\"later\":1,", 1);
        assert!(Receipt::parse(more.as_bytes()).is_ok());
    }
}
