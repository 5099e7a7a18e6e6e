//! A view of the file systems of one's own, in which reading a file does not touch its access time.
//!
//! # Platform behaviour
//! Linux from 5.12 on, as root: a mount namespace with every mount `noatime` (`mount_setattr(2)`); what is mounted later
//! on the host is seen too. Elsewhere: `Unsupported`.

use std::io;

/// Moves this process there; it must have one thread. What it starts later is there too.
///
/// # Errors
/// The system doesn't know it, or this user may not. Nothing has changed then but, perhaps, that the namespace is one's
/// own.
#[cfg(target_os = "linux")]
pub fn leave_access_times_alone() -> io::Result<()> {
    use rustix::{
        mount::{MountPropagationFlags, mount_change},
        thread::{UnshareFlags, unshare_unsafe},
    };

    // SAFETY: with one thread nothing else loses what it shares (callers are before any thread).
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    // What the host mounts comes here, and nothing of ours goes there.
    mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NOATIME,
        attr_clr: libc::MOUNT_ATTR__ATIME,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path ends with a zero byte, and the attributes are as long as is said; both outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Not here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn leave_access_times_alone() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
