//! The tree over the log's leaves: roots of every size and proofs about them.
//!
//! [`Tree`] keeps the hash of every complete subtree (64 bytes a leaf), so that any
//! root or proof costs a few dozen hashes. [`CompactRange`] keeps only the peaks,
//! for who reads a log once and wants its root. Neither stores leaves.

use super::{empty_root, node_hash};
use crate::digest::Digest;

/// The hashes of all complete subtrees of a log.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// `levels[k][i]` is the root over leaves `i << k` to `(i + 1) << k`.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |l| l.len() as u64)
    }

    /// Adds a leaf by its hash and returns its index.
    pub fn push(&mut self, leaf_hash: Digest) -> u64 {
        let index = self.size();
        let mut hash = leaf_hash;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let row = &mut self.levels[level];
            row.push(hash);
            if row.len() % 2 == 1 {
                break;
            }
            hash = node_hash(&row[row.len() - 2], &hash);
        }
        index
    }

    /// The hash of leaf `index`.
    pub fn leaf(&self, index: u64) -> Option<&Digest> {
        self.levels.first()?.get(usize::try_from(index).ok()?)
    }

    /// The root over all leaves.
    pub fn root(&self) -> Digest {
        self.root_at(self.size()).unwrap_or_else(empty_root)
    }

    /// The root when the log had `size` leaves; `None` when it never had so many.
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        if size == 0 {
            return Some(empty_root());
        }
        self.subtree(0, size)
    }

    /// The proof that leaf `index` is in the log of `size` leaves (RFC 6962, 2.1.1).
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Option<Vec<Digest>> {
        if index >= size || size > self.size() {
            return None;
        }
        let (mut start, mut end) = (0, size);
        let mut proof = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                proof.push(self.subtree(middle, end)?);
                end = middle;
            } else {
                proof.push(self.subtree(start, middle)?);
                start = middle;
            }
        }
        proof.reverse();
        Some(proof)
    }

    /// The proof that the log of `new_size` leaves continues that of `old_size` (RFC 6962, 2.1.2).
    pub fn prove_consistency(&self, old_size: u64, new_size: u64) -> Option<Vec<Digest>> {
        if old_size > new_size || new_size > self.size() {
            return None;
        }
        if old_size == 0 || old_size == new_size {
            return Some(Vec::new());
        }
        let (mut start, mut end) = (0, new_size);
        let mut proof = Vec::new();
        while end != old_size {
            let middle = start + split(end - start);
            if old_size <= middle {
                proof.push(self.subtree(middle, end)?);
                end = middle;
            } else {
                proof.push(self.subtree(start, middle)?);
                start = middle;
            }
        }
        // The verifier knows the old root itself, but no subtree of it.
        if start != 0 {
            proof.push(self.subtree(start, end)?);
        }
        proof.reverse();
        Some(proof)
    }

    /// The root over leaves `start` to `end`; `start` is a multiple of the width's power of two.
    fn subtree(&self, start: u64, end: u64) -> Option<Digest> {
        let width = end.checked_sub(start)?;
        if width.is_power_of_two() {
            let level = width.trailing_zeros();
            let row = self.levels.get(usize::try_from(level).ok()?)?;
            return row.get(usize::try_from(start >> level).ok()?).copied();
        }
        if width == 0 {
            return None;
        }
        let middle = start + split(width);
        Some(node_hash(
            &self.subtree(start, middle)?,
            &self.subtree(middle, end)?,
        ))
    }
}

/// The largest power of two below `width`, which is at least 2.
fn split(width: u64) -> u64 {
    1 << (63 - (width - 1).leading_zeros())
}

/// The peaks of a log that is read once from its first leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    /// Roots of the complete subtrees, widest first: one for each set bit of `size`.
    peaks: Vec<Digest>,
}

impl CompactRange {
    /// How many leaves have passed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf_hash: Digest) {
        let mut hash = leaf_hash;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root over all leaves that have passed.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use sha2::Sha256;

    use super::*;
    use crate::custody::{fixtures, leaf_hash};

    fn flat(proof: &[Digest]) -> Vec<u8> {
        proof.iter().flat_map(|d| d.0).collect()
    }

    #[test]
    fn agrees_with_an_independent_tree_at_every_size_and_index() {
        let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut ours = Tree::default();
        let mut range = CompactRange::default();
        for size in 1..=70 {
            let leaf = fixtures::leaf(size - 1);
            ours.push(leaf_hash(&leaf));
            range.push(leaf_hash(&leaf));
            theirs.push(leaf);
            assert_eq!(ours.root().0[..], theirs.root().as_bytes()[..]);
            assert_eq!(range.root(), ours.root());
            for index in 0..size {
                let proof = ours.prove_inclusion(index, size).unwrap();
                let other = theirs.prove_inclusion(usize::try_from(index).unwrap());
                assert_eq!(flat(&proof), other.as_bytes(), "{index} of {size}");
            }
            for old in 1..=size {
                let proof = ours.prove_consistency(old, size).unwrap();
                let added = usize::try_from(size - old).unwrap();
                let other = theirs.prove_consistency(added);
                assert_eq!(flat(&proof), other.as_bytes(), "{old} to {size}");
            }
        }
    }

    #[test]
    fn remembers_every_earlier_root() {
        let whole = fixtures::tree(70);
        for size in 0..=70 {
            assert_eq!(whole.root_at(size), Some(fixtures::tree(size).root()));
        }
        assert_eq!(whole.root_at(71), None);
        assert_eq!(whole.prove_inclusion(70, 70), None);
        assert_eq!(whole.prove_inclusion(0, 71), None);
        assert_eq!(whole.prove_consistency(5, 71), None);
        assert_eq!(whole.prove_consistency(6, 5), None);
    }
}
