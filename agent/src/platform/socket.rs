//! A pair of connected local sockets that keep message borders and carry descriptors.
//!
//! # Platform behaviour
//! Linux: `SOCK_SEQPACKET` Unix sockets with `SCM_RIGHTS`.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
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
