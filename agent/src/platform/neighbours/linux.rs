//! The netlink socket: one question, and the packets that answer it.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt,
};

/// The kernel answers at once; a wait this long means that it never will.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel's own largest packet of a dump.
const PACKET_BYTES: usize = 64 * 1024;
/// RTM_GETNEIGH, with NLM_F_REQUEST and NLM_F_DUMP.
const GET_NEIGHBOURS: u16 = 30;
const REQUEST_DUMP: u16 = 0x301;

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    asked: u32,
}

pub(super) fn open() -> io::Result<Socket> {
    let flags = SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE))?;
    Ok(Socket { fd, asked: 0 })
}

/// Asks for all neighbours, and gives each packet of the answer to `hear` until that says that it was the last.
pub(super) fn ask(
    socket: &mut Socket,
    mut hear: impl FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    socket.asked = socket.asked.wrapping_add(1);
    let mut question = Vec::with_capacity(28);
    question.extend(28_u32.to_ne_bytes());
    question.extend(GET_NEIGHBOURS.to_ne_bytes());
    question.extend(REQUEST_DUMP.to_ne_bytes());
    question.extend(socket.asked.to_ne_bytes());
    // Our port, then the neighbour asked for: of any family.
    question.extend([0; 4 + 12]);
    send(&socket.fd, &question, SendFlags::empty())?;
    let mut packet = vec![0; PACKET_BYTES];
    loop {
        let (length, _) = recv(&socket.fd, packet.as_mut_slice(), RecvFlags::empty())?;
        let bytes = packet.get(..length).unwrap_or_default();
        // What is left of an earlier answer that was given up.
        let is_ours = bytes.get(8..12) == Some(&socket.asked.to_ne_bytes());
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if is_ours && hear(bytes)? {
            return Ok(());
        }
    }
}
