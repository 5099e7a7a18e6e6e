//! Interfaces, addresses, routes, neighbours and name resolution, by plain reads of the kernel's
//! tables; IPv6 neighbours, which have no such table, through netlink.

mod tables;

use evidence::gap::Reason;
use std::io::ErrorKind;
use std::path::Path;

use super::namespaces::{Window, text as window_text, windows};
use super::source::{has_procfs, put, reason_of, text};
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::record::field;
use crate::platform::neighbours;

/// A table past this size is read only up to it.
const CAP: usize = 16 << 20;

/// Files that say how names are resolved.
const RESOLUTION: [&str; 7] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/hostname",
    "/run/systemd/resolve/resolv.conf",
    "/etc/systemd/resolved.conf",
];

/// How the host is wired.
#[derive(Debug)]
pub struct Network;

const FIELDS: &[Field] = &[
    field(
        "kind",
        "string",
        "interface, address, route, neighbour or resolution.",
    ),
    field(
        "namespace",
        "integer or null",
        "Inode of the network namespace.",
    ),
    field("interface", "string", "Name of the interface."),
    field("index", "integer", "Number of the interface."),
    field("hardware_address", "string", "Link-layer address."),
    field(
        "flags",
        "integer",
        "Flags as the kernel holds them (interface, route, neighbour).",
    ),
    field(
        "promiscuous",
        "boolean",
        "Whether it takes frames meant for others (IFF_PROMISC).",
    ),
    field("up", "boolean", "Whether it is switched on (IFF_UP)."),
    field(
        "state",
        "string",
        "Operational state of an interface; how sure the kernel is of an IPv6 neighbour.",
    ),
    field("mtu", "integer, bytes", "Largest packet."),
    field(
        "received_bytes",
        "integer, bytes",
        "Received since it came up.",
    ),
    field("received_packets", "integer", "Received since it came up."),
    field("sent_bytes", "integer, bytes", "Sent since it came up."),
    field("sent_packets", "integer", "Sent since it came up."),
    field(
        "address",
        "string",
        "An address of this host, or of a neighbour.",
    ),
    field("prefix_length", "integer", "Length of the prefix."),
    field("scope", "string", "Scope of an IPv6 address, hex."),
    field("destination", "string", "Where a route leads."),
    field("gateway", "string or null", "Next hop of a route."),
    field("metric", "integer", "Metric of a route."),
    field("path", "string", "File of the host."),
    field(
        "lines",
        "array of strings",
        "Its lines, without comments and empty ones.",
    ),
];

impl Artifact for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn about(&self) -> &'static str {
        "Interfaces, addresses, routes, neighbours and name resolution."
    }

    fn volatile(&self) -> bool {
        true
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        if has_procfs(request, sink)? {
            for (at, window) in windows(request, "net", sink)?.iter().enumerate() {
                namespace(window, sink)?;
                if at > 0 {
                    let subject =
                        format!("interfaces of network namespace of process {}", window.pid);
                    let text =
                        "/sys shows flags and hardware addresses of the first namespace only";
                    sink.gap(&subject, Reason::Unsupported, text)?;
                }
            }
            v6_neighbours(request, sink)?;
        }
        interfaces(request, sink)?;
        for path in RESOLUTION {
            resolution(request, path, sink)?;
        }
        Ok(())
    }
}

fn namespace(window: &Window, sink: &mut dyn Sink) -> Result<(), Stopped> {
    for (name, skip, parse) in tables::TABLES {
        let Some(text) = window_text(window, &format!("net/{name}"), CAP, sink)? else {
            continue;
        };
        for line in text.lines().skip(skip).filter(|l| !l.trim().is_empty()) {
            if let Some(record) = parse(line) {
                tell(record, window, sink)?;
            } else {
                let subject = format!("/proc/{}/net/{name}", window.pid);
                sink.gap(&subject, Reason::Malformed, line)?;
            }
        }
    }
    let Some(trie) = window_text(window, "net/fib_trie", CAP, sink)? else {
        return Ok(());
    };
    for address in tables::local_addresses(&trie) {
        let mut record = Record::new();
        put(&mut record, "kind", "address");
        put(&mut record, "address", address);
        tell(record, window, sink)?;
    }
    Ok(())
}

