//! A log that grows, is cut, is rewritten, or is silent.

use evidence::custody::{leaf_hash, note::LogSigner, tree::Tree};

use super::*;

fn signer(seed: u8) -> LogSigner {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    LogSigner::new("lab.example/log", key).unwrap()
}

fn leaf(which: u64) -> Vec<u8> {
    which.to_be_bytes().to_vec()
}

/// A log of leaves from `first` on.
fn log(first: u64, size: u64) -> Tree {
    let mut tree = Tree::default();
    for which in first..first + size {
        tree.push(leaf_hash(&leaf(which)));
    }
    tree
}

fn note(tree: &Tree) -> String {
    Checkpoint::sign(&signer(1), tree.size(), tree.root()).unwrap()
}

/// A receipt for the first leaf of `tree`, which is `first`.
fn receipt(tree: &Tree, first: u64) -> Vec<u8> {
    let receipt = Receipt::new(tree, &leaf(first), 0, tree.size(), note(tree)).unwrap();
    receipt.to_json().unwrap()
}

fn key() -> LogKey {
    signer(1).public().clone()
}

#[test]
fn a_log_that_grows_is_kept_once_it_is_proven() {
    let (mut watcher, key) = (Watcher::default(), key());
    let (old, new) = (log(0, 3), log(0, 8));
    // The first that is seen is believed.
    let found = watcher.receipt(&receipt(&old, 0), None, &key);
    assert_eq!(found, Found::Newer(note(&old)));
    let held = note(&old);
    let held = Some(held.as_str());
    assert_eq!(watcher.newest(&note(&old), held, &key), Found::Nothing);
    let ask = Found::Ask { from: 3, to: 8 };
    assert_eq!(watcher.receipt(&receipt(&new, 0), held, &key), ask);
    let proof = new.prove_consistency(3, 8).unwrap();
    let found = watcher.proof((3, 8), Some(&proof), held, &key);
    assert_eq!(found, Found::Newer(note(&new)));
}

#[test]
fn an_older_receipt_is_no_alarm_where_the_log_goes_through_it() {
    let (mut watcher, key) = (Watcher::default(), key());
    let (old, new) = (log(0, 3), log(0, 8));
    let held = note(&new);
    let held = Some(held.as_str());
    let ask = Found::Ask { from: 3, to: 8 };
    assert_eq!(watcher.receipt(&receipt(&old, 0), held, &key), ask);
    let proof = new.prove_consistency(3, 8).unwrap();
    let found = watcher.proof((3, 8), Some(&proof), held, &key);
    assert_eq!(found, Found::Nothing);
    // Of another log it is.
    let forked = log(100, 3);
    assert_eq!(watcher.receipt(&receipt(&forked, 100), held, &key), ask);
    let found = watcher.proof((3, 8), Some(&proof), held, &key);
    assert!(matches!(found, Found::Alarm(_)), "{found:?}");
}

#[test]
fn a_log_that_was_cut_rewritten_or_has_two_faces_is_an_alarm() {
    let (mut watcher, key) = (Watcher::default(), key());
    let held = note(&log(0, 8));
    let held = Some(held.as_str());
    let alarm = |found: Found, word: &str| match found {
        Found::Alarm(alarm) => {
            assert_eq!(Some(alarm.held.as_str()), held);
            assert!(alarm.why.contains(word), "{}", alarm.why);
        }
        other => panic!("{other:?}"),
    };
    alarm(watcher.newest(&note(&log(0, 7)), held, &key), "shows 7");
    alarm(watcher.newest(&note(&log(1, 8)), held, &key), "two faces");
    let other = log(1, 12);
    for proof in [other.prove_consistency(8, 12).unwrap(), Vec::new()] {
        let ask = Found::Ask { from: 8, to: 12 };
        assert_eq!(watcher.newest(&note(&other), held, &key), ask);
        alarm(
            watcher.proof((8, 12), Some(&proof), held, &key),
            "don't continue",
        );
    }
}

#[test]
fn what_the_logs_key_has_not_signed_and_proofs_that_nobody_asked_for_count_for_nothing() {
    let (mut watcher, key) = (Watcher::default(), key());
    let tree = log(0, 8);
    let held = note(&tree);
    let forged = Checkpoint::sign(&signer(2), 3, tree.root()).unwrap();
    for shown in ["", "garbage\n", &forged] {
        let found = watcher.newest(shown, Some(&held), &key);
        assert!(matches!(found, Found::Worthless(_)), "{found:?}");
    }
    let found = watcher.receipt(b"{}", Some(&held), &key);
    assert!(matches!(found, Found::Worthless(_)), "{found:?}");
    let found = watcher.proof((3, 8), Some(&[]), Some(&held), &key);
    assert_eq!(found, Found::Nothing);
    // A server that is not reached proves nothing, and nothing is kept.
    let ask = Found::Ask { from: 8, to: 9 };
    assert_eq!(watcher.newest(&note(&log(0, 9)), Some(&held), &key), ask);
    assert_eq!(
        watcher.proof((8, 9), None, Some(&held), &key),
        Found::Nothing
    );
}

#[test]
fn a_new_key_in_the_policy_begins_a_new_memory() {
    let mut watcher = Watcher::default();
    let old = Checkpoint::sign(&signer(2), 90, log(0, 90).root()).unwrap();
    let new = note(&log(0, 3));
    let found = watcher.newest(&new, Some(&old), &key());
    assert_eq!(found, Found::Newer(new));
}

#[test]
fn what_was_proven_meanwhile_must_go_together_with_what_comes() {
    let (mut watcher, key) = (Watcher::default(), key());
    let (first, fork) = (log(0, 3), {
        let mut tree = log(0, 3);
        (50..55).for_each(|which| {
            tree.push(leaf_hash(&leaf(which)));
        });
        tree
    });
    let straight = log(0, 9);
    let held = note(&first);
    watcher.newest(&note(&straight), Some(&held), &key);
    watcher.newest(&note(&fork), Some(&held), &key);
    let proof = straight.prove_consistency(3, 9).unwrap();
    let found = watcher.proof((3, 9), Some(&proof), Some(&held), &key);
    assert_eq!(found, Found::Newer(note(&straight)));
    // Both continue the first, and only one of them can be the log.
    let held = note(&straight);
    let proof = fork.prove_consistency(3, 8).unwrap();
    let found = watcher.proof((3, 8), Some(&proof), Some(&held), &key);
    assert_eq!(found, Found::Ask { from: 8, to: 9 });
    let proof = straight.prove_consistency(8, 9).unwrap();
    let found = watcher.proof((8, 9), Some(&proof), Some(&held), &key);
    assert!(matches!(found, Found::Alarm(_)), "{found:?}");
}
