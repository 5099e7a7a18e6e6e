//! A host whose disk is full before it is enrolled: its halves wait for room, since each start would fail, and say so, anew.

use std::{
    io,
    path::Path,
    time::{Duration, Instant as Moment},
};

use crate::{
    platform::{
        disk,
        signals::{Signals, Told},
    },
    seldom::Seldom,
};

/// What the reader waits for: more than both halves' folders take when a host is enrolled.
pub const READER_BYTES: u64 = 16 << 20;
/// The courier's share, which the reader leaves.
pub const COURIER_BYTES: u64 = 8 << 20;
/// Between two looks.
pub const PAUSE: Duration = Duration::from_secs(30);

/// Waits until so much is free where `folder` lies, with a look every `pause`, and has `say` tell of it at once and once an hour.
/// Gives whether it came to that: not where this process is told to stop meanwhile.
///
/// # Errors
/// Signals can't be waited for.
pub fn comes(
    folder: &Path,
    least_bytes: u64,
    pause: Duration,
    mut say: impl FnMut(&str),
) -> io::Result<bool> {
    let mut seldom = Seldom::default();
    while is_short(folder, least_bytes) {
        if seldom.is_due(Moment::now()) {
            say(&format!(
                "this host is not enrolled: there is no room for {} MiB in {}. It is waited for; make room there",
                least_bytes >> 20,
                folder.display()
            ));
        }
        // Whoever started this half may have blocked them, so that nothing else would end it.
        if Signals::block()?.wait(pause)? == Some(Told::Stop) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What can't be told is met, and told, by whatever writes there next.
fn is_short(folder: &Path, least_bytes: u64) -> bool {
    disk::space(folder).is_ok_and(|space| space.free_bytes < least_bytes)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, thread};

    use super::*;
    use crate::{platform::signals::stop_this_thread, small_disk::SmallDisk};

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
        let say = |text: &str| said.push(text.to_owned());
        let pause = Duration::from_millis(10);
        assert!(comes(disk.path(), 4 << 20, pause, say).unwrap());
        made.join().unwrap();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(disk.path().to_str().unwrap()), "{said:?}");
    }

    #[test]
    fn told_to_stop_it_waits_no_longer() {
        let Some(disk) = SmallDisk::mount(8 << 10) else {
            return;
        };
        disk.fill();
        let waits = thread::spawn(move || {
            Signals::block().unwrap();
            stop_this_thread();
            comes(disk.path(), 4 << 20, PAUSE, |_| {}).unwrap()
        });
        assert!(!waits.join().unwrap());
    }

    #[test]
    fn a_folder_that_is_not_there_is_somebody_elses_to_tell() {
        let none = tempfile::tempdir().unwrap().path().join("none");
        assert!(comes(&none, 1, PAUSE, |text| panic!("{text}")).unwrap());
    }
}
