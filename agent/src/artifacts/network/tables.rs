//! Lines of `/proc/net/{dev,route,ipv6_route,if_inet6,arp,fib_trie}` as records.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use crate::artifacts::Record;
use crate::artifacts::connections::address;
use crate::artifacts::source::put;

/// Name, lines of heading, and how a line is read.
type Table = (&'static str, usize, fn(&str) -> Option<Record>);

/// The tables with one record a line.
pub(super) const TABLES: [Table; 5] = [
    ("dev", 2, counters),
    ("route", 1, route),
    ("ipv6_route", 0, route_v6),
    ("if_inet6", 0, address_v6),
    ("arp", 1, neighbour),
];

fn of_kind(kind: &str) -> Record {
    let mut record = Record::new();
    put(&mut record, "kind", kind);
    record
}

fn counters(line: &str) -> Option<Record> {
    let (name, numbers) = line.rsplit_once(':')?;
    let numbers: Vec<u64> = numbers
        .split_ascii_whitespace()
        .map_while(|n| n.parse().ok())
        .collect();
    let mut record = of_kind("interface");
    put(&mut record, "interface", name.trim());
    put(&mut record, "received_bytes", *numbers.first()?);
    put(&mut record, "received_packets", *numbers.get(1)?);
    put(&mut record, "sent_bytes", *numbers.get(8)?);
    put(&mut record, "sent_packets", *numbers.get(9)?);
    Some(record)
}

fn route(line: &str) -> Option<Record> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut record = of_kind("route");
    put(&mut record, "interface", *words.first()?);
    put(&mut record, "destination", address(words.get(1)?)?);
    let gateway = address(words.get(2)?)?;
    put(
        &mut record,
        "gateway",
        (gateway != "0.0.0.0").then_some(gateway),
    );
    put(
        &mut record,
        "flags",
        u32::from_str_radix(words.get(3)?, 16).ok()?,
    );
    put(&mut record, "metric", words.get(6)?.parse::<u32>().ok()?);
    let mask = u32::from_str_radix(words.get(7)?, 16).ok()?;
    put(&mut record, "prefix_length", mask.count_ones());
    Some(record)
}

/// 32 hex digits in the order of the network, unlike the socket tables.
fn plain_v6(hex: &str) -> Option<Ipv6Addr> {
    let sized = hex.len() == 32;
    sized.then(|| u128::from_str_radix(hex, 16).ok().map(Ipv6Addr::from))?
}

fn route_v6(line: &str) -> Option<Record> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut record = of_kind("route");
    put(
        &mut record,
        "destination",
        plain_v6(words.first()?)?.to_string(),
    );
    put(
        &mut record,
        "prefix_length",
        u8::from_str_radix(words.get(1)?, 16).ok()?,
    );
    let gateway = plain_v6(words.get(4)?)?;
    put(
        &mut record,
        "gateway",
        (!gateway.is_unspecified()).then(|| gateway.to_string()),
    );
    put(
        &mut record,
        "metric",
        u32::from_str_radix(words.get(5)?, 16).ok()?,
    );
    put(
        &mut record,
        "flags",
        u32::from_str_radix(words.get(8)?, 16).ok()?,
    );
    put(&mut record, "interface", *words.get(9)?);
    Some(record)
}

fn address_v6(line: &str) -> Option<Record> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut record = of_kind("address");
    put(
        &mut record,
        "address",
        plain_v6(words.first()?)?.to_string(),
    );
    put(
        &mut record,
        "index",
        u32::from_str_radix(words.get(1)?, 16).ok()?,
    );
    put(
        &mut record,
        "prefix_length",
        u8::from_str_radix(words.get(2)?, 16).ok()?,
    );
    put(&mut record, "scope", *words.get(3)?);
    put(&mut record, "interface", *words.get(5)?);
    Some(record)
}

fn neighbour(line: &str) -> Option<Record> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut record = of_kind("neighbour");
    put(&mut record, "address", *words.first()?);
    let flags = words.get(2)?.strip_prefix("0x")?;
    put(&mut record, "flags", u32::from_str_radix(flags, 16).ok()?);
    put(&mut record, "hardware_address", *words.get(3)?);
    put(&mut record, "interface", *words.get(5)?);
    Some(record)
}

/// The host's own IPv4 addresses: leaves of the routing tree that are `/32 host LOCAL`.
pub(super) fn local_addresses(trie: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut leaf = "";
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address;
        } else if line == "/32 host LOCAL" && !leaf.is_empty() {
            found.insert(leaf);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_kernel_prints_them() {
        let dev = counters("  eth0: 10 2 0 0 0 0 0 0 30 4 0 0 0 0 0 0").unwrap();
        assert_eq!(
            (&dev["interface"], &dev["sent_bytes"]),
            (&"eth0".into(), &30.into())
        );
        let route = route("eth0 00000000 010200C0 0003 0 0 7 00FFFFFF 0 0 0").unwrap();
        assert_eq!(
            (&route["prefix_length"], &route["metric"]),
            (&24.into(), &7.into())
        );
        let six = address_v6("00000000000000000000000000000001 01 80 10 80       lo").unwrap();
        assert_eq!(
            (&six["address"], &six["prefix_length"]),
            (&"::1".into(), &128.into())
        );
        let arp = neighbour("192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0").unwrap();
        assert_eq!(arp["hardware_address"], "02:fc:00:00:00:05");
        let trie = "|-- 127.0.0.0\n /8 host LOCAL\n |-- 127.0.0.1\n /32 host LOCAL\n";
        assert_eq!(
            local_addresses(trie).into_iter().collect::<Vec<_>>(),
            ["127.0.0.1"]
        );
    }

    #[test]
    fn garbage_is_no_line() {
        for (_, _, parse) in TABLES {
            for line in [
                "",
                ":",
                "a b c d e f g h i j",
                "\u{e9}\u{e9} \u{e9}",
                "0 0 0x 0 0 0",
            ] {
                assert!(parse(line).is_none(), "{line}");
            }
        }
    }
}
