//! The sockets of Linux.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt as _, PermissionsExt as _},
    },
    path::Path,
    time::Duration,
};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, recvmsg, sendmsg, socket_with, socketpair, sockopt::socket_peercred,
};

/// Two connected ends, closed on exec.
///
/// # Errors
/// The system has no more descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message whole, with at most one descriptor.
///
/// # Errors
/// The other end is gone, or the message is longer than the socket takes.
pub fn send(socket: impl AsFd, bytes: &[u8], handed: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let handed: Vec<BorrowedFd<'_>> = handed.into_iter().collect();
    if !handed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&handed)) {
        return Err(io::Error::other("no room for the descriptor"));
    }
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(_) => return Err(io::Error::other("the message was cut short")),
        }
    }
}

/// Receives one message into `buffer`: its length (0 at the end) and the descriptor that came with it.
///
/// # Errors
/// The message is longer than `buffer`, or carries more than one descriptor.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    // Room for two, so that a second descriptor is seen, refused and closed, not lost in the kernel.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut handed: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            handed.extend(descriptors);
        }
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        || handed.len() > 1
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the message is longer than the link allows",
        ));
    }
    Ok((received.bytes, handed.pop()))
}

/// Waits at most `wait` for something to receive; says whether there is.
///
/// # Errors
/// The socket can't be waited for.
pub fn wait_readable(socket: impl AsFd, wait: Duration) -> io::Result<bool> {
    let wait = Timespec::try_from(wait).ok();
    let mut one = [PollFd::new(&socket, PollFlags::IN)];
    match poll(&mut one, wait.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Wakes one thread that waits for a socket.
#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    /// Nobody is woken yet.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Ends the wait of now, or the next one.
    pub fn rouse(&self) {
        // One that is full has been roused before, and was not heard yet.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Waits for something to receive, for being woken, or until `wait` is over; says whether there is something.
    ///
    /// # Errors
    /// The socket can't be waited for.
    pub fn wait(&self, socket: impl AsFd, wait: Option<Duration>) -> io::Result<bool> {
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let mut both = [
            PollFd::new(&socket, PollFlags::IN),
            PollFd::new(&self.0, PollFlags::IN),
        ];
        match poll(&mut both, wait.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(false),
            other => other?,
        };
        let [there_is, woken] = both.map(|one| !one.revents().is_empty());
        if woken {
            // Counts from nothing again.
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }
        Ok(there_is)
    }
}

/// Sends that the other end doesn't take within `wait` fail from now on.
///
/// # Errors
/// It is no socket.
pub fn limit_sends(socket: impl AsFd, wait: Duration) -> io::Result<()> {
    Ok(set_socket_timeout(socket, Timeout::Send, Some(wait))?)
}

/// Listens at `path` for one other half; the socket is for its owner and group.
///
/// # Errors
/// The folder is missing or closed to us, or somebody else listens there.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    // What a reader that was ended has left; a socket in use is one that takes a connection.
    if fs::symlink_metadata(path).is_ok_and(|seen| seen.file_type().is_socket()) {
        if connect(path).is_ok() {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
        fs::remove_file(path)?;
    }
    let socket = new()?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Before anybody can connect.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    rustix::net::listen(&socket, 1)?;
    Ok(socket)
}

/// Waits for a connection.
///
/// # Errors
/// The system has no more descriptors.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    loop {
        match accept_with(&listener, SocketFlags::CLOEXEC) {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
            other => return Ok(other?),
        }
    }
}

/// Connects to who listens at `path`.
///
/// # Errors
/// Nobody does, or it is closed to us.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = new()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Ends the conversation for everybody who holds this end or waits at it.
pub fn close(socket: impl AsFd) {
    // One whose other end is gone is closed already.
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
}

/// The user at the other end, as the system knows it.
///
/// # Errors
/// It is no such socket.
pub fn peer_uid(socket: impl AsFd) -> io::Result<u32> {
    Ok(socket_peercred(socket)?.uid.as_raw())
}

fn new() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_meet_at_a_path_and_know_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link.sock");
        let listener = listen(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // The probe of the second listener waits first in the queue.
        drop(accept(&listener).unwrap());
        let ours = connect(&path).unwrap();
        let theirs = accept(&listener).unwrap();
        assert_eq!(
            peer_uid(&theirs).unwrap(),
            rustix::process::getuid().as_raw()
        );
        send(&ours, b"x", None).unwrap();
        assert_eq!(receive(&theirs, &mut [0; 8]).unwrap().0, 1);
        drop(listener);
        listen(&path).unwrap();
    }
}
