//! What is mounted where, in every mount namespace.

use evidence::gap::Reason;

use super::namespaces::{Window, text, windows};
use super::source::{has_procfs, put};
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::record::field;

/// A table past this size is read only up to it.
const CAP: usize = 16 << 20;

/// The mounts of the host.
#[derive(Debug)]
pub struct Mounts;

const FIELDS: &[Field] = &[
    field(
        "namespace",
        "integer or null",
        "Inode of the mount namespace.",
    ),
    field("mount_id", "integer", "Number of the mount."),
    field(
        "parent_id",
        "integer",
        "Number of the mount that it lies on.",
    ),
    field("device", "string", "major:minor."),
    field(
        "root",
        "string",
        "Which folder of the file system is mounted.",
    ),
    field("mount_point", "string", "Where, as the namespace sees it."),
    field("options", "array of strings", "Options of the mount."),
    field(
        "propagation",
        "array of strings",
        "shared:N, master:N and so on.",
    ),
    field("file_system", "string", "Type of file system."),
    field("source", "string", "What is mounted."),
    field(
        "file_system_options",
        "array of strings",
        "Options of the file system.",
    ),
    field(
        "hides_process",
        "integer or null",
        "The process whose folder under /proc it covers.",
    ),
];

impl Artifact for Mounts {
    fn name(&self) -> &'static str {
        "mounts"
    }

    fn about(&self) -> &'static str {
        "What is mounted where, in every mount namespace."
    }

    fn volatile(&self) -> bool {
        true
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        if !has_procfs(request, sink)? {
            return Ok(());
        }
        for window in windows(request, "mnt", sink)? {
            namespace(&window, sink)?;
        }
        Ok(())
    }
}

fn namespace(window: &Window, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let Some(text) = text(window, "mountinfo", CAP, sink)? else {
        return Ok(());
    };
    for line in text.lines() {
        if let Some(mut record) = mount(line) {
            put(&mut record, "namespace", window.inode);
            sink.record(record)?;
        } else {
            let subject = format!("/proc/{}/mountinfo", window.pid);
            sink.gap(&subject, Reason::Malformed, line)?;
        }
    }
    Ok(())
}

fn mount(line: &str) -> Option<Record> {
    let (before, after) = line.split_once(" - ")?;
    let words: Vec<&str> = before.split(' ').collect();
    let system: Vec<&str> = after.split(' ').collect();
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut record = Record::new();
    put(&mut record, "mount_id", words.first()?.parse::<u64>().ok()?);
    put(&mut record, "parent_id", words.get(1)?.parse::<u64>().ok()?);
    put(&mut record, "device", *words.get(2)?);
    put(&mut record, "root", plain(words.get(3)?));
    let point = plain(words.get(4)?);
    put(&mut record, "hides_process", covered(&point));
    put(&mut record, "mount_point", point);
    put(&mut record, "options", list(words.get(5)?));
    put(
        &mut record,
        "propagation",
        words.get(6..).unwrap_or_default().to_vec(),
    );
    put(&mut record, "file_system", plain(system.first()?));
    put(&mut record, "source", plain(system.get(1)?));
    put(&mut record, "file_system_options", list(system.get(2)?));
    Some(record)
}

/// A mount over `/proc/N` hides a process from everybody who looks there.
fn covered(point: &str) -> Option<u32> {
    point
        .strip_prefix("/proc/")?
        .split('/')
        .next()?
        .parse()
        .ok()
}

/// Undoes the kernel's `\040` for blanks, tabs, newlines and backslashes.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|c| u8::from_str_radix(c, 8).ok());
        if let Some(code) = code.filter(u8::is_ascii) {
            plain.push(char::from(code));
            rest = after.get(3..).unwrap_or_default();
        } else {
            plain.push('\\');
            rest = after;
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_and_marks_a_covered_process() {
        let line = r"22 27 0:21 / /proc/44 rw,relatime shared:1 - ext4 /dev/a\040b rw,x=1";
        let record = mount(line).unwrap();
        assert_eq!(record["hides_process"], 44);
        assert_eq!(record["source"], "/dev/a b");
        assert_eq!(record["propagation"], serde_json::json!(["shared:1"]));
        for wrong in ["", " - ", "1 2 3 - a b c", "x x x x x x - a b c"] {
            assert!(mount(wrong).is_none());
        }
        assert_eq!(plain("\\\\9é\\04"), "\\\\9é\\04");
    }

    #[cfg(all(test, target_os = "linux"))]
    #[test]
    fn finds_proc_itself() {
        let root = std::path::Path::new("/");
        let sink = crate::artifacts::testing::MemorySink::run(&Mounts, root, serde_json::json!({}));
        assert!(sink.records.iter().any(|r| r["mount_point"] == "/proc"));
        assert_eq!(sink.undeclared(&Mounts), Vec::<String>::new());
    }
}
