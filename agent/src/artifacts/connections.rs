//! Connections and listeners of every network namespace, with the processes that own them.

mod tables;

use std::collections::BTreeMap;

use evidence::gap::Reason;
use serde_json::json;

pub(crate) use tables::address;

use super::namespaces::{bytes, windows};
use super::passwd::Names;
use super::processes::open_descriptors;
use super::source::{has_procfs, put, reason_of};
use super::{Artifact, Extent, Field, Record, Request, Sink, Stopped};
use crate::files::record::field;
use crate::platform::procfs;
use tables::{Row, TABLES, rows};

/// A table past this size (some 400,000 sockets) is read only up to it.
const CAP: usize = 64 << 20;

/// The sockets of the host.
#[derive(Debug)]
pub struct Connections;

pub(crate) const FIELDS: &[Field] = &[
    field(
        "protocol",
        "string",
        "The kernel's table: tcp, tcp6, udp, raw, unix, packet and so on.",
    ),
    field(
        "namespace",
        "integer or null",
        "Inode of the network namespace.",
    ),
    field(
        "inode",
        "integer",
        "The socket's inode; 0 once no process holds it (time_wait).",
    ),
    field("state", "string", "State in words."),
    field("local_address", "string", "Local address."),
    field(
        "local_port",
        "integer",
        "Local port; of a raw socket the IP protocol.",
    ),
    field("remote_address", "string", "Remote address."),
    field("remote_port", "integer", "Remote port."),
    field("send_queue_bytes", "integer, bytes", "Not yet sent."),
    field(
        "receive_queue_bytes",
        "integer, bytes",
        "Not yet read; of a listener, waiting connections.",
    ),
    field(
        "type",
        "string",
        "stream, datagram, seqpacket, raw or other.",
    ),
    field(
        "path",
        "string or null",
        "Name of a unix socket; @ begins an abstract one.",
    ),
    field(
        "path_b64",
        "string, base64",
        "Exact bytes as the kernel prints them, where they are not UTF-8.",
    ),
    field(
        "path_broken",
        "boolean",
        "true where the name holds line breaks, which the kernel prints as they are: such a name may also \
         forge whole rows after its own.",
    ),
    field(
        "ethertype",
        "integer",
        "Which frames a packet socket sees; 3 is all.",
    ),
    field(
        "interface_index",
        "integer",
        "Interface of a packet socket; 0 is every one.",
    ),
    field("uid", "integer", "The owner's user id."),
    field(
        "user",
        "string or null",
        "The owner's name, from the host's passwd file.",
    ),
    field(
        "owners",
        "array of objects",
        "pid, name and fd of each process that holds it.",
    ),
];

type Owners = BTreeMap<u64, Vec<serde_json::Value>>;

impl Artifact for Connections {
    fn name(&self) -> &'static str {
        "connections"
    }

    fn about(&self) -> &'static str {
        "Connections and listeners of every network namespace, with their processes."
    }

    fn volatile(&self) -> bool {
        true
    }

    fn needs_running(&self) -> bool {
        true
    }

    fn extent(&self) -> Extent {
        Extent::Users("uid")
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        each(request, sink, &mut |record, sink| sink.record(record))
    }
}

/// What is done with a socket's record.
pub(crate) type Found<'a> = dyn FnMut(Record, &mut dyn Sink) -> Result<(), Stopped> + 'a;

/// Calls `found` for every socket.
pub(crate) fn each(
    request: &Request<'_>,
    sink: &mut dyn Sink,
    found: &mut Found<'_>,
) -> Result<(), Stopped> {
    if !has_procfs(request, sink)? {
        return Ok(());
    }
    let users = Names::users(request.root);
    let owners = owners(request, sink)?;
    for window in windows(request, "net", sink)? {
        for (name, table) in TABLES {
            let Some(bytes) = bytes(&window, &format!("net/{name}"), CAP, sink)? else {
                continue;
            };
            let subject = format!("/proc/{}/net/{name}", window.pid);
            rows(name, table, &bytes, |row| {
                let (mut record, inode) = match row {
                    Row::Socket(record, inode) => (record, inode),
                    Row::Broken(line) => {
                        let line = String::from_utf8_lossy(line);
                        return sink.gap(&subject, Reason::Malformed, &line);
                    }
                    Row::Twice(inode) => {
                        let text = format!(
                            "two rows have the inode {inode}: one of them is part of a socket's \
                                 name that holds a line break"
                        );
                        return sink.gap(&subject, Reason::Malformed, &text);
                    }
                };
                put(&mut record, "namespace", window.inode);
                let uid = record.get("uid").and_then(serde_json::Value::as_u64);
                if let Some(uid) = uid.and_then(|u| u32::try_from(u).ok()) {
                    put(&mut record, "user", users.of(uid));
                }
                let held = owners.get(&inode).cloned().unwrap_or_default();
                put(&mut record, "owners", held);
                found(record, sink)
            })?;
        }
    }
    Ok(())
}

