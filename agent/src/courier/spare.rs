//! Room for small files on a full disk: what empties it, and what tells of it, must be written even then.
//!
//! Files lie ready that have their blocks and nothing in them, so that no other program can take them. On a full disk one
//! becomes what is to be written, the others stay, and it is made again once there is room.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::disk::{self, DiskError};
use crate::platform::{disk as room, handle::OwnedFd, private};

/// So many lie ready, 2 MiB in all.
const PIECES: u32 = 32;
/// Each has this much: more than a receipt, a report or most orders take.
const PIECE_BYTES: u64 = 64 << 10;
/// So many stay for those, whatever else wants room.
const PIECES_LEFT: usize = 16;
/// So many more make room for what a file system needs beside a file's own bytes.
const BESIDE: u64 = 4;

/// The room that is kept.
#[derive(Debug)]
pub(super) struct Spare {
    folder: PathBuf,
    /// By number.
    kept: Mutex<BTreeMap<u32, File>>,
}

impl Spare {
    /// Keeps room in `folder`, or takes up what a run before has kept there; none where there is none.
    pub(super) fn keep(folder: &Path) -> Self {
        let spare = Self {
            folder: folder.to_path_buf(),
            kept: Mutex::default(),
        };
        spare.fill();
        spare
    }

    /// Makes it whole again where it is not, as far as there is room.
    pub(super) fn fill(&self) {
        self.fill_up(&mut self.lock());
    }

    fn fill_up(&self, kept: &mut BTreeMap<u32, File>) {
        for number in 0..PIECES {
            if kept.contains_key(&number) {
                continue;
            }
            let path = self.path(number);
            let open = private::file()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            match open {
                Ok(file) if room::reserve_ahead(&file, PIECE_BYTES).is_ok() => {
                    kept.insert(number, file);
                }
                // What it got in part is nobody's then; the next would get no more.
                Ok(_) => {
                    let _ = disk::remove(&path);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("spare-{number}"))
    }

    /// As [`disk::write_durable`], on a full disk too.
    pub(super) fn write_durable(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let plainly = || disk::write_durable(path, bytes);
        self.write(bytes, plainly, |spare| disk::rename_durable(spare, path))
    }

    /// As [`disk::nameless`], on a full disk too.
    pub(super) fn nameless(&self, folder: &Path, bytes: &[u8]) -> Result<OwnedFd, DiskError> {
        self.write(bytes, || disk::nameless(folder, bytes), disk::unname)
    }

    /// Writes by `plainly`, and where the disk is full into a piece that is kept, which `become_it` makes what was meant.
    fn write<T>(
        &self,
        bytes: &[u8],
        plainly: impl Fn() -> Result<T, DiskError>,
        become_it: impl Fn(&Path) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let full = match plainly() {
            Err(error) if error.is_full() => error,
            other => return other,
        };
        let mut kept = self.lock();
        let Some((number, piece)) = kept.pop_first() else {
            return Err(full);
        };
        let path = self.path(number);
        let written = fill_in(&piece, bytes).and_then(|()| become_it(&path).ok());
        drop(piece);
        let written = match written {
            Some(written) => Ok(written),
            // Too long for it, or it can't be moved there: given up with as many others as it takes, they may still make
            // the room.
            None => disk::remove(&path).and_then(|()| {
                self.give_up(&mut kept, bytes.len() as u64 / PIECE_BYTES + BESIDE, 0);
                plainly()
            }),
        };
        self.fill_up(&mut kept);
        written
    }

    /// Tries `act`, which empties nothing, and where `is_full` says that there was no room for it once more, with a piece
    /// given up; those that are needed to empty the disk are not given up for it.
    pub(super) fn make_way<T, E>(
        &self,
        mut act: impl FnMut() -> Result<T, E>,
        is_full: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        match act() {
            Err(error) if is_full(&error) => {}
            other => return other,
        }
        let mut kept = self.lock();
        self.give_up(&mut kept, 1, PIECES_LEFT);
        let done = act();
        self.fill_up(&mut kept);
        done
    }

    /// Gives so many pieces back to the disk, as long as there are more than `least`.
    fn give_up(&self, kept: &mut BTreeMap<u32, File>, count: u64, least: usize) {
        for _ in 0..count {
            if kept.len() <= least {
                return;
            }
            if let Some((number, _)) = kept.pop_last() {
                // Where it can't go, the next try tells why.
                let _ = disk::remove(&self.path(number));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, File>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts `bytes` into a piece, and gives the rest of it back; none where they don't fit, or it fails.
fn fill_in(piece: &File, bytes: &[u8]) -> Option<()> {
    let size_bytes = bytes.len() as u64;
    if size_bytes > PIECE_BYTES {
        return None;
    }
    room::write_all_at(piece, bytes, 0).ok()?;
    piece.set_len(size_bytes).ok()?;
    piece.sync_all().ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _};

    use super::*;
    use crate::small_disk::SmallDisk;

    #[test]
    fn on_a_full_disk_several_small_files_find_their_room_and_it_comes_back() {
        let Some(disk) = SmallDisk::mount(8 << 10) else {
            return;
        };
        let at = |name: &str| disk.path().join(name);
        let spare = Spare::keep(disk.path());
        let other = disk.fill();
        assert!(
            disk::write_durable(&at("plain"), b"x")
                .unwrap_err()
                .is_full()
        );
        for number in 0..10 {
            let path = at(&format!("receipt-{number}"));
            let bytes = vec![number; 10_000];
            spare.write_durable(&path, &bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        let mut text = String::new();
        let handed = spare.nameless(disk.path(), b"order").unwrap();
        let _ = File::from(handed).read_to_string(&mut text).unwrap();
        assert_eq!(text, "order");
        let left = fs::read_dir(disk.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            !name.to_str().unwrap().starts_with("spare-")
        });
        assert_eq!(left.count(), 11, "no leftovers");
        // What is too long for it is told, and takes nothing with it that can be had again.
        let long = vec![7; 3 << 20];
        assert!(
            spare
                .write_durable(&at("long"), &long)
                .unwrap_err()
                .is_full()
        );
        assert!(!at("long").exists() && !at("long.new").exists());
        fs::remove_file(other).unwrap();
        spare.fill();
        disk.fill();
        spare
            .write_durable(&at("large"), &vec![1; 1 << 20])
            .unwrap();
    }

    /// What is given back is another program's at once.
    #[test]
    fn beside_a_program_that_goes_on_writing_there_is_room_for_many_files() {
        let Some(disk) = SmallDisk::mount(8 << 10) else {
            return;
        };
        let spare = Spare::keep(disk.path());
        disk.fill();
        for number in 0..PIECES / 2 {
            // For what empties nothing less than half is given up, however often it is tried.
            let full = |_: &()| true;
            let _ = spare.make_way(|| Err::<(), ()>(()), full);
            disk.fill();
            let path = disk.path().join(format!("receipt-{number}"));
            spare.write_durable(&path, &[7; 3000]).unwrap();
            disk.fill();
        }
    }

    #[test]
    fn what_a_run_before_has_kept_is_taken_up_on_a_full_disk() {
        let Some(disk) = SmallDisk::mount(4 << 10) else {
            return;
        };
        drop(Spare::keep(disk.path()));
        disk.fill();
        let spare = Spare::keep(disk.path());
        spare
            .write_durable(&disk.path().join("report"), b"{}")
            .unwrap();
    }
}
