//! The neighbours that the kernel knows (ARP and NDP), which it prints to netlink sockets only.
//!
//! # Platform behaviour
//! Linux: one NETLINK_ROUTE socket, opened once and before anything of the host is read, so that walls which forbid new
//! sockets may go up behind it. It asks, and changes nothing. Elsewhere: `Unsupported`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, OnceLock, PoisonError},
};

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
use elsewhere::{Socket, ask, open};
#[cfg(target_os = "linux")]
use linux::{Socket, ask, open};

/// The length of a message's head, and of what says which neighbour it is about (linux/netlink.h, neighbour.h).
const HEAD_BYTES: usize = 16;
const NEIGHBOUR_BYTES: usize = 12;
/// More than any table of a sane host; what lies beyond is told.
const AT_MOST: usize = 65_536;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_NEIGHBOUR: u16 = 28;
const DESTINATION: u16 = 1;
const HARDWARE_ADDRESS: u16 = 2;

/// Bits of a neighbour's state, and their names.
const STATES: [(u16, &str); 8] = [
    (0x01, "incomplete"),
    (0x02, "reachable"),
    (0x04, "stale"),
    (0x08, "delay"),
    (0x10, "probe"),
    (0x20, "failed"),
    (0x40, "noarp"),
    (0x80, "permanent"),
];

/// One neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address, in hex with colons; empty where none is known.
    pub hardware_address: String,
    /// The number of the interface behind which it is.
    pub index: u32,
    /// How sure the kernel is of it.
    pub state: &'static str,
}

static SOCKET: OnceLock<Option<Mutex<Socket>>> = OnceLock::new();

/// Opens the socket, once in the life of the process.
pub fn prepare() {
    SOCKET.get_or_init(|| open().ok().map(Mutex::new));
}

/// All neighbours of the network namespace that this process was started in.
///
/// # Errors
/// The system has no such socket, or refuses.
pub fn neighbours() -> io::Result<Vec<Neighbour>> {
    prepare();
    let Some(Some(socket)) = SOCKET.get() else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = Vec::new();
    ask(&mut socket, |bytes| {
        let is_done = parse(bytes, &mut found)?;
        if found.len() > AT_MOST {
            return Err(io::Error::other("the table is longer than is read"));
        }
        Ok(is_done)
    })?;
    Ok(found)
}

/// Reads the messages of one packet into `found`; says whether they were the last.
fn parse(mut bytes: &[u8], found: &mut Vec<Neighbour>) -> io::Result<bool> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a message makes no sense");
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0).ok_or_else(malformed)? as usize;
        let kind = u16_at(bytes, 4).ok_or_else(malformed)?;
        let body = bytes.get(HEAD_BYTES..length).ok_or_else(malformed)?;
        match kind {
            DONE => return Ok(true),
            ERROR => {
                let code = u32_at(body, 0).ok_or_else(malformed)?.cast_signed();
                return Err(io::Error::from_raw_os_error(code.wrapping_neg()));
            }
            NEW_NEIGHBOUR => found.extend(neighbour(body)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let index = u32_at(body, 4)?;
    let state = u16_at(body, 8)?;
    let mut rest = body.get(NEIGHBOUR_BYTES..)?;
    let (mut address, mut hardware_address) = (None, String::new());
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let value = rest.get(4..usize::from(length))?;
        match kind {
            DESTINATION => address = ip(value),
            HARDWARE_ADDRESS => {
                let bytes: Vec<String> = value.iter().map(|b| format!("{b:02x}")).collect();
                hardware_address = bytes.join(":");
            }
            _ => {}
        }
        let next = usize::from(length).next_multiple_of(4);
        rest = rest.get(next..).unwrap_or_default();
    }
    let named = STATES.iter().find(|(bit, _)| state & bit != 0);
    Some(Neighbour {
        address: address?,
        hardware_address,
        index,
        state: named.map_or("none", |(_, name)| name),
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(sixteen).into())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(two))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(four))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((16 + body.len() as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    fn body() -> Vec<u8> {
        let mut body = vec![10, 0, 0, 0];
        body.extend(3_u32.to_ne_bytes());
        body.extend(4_u16.to_ne_bytes());
        body.extend([0, 1]);
        for (kind, value) in [
            (1_u16, &Ipv6Addr::LOCALHOST.octets()[..]),
            (2, &[2, 0, 0, 0, 0, 0xfe]),
        ] {
            body.extend((4 + value.len() as u16).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body
    }

    #[test]
    fn reads_a_neighbour_and_the_end() {
        let mut bytes = message(28, &body());
        bytes.extend(message(3, &[0; 4]));
        let mut found = Vec::new();
        assert!(parse(&bytes, &mut found).unwrap());
        let expected = Neighbour {
            address: Ipv6Addr::LOCALHOST.into(),
            hardware_address: "02:00:00:00:00:fe".into(),
            index: 3,
            state: "stale",
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let whole = message(28, &body());
        for length in 0..whole.len() {
            let _ = parse(&whole[..length], &mut Vec::new());
        }
        for at in 0..whole.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut bent = whole.clone();
                bent[at] = value;
                let _ = parse(&bent, &mut Vec::new());
            }
        }
        assert!(parse(&message(2, &(-1_i32).to_ne_bytes()), &mut Vec::new()).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_running_kernel_answers() {
        neighbours().unwrap();
        neighbours().unwrap();
    }
}
