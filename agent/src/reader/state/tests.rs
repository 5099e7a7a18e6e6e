//! What survives a crash, and what is refused.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use evidence::{
    digest::Digest,
    ids::{CollectionId, OrderId},
    instant::Instant,
    records::Refusal,
};
use protocol::messages::HandedOrder;

use crate::small_disk::SmallDisk;

fn at(seconds: i64) -> Instant {
    Instant { seconds, ns: 0 }
}

fn accepted(id: u8) -> Change {
    Change::Accepted {
        running: Running::new(
            (
                HandedOrder {
                    order: "{}".into(),
                    proof: None,
                },
                "{}".into(),
            ),
            OrderId::from_bytes([id; 16]),
            CollectionId::from_bytes([id; 16]),
            Vec::new(),
        ),
        expires: at(100),
    }
}

fn time(seconds: i64) -> Change {
    Change::SignedTime { time: at(seconds) }
}

fn refused(id: u8) -> Change {
    Change::Refused {
        refused: Some(Refused {
            handed_sha256: Digest::of(&[id]),
            notice: "{}".into(),
        }),
        told: Refusal {
            what: "order".into(),
            why: "forged".into(),
            time: at(1),
        },
    }
}

/// A state with three changes behind its first record: the file's bytes, and how much of them is used.
fn written(folder: &Path) -> (Vec<u8>, usize) {
    let mut state = State::open(folder).unwrap();
    for change in [time(5), accepted(1), refused(2)] {
        state.keep(change).unwrap();
    }
    let used = usize::try_from(state.end).unwrap();
    (fs::read(path_in(folder)).unwrap(), used)
}

fn parsed(bytes: &[u8]) -> Result<(Known, u64), Fault> {
    let (known, tail) = parse(bytes)?;
    Ok((known, tail.dropped_bytes()))
}

#[test]
fn what_was_kept_is_known_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("reader");
    written(&folder);
    let state = State::open(&folder).unwrap();
    let known = state.known();
    assert_eq!(known.highest_signed, Some(at(5)));
    assert!(known.used.contains_key(&OrderId::from_bytes([1; 16])));
    assert!(known.running.is_some());
    assert!(known.refusal_of(Digest::of(&[2])).is_some());
    assert_eq!(state.dropped_bytes(), 0);
    let host = known.host;
    drop(state);
    assert_eq!(State::look(&folder).unwrap().host, host);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&path_in(&folder))), (0o700, 0o600));
}

#[test]
fn what_is_put_aside_stays_begun_and_every_change_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = State::open(folder.path()).unwrap();
    let none_aside = serde_json::to_string(state.known()).unwrap();
    assert!(!none_aside.contains("aside"), "as before there were any");
    let [one, two] = [1, 2].map(|id| CollectionId::from_bytes([id; 16]));
    let mut after = |change: Change| {
        state.keep(change).unwrap();
        let begun = |known: &Known| {
            let running = known.running.as_ref();
            let told = |r: &Running| (r.collection, r.attempt, r.pauses);
            let aside: Vec<_> = known.aside.iter().map(told).collect();
            (running.map(told), aside)
        };
        // Read from the file, as after a crash.
        let known = State::look(folder.path()).unwrap();
        assert_eq!(begun(&known), begun(state.known()));
        (begun(&known), known)
    };
    after(accepted(1));
    assert_eq!(after(Change::PutAside {}).0, (None, vec![(one, 1, 1)]));
    after(accepted(2));
    // Nothing takes the place of what runs.
    let took = after(Change::TakenUp { collection: one });
    assert_eq!(took.0, (Some((two, 1, 0)), vec![(one, 1, 1)]));
    let stopped = Change::Cancelled {
        order: OrderId::from_bytes([1; 16]),
        expires: at(100),
        why: "a mistake".into(),
    };
    assert_eq!(
        after(stopped).1.aside[0].cancelled.as_deref(),
        Some("a mistake")
    );
    let cut = after(Change::CutShort {
        why: "cloned".into(),
    })
    .1;
    assert!(cut.begun().all(|r| r.cut_short.is_some()));
    after(Change::PutAside {});
    let took = after(Change::TakenUp { collection: two });
    assert_eq!(took.0, (Some((two, 2, 1)), vec![(one, 1, 1)]));
    after(Change::Ended(Ended {
        order: OrderId::from_bytes([2; 16]),
        collection: two,
        parts: 1,
        ended_early: None,
    }));
    let took = after(Change::TakenUp { collection: one });
    assert_eq!(took.0, (Some((one, 2, 1)), Vec::new()));
}

