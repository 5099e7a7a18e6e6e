//! Interfaces, addresses, routes, neighbours and name resolution, by plain reads of the kernel's
//! tables; IPv6 neighbours, which have no such table, through netlink.

mod tables;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use evidence::gap::Reason;

use super::namespaces::{Window, bytes as window_bytes, text as window_text, windows};
use super::source::{bytes, has_procfs, names, not_running, put, put_bytes, reason_of};
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::record::field;
use crate::platform::{names::OsStrExt as _, neighbours, procfs};

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
    field(
        "interface_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8, as sysfs has them.",
    ),
    field(
        "line_b64",
        "string, base64",
        "The whole line of a table exactly where it is not UTF-8.",
    ),
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
    field(
        "lines_b64",
        "string, base64",
        "The whole file exactly where it is not UTF-8.",
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
        if !request.is_running {
            not_running("interfaces, addresses, routes and neighbours", sink)?;
        } else {
            self.wiring(request, sink)?;
        }
        for path in RESOLUTION {
            resolution(request, path, sink)?;
        }
        Ok(())
    }
}

impl Network {
    /// What the kernel knows.
    fn wiring(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
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
        interfaces(request, sink)
    }
}

fn namespace(window: &Window, sink: &mut dyn Sink) -> Result<(), Stopped> {
    for (name, skip, parse) in tables::TABLES {
        let Some(table) = window_bytes(window, &format!("net/{name}"), CAP, sink)? else {
            continue;
        };
        for line in table.split(|b| *b == b'\n').skip(skip) {
            let text = String::from_utf8_lossy(line);
            if text.trim().is_empty() {
                continue;
            }
            if let Some(mut record) = parse(&text) {
                // Only an interface's name can be no text.
                if std::str::from_utf8(line).is_err() {
                    let exact = data_encoding::BASE64.encode(line);
                    put(&mut record, "line_b64", exact);
                }
                tell(record, window, sink)?;
            } else {
                let subject = format!("/proc/{}/net/{name}", window.pid);
                sink.gap(&subject, Reason::Malformed, &text)?;
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
    let Some(names) = names(request, FOLDER, sink)? else {
        return sink.gap(FOLDER, Reason::NotFound, "sysfs shows no interfaces");
    };
    for name in names {
        // bonding_masters is a file among the folders.
        let Some(flags) = fact(request, &name, "flags", sink)? else {
            continue;
        };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok();
        let mut record = Record::new();
        put(&mut record, "kind", "interface");
        put_bytes(&mut record, "interface", name.as_bytes());
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
    interface: &OsStr,
    file: &str,
    sink: &mut dyn Sink,
) -> Result<Option<String>, Stopped> {
    let path = Path::new("/sys/class/net").join(interface).join(file);
    let below = path.strip_prefix("/").unwrap_or(&path);
    match procfs::read_capped(&request.root.join(below), 1 << 16) {
        Ok(read) => Ok(Some(
            String::from_utf8_lossy(read.bytes.trim_ascii()).into_owned(),
        )),
        // Gone meanwhile, or no interface at all.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => {
            sink.gap(path, reason_of(&error), &error.to_string())?;
            Ok(None)
        }
    }
}

fn resolution(request: &Request<'_>, path: &str, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let Some(bytes) = bytes(request, path, 1 << 20, true, sink)? else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> = lines
        .filter(|l| !l.is_empty() && !l.starts_with(['#', ';']))
        .collect();
    let mut record = Record::new();
    put(&mut record, "kind", "resolution");
    put(&mut record, "path", path);
    put_bytes(&mut record, "lines", &bytes);
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
    #[test]
    fn an_interface_whose_name_is_no_text_is_not_lost() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/net");
        let folder = folder.join(OsStr::from_bytes(b"e\xff"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("flags"), "0x1\n").unwrap();
        std::fs::create_dir_all(root.path().join("proc/7/net")).unwrap();
        let line = b"  e\xff: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0";
        let table = [b"h\nh\n", &line[..], b"\n"].concat();
        std::fs::write(root.path().join("proc/7/net/dev"), table).unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/hosts"), b"192.0.2.1 \xff\n").unwrap();
        let sink = MemorySink::run(&Network, root.path(), serde_json::Value::Null);
        let of = |key: &str| sink.records.iter().find_map(|r| r.get(key)).unwrap();
        let encoded = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
        assert_eq!(of("interface_b64"), &encoded(b"e\xff"));
        assert_eq!(of("line_b64"), &encoded(line));
        assert_eq!(of("lines_b64"), &encoded(b"192.0.2.1 \xff\n"));
        assert_eq!(of("received_bytes"), 1);
        assert_eq!(sink.undeclared(&Network), Vec::<String>::new());
    }
}
