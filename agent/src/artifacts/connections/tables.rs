//! The kernel's socket tables as `/proc/net` prints them, line by line.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::artifacts::Record;
use crate::artifacts::source::put;

/// A table of `/proc/net` that holds sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// TCP, UDP, raw and their kin: two addresses a line.
    Internet,
    /// Sockets of this machine.
    Unix,
    /// Sockets that see whole frames.
    Packet,
}

/// The tables, by file name.
pub(super) const TABLES: [(&str, Table); 12] = [
    ("tcp", Table::Internet),
    ("tcp6", Table::Internet),
    ("udp", Table::Internet),
    ("udp6", Table::Internet),
    ("udplite", Table::Internet),
    ("udplite6", Table::Internet),
    ("raw", Table::Internet),
    ("raw6", Table::Internet),
    ("icmp", Table::Internet),
    ("icmp6", Table::Internet),
    ("packet", Table::Packet),
    ("unix", Table::Unix),
];

/// The record of one line, and the socket's inode; `None` for what is no line of a socket.
pub(super) fn parse(name: &str, table: Table, line: &str) -> Option<(Record, u64)> {
    let mut record = Record::new();
    put(&mut record, "protocol", name);
    let inode = match table {
        Table::Internet => internet(name, line, &mut record),
        Table::Unix => unix(line, &mut record),
        Table::Packet => packet(line, &mut record),
    }?;
    put(&mut record, "inode", inode);
    Some((record, inode))
}

fn internet(name: &str, line: &str, record: &mut Record) -> Option<u64> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = end(words.get(1)?)?;
    put(record, "local_address", address);
    put(record, "local_port", port);
    let (address, port) = end(words.get(2)?)?;
    put(record, "remote_address", address);
    put(record, "remote_port", port);
    let state = u8::from_str_radix(words.get(3)?, 16).ok()?;
    put(record, "state", state_name(name, state));
    let (sending, receiving) = words.get(4)?.split_once(':')?;
    put(
        record,
        "send_queue_bytes",
        u64::from_str_radix(sending, 16).ok(),
    );
    put(
        record,
        "receive_queue_bytes",
        u64::from_str_radix(receiving, 16).ok(),
    );
    put(record, "uid", words.get(7)?.parse::<u32>().ok());
    words.get(9)?.parse().ok()
}

/// `0100007F:1F90`: address in words of host order, port in hex.
fn end(text: &str) -> Option<(String, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((self::address(address)?, port))
}

/// An address of 8 or 32 hex digits: words of 32 bits, each printed in the host's byte order.
pub(crate) fn address(hex: &str) -> Option<String> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok();
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?.to_ne_bytes()).to_string()),
        32 => {
            let mut bytes = [0_u8; 16];
            for (at, piece) in bytes.chunks_exact_mut(4).enumerate() {
                piece.copy_from_slice(&word(at * 8)?.to_ne_bytes());
            }
            Some(Ipv6Addr::from(bytes).to_string())
        }
        _ => None,
    }
}

fn state_name(protocol: &str, state: u8) -> String {
    // Datagram sockets use two of TCP's numbers for what is no connection.
    let stream = protocol.starts_with("tcp");
    let name = match state {
        1 => "established",
        2 => "syn_sent",
        3 => "syn_received",
        4 => "fin_wait_1",
        5 => "fin_wait_2",
        6 => "time_wait",
        7 if stream => "close",
        7 => "unconnected",
        8 => "close_wait",
        9 => "last_ack",
        10 => "listen",
        11 => "closing",
        12 => "new_syn_received",
        other => return other.to_string(),
    };
    name.to_owned()
}

fn unix(line: &str, record: &mut Record) -> Option<u64> {
    // Num RefCount Protocol Flags Type St Inode Path, and the path may hold spaces.
    let mut rest = line;
    let mut words = Vec::new();
    while words.len() < 7 {
        let trimmed = rest.trim_start_matches(' ');
        let (word, after) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
        words.push(word);
        rest = after;
    }
    let inode = words.get(6)?.parse().ok()?;
    let kind = match u16::from_str_radix(words.get(4)?, 16).ok()? {
        1 => "stream",
        2 => "datagram",
        5 => "seqpacket",
        _ => "other",
    };
    const LISTENS: u32 = 1 << 16;
    let listens = u32::from_str_radix(words.get(3)?, 16).ok()? & LISTENS != 0;
    let state = match (listens, *words.get(5)?) {
        (true, _) => "listen",
        (_, "03") => "established",
        (_, "02") => "connecting",
        (_, "04") => "disconnecting",
        _ => "unconnected",
    };
    put(record, "type", kind);
    put(record, "state", state);
    put(record, "path", (!rest.is_empty()).then_some(rest));
    Some(inode)
}

fn packet(line: &str, record: &mut Record) -> Option<u64> {
    // sk RefCnt Type Proto Iface R Rmem User Inode
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let kind = match words.get(2)?.parse::<u32>().ok()? {
        2 => "datagram",
        3 => "raw",
        _ => "other",
    };
    put(record, "type", kind);
    put(
        record,
        "ethertype",
        u32::from_str_radix(words.get(3)?, 16).ok()?,
    );
    put(record, "interface_index", words.get(4)?.parse::<u32>().ok());
    put(record, "uid", words.get(7)?.parse::<u32>().ok());
    words.get(8)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_and_its_state() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000001 00:00000000 00000000  1000        0 4242 1 f 100";
        let (record, inode) = parse("tcp", Table::Internet, line).unwrap();
        assert_eq!(inode, 4242);
        if cfg_little() {
            assert_eq!(record["local_address"], "127.0.0.1");
        }
        assert_eq!(record["local_port"], 8080);
        assert_eq!(record["state"], "listen");
        assert_eq!(record["uid"], 1000);
        assert_eq!(record["receive_queue_bytes"], 1);
    }

    fn cfg_little() -> bool {
        1_u16.to_ne_bytes()[0] == 1
    }

    #[test]
    fn a_unix_path_keeps_its_spaces() {
        let line = "ffff: 00000002 00000000 00010000 0001 01 123 /run/a b";
        let (record, inode) = parse("unix", Table::Unix, line).unwrap();
        assert_eq!((inode, &record["path"]), (123, &"/run/a b".into()));
        assert_eq!(record["state"], "listen");
    }

    #[test]
    fn headers_and_garbage_are_no_sockets() {
        for line in [
            "",
            "  sl  local_address rem_address",
            "1: zz:1 2 3",
            "\u{fffd}: é:é é",
        ] {
            for (name, table) in TABLES {
                assert!(parse(name, table, line).is_none());
            }
        }
        assert_eq!(address("\u{e9}\u{e9}\u{e9}\u{e9}"), None);
    }
}