#[test]
fn only_one_reader_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = State::open(folder.path()).unwrap();
    assert!(matches!(
        State::open(folder.path()),
        Err(StateError::InUse(_))
    ));
    let told = State::check_free(folder.path());
    assert!(matches!(told, Err(StateError::InUse(_))));
    drop(first);
    State::check_free(folder.path()).unwrap();
    // Where there is none yet, nobody has it.
    State::check_free(&folder.path().join("none")).unwrap();
}

#[test]
fn a_used_order_is_forgotten_only_past_a_signed_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = State::open(folder.path()).unwrap();
    state.keep(accepted(1)).unwrap();
    state.keep(time(99)).unwrap();
    assert_eq!(state.known().used.len(), 1);
    state.keep(time(100)).unwrap();
    assert_eq!(state.known().used.len(), 0);
    state.keep(time(7)).unwrap();
    assert_eq!(state.known().highest_signed, Some(at(100)));
}

#[test]
fn a_write_cut_at_any_byte_is_dropped_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, used) = written(folder.path());
    let mut without_last = State::open(folder.path()).unwrap();
    let before = used - last_frame(&whole, used);
    without_last.keep(time(6)).unwrap();
    for cut in before..used {
        let mut torn = whole.clone();
        torn[cut..used].fill(0);
        let (known, dropped) = parsed(&torn).unwrap();
        assert!(known.running.is_some(), "cut at {cut}");
        assert!(known.refused.is_empty(), "cut at {cut}");
        assert_eq!(dropped > 0, cut > before, "cut at {cut}");
    }
}

#[test]
fn every_shortened_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, used) = written(folder.path());
    let beyond = (used..whole.len()).step_by(100_003);
    for length in (0..used).chain(beyond) {
        assert!(parsed(&whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn every_flipped_byte_is_refused_or_is_a_cut_end() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bytes, used) = written(folder.path());
    let last = used - last_frame(&bytes, used);
    for at in 0..used {
        bytes[at] ^= 0x10;
        let read = parsed(&bytes);
        bytes[at] ^= 0x10;
        match read {
            Err(_) => {}
            // The last write can't be told from one that was cut: it is dropped, and said.
            Ok((known, dropped)) => {
                assert!(at >= last && dropped > 0, "byte {at}");
                assert!(known.running.is_some() && known.refused.is_empty());
            }
        }
    }
}

#[test]
fn damage_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bytes, _) = written(folder.path());
    bytes[frame::FILE_HEAD_BYTES + 30] ^= 1;
    fs::write(path_in(folder.path()), bytes).unwrap();
    let told = State::open(folder.path()).unwrap_err().to_string();
    assert!(
        told.contains("damaged at byte 40") && told.contains("enrol"),
        "{told}"
    );
}

#[test]
fn on_a_full_disk_the_reader_goes_on_in_the_file_that_it_has() {
    let Some(disk) = SmallDisk::mount(10 << 10) else {
        return;
    };
    let folder = disk.path().join("reader");
    written(&folder);
    let other = disk.fill();
    let mut state = State::open(&folder).unwrap();
    assert_eq!(state.known().highest_signed, Some(at(5)));
    assert!(!new_in(&folder).exists());
    state.keep(time(6)).unwrap();
    state.keep(time(7)).unwrap();
    let salt = state.salt;
    // The last write is cut by a crash.
    disk::write_all_at(&state.file, &[0; 3], state.end - 3).unwrap();
    drop(state);
    let mut state = State::open(&folder).unwrap();
    assert!(state.dropped_bytes() > 0);
    assert_eq!(state.known().highest_signed, Some(at(6)));
    assert_eq!(state.salt, salt);
    state.keep(time(8)).unwrap();
    drop(state);
    let known = State::look(&folder).unwrap();
    assert_eq!(known.highest_signed, Some(at(8)));
    assert!(known.used.contains_key(&OrderId::from_bytes([1; 16])));
    // With room it is written anew.
    fs::remove_file(other).unwrap();
    let state = State::open(&folder).unwrap();
    assert!(state.dropped_bytes() == 0 && state.salt != salt);
    assert_eq!(state.known().highest_signed, Some(at(8)));
}

