//! What the host's disks do for others than this process.
//!
//! # Platform behaviour
//! Linux: by the kernel's counters (Documentation/admin-guide/iostats.rst, and `/proc/PID/io` of proc(5)). Elsewhere: not known.

use std::time::Duration;
#[cfg(target_os = "linux")]
use std::{collections::BTreeSet, fs, path::Path};

/// The unit of the kernel's counters, whatever a disk's own sectors are.
#[cfg(target_os = "linux")]
const SECTOR_BYTES: i64 = 512;

/// The disks of the host: what is plugged in, not what is made of them (volumes, arrays, loops).
#[derive(Debug)]
pub struct Disks {
    #[cfg(target_os = "linux")]
    names: BTreeSet<String>,
}

/// What the disks have done, since some moment that is the same for all looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Bytes read for others. It lags behind while reads of our own are under way, and never runs ahead.
    pub read_for_others: i64,
    /// Bytes written for others; the same is true of writes of our own that wait in memory. What a file system adds to
    /// them is among it.
    pub written_for_others: i64,
    /// Bytes that this process has written.
    pub written: i64,
    /// For how long each was busy.
    pub busy: Vec<Duration>,
}

impl Disks {
    /// Those that are there now; none where the system doesn't tell.
    pub fn find() -> Option<Self> {
        #[cfg(target_os = "linux")]
        {
            let names = names_below(Path::new("/sys/block"));
            let disks = Self { names };
            disks.look().filter(|look| !look.busy.is_empty())?;
            Some(disks)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Looks at the counters; none where the system doesn't tell any more.
    pub fn look(&self) -> Option<Look> {
        #[cfg(target_os = "linux")]
        {
            let all = fs::read_to_string("/proc/diskstats").ok()?;
            let own = fs::read_to_string("/proc/self/io").ok()?;
            look(&self.names, &all, &own)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }
}

#[cfg(target_os = "linux")]
fn names_below(blocks: &Path) -> BTreeSet<String> {
    let listed = fs::read_dir(blocks).into_iter().flatten().flatten();
    listed
        // A disk is a device of a bus; a volume is none.
        .filter(|entry| entry.path().join("device").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// By the texts of `/proc/diskstats` and `/proc/self/io`.
#[cfg(target_os = "linux")]
fn look(names: &BTreeSet<String>, all: &str, own: &str) -> Option<Look> {
    // What was dropped before it was written never reaches a disk.
    let written = own_bytes(own, "write_bytes")? - own_bytes(own, "cancelled_write_bytes")?;
    let mut look = Look {
        read_for_others: -own_bytes(own, "read_bytes")?,
        written_for_others: -written,
        written,
        busy: Vec::new(),
    };
    for line in all.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
        if !fields.get(2).is_some_and(|name| names.contains(*name)) {
            continue;
        }
        look.read_for_others += number(5)? * SECTOR_BYTES;
        look.written_for_others += number(9)? * SECTOR_BYTES;
        let busy_ms = u64::try_from(number(12)?).ok()?;
        look.busy.push(Duration::from_millis(busy_ms));
    }
    Some(look)
}

#[cfg(target_os = "linux")]
fn own_bytes(own: &str, name: &str) -> Option<i64> {
    let values = own.lines().filter_map(|line| line.split_once(": "));
    let value = values.into_iter().find(|(of, _)| *of == name)?.1;
    value.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const ALL: &str = "\
   7       0 loop0 9 0 900 1 9 0 900 1 0 1 1 0 0 0 0 0 0
 254       0 vda 10 0 200 58 10 0 100 10 0 2803 700 3 0 1 5 11 2
 254       1 vda1 10 0 200 58 10 0 100 10 0 2803 700
 253       0 dm-0 5 0 100 2 5 0 50 1 0 40 3
";
    const OWN: &str = "rchar: 9\nwchar: 9\nsyscr: 9\nsyscw: 9\nread_bytes: 51200\nwrite_bytes: 4096\ncancelled_write_bytes: 1024\n";

    #[test]
    fn what_is_done_for_others_is_what_is_not_done_for_us() {
        let names = BTreeSet::from(["vda".to_owned()]);
        let expected = Look {
            read_for_others: 200 * 512 - 51_200,
            written_for_others: 100 * 512 - 3072,
            written: 3072,
            busy: vec![Duration::from_millis(2803)],
        };
        assert_eq!(look(&names, ALL, OWN), Some(expected));
        assert_eq!(look(&names, ALL, "read_bytes: no\n"), None);
        assert_eq!(look(&names, "254 0 vda 10 0", OWN), None);
    }

    #[test]
    fn a_disk_is_a_device_and_a_volume_is_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sda/device")).unwrap();
        fs::create_dir_all(dir.path().join("dm-0/dm")).unwrap();
        let names = names_below(dir.path());
        assert_eq!(names, BTreeSet::from(["sda".to_owned()]));
        assert!(names_below(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn this_host_tells_or_has_no_disk() {
        let has_disk = !names_below(Path::new("/sys/block")).is_empty();
        assert_eq!(Disks::find().is_some(), has_disk);
    }
}
