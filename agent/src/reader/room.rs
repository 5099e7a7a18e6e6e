//! The free space that the lanes of one run share: what one of them is about to write is not free for the others, and
//! neither are the indexes that wait in memory for each part's end.

use std::{
    collections::BTreeMap,
    fs::File,
    sync::{Mutex, MutexGuard, PoisonError},
};

use evidence::records::Counts;

use super::part;
use crate::platform::disk;

/// What a line of files.jsonl or gaps.jsonl takes at a part's end, its shares of SHA256SUMS and the directory included.
const LINE_BYTES: u64 = 512;
/// What of an open part lies in buffers on its way to the disk, twice over.
const BUFFERED_BYTES: u64 = 2 * part::BUFFER_BYTES as u64;

/// What was promised to the lanes, by their ids.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<BTreeMap<usize, Promise>>);

#[derive(Debug, Default, Clone, Copy)]
struct Promise {
    index_bytes: u64,
    content_bytes: u64,
}

impl Room {
    /// Promises `content_bytes` to `lane`, whose part holds `counts`, if that leaves `floor_bytes` free where `file`
    /// lies; a floor of 0 is none.
    pub(super) fn promise(
        &self,
        lane: usize,
        (file, floor_bytes): (&File, u64),
        counts: Counts,
        content_bytes: u64,
    ) -> bool {
        if floor_bytes == 0 {
            return true;
        }
        // Where it can't be asked, the write itself will tell.
        let free_bytes = disk::space_of(file).map_or(u64::MAX, |space| space.free_bytes);
        self.promise_of(lane, free_bytes, floor_bytes, counts, content_bytes)
    }

    fn promise_of(
        &self,
        lane: usize,
        free_bytes: u64,
        floor_bytes: u64,
        counts: Counts,
        content_bytes: u64,
    ) -> bool {
        let mut promises = self.lock();
        let lines = (counts.file_records + counts.gaps).saturating_mul(LINE_BYTES);
        let index_bytes = lines.saturating_add(BUFFERED_BYTES);
        let own = Promise {
            index_bytes,
            content_bytes: 0,
        };
        promises.insert(lane, own);
        let promised: u64 = promises
            .values()
            .map(|p| p.index_bytes.saturating_add(p.content_bytes))
            .fold(0, u64::saturating_add);
        let needed = floor_bytes
            .saturating_add(promised)
            .saturating_add(content_bytes);
        let fits = free_bytes >= needed;
        if fits && let Some(own) = promises.get_mut(&lane) {
            own.content_bytes = content_bytes;
        }
        fits
    }

    /// `lane` has been given `bytes` of what it was promised.
    pub(super) fn used(&self, lane: usize, bytes: u64) {
        if let Some(own) = self.lock().get_mut(&lane) {
            own.content_bytes = own.content_bytes.saturating_sub(bytes);
        }
    }

    /// The part of `lane` is closed or given up.
    pub(super) fn release(&self, lane: usize) {
        self.lock().remove(&lane);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Promise>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether no more than `floor_bytes` is free where `file` lies.
pub(super) fn is_used_up(file: &File, floor_bytes: u64) -> bool {
    disk::space_of(file).is_ok_and(|space| space.free_bytes <= floor_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_to_one_lane_is_not_free_for_another() {
        let room = Room::default();
        let promise = |lane, free_bytes, content_bytes| {
            let buffered = BUFFERED_BYTES * u64::from(lane != 1) + BUFFERED_BYTES;
            room.promise_of(
                lane,
                free_bytes + buffered,
                10,
                Counts::default(),
                content_bytes,
            )
        };
        assert!(promise(1, 100, 60));
        assert!(!promise(2, 100, 60));
        // 40 of them are on the disk by now.
        room.used(1, 40);
        assert!(promise(2, 60, 30));
        assert!(!promise(2, 60, 31));
        room.release(1);
        room.release(2);
        assert!(promise(2, 60, 50));
    }

    #[test]
    fn the_lines_that_wait_for_a_parts_end_need_room_too() {
        let counts = Counts {
            file_records: 2,
            ..Counts::default()
        };
        let room = Room::default();
        let needed = BUFFERED_BYTES + 2 * LINE_BYTES;
        assert!(!room.promise_of(1, needed, 1, counts, 0));
        assert!(room.promise_of(1, needed + 1, 1, counts, 0));
    }
}