#[test]
fn what_a_newer_agent_wrote_is_not_called_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bytes, used) = written(folder.path());
    let salt = frame::read_file_head(&bytes).unwrap();
    for change in [
        r#"{"change":"paused","surprise":1}"#,
        r#"{"change":"surprised"}"#,
    ] {
        let frame = frame::encode(&salt, used as u64, change.as_bytes()).unwrap();
        bytes[used..used + frame.len()].copy_from_slice(&frame);
        fs::write(path_in(folder.path()), &bytes).unwrap();
        let error = State::open(folder.path()).unwrap_err();
        assert!(matches!(error, StateError::Newer { at, .. } if at == used as u64));
        let told = error.to_string();
        assert!(
            told.contains("newer agent") && !told.contains("enrol"),
            "{told}"
        );
        assert_eq!(fs::read(path_in(folder.path())).unwrap(), bytes);
        bytes[used..used + frame.len()].fill(0);
    }
}

#[test]
fn what_came_later_is_not_written_where_it_is_not_used() {
    let mut known = Known::new().unwrap();
    known.apply(accepted(1));
    let running = known.running.take();
    let first = serde_json::to_string(&known).unwrap();
    for later in [
        "cancelled",
        "recurring",
        "aside",
        "candidate",
        "fork",
        "log_alarm",
    ] {
        assert!(!first.contains(later), "{later}");
    }
    let running = serde_json::to_string(&running.unwrap()).unwrap();
    for later in [
        "pauses",
        "aside",
        "finished_before",
        "cancelled",
        "capture",
        "cut_short",
    ] {
        assert!(!running.contains(later), "{later}");
    }
    known.apply(accepted(1));
    let again: Known = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
    assert_eq!(again.running, known.running);
}

/// How long the last of `written`'s frames is.
fn last_frame(bytes: &[u8], used: usize) -> usize {
    let salt = frame::read_file_head(bytes).unwrap();
    let mut at = frame::FILE_HEAD_BYTES;
    loop {
        match frame::read(&salt, bytes, at) {
            Frame::Record(_, next) if next == used => return used - at,
            Frame::Record(_, next) => at = next,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_has_finished_nothing_more_makes_way_three_times_and_then_keeps_its_place() {
    let mut known = Known::new().unwrap();
    known.apply(accepted(1));
    let collection = CollectionId::from_bytes([1; 16]);
    let may = |known: &Known| known.running.as_ref().unwrap().may_make_way();
    for _ in 0..3 {
        assert!(may(&known));
        known.apply(Change::PutAside {});
        known.apply(Change::TakenUp { collection });
    }
    assert!(!may(&known));
    let further = |finished: &[&str]| Change::Durable {
        position: SavedPosition::finished_for_test(finished),
    };
    known.apply(further(&["processes"]));
    assert!(may(&known));
    known.apply(Change::PutAside {});
    known.apply(Change::TakenUp { collection });
    assert!(may(&known));
}

#[test]
fn orders_that_would_not_fit_the_next_first_record_are_not_kept() {
    let mut known = Known::new().unwrap();
    let mut count = 0;
    while known.has_room() {
        count += 1;
        let Change::Accepted {
            mut running,
            expires,
        } = accepted(count)
        else {
            unreachable!()
        };
        running.handed.order = "x".repeat(3 << 20);
        running.policy = "x".repeat(1 << 20);
        known.apply(Change::Accepted { running, expires });
        known.apply(Change::PutAside {});
    }
    assert_eq!(count, 3);
    assert!(serde_json::to_vec(&known).unwrap().len() < frame::MAX_RECORD_BYTES);
}
