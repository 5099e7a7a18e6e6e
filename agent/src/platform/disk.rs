//! How much space a file system has; reserving it; reading and writing at a position.
//!
//! # Platform behaviour
//! Unix: statvfs, fallocate, pread and pwrite. Windows: the space can't be asked for yet, and reserved room is written.

use std::{fs::File, io, path::Path};

/// The space of one file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What is free for others than root.
    pub free_bytes: u64,
}

/// The space where `path` lies.
///
/// # Errors
/// The file system can't be asked; `Unsupported` where it does not know.
pub fn space(path: &Path) -> io::Result<Space> {
    system::space(path)
}

/// What to do about a medium that [`is_gone`].
pub const GONE: &str = "The medium was pulled out, fails, or is mounted read-only: plug it in again, have it checked (fsck, chkdsk), see that it can be written to, and collect again.";

/// Whether a medium is not there any more, or fails, by what the system says of it.
///
/// # Platform behaviour
/// Unix: EIO, ENODEV, ENXIO; ENOTCONN where its driver is a program that has ended; EROFS, which a file system becomes
/// by its medium's faults. Elsewhere it is not told apart.
pub fn is_gone(error: &io::Error) -> bool {
    system::is_gone(error)
}

/// Whether there is no room: on the file system, or by its quota.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The space where the open `file` lies.
///
/// # Errors
/// The file system can't be asked.
pub fn space_of(file: &File) -> io::Result<Space> {
    system::space_of(file)
}

/// Reserves `size_bytes` for `file`, so that writing them later can't fail for want of space; where a file system can't
/// reserve, the file only gets its length.
///
/// # Errors
/// There is no room.
pub fn reserve(file: &File, size_bytes: u64) -> io::Result<()> {
    system::reserve(file, size_bytes)
}

/// Gives the empty `file` room for `size_bytes` and leaves it empty; where a file system can't reserve beyond a file's
/// end, the room is real bytes, and the file has that length.
///
/// # Errors
/// There is no room.
pub fn reserve_ahead(file: &File, size_bytes: u64) -> io::Result<()> {
    if system::reserve_beyond_end(file, size_bytes)? {
        return Ok(());
    }
    let zeros = vec![0; 64 * 1024];
    let mut done = 0;
    while done < size_bytes {
        let count = (size_bytes - done).min(zeros.len() as u64);
        write_all_at(file, &zeros[..count as usize], done)?;
        done += count;
    }
    file.sync_data()
}

/// Has the system begin to write what lies in `file` from `from_bytes` on to its medium, so that making it durable at the
/// end takes less long, and the host's memory is not filled with what waits. Only advice: where it fails, nothing is lost.
pub fn begin_writing_back(file: &File, from_bytes: u64, size_bytes: u64) {
    system::begin_writing_back(file, from_bytes, size_bytes);
}

/// Reads at `offset` of `file`, wherever its position is.
///
/// # Errors
/// The read failed.
pub fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, bytes, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, bytes, offset);
}

/// Writes all of `bytes` at `offset` of `file`.
///
/// # Errors
/// The write failed.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match std::os::windows::fs::FileExt::seek_write(file, rest, offset + done as u64)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => done += count,
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
mod system {
    use std::{fs::File, io, num::NonZeroU64, path::Path};

    use rustix::fs::{Advice, FallocateFlags, StatVfs};

    use super::Space;

    pub(super) fn space(path: &Path) -> io::Result<Space> {
        of(&rustix::fs::statvfs(path)?)
    }

    pub(super) fn is_gone(error: &io::Error) -> bool {
        use rustix::io::Errno;
        let told = Errno::from_io_error(error);
        let gone = [
            Errno::IO,
            Errno::NODEV,
            Errno::NXIO,
            Errno::NOTCONN,
            Errno::ROFS,
        ];
        told.is_some_and(|told| gone.contains(&told))
    }

    pub(super) fn space_of(file: &File) -> io::Result<Space> {
        of(&rustix::fs::fstatvfs(file)?)
    }

    pub(super) fn reserve(file: &File, size_bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(size_bytes),
            other => Ok(other?),
        }
    }

    pub(super) fn begin_writing_back(file: &File, from_bytes: u64, size_bytes: u64) {
        // The kernel drops no page that is still to be written: those it begins to write.
        let length = NonZeroU64::new(size_bytes);
        let _ = rustix::fs::fadvise(file, from_bytes, length, Advice::DontNeed);
    }

    /// `false` where the file system has no such thing.
    pub(super) fn reserve_beyond_end(file: &File, size_bytes: u64) -> io::Result<bool> {
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, size_bytes) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn of(told: &StatVfs) -> io::Result<Space> {
        if told.f_blocks == 0 {
            // Some drivers answer, and know nothing.
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Space {
            total_bytes: told.f_blocks.saturating_mul(told.f_frsize),
            free_bytes: told.f_bavail.saturating_mul(told.f_frsize),
        })
    }
}

#[cfg(not(unix))]
mod system {
    use std::{fs::File, io, path::Path};

    use super::Space;

    pub(super) fn space(_path: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_gone(_error: &io::Error) -> bool {
        false
    }

    pub(super) fn space_of(_file: &File) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn reserve(file: &File, size_bytes: u64) -> io::Result<()> {
        file.set_len(size_bytes)
    }

    pub(super) fn begin_writing_back(_file: &File, _from_bytes: u64, _size_bytes: u64) {}

    pub(super) fn reserve_beyond_end(_file: &File, _size_bytes: u64) -> io::Result<bool> {
        Ok(false)
    }
}
