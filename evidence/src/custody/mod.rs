//! Custody: an append-only Merkle log of what was done with evidence, and by whom.
//!
//! Leaves are opaque bytes here (signed envelopes, made elsewhere); this module
//! neither reads nor judges them. It proves that a leaf is in the log, that a
//! longer log continues a shorter one, and that the log's key said so.
//!
//! Hashing is RFC 6962's; checkpoints are C2SP `tlog-checkpoint` in a C2SP
//! `signed-note`, so that other people's tools and witnesses can check them.

pub mod checkpoint;
pub mod event;
mod frame;
pub mod log;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod tree;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// The hash of a leaf: SHA-256 of `0x00` and its bytes (RFC 6962, 2.1).
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest(
        Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
            .into(),
    )
}

/// The hash of an inner node: SHA-256 of `0x01` and its two children (RFC 6962, 2.1).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let hash = Sha256::new()
        .chain_update([1])
        .chain_update(left.0)
        .chain_update(right.0);
    Digest(hash.finalize().into())
}

/// The root of a log without leaves: SHA-256 of nothing.
pub fn empty_root() -> Digest {
    Digest::of(&[])
}

/// Test logs with known leaves.
#[cfg(test)]
mod fixtures {
    use ed25519_dalek::SigningKey;

    use super::{note::LogSigner, tree::Tree};

    pub(super) fn leaf(i: u64) -> Vec<u8> {
        format!("leaf {i}").into_bytes()
    }

    pub(super) fn tree(size: u64) -> Tree {
        let mut tree = Tree::default();
        for i in 0..size {
            tree.push(super::leaf_hash(&leaf(i)));
        }
        tree
    }

    pub(super) fn signer() -> LogSigner {
        LogSigner::new(
            "fieldseal.example/custody",
            SigningKey::from_bytes(&[7; 32]),
        )
        .unwrap()
    }
}
