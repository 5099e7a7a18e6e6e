//! Crashes, cuts and edits of the log file, and what opening it says of them.

use std::fs;

use super::*;
use crate::{custody::fixtures::leaf, small_disk::SmallDisk};

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn fixture(size: u64) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custody.log");
    let mut log = reopen(&path).unwrap();
    for i in 0..size {
        assert_eq!(log.append(&leaf(i)).unwrap(), i);
    }
    Fixture { _dir: dir, path }
}

fn checkpoint(log: &Log, size: u64) -> Checkpoint {
    Checkpoint {
        origin: "log".into(),
        size,
        root: log.tree().root_at(size).unwrap(),
    }
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let fixture = fixture(9);
    let mut log = reopen(&fixture.path).unwrap();
    assert_eq!(log.append_all(&[b"", b"x"]).unwrap(), 9);
    drop(log);
    let mut log = reopen(&fixture.path).unwrap();
    assert_eq!(log.tree().size(), 11);
    assert_eq!(log.read(4).unwrap(), Some(leaf(4)));
    assert_eq!(log.read(9).unwrap(), Some(Vec::new()));
    assert_eq!(log.read(11).unwrap(), None);
    assert_eq!(log.torn_tail(), None);
}

#[test]
fn a_file_cut_at_any_byte_keeps_every_whole_leaf_and_goes_on() {
    let whole = fixture(5);
    let bytes = fs::read(&whole.path).unwrap();
    let log = reopen(&whole.path).unwrap();
    let (offsets, remembered) = (log.offsets.clone(), checkpoint(&log, 5));
    for cut in 0..bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("custody.log");
        fs::write(&path, &bytes[..cut]).unwrap();
        let mut log = reopen(&path).unwrap();
        let last = bytes.len() as u64;
        let ends = offsets.iter().skip(1).chain([&last]);
        let kept = ends.filter(|end| **end <= cut as u64).count() as u64;
        assert_eq!(log.tree().size(), kept, "cut at {cut}");
        if let Some(torn) = log.torn_tail() {
            assert_eq!(
                fs::read(&torn.kept).unwrap(),
                &bytes[cut - torn.count_bytes as usize..cut]
            );
        }
        assert!(matches!(
            log.check(std::slice::from_ref(&remembered)),
            Err(LogError::Truncated { leaf, remembered: 5 }) if leaf == kept
        ));
        assert_eq!(log.append(b"next").unwrap(), kept);
        drop(log);
        assert_eq!(reopen(&path).unwrap().tree().size(), kept + 1);
    }
}

#[test]
fn a_byte_changed_in_any_leaf_but_the_last_is_damage_and_is_named() {
    let whole = fixture(4);
    let bytes = fs::read(&whole.path).unwrap();
    let offsets = reopen(&whole.path).unwrap().offsets.clone();
    for at in 0..bytes.len() as u64 {
        let mut changed = bytes.clone();
        changed[at as usize] ^= 0x40;
        fs::write(&whole.path, &changed).unwrap();
        let opened = reopen(&whole.path);
        let leaf = offsets.iter().rposition(|o| *o <= at);
        match (at, leaf) {
            (0..32, _) => assert!(matches!(opened, Err(LogError::NotALog(_)))),
            (_, Some(3)) => assert_eq!(opened.unwrap().torn_tail().unwrap().leaf, 3),
            (_, Some(i)) => assert!(
                matches!(opened, Err(LogError::Damaged { leaf }) if leaf == i as u64),
                "{at}"
            ),
            (_, None) => unreachable!(),
        }
    }
}

#[test]
fn an_edit_with_right_checksums_is_found_by_the_checkpoints() {
    let honest = fixture(10);
    let log = reopen(&honest.path).unwrap();
    let remembered = [
        checkpoint(&log, 10),
        checkpoint(&log, 4),
        checkpoint(&log, 6),
    ];
    assert!(log.check(&remembered).is_ok());
    let forged = fixture(5);
    let mut log = reopen(&forged.path).unwrap();
    log.append(b"something else").unwrap();
    for i in 6..10 {
        log.append(&leaf(i)).unwrap();
    }
    assert!(matches!(
        log.check(&remembered),
        Err(LogError::Edited { from: 4, to: 5 })
    ));
}

#[test]
fn a_leaf_that_carries_frames_is_cut_like_any_other() {
    let fixture = fixture(1);
    let inner = fs::read(&fixture.path).unwrap();
    let mut log = reopen(&fixture.path).unwrap();
    log.append(&inner.repeat(3)).unwrap();
    drop(log);
    let length = fs::metadata(&fixture.path).unwrap().len();
    let file = OpenOptions::new().write(true).open(&fixture.path).unwrap();
    file.set_len(length - 1).unwrap();
    drop(file);
    let log = reopen(&fixture.path).unwrap();
    assert_eq!(log.tree().size(), 1);
    assert_eq!(log.torn_tail().unwrap().leaf, 1);
}

#[test]
fn refuses_a_second_process_foreign_files_and_long_leaves() {
    let fixture = fixture(1);
    let mut log = reopen(&fixture.path).unwrap();
    assert!(matches!(Log::open(&fixture.path), Err(LogError::InUse(_))));
    let long = vec![0; frame::MAX_LEAF_BYTES + 1];
    assert!(matches!(log.append(&long), Err(LogError::TooLong)));
    assert_eq!(log.append(&long[1..]).unwrap(), 1);
    let other = fixture.path.with_extension("txt");
    fs::write(&other, "something else entirely, long enough to be a head").unwrap();
    assert!(matches!(reopen(&other), Err(LogError::NotALog(_))));
    assert!(fs::read(&other).unwrap().starts_with(b"something"));
}

/// Opens a log, waiting while a program that another test is starting still holds a copy of the lock's descriptor.
fn reopen(path: &std::path::Path) -> Result<Log, LogError> {
    for _ in 0..10_000 {
        match Log::open(path) {
            Err(LogError::InUse(_)) => std::thread::yield_now(),
            other => return other,
        }
    }
    Log::open(path)
}

#[test]
fn a_disk_that_was_full_keeps_no_log_from_going_on() {
    let Some(disk) = SmallDisk::mount(64) else {
        return;
    };
    let path = disk.path().join("custody.log");
    let mut log = reopen(&path).unwrap();
    assert_eq!(log.append(&leaf(0)).unwrap(), 0);
    let long = vec![7; 128 * 1024];
    assert!(matches!(log.append(&long), Err(LogError::Io { .. })));
    // What there is room for goes in, and nothing of the other is left.
    assert_eq!(log.append(&leaf(1)).unwrap(), 1);
    drop(log);
    let mut log = reopen(&path).unwrap();
    assert_eq!(log.torn_tail(), None);
    assert_eq!(log.tree().size(), 2);
    assert_eq!(log.read(1).unwrap(), Some(leaf(1)));
}
