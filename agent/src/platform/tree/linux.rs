//! The calls on Linux.

use std::{
    ffi::{CStr, OsString},
    fs::File,
    mem::MaybeUninit,
    os::unix::ffi::OsStringExt as _,
    path::Path,
};

use evidence::instant::Instant;
pub use rustix::io::Errno;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{
        AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom, Statx, StatxAttributes, StatxFlags,
        StatxTimestamp,
    },
};

use super::{Listed, Open, before_statx};
use crate::files::stat::{Kind, Stat};

/// One buffer of names: some hundred usual ones, and at least a few of the longest.
const NAMES_BYTES: usize = 8 * 1024;

/// Opens the folder at `path` of the running system, links followed: where a host's tree begins.
pub fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = quietly(flags, |flags| rustix::fs::open(path, flags, Mode::empty()));
    opened.map(|(fd, _)| fd)
}

/// Opens for reading, so that the access time stays where this user may ask for that; says whether it does.
pub(in crate::platform) fn quietly(
    flags: OFlags,
    open: impl Fn(OFlags) -> Result<OwnedFd, Errno>,
) -> Result<(OwnedFd, bool), Errno> {
    match open(flags | OFlags::NOATIME) {
        // O_NOATIME is for the owner and CAP_FOWNER only.
        Err(Errno::PERM) => open(flags).map(|fd| (fd, false)),
        other => other.map(|fd| (fd, true)),
    }
}

/// Opens `name` for reading without following a link; says whether reading it leaves its access time alone.
pub fn open_at(folder: impl AsFd, name: &CStr, what: Open) -> Result<(OwnedFd, bool), Errno> {
    let more = match what {
        Open::Folder => OFlags::DIRECTORY,
        Open::File => OFlags::NONBLOCK | OFlags::NOCTTY,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    quietly(flags, |flags| {
        rustix::fs::openat(&folder, name, flags, Mode::empty())
    })
}

/// Where the link `name` points, in its exact bytes.
pub fn link_target(folder: impl AsFd, name: &CStr) -> Result<OsString, Errno> {
    let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()))
}

/// The next names in `folder`, none when all have been given. The kernel keeps the place between calls.
pub fn next_names(folder: impl AsFd) -> Result<Vec<Listed>, Errno> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); NAMES_BYTES];
    let mut names = Vec::new();
    let mut entries = RawDir::new(folder, &mut buffer);
    // A buffer may hold nothing but `.` and `..`: ask again then.
    while names.is_empty() || !entries.is_buffer_empty() {
        match entries.next() {
            None => break,
            Some(entry) => {
                let entry = entry?;
                let name = entry.file_name();
                if name != c"." && name != c".." {
                    let is_file = entry.file_type() == FileType::RegularFile;
                    names.push(Listed {
                        name: name.to_owned(),
                        file_inode: is_file.then_some(entry.ino()),
                    });
                }
            }
        }
    }
    Ok(names)
}

/// Looks at `name`, without following a link, mounting anything, or asking a distant server.
pub fn stat_entry(folder: impl AsFd, name: &CStr) -> Result<Stat, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(&folder, name, flags, wanted()) {
        Err(Errno::NOSYS) => before_statx::stat_entry(folder, name),
        told => told.map(|s| Stat::from(&s)),
    }
}

/// Looks at what is open as `file`.
pub fn stat_open(file: impl AsFd) -> Result<Stat, Errno> {
    match rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, wanted()) {
        Err(Errno::NOSYS) => before_statx::stat_open(file),
        told => told.map(|s| Stat::from(&s)),
    }
}

/// The magic number of the file system that `fd` lies on.
pub fn file_system(fd: impl AsFd) -> Result<u64, Errno> {
    Ok((rustix::fs::fstatfs(fd)?.f_type as u64) & 0xffff_ffff)
}

/// The magic number of the file system that the folder `name` lies on, found without opening or mounting it.
pub fn file_system_of(folder: impl AsFd, name: &CStr) -> Result<u64, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::DIRECTORY;
    file_system(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}

/// The names of the extended attributes of `file`, each ended by a zero; empty where there are none.
pub fn attribute_names(file: impl AsFd, at_most_bytes: usize) -> Result<Vec<u8>, Errno> {
    // Asked for the length first: nearly every file has none, and that costs no buffer. An empty buffer
    // would not do: rustix answers 0 for it, whatever the system says.
    let length = match rustix::fs::flistxattr_query(&file) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(0) => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = vec![0_u8; length.min(at_most_bytes)];
    let length = rustix::fs::flistxattr(&file, &mut names[..])?;
    names.truncate(length);
    Ok(names)
}

/// The value of the extended attribute `name`; empty where it was removed after it was listed.
pub fn attribute(file: impl AsFd, name: &[u8], at_most_bytes: usize) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0_u8; at_most_bytes];
    match rustix::fs::fgetxattr(file, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(value)
        }
        Err(Errno::NODATA) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Where the next data of `file` starts and ends, from `at` on; none where only holes are left.
pub fn next_data(file: &File, at: u64) -> Result<Option<(u64, u64)>, Errno> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok(Some((start, end)))
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

fn instant(time: &StatxTimestamp) -> Instant {
    Instant {
        seconds: time.tv_sec,
        ns: time.tv_nsec.min(999_999_999),
    }
}

impl From<&Statx> for Stat {
    fn from(s: &Statx) -> Self {
        let has_birth = s.stx_mask & StatxFlags::BTIME.bits() != 0;
        let has = |attribute| s.stx_attributes.contains(attribute);
        Self {
            kind: kind_of(u32::from(s.stx_mode)),
            mode: u32::from(s.stx_mode),
            uid: s.stx_uid,
            gid: s.stx_gid,
            links: u64::from(s.stx_nlink),
            device: (u64::from(s.stx_dev_major) << 32) | u64::from(s.stx_dev_minor),
            inode: s.stx_ino,
            size_bytes: s.stx_size,
            allocated_bytes: s.stx_blocks.saturating_mul(512),
            accessed: instant(&s.stx_atime),
            modified: instant(&s.stx_mtime),
            changed: instant(&s.stx_ctime),
            born: has_birth.then(|| instant(&s.stx_btime)),
            immutable: has(StatxAttributes::IMMUTABLE),
            append_only: has(StatxAttributes::APPEND),
            automount: has(StatxAttributes::AUTOMOUNT),
        }
    }
}

pub(super) fn kind_of(mode: u32) -> Kind {
    match mode & 0o170_000 {
        0o100_000 => Kind::File,
        0o040_000 => Kind::Folder,
        0o120_000 => Kind::Link,
        0o010_000 => Kind::Fifo,
        0o140_000 => Kind::Socket,
        0o020_000 => Kind::CharacterDevice,
        0o060_000 => Kind::BlockDevice,
        _ => Kind::Unknown,
    }
}
