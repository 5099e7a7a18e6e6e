//! How a path and what statx says of it stand in a record.

use std::path::Path;

use evidence::instant::Instant;
use serde_json::Value;

use super::stat::{Kind, Stat};
use crate::{
    artifacts::{Field, Record},
    platform::names::OsStrExt as _,
};

/// The fields that [`put_path`] and [`put_stat`] write.
pub const STAT_FIELDS: &[Field] = &[
    field("path", "string", "path on the host, as text for people"),
    field(
        "path_b64",
        "string, base64",
        "the exact bytes, where the text isn't they",
    ),
    field(
        "type",
        "string",
        "file, folder, link, fifo, socket, character_device, block_device",
    ),
    field(
        "size_bytes",
        "integer, bytes",
        "length that the system claims (statx)",
    ),
    field(
        "allocated_bytes",
        "integer, bytes",
        "space on disk (statx blocks x 512)",
    ),
    field("mode", "string, octal", "type and permission bits"),
    field("uid", "integer", "owner"),
    field("gid", "integer", "group"),
    field("links", "integer", "number of names"),
    field("device", "string", "major:minor"),
    field("inode", "integer", "inode number"),
    field("accessed", "string, RFC 3339", "atime before the read"),
    field("modified", "string, RFC 3339", "mtime"),
    field("changed", "string, RFC 3339", "ctime"),
    field(
        "born",
        "string, RFC 3339",
        "btime, where the file system knows it",
    ),
    field("immutable", "boolean", "chattr +i; only when set"),
    field("append_only", "boolean", "chattr +a; only when set"),
];

/// A field, in one line.
pub const fn field(name: &'static str, kind: &'static str, about: &'static str) -> Field {
    Field { name, kind, about }
}

/// The text of a path for people; not its exact bytes where those are no UTF-8.
pub fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Puts `bytes` as text under `name`, and its exact bytes under `name_b64` where they are no UTF-8.
pub fn put_bytes(record: &mut Record, name: &str, bytes: &[u8]) {
    if std::str::from_utf8(bytes).is_err() {
        let exact = data_encoding::BASE64.encode(bytes);
        record.insert(format!("{name}_b64"), exact.into());
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    record.insert(name.to_owned(), text.into());
}

/// Puts the path, and its exact bytes where the text isn't they.
pub fn put_path(record: &mut Record, path: &Path) {
    put_bytes(record, "path", path.as_os_str().as_bytes());
}

/// Puts a time under `name`.
pub fn put_time(record: &mut Record, name: &str, time: Instant) {
    let value = match time.to_rfc3339() {
        Some(text) => Value::String(text),
        // Outside years 1 to 9999: the form that every digit survives.
        None => serde_json::json!({"seconds": time.seconds.to_string(), "ns": time.ns}),
    };
    record.insert(name.to_owned(), value);
}

/// Puts everything that statx said.
pub fn put_stat(record: &mut Record, stat: &Stat) {
    let mut put = |name: &str, value: Value| record.insert(name.to_owned(), value);
    put("type", stat.kind.word().into());
    if stat.kind == Kind::File {
        put("size_bytes", stat.size_bytes.into());
        put("allocated_bytes", stat.allocated_bytes.into());
    }
    put("mode", format!("{:06o}", stat.mode).into());
    put("uid", stat.uid.into());
    put("gid", stat.gid.into());
    put("links", stat.links.into());
    let (major, minor) = (stat.device >> 32, stat.device & 0xffff_ffff);
    put("device", format!("{major}:{minor}").into());
    put("inode", stat.inode.into());
    for (name, set) in [
        ("immutable", stat.immutable),
        ("append_only", stat.append_only),
    ] {
        if set {
            put(name, true.into());
        }
    }
    put_time(record, "accessed", stat.accessed);
    put_time(record, "modified", stat.modified);
    put_time(record, "changed", stat.changed);
    if let Some(born) = stat.born {
        put_time(record, "born", born);
    }
}
