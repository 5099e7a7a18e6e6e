//! Checking proofs: pure functions over digests, for the reader of a receipt.
//!
//! The algorithms are RFC 9162's (2.1.3.2 and 2.1.4.2), which are RFC 6962's trees
//! written as loops. Nothing here panics or runs longer than the proof is.

use super::{empty_root, node_hash};
use crate::digest::Digest;

/// A proof does not prove what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index lies outside the log.
    #[error("leaf {index} is outside a log of {size} leaves. The receipt is wrong or was changed.")]
    OutsideLog {
        /// The index asked about.
        index: u64,
        /// The size of the log.
        size: u64,
    },
    /// The later log is shorter than the earlier one.
    #[error(
        "the log had {old} leaves and now claims {new}. It was cut: keep both checkpoints as evidence."
    )]
    Shrunk {
        /// Leaves then.
        old: u64,
        /// Leaves now.
        new: u64,
    },
    /// The proof has too few or too many hashes.
    #[error("the proof has the wrong length. It was cut, extended, or made for another log.")]
    WrongLength,
    /// The hashes lead to another root.
    #[error("the proof leads to another root. The leaf or the log was changed.")]
    WrongRoot,
}

/// Checks that the leaf with `leaf_hash` is at `index` in the log of `size` leaves under `root`.
///
/// # Errors
/// The proof does not prove it.
pub fn verify_inclusion(
    leaf_hash: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutsideLog { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if is_right(node, last) {
            hash = node_hash(sibling, &hash);
            skip_missing_siblings(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    same(&hash, root)
}

/// Checks that the log of `new_size` leaves under `new_root` continues that of `old_size` under `old_root`.
///
/// # Errors
/// The proof does not prove it.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Shrunk {
            old: old_size,
            new: new_size,
        });
    }
    if old_size == 0 || old_size == new_size {
        return trivial(old_size, old_root, new_size, new_root, proof);
    }
    // A complete old tree is a subtree of the new one: its root is the first hash.
    let (seed, rest) = match proof.split_first() {
        Some(_) if old_size.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (first, rest),
        None => return Err(ProofError::WrongLength),
    };
    let shift = (old_size - 1).trailing_ones();
    let (mut node, mut last) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    let (mut old, mut new) = (*seed, *seed);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if is_right(node, last) {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            skip_missing_siblings(&mut node, &mut last);
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    same(&old, old_root)?;
    same(&new, new_root)
}

/// From nothing or to itself: there is nothing to prove, and no hash may pretend to.
fn trivial(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if !proof.is_empty() {
        return Err(ProofError::WrongLength);
    }
    if old_size == 0 {
        same(old_root, &empty_root())?;
    }
    if old_size == new_size {
        same(old_root, new_root)?;
    }
    Ok(())
}

fn is_right(node: u64, last: u64) -> bool {
    node & 1 == 1 || node == last
}

/// At the tree's right edge a node without sibling rises until it has one.
fn skip_missing_siblings(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

fn same(found: &Digest, wanted: &Digest) -> Result<(), ProofError> {
    if found == wanted {
        Ok(())
    } else {
        Err(ProofError::WrongRoot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::{fixtures, leaf_hash};

    /// Every way to bend a proof by one hash: bent, dropped, doubled, appended.
    fn bent(proof: &[Digest]) -> Vec<Vec<Digest>> {
        let mut all = Vec::new();
        for i in 0..proof.len() {
            let mut flipped = proof.to_vec();
            flipped[i].0[0] ^= 1;
            let mut dropped = proof.to_vec();
            dropped.remove(i);
            let mut doubled = proof.to_vec();
            doubled.insert(i, proof[i]);
            all.extend([flipped, dropped, doubled]);
        }
        let mut longer = proof.to_vec();
        longer.push(Digest([0; 32]));
        all.push(longer);
        all
    }

    #[test]
    fn every_inclusion_proof_holds_and_no_bent_one_does() {
        let tree = fixtures::tree(70);
        for size in 1..=70 {
            let root = tree.root_at(size).unwrap();
            for index in 0..size {
                let leaf = leaf_hash(&fixtures::leaf(index));
                let proof = tree.prove_inclusion(index, size).unwrap();
                assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
                for other in 0..size + 1 {
                    let held = verify_inclusion(&leaf, other, size, &proof, &root).is_ok();
                    assert_eq!(held, other == index);
                }
                for bad in bent(&proof) {
                    assert!(verify_inclusion(&leaf, index, size, &bad, &root).is_err());
                }
            }
        }
    }

    #[test]
    fn every_consistency_proof_holds_and_no_bent_one_does() {
        let tree = fixtures::tree(70);
        for new in 0..=70 {
            let new_root = tree.root_at(new).unwrap();
            for old in 0..=new {
                let old_root = tree.root_at(old).unwrap();
                let proof = tree.prove_consistency(old, new).unwrap();
                let check = |p: &[Digest]| verify_consistency(old, &old_root, new, &new_root, p);
                assert_eq!(check(&proof), Ok(()), "{old} to {new}");
                for bad in bent(&proof) {
                    assert!(check(&bad).is_err(), "{old} to {new}");
                }
                let forked = Digest([9; 32]);
                assert!(verify_consistency(old, &forked, new, &new_root, &proof).is_err());
                if old > 0 {
                    assert!(verify_consistency(old, &old_root, new, &forked, &proof).is_err());
                }
            }
        }
    }

    #[test]
    fn extreme_numbers_are_answered() {
        let d = Digest([1; 32]);
        let long = vec![d; 200];
        for a in [0, 1, 2, 1 << 63, u64::MAX - 1, u64::MAX] {
            for b in [0, 1, 2, 1 << 63, u64::MAX - 1, u64::MAX] {
                for proof in [&long[..], &long[..1], &long[..63], &long[..64], &[]] {
                    let _ = verify_inclusion(&d, a, b, proof, &d);
                    let _ = verify_consistency(a, &d, b, &d, proof);
                }
            }
        }
        assert_eq!(
            verify_consistency(5, &d, 4, &d, &[]),
            Err(ProofError::Shrunk { old: 5, new: 4 })
        );
    }
}
