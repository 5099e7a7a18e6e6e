//! What is mounted where, in every mount namespace.

use evidence::gap::Reason;

use super::namespaces::{Window, bytes, windows};
use super::source::{has_procfs, put, put_bytes};
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::{distant::plain, record::field};

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
    field(
        "root_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("mount_point", "string", "Where, as the namespace sees it."),
    field(
        "mount_point_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("options", "array of strings", "Options of the mount."),
    field(
        "propagation",
        "array of strings",
        "shared:N, master:N and so on.",
    ),
    field("file_system", "string", "Type of file system."),
    field("source", "string", "What is mounted."),
    field(
        "source_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field(
        "file_system_options",
        "array of strings",
        "Options of the file system.",
    ),
    field(
        "file_system_options_b64",
        "string, base64",
        "All of them exactly where they are not UTF-8.",
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

    fn needs_running(&self) -> bool {
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
    let Some(table) = bytes(window, "mountinfo", CAP, sink)? else {
        return Ok(());
    };
    for line in table.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        if let Some(mut record) = mount(line) {
            put(&mut record, "namespace", window.inode);
            sink.record(record)?;
        } else {
            let subject = format!("/proc/{}/mountinfo", window.pid);
            sink.gap(&subject, Reason::Malformed, &String::from_utf8_lossy(line))?;
        }
    }
    Ok(())
}

fn mount(line: &[u8]) -> Option<Record> {
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let dash = words.iter().skip(6).position(|w| *w == b"-")? + 6;
    let (before, system) = (words.get(..dash)?, words.get(dash + 1..)?);
    let text = |at: usize| before.get(at).and_then(|w| std::str::from_utf8(w).ok());
    let mut record = Record::new();
    put(&mut record, "mount_id", text(0)?.parse::<u64>().ok()?);
    put(&mut record, "parent_id", text(1)?.parse::<u64>().ok()?);
    put(&mut record, "device", text(2)?);
    put_bytes(&mut record, "root", &plain(before.get(3)?));
    let point = plain(before.get(4)?);
    put(&mut record, "hides_process", covered(&point));
    put_bytes(&mut record, "mount_point", &point);
    put(&mut record, "options", list(before.get(5)?));
    let propagation = before.get(6..).unwrap_or_default().iter();
    let propagation: Vec<_> = propagation.map(|w| String::from_utf8_lossy(w)).collect();
    put(&mut record, "propagation", propagation);
    let kind = plain(system.first()?);
    put(&mut record, "file_system", String::from_utf8_lossy(&kind));
    put_bytes(&mut record, "source", &plain(system.get(1)?));
    // An overlay's hold paths.
    let options = system.get(2)?;
    put_bytes(&mut record, "file_system_options", options);
    put(&mut record, "file_system_options", list(options));
    Some(record)
}

fn list(options: &[u8]) -> Vec<String> {
    let options = options.split(|b| *b == b',');
    options
        .map(|o| String::from_utf8_lossy(o).into_owned())
        .collect()
}

/// A mount over `/proc/N` hides a process from everybody who looks there.
fn covered(point: &[u8]) -> Option<u32> {
    let point = std::str::from_utf8(point).ok()?;
    point
        .strip_prefix("/proc/")?
        .split('/')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_and_marks_a_covered_process() {
        let line = br"22 27 0:21 / /proc/44 rw,relatime shared:1 - ext4 /dev/a\040b rw,x=1";
        let record = mount(line).unwrap();
        assert_eq!(record["hides_process"], 44);
        assert_eq!(record["source"], "/dev/a b");
        assert_eq!(record["propagation"], serde_json::json!(["shared:1"]));
        assert_eq!(record["options"], serde_json::json!(["rw", "relatime"]));
        assert_eq!(
            record["file_system_options"],
            serde_json::json!(["rw", "x=1"])
        );
        for wrong in [
            &b""[..],
            b" - ",
            b"1 2 3 - a b c",
            b"x x x x x x - a b c",
            b"1 2 0:1 / / rw - ext4",
        ] {
            assert!(mount(wrong).is_none());
        }
        assert_eq!(plain("\\\\9é\\04".as_bytes()), "\\\\9é\\04".as_bytes());
        // A folder may be called "-": only the seventh word and later ends the fields.
        let dash = mount(b"1 2 0:1 / - rw - ext4 - rw").unwrap();
        assert_eq!(
            (&dash["mount_point"], &dash["source"]),
            (&"-".into(), &"-".into())
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_exact_escaped_or_not() {
        let line = b"1 2 0:1 /r\\377 /m\xfe\\012 rw - overlay /s\\303\\274\\134 rw,lowerdir=/\xff";
        let record = mount(line).unwrap();
        let encoded = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
        assert_eq!(record["root_b64"], encoded(b"/r\xff"));
        assert_eq!(record["mount_point_b64"], encoded(b"/m\xfe\n"));
        assert_eq!(record["source"], "/sü\\");
        assert!(!record.contains_key("source_b64"));
        let options = encoded(b"rw,lowerdir=/\xff");
        assert_eq!(record["file_system_options_b64"], options);
        for key in record.keys() {
            assert!(FIELDS.iter().any(|f| f.name == key), "{key}");
        }
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
