//! The custody log as last seen: every later sight must continue it.
//!
//! A log that shrank, or that holds other leaves than before, is said loudly; the remembered
//! checkpoint stays, since it is the proof.

use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER;
use evidence::{
    custody::{
        checkpoint::Checkpoint,
        note::LogKey,
        receipt::{Proven, Receipt},
    },
    digest::Digest,
};

use crate::{home::Home, remote::RemoteError};

/// A note is not longer.
const NOTE_BYTES: u64 = 64 * 1024;

const ALARM: &str = "ALARM: the custody log is not the one that was seen before. It was cut or rewritten, or the \
    server shows different people different logs. Keep both checkpoints and tell the deployment's auditors.";

/// Checks `note` against what is remembered of the log and remembers it.
///
/// `prove` gets the proof that the log of the second size continues that of the first.
///
/// # Errors
/// The note is not the log's, the log does not continue the remembered one, or `prove` fails.
pub fn update(
    home: &Home,
    key: &LogKey,
    note: &str,
    prove: &dyn Fn(u64, u64) -> Result<Vec<Digest>, RemoteError>,
) -> anyhow::Result<Checkpoint> {
    let new = Checkpoint::verify(note, key)
        .context("The server's checkpoint is not the custody log's.")?;
    let name = file(key);
    let Some(held) = remembered(home, key)? else {
        home.remember(&name, note.as_bytes())?;
        return Ok(new);
    };
    if new == held {
        return Ok(new);
    }
    check_continued(&held, &new, prove)?;
    home.remember(&name, note.as_bytes())?;
    Ok(new)
}

/// Checks that the log of `new` continues that of `old`.
///
/// # Errors
/// It does not, or `prove` fails.
pub fn check_continued(
    old: &Checkpoint,
    new: &Checkpoint,
    prove: &dyn Fn(u64, u64) -> Result<Vec<Digest>, RemoteError>,
) -> anyhow::Result<()> {
    let (then, now) = (old.size, new.size);
    if now < then {
        bail!("{ALARM} Its leaves were {then} and now are {now}.");
    }
    let proof = if now == then || then == 0 {
        Vec::new()
    } else {
        prove(then, now)?
    };
    old.verify_continued_by(new, &proof)
        .with_context(|| format!("{ALARM} Its leaves were {then}, and are {now} now."))
}

/// The checkpoint as last seen.
///
/// # Errors
/// It can't be read, or is not the log's.
pub fn remembered(home: &Home, key: &LogKey) -> anyhow::Result<Option<Checkpoint>> {
    let Some(note) = home.recall(&file(key), NOTE_BYTES)? else {
        return Ok(None);
    };
    let note = String::from_utf8(note).context("The remembered checkpoint is damaged.")?;
    let held = Checkpoint::verify(&note, key)
        .context("The remembered checkpoint is damaged. Restore the folder `state` from a copy.")?;
    Ok(Some(held))
}

/// A log of its own for each key, so that a new key begins a new memory and the old one stays.
fn file(key: &LogKey) -> String {
    let digest = Digest::of(key.to_string().as_bytes());
    format!("state/checkpoint-{}", HEXLOWER.encode(&digest.0[..8]))
}

/// Checks a receipt that the server gave for something just handed in.
///
/// # Errors
/// It is malformed or does not prove what it should.
pub fn prove_logged(receipt: &str, key: &LogKey) -> anyhow::Result<Proven> {
    Receipt::parse(receipt.as_bytes())
        .and_then(|receipt| receipt.verify(key))
        .context("The server took it and gave a receipt that does not hold. Tell its operator.")
}

#[cfg(test)]
mod tests {
    use evidence::custody::{leaf_hash, tree::Tree};

    use super::*;
    use crate::testing::World;

    fn tree(leaves: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for leaf in leaves {
            tree.push(leaf_hash(leaf.as_bytes()));
        }
        tree
    }

    /// Shows `tree` to the tool, with honest proofs out of it.
    fn show(home: &Home, world: &World, tree: &Tree) -> anyhow::Result<Checkpoint> {
        let note = Checkpoint::sign(&world.log, tree.size(), tree.root()).unwrap();
        let prove = |from, to| Ok(tree.prove_consistency(from, to).unwrap());
        update(home, world.log.public(), &note, &prove)
    }

    #[test]
    fn a_growing_log_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path()), None).unwrap();
        let world = World::new();
        for leaves in [
            &["a"][..],
            &["a"],
            &["a", "b", "c"],
            &["a", "b", "c", "d", "e"],
        ] {
            let seen = show(&home, &world, &tree(leaves)).unwrap();
            let held = remembered(&home, world.log.public()).unwrap();
            assert_eq!(held, Some(seen));
        }
    }

    #[test]
    fn a_cut_or_forked_log_is_an_alarm_and_the_memory_stays() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path()), None).unwrap();
        let world = World::new();
        let seen = show(&home, &world, &tree(&["a", "b", "c"])).unwrap();
        for other in [&["a"][..], &["a", "b", "x"], &["a", "x", "c", "d"]] {
            let error = show(&home, &world, &tree(other)).unwrap_err();
            assert!(error.to_string().contains("ALARM"), "{error:#}");
            let held = remembered(&home, world.log.public()).unwrap();
            assert_eq!(held.as_ref(), Some(&seen));
        }
        assert!(show(&home, &world, &tree(&["a", "b", "c", "d"])).is_ok());
    }

    #[test]
    fn a_checkpoint_by_another_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path()), None).unwrap();
        let (world, other) = (World::new(), World::new());
        let tree = tree(&["a"]);
        let note = Checkpoint::sign(&other.log, 1, tree.root()).unwrap();
        let never = |_, _| panic!("nothing to prove");
        assert!(update(&home, world.log.public(), &note, &never).is_err());
    }
}
