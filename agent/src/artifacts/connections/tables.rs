//! The kernel's socket tables as `/proc/net` prints them, line by line.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::artifacts::Record;
use crate::artifacts::source::{put, put_bytes};

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

/// What stands in a table.
#[derive(Debug, PartialEq)]
pub(super) enum Row<'a> {
    /// A socket, and its inode.
    Socket(Record, u64),
    /// No line of a socket.
    Broken(&'a [u8]),
    /// Two rows claim this inode: one is forged.
    Twice(u64),
}

/// Tells the rows of the table `name`, without its heading, one by one: a table may be long.
pub(super) fn rows<'a, E>(
    name: &str,
    table: Table,
    bytes: &'a [u8],
    mut tell: impl FnMut(Row<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut before, mut seen) = (None, BTreeSet::new());
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    for line in bytes.split(|b| *b == b'\n').skip(1) {
        let row = match (parse(name, table, line), &mut before) {
            (Some((record, inode)), _) => Row::Socket(record, inode),
            // The kernel prints nothing but rows, so this belongs to the name before it.
            (None, Some(Row::Socket(record, _))) if has_name(record) => {
                join(record, line);
                continue;
            }
            (None, _) => Row::Broken(line),
        };
        if let Row::Socket(_, inode) = row
            && table == Table::Unix
            && inode != 0
            && !seen.insert(inode)
        {
            tell(Row::Twice(inode))?;
        }
        before.replace(row).map_or(Ok(()), &mut tell)?;
    }
    before.map_or(Ok(()), tell)
}

fn has_name(record: &Record) -> bool {
    record.get("path").is_some_and(serde_json::Value::is_string)
}

/// Adds what follows the line break to the name.
fn join(record: &mut Record, line: &[u8]) {
    let exact = record.remove("path_b64");
    let exact = exact.as_ref().and_then(serde_json::Value::as_str);
    let exact = exact.and_then(|e| data_encoding::BASE64.decode(e.as_bytes()).ok());
    let text = record.get("path").and_then(serde_json::Value::as_str);
    let mut name = exact.unwrap_or_else(|| text.unwrap_or_default().as_bytes().to_owned());
    name.push(b'\n');
    name.extend_from_slice(line);
    put_bytes(record, "path", &name);
    put(record, "path_broken", true);
}

