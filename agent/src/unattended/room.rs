//! A host whose disk is full before it is enrolled: its halves wait for room, since each start would fail, and say so, anew.

use std::{
    fs::{self, File},
    io,
    path::Path,
    thread,
    time::{Duration, Instant as Moment},
};

use crate::{
    platform::{disk, private},
    seldom::Seldom,
};

/// What an enrolment leaves behind in the folder of a half, with room to spare.
const ROOM_BYTES: u64 = 4 << 20;
/// Between two looks.
pub const PAUSE: Duration = Duration::from_secs(30);

/// Waits until `folder` has room, with a look every `pause`, and has `say` tell of it at once and once an hour.
pub fn wait(folder: &Path, pause: Duration, mut say: impl FnMut(&str)) {
    let mut seldom = Seldom::default();
    while !has_room(folder) {
        if seldom.is_due(Moment::now()) {
            say(&format!(
                "this host is not enrolled: there is no room for {} MiB in {}. It is waited for; make room there",
                ROOM_BYTES >> 20,
                folder.display()
            ));
        }
        thread::sleep(pause);
    }
}

/// Any other trouble is told by whatever meets it next.
fn has_room(folder: &Path) -> bool {
    let path = folder.join("room");
    let taken = take(&path);
    let _ = fs::remove_file(&path);
    !taken.is_err_and(|error| disk::is_full(&error))
}

fn take(path: &Path) -> io::Result<()> {
    let mut options = private::file();
    let file: File = options.write(true).create(true).truncate(true).open(path)?;
    disk::reserve_ahead(&file, ROOM_BYTES)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::small_disk::SmallDisk;

    #[test]
    fn on_a_full_disk_it_is_waited_for_and_told_once() {
        let Some(disk) = SmallDisk::mount(8 << 10) else {
            return;
        };
        let other = disk.fill();
        let made = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            fs::remove_file(other).unwrap();
        });
        let mut said = Vec::new();
        wait(disk.path(), Duration::from_millis(10), |text| {
            said.push(text.to_owned());
        });
        made.join().unwrap();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(disk.path().to_str().unwrap()), "{said:?}");
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_somebody_elses_to_tell() {
        let none = tempfile::tempdir().unwrap().path().join("none");
        wait(&none, PAUSE, |text| panic!("{text}"));
    }
}