fn tell(mut record: Record, window: &Window, sink: &mut dyn Sink) -> Result<(), Stopped> {
    put(&mut record, "namespace", window.inode);
    sink.record(record)
}

/// The IPv6 neighbours; those of IPv4 stand in a table of procfs.
fn v6_neighbours(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    const SUBJECT: &str = "IPv6 neighbours";
    if request.root != Path::new("/") {
        let text = "only the running system knows them";
        return sink.gap(SUBJECT, Reason::NotApplicable, text);
    }
    let found = match neighbours::neighbours() {
        Ok(found) => found,
        Err(error) => return sink.gap(SUBJECT, reason_of(&error), &error.to_string()),
    };
    for neighbour in found.into_iter().filter(|n| n.address.is_ipv6()) {
        let mut record = Record::new();
        put(&mut record, "kind", "neighbour");
        put(&mut record, "address", neighbour.address.to_string());
        put(&mut record, "hardware_address", neighbour.hardware_address);
        put(&mut record, "index", neighbour.index);
        put(&mut record, "state", neighbour.state);
        sink.record(record)?;
    }
    Ok(())
}

/// The interfaces as sysfs shows them: those of the namespace that it was mounted in.
fn interfaces(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    const FOLDER: &str = "/sys/class/net";
    let entries = match std::fs::read_dir(request.root.join(&FOLDER[1..])) {
        Ok(entries) => entries,
        Err(error) => return sink.gap(FOLDER, reason_of(&error), &error.to_string()),
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // bonding_masters is a file among the folders.
        let Some(flags) = fact(request, &name, "flags", sink)? else {
            continue;
        };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok();
        let mut record = Record::new();
        put(&mut record, "kind", "interface");
        put(&mut record, "interface", name.clone());
        put(&mut record, "flags", flags);
        put(&mut record, "up", flags.map(|f| f & 1 != 0));
        put(&mut record, "promiscuous", flags.map(|f| f & 0x100 != 0));
        for (key, file) in [("index", "ifindex"), ("mtu", "mtu")] {
            let number = fact(request, &name, file, sink)?;
            put(&mut record, key, number.and_then(|n| n.parse::<u64>().ok()));
        }
        for (key, file) in [("hardware_address", "address"), ("state", "operstate")] {
            put(&mut record, key, fact(request, &name, file, sink)?);
        }
        sink.record(record)?;
    }
    Ok(())
}

fn fact(
    request: &Request<'_>,
    interface: &str,
    file: &str,
    sink: &mut dyn Sink,
) -> Result<Option<String>, Stopped> {
    let path = format!("/sys/class/net/{interface}/{file}");
    match super::source::small(request, &path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        // Gone meanwhile, or no interface at all.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => {
            sink.gap(&path, reason_of(&error), &error.to_string())?;
            Ok(None)
        }
    }
}

fn resolution(request: &Request<'_>, path: &str, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let Some(text) = text(request, path, 1 << 20, true, sink)? else {
        return Ok(());
    };
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> = lines
        .filter(|l| !l.is_empty() && !l.starts_with(['#', ';']))
        .collect();
    let mut record = Record::new();
    put(&mut record, "kind", "resolution");
    put(&mut record, "path", path);
    put(&mut record, "lines", lines);
    sink.record(record)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::artifacts::testing::MemorySink;

    #[test]
    fn finds_the_loopback_interface_and_its_address() {
        let sink = MemorySink::run(&Network, Path::new("/"), serde_json::Value::Null);
        let lo = |r: &&Record| r["kind"] == "interface" && r["interface"] == "lo";
        let lo = sink
            .records
            .iter()
            .filter(lo)
            .find(|r| r.contains_key("promiscuous"))
            .unwrap();
        assert_eq!(lo["promiscuous"], false);
        let local = |r: &Record| r["kind"] == "address" && r["address"] == "127.0.0.1";
        assert!(sink.records.iter().any(local));
        assert_eq!(sink.undeclared(&Network), Vec::<String>::new());
    }

    #[test]
    fn a_promiscuous_interface_is_told() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/net/eth0");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("flags"), "0x1103\n").unwrap();
        let sink = MemorySink::run(&Network, root.path(), serde_json::Value::Null);
        assert_eq!(sink.records[0]["promiscuous"], true);
    }
}