/// The record of one line, and the socket's inode; `None` for what is no line of a socket.
fn parse(name: &str, table: Table, line: &[u8]) -> Option<(Record, u64)> {
    let mut record = Record::new();
    put(&mut record, "protocol", name);
    let text = String::from_utf8_lossy(line);
    let inode = match table {
        Table::Internet => internet(name, &text, &mut record),
        Table::Unix => unix(line, &mut record),
        Table::Packet => packet(&text, &mut record),
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

fn unix(line: &[u8], record: &mut Record) -> Option<u64> {
    // Num RefCount Protocol Flags Type St Inode Path, and the path may hold anything.
    let mut rest = line;
    let mut words = Vec::new();
    while words.len() < 7 {
        let blanks = rest.iter().take_while(|b| **b == b' ').count();
        let trimmed = rest.get(blanks..)?;
        let end = trimmed.iter().position(|b| *b == b' ');
        let (word, after) = trimmed.split_at(end.unwrap_or(trimmed.len()));
        words.push(std::str::from_utf8(word).ok()?);
        rest = after;
    }
    let is_hex =
        |w: &str, digits: usize| w.len() == digits && w.bytes().all(|b| b.is_ascii_hexdigit());
    // As wide as the kernel prints them: a name's second line looks like a row only on purpose.
    let widths = words.get(1..6)?.iter().zip([8, 8, 8, 4, 2]);
    let number = words.first()?.strip_suffix(':')?;
    if !number.bytes().all(|b| b.is_ascii_hexdigit()) || !widths.clone().all(|(w, n)| is_hex(w, n))
    {
        return None;
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
    match rest.strip_prefix(b" ") {
        Some(path) if !path.is_empty() => put_bytes(record, "path", path),
        _ => put(record, "path", serde_json::Value::Null),
    }
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
    use serde_json::json;

    use super::*;

    const INTERNET: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";

    fn all<'a>(name: &str, table: Table, bytes: &'a [u8]) -> Vec<Row<'a>> {
        let mut found = Vec::new();
        let told = rows(name, table, bytes, |row| {
            found.push(row);
            Ok::<_, ()>(())
        });
        assert_eq!(told, Ok(()));
        found
    }

    /// The only socket of `table`, which is one of TABLES and is printed as `lines` below its heading.
    fn one(name: &str, line: &str) -> Record {
        let (_, table) = TABLES.into_iter().find(|(n, _)| *n == name).unwrap();
        let text = format!("{INTERNET}\n{line}\n");
        let mut rows = all(name, table, text.as_bytes());
        assert_eq!(rows.len(), 1, "{rows:?}");
        let Some(Row::Socket(record, inode)) = rows.pop() else {
            panic!("no socket: {line}");
        };
        assert_eq!(record["inode"], inode);
        assert_eq!(record["protocol"], name);
        record
    }

    /// Has all of `wanted`.
    fn has(record: &Record, wanted: serde_json::Value) {
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(&record[key], value, "{key}");
        }
    }

    #[test]
    fn a_listener_and_its_state() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000001 00:00000000 00000000  1000        0 4242 1 f 100";
        let record = one("tcp", line);
        assert_eq!(record["inode"], 4242);
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
    fn datagrams_and_connections_over_ipv6() {
        for name in ["udp6", "udplite6"] {
            let line = "  735: 000080FE00000000FF571202FEA3E7B1:0222 00000000000000000000000000000000:0000 07 00000000:00000A00 00:00000000 00000000   998        0 22020 2 0000000000000000 3";
            let record = one(name, line);
            has(
                &record,
                json!({"inode": 22020, "state": "unconnected", "local_port": 546, "remote_port": 0,
                    "uid": 998, "send_queue_bytes": 0, "receive_queue_bytes": 2560,
                    "remote_address": "::"}),
            );
            if cfg_little() {
                assert_eq!(record["local_address"], "fe80::212:57ff:b1e7:a3fe");
            }
        }
        let line = "   1: 0000000000000000FFFF00000100007F:0016 0000000000000000FFFF00000200007F:D431 01 00000010:00000000 02:000AF0D1 00000000     0        0 31001 4 0000000000000000 20 4 30 10 -1";
        let record = one("tcp6", line);
        has(
            &record,
            json!({"inode": 31001, "state": "established", "local_port": 22, "remote_port": 54321,
                "uid": 0, "send_queue_bytes": 16}),
        );
        if cfg_little() {
            assert_eq!(record["remote_address"], "::ffff:127.0.0.2");
        }
    }

    #[test]
    fn raw_and_ping_sockets() {
        let line = "    1: 00000000:0001 00000000:0000 07 00000000:00000300 00:00000000 00000000     0        0 31337 2 0000000000000000 0";
        has(
            &one("raw", line),
            json!({"inode": 31337, "local_port": 1, "local_address": "0.0.0.0", "uid": 0,
                "remote_address": "0.0.0.0", "state": "unconnected", "receive_queue_bytes": 768}),
        );
        let line = "   58: 00000000000000000000000000000000:003A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 19337 2 0000000000000000 0";
        has(
            &one("raw6", line),
            json!({"inode": 19337, "local_port": 58, "local_address": "::", "state": "unconnected"}),
        );
        let line = "    5: 00000000:0005 0101A8C0:0000 01 00000000:00000000 00:00000000 00000000  1000        0 40005 2 0000000000000000 0";
        has(
            &one("icmp", line),
            json!({"inode": 40005, "local_port": 5, "uid": 1000, "state": "established"}),
        );
        let line = "    7: 00000000000000000000000000000000:0007 00000000000000000000000001000000:0000 01 00000000:00000000 00:00000000 00000000  1001        0 40006 2 0000000000000000 0";
        let record = one("icmp6", line);
        has(
            &record,
            json!({"inode": 40006, "local_port": 7, "uid": 1001}),
        );
        if cfg_little() {
            assert_eq!(record["remote_address"], "::1");
        }
    }

    #[test]
    fn sockets_that_see_whole_frames() {
        // sk               RefCnt Type Proto  Iface R Rmem   User   Inode
        for (line, kind, ethertype, interface, uid, inode) in [
            (
                "0000000000000000 3      3    0003   2     1 0      0      25698 ",
                "raw",
                3,
                2,
                0,
                25698,
            ),
            (
                "ffff8881044f9000 2      2    88cc   0     1 768    101    25700 ",
                "datagram",
                0x88cc,
                0,
                101,
                25700,
            ),
            (
                "0000000000000000 3      10   0800   4     0 0      7      25701 ",
                "other",
                0x800,
                4,
                7,
                25701,
            ),
        ] {
            has(
                &one("packet", line),
                json!({"type": kind, "ethertype": ethertype, "interface_index": interface,
                    "uid": uid, "inode": inode}),
            );
        }
    }

    #[test]
    fn a_unix_path_keeps_its_spaces() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01   123  /run/a b";
        let record = one("unix", line);
        has(
            &record,
            json!({"inode": 123, "path": " /run/a b", "state": "listen", "type": "stream"}),
        );
        let line = "0000000000000000: 00000003 00000000 00000000 0005 03 31000";
        let record = one("unix", line);
        has(
            &record,
            json!({"path": null, "state": "established", "type": "seqpacket"}),
        );
    }

    #[test]
    fn a_name_with_line_breaks_is_put_together_and_marked() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            ffff: 00000002 00000000 00010000 0001 01 11 /a\nb\xff\n\nc\n\
            ffff: 00000002 00000000 00000000 0002 01 12 /d\n";
        let rows = all("unix", Table::Unix, table);
        let [Row::Socket(broken, 11), Row::Socket(whole, 12)] = &rows[..] else {
            panic!("{rows:?}");
        };
        assert_eq!(broken["path"], "/a\nb\u{fffd}\n\nc");
        let exact = data_encoding::BASE64.encode(b"/a\nb\xff\n\nc");
        assert_eq!(
            (&broken["path_b64"], &broken["path_broken"]),
            (&exact.into(), &true.into())
        );
        assert!(!whole.contains_key("path_broken") && !whole.contains_key("path_b64"));
    }

    #[test]
    fn a_row_that_cannot_be_of_the_kernel_is_said_and_a_borrowed_inode_too() {
        let heading = "Num RefCount\n";
        let nameless = "ffff: 00000002 00000000 00010000 0001 01 11\nrubbish\n";
        let found = format!("{heading}{nameless}");
        let found = all("unix", Table::Unix, found.as_bytes());
        assert!(matches!(found[1], Row::Broken(b"rubbish")), "{found:?}");
        let borrowed = "ffff: 00000002 00000000 00010000 0001 01 11 /true\n\
            ffff: 00000002 00000000 00010000 0001 01 13 /x\n\
            ffff: 00000002 00000000 00010000 0001 01 11 /false\n\
            ffff: 00000002 00000000 00000000 0001 01 0 /n\nffff: 00000002 00000000 00000000 0001 01 0 /n\n";
        let found = format!("{heading}{borrowed}");
        let found = all("unix", Table::Unix, found.as_bytes());
        assert_eq!(found.len(), 6);
        assert!(found.contains(&Row::Twice(11)));
    }

    #[test]
    fn headers_and_garbage_are_no_sockets() {
        for line in [
            "",
            "  sl  local_address rem_address",
            "1: zz:1 2 3",
            "\u{fffd}: é:é é",
            "2: 00000000 00000000 0001 1 01 1 /forged",
        ] {
            for (name, table) in TABLES {
                assert!(parse(name, table, line.as_bytes()).is_none());
            }
        }
        assert_eq!(address("\u{e9}\u{e9}\u{e9}\u{e9}"), None);
    }
}
