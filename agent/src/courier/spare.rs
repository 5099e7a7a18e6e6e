//! Room for small files on a full disk: what empties it, and what tells of it, must be written even then.
//!
//! A file lies ready that has its blocks and nothing in it, so that no other program can take them. On a full disk it
//! becomes what is to be written, and is made again as far as there is room.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::disk::{self, DiskError};
use crate::platform::{disk as room, handle::OwnedFd, private};

/// So much lies ready: more than a receipt, a report or most orders take.
const WHOLE_BYTES: u64 = 2 << 20;
/// Less would be of no use.
const LEAST_BYTES: u64 = 32 << 10;

/// The room that is kept.
#[derive(Debug)]
pub(super) struct Spare {
    path: PathBuf,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    size_bytes: u64,
}

impl Spare {
    /// Keeps room in `folder`, or takes up what a run before has kept there; none where there is none.
    pub(super) fn keep(folder: &Path) -> Self {
        let spare = Self {
            path: folder.join("spare"),
            kept: Mutex::default(),
        };
        spare.fill();
        spare
    }

    /// Makes it whole again where it is not, as far as there is room.
    pub(super) fn fill(&self) {
        self.fill_up(&mut self.lock());
    }

    fn fill_up(&self, kept: &mut Option<Kept>) {
        let had_bytes = kept.as_ref().map_or(0, |kept| kept.size_bytes);
        let mut size_bytes = WHOLE_BYTES;
        let file = match kept.take() {
            Some(whole) if whole.size_bytes == WHOLE_BYTES => {
                *kept = Some(whole);
                return;
            }
            Some(Kept { file, .. }) => file,
            None => match private::file()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&self.path)
            {
                Ok(file) => file,
                Err(_) => return,
            },
        };
        while size_bytes > had_bytes && room::reserve_ahead(&file, size_bytes).is_err() {
            size_bytes /= 2;
        }
        let size_bytes = size_bytes.max(had_bytes);
        if size_bytes >= LEAST_BYTES {
            *kept = Some(Kept { file, size_bytes });
        } else {
            let _ = disk::remove(&self.path);
        }
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

    /// Writes by `plainly`, and where the disk is full into the room that is kept, which `become_it` makes what was meant.
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
        let Some(room) = kept.take() else {
            return Err(full);
        };
        let written = fill_in(&room, bytes).and_then(|()| become_it(&self.path).ok());
        drop(room);
        let written = match written {
            Some(written) => Ok(written),
            // Too long for it, or it can't be moved there: given up, it may still make the room.
            None => disk::remove(&self.path).and_then(|()| plainly()),
        };
        self.fill_up(&mut kept);
        written
    }

    /// Tries `act`, and where `is_full` says that there was no room for it once more, with the room that is kept given up.
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
        *kept = None;
        // Where it can't go, the second try tells why.
        let _ = disk::remove(&self.path);
        let done = act();
        self.fill_up(&mut kept);
        done
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts `bytes` into the room, and gives the rest of it back; none where they don't fit, or it fails.
fn fill_in(room: &Kept, bytes: &[u8]) -> Option<()> {
    let size_bytes = bytes.len() as u64;
    if size_bytes > room.size_bytes {
        return None;
    }
    room::write_all_at(&room.file, bytes, 0).ok()?;
    room.file.set_len(size_bytes).ok()?;
    room.file.sync_all().ok()
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
        assert!(
            fs::read_dir(disk.path()).unwrap().count() == 12,
            "no leftovers"
        );
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
