//! A line of files.jsonl from what the system said of a file before and after it was read.

use std::path::Path;

use data_encoding::BASE64;
use evidence::records::{FileRecord, FileType, ReadBy, Times, Xattr, text_and_bytes};

use crate::files::{Kind, Stat, xattrs::Attribute};
use crate::platform::names::OsStrExt as _;

/// A record of what `stat` tells of `path`, with nothing stored yet.
pub(super) fn record(artifact: &str, path: &Path, stat: &Stat) -> FileRecord {
    let mut record = FileRecord::new(artifact, path.as_os_str().as_bytes(), type_of(stat.kind));
    record.times = times(stat);
    record.mode = Some(stat.mode);
    record.uid = Some(stat.uid);
    record.gid = Some(stat.gid);
    record.inode = Some(stat.inode.to_string());
    let (major, minor) = (stat.device >> 32, stat.device & 0xffff_ffff);
    record.device = Some(format!("{major}:{minor}"));
    record.link_count = Some(stat.links);
    record
}

/// Adds what a read of the contents gave.
pub(super) fn add_read(record: &mut FileRecord, before: &Stat, after: Option<&Stat>, read: u64) {
    record.size_bytes = Some(read);
    let claimed = after.unwrap_or(before).size_bytes;
    record.claimed_size_bytes = (claimed != read).then_some(claimed);
    record.read_by.get_or_insert(ReadBy::Live);
    let Some(after) = after else {
        return;
    };
    let later = times(after);
    record.times_after = (later != record.times).then_some(later);
    record.changed_while_read = before.has_changed(after);
}

/// Adds a link's target, exact.
pub(super) fn add_target(record: &mut FileRecord, target: &Path) {
    let (text, exact) = text_and_bytes(target.as_os_str().as_bytes());
    record.target = Some(text);
    record.target_b64 = exact;
}

/// Adds the extended attributes that `read` found, exact.
pub(super) fn add_xattrs(record: &mut FileRecord, found: Vec<Attribute>) {
    record.xattrs.extend(found.into_iter().map(|attribute| {
        let (name, name_b64) = text_and_bytes(&attribute.name);
        Xattr {
            name,
            name_b64,
            value_b64: BASE64.encode(&attribute.value),
        }
    }));
}

fn times(stat: &Stat) -> Times {
    Times {
        modified: Some(stat.modified),
        accessed: Some(stat.accessed),
        changed: Some(stat.changed),
        created: stat.born,
    }
}

fn type_of(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::File,
        Kind::Folder => FileType::Folder,
        Kind::Link => FileType::Link,
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::CharacterDevice => FileType::CharDevice,
        Kind::Unknown => FileType::Other,
    }
}