/// Which processes hold which socket. Processes that may not be looked at stand in one gap.
fn owners(request: &Request<'_>, sink: &mut dyn Sink) -> Result<Owners, Stopped> {
    let proc = request.root.join("proc");
    let mut owners = Owners::new();
    let mut unseen = 0_u64;
    for pid in procfs::pids(&proc).unwrap_or_default() {
        let folder = proc.join(pid.to_string());
        let open = match open_descriptors(&folder) {
            Ok((open, _, failed)) => {
                unseen += u64::from(failed.is_some());
                open
            }
            Err(error) => {
                unseen += u64::from(reason_of(&error) == Reason::PermissionDenied);
                continue;
            }
        };
        let sockets = open.iter().filter_map(|o| Some((o.number, o.socket()?)));
        let mut sockets = sockets.peekable();
        if sockets.peek().is_none() {
            continue;
        }
        let name = procfs::read_capped(&folder.join("comm"), 256).ok();
        let name = name.map(|n| String::from_utf8_lossy(&n.bytes).trim_end().to_owned());
        for (fd, inode) in sockets {
            let owner = json!({"pid": pid, "name": name, "fd": fd});
            owners.entry(inode).or_default().push(owner);
        }
    }
    if unseen > 0 {
        let text = format!("the sockets of {unseen} processes may not be seen");
        sink.gap("/proc/PID/fd", Reason::PermissionDenied, &text)?;
    }
    Ok(owners)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::path::Path;

    use super::*;
    use crate::artifacts::testing::MemorySink;

    fn owned(sink: &MemorySink, protocol: &str, port: u16) -> bool {
        sink.records.iter().any(|r| {
            r["protocol"] == protocol
                && r["local_port"] == port
                && r["owners"][0]["pid"] == std::process::id()
        })
    }

    #[test]
    fn finds_listening_sockets_with_their_process() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b");
        let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let sink = MemorySink::run(&Connections, Path::new("/"), serde_json::Value::Null);
        assert!(owned(&sink, "tcp", four.local_addr().unwrap().port()));
        assert!(owned(&sink, "udp", datagram.local_addr().unwrap().port()));
        let wanted = path.to_str().unwrap();
        let unix = |r: &&super::super::Record| r.get("path").is_some_and(|p| p == wanted);
        let found = sink.records.iter().find(unix).unwrap();
        assert_eq!(found["state"], "listen");
        assert_eq!(found["owners"][0]["pid"], std::process::id());
        assert_eq!(sink.undeclared(&Connections), Vec::<String>::new());
    }
    /// Names as the kernel of the running host prints them: raw bytes, and a line break that splits the row.
    #[test]
    fn hostile_names_of_live_unix_sockets_stay_exact() {
        use crate::platform::names::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let bind = |name: &[u8]| {
            let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
            let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
            (path.as_os_str().as_bytes().to_owned(), socket)
        };
        let (raw, _raw) = bind(b"r\xff");
        let (split, _split) = bind(b"a\nb");
        let sink = MemorySink::run(&Connections, Path::new("/"), serde_json::Value::Null);
        let exact = data_encoding::BASE64.encode(&raw);
        let of = |key: &str, value: &str| {
            let is = |r: &&super::super::Record| r.get(key).is_some_and(|p| p == value);
            sink.records.iter().find(is).unwrap()
        };
        assert_eq!(of("path_b64", &exact)["type"], "stream");
        let split = of("path", std::str::from_utf8(&split).unwrap());
        assert_eq!(split["path_broken"], true);
        assert_eq!(split["owners"][0]["pid"], std::process::id());
    }
}
