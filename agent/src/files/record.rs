//! How a path and what statx says of it stand in a record.

use std::path::Path;

use evidence::instant::Instant;
use serde::{Serialize, Serializer};

use super::stat::{Kind, Stat};
use crate::artifacts::Field;

/// The fields of a path and of [`StatRecord`].
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

/// Everything that statx said of a file.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StatRecord {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    size: Option<Size>,
    #[serde(serialize_with = "octal")]
    mode: u32,
    uid: u32,
    gid: u32,
    links: u64,
    #[serde(serialize_with = "major_minor")]
    device: u64,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    immutable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    append_only: Option<bool>,
    accessed: Instant,
    modified: Instant,
    changed: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    born: Option<Instant>,
}

/// Of regular files alone.
#[derive(Debug, Clone, Copy, Serialize)]
struct Size {
    size_bytes: u64,
    allocated_bytes: u64,
}

impl From<&Stat> for StatRecord {
    fn from(stat: &Stat) -> Self {
        Self {
            kind: stat.kind.word(),
            size: (stat.kind == Kind::File).then_some(Size {
                size_bytes: stat.size_bytes,
                allocated_bytes: stat.allocated_bytes,
            }),
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            links: stat.links,
            device: stat.device,
            inode: stat.inode,
            immutable: stat.immutable.then_some(true),
            append_only: stat.append_only.then_some(true),
            accessed: stat.accessed,
            modified: stat.modified,
            changed: stat.changed,
            born: stat.born,
        }
    }
}

fn octal<S: Serializer>(mode: &u32, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{mode:06o}"))
}

fn major_minor<S: Serializer>(device: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{}:{}", device >> 32, device & 0xffff_ffff))
}
