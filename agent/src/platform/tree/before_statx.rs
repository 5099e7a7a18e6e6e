//! Looks at files on Linux before 4.11, which has no statx: no time of birth, no chattr flags, all else the same.

use std::ffi::CStr;

use evidence::instant::Instant;
use rustix::{
    fd::AsFd,
    fs::{AtFlags, Stat as Told},
};

use super::linux::{Errno, kind_of};
use crate::files::stat::Stat;

/// Looks at `name`, without following a link or mounting anything.
pub(super) fn stat_entry(folder: impl AsFd, name: &CStr) -> Result<Stat, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statat(folder, name, flags).map(|told| stat(&told))
}

/// Looks at what is open as `file`.
pub(super) fn stat_open(file: impl AsFd) -> Result<Stat, Errno> {
    rustix::fs::fstat(file).map(|told| stat(&told))
}

#[allow(
    clippy::useless_conversion,
    reason = "the number of links has 32 bits on other processors"
)]
fn stat(told: &Told) -> Stat {
    let device = (
        rustix::fs::major(told.st_dev),
        rustix::fs::minor(told.st_dev),
    );
    Stat {
        kind: kind_of(told.st_mode),
        mode: told.st_mode,
        uid: told.st_uid,
        gid: told.st_gid,
        links: u64::from(told.st_nlink),
        device: (u64::from(device.0) << 32) | u64::from(device.1),
        inode: told.st_ino,
        size_bytes: u64::try_from(told.st_size).unwrap_or(0),
        allocated_bytes: u64::try_from(told.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512),
        accessed: instant(told.st_atime, told.st_atime_nsec),
        modified: instant(told.st_mtime, told.st_mtime_nsec),
        changed: instant(told.st_ctime, told.st_ctime_nsec),
        born: None,
        immutable: false,
        append_only: false,
        automount: false,
    }
}

fn instant(seconds: i64, ns: u64) -> Instant {
    Instant {
        seconds,
        ns: u32::try_from(ns).unwrap_or_default().min(999_999_999),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn it_tells_what_statx_tells_but_for_birth_and_flags() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "evidence").unwrap();
        symlink("nowhere", dir.path().join("link")).unwrap();
        let folder = File::open(dir.path()).unwrap();
        let without_birth = |stat: Stat| Stat { born: None, ..stat };
        for name in [c"file", c"link"] {
            let young = super::super::stat_entry(&folder, name).unwrap();
            assert_eq!(stat_entry(&folder, name).unwrap(), without_birth(young));
        }
        let young = super::super::stat_open(&folder).unwrap();
        assert_eq!(stat_open(&folder).unwrap(), without_birth(young));
        assert_eq!(stat_entry(&folder, c"none"), Err(Errno::NOENT));
    }
}
