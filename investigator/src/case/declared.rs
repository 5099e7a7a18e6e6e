//! What records hold by declaration, so that a table has all its columns before the first record says so.
//!
//! The fields of artifacts come from the reference that is generated from the agent's code, and is tested to be it;
//! those of a part's own lists are section 4 of the format.

use std::sync::LazyLock;

/// The agent's own description of every artifact and field.
const REFERENCE: &str = include_str!("../../../agent/ARTIFACTS.md");

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// The JSON key.
    pub(super) name: &'static str,
    /// Its JSON type, and unit where it has one.
    pub(super) kind: &'static str,
    /// What it says.
    pub(super) about: &'static str,
}

/// A kind of record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    /// The artifact, or the list.
    pub(super) name: &'static str,
    /// What it holds, in a sentence.
    pub(super) about: &'static str,
    /// Its fields.
    pub(super) fields: Vec<Field>,
}

macro_rules! list {
    ($name:literal, $about:literal: $($field:literal $kind:literal $says:literal;)+) => {
        Declared {
            name: $name,
            about: $about,
            fields: vec![$(Field { name: $field, kind: $kind, about: $says },)+],
        }
    };
}

/// The lists of a part that are no artifact's results.
pub(super) static LISTS: LazyLock<Vec<Declared>> = LazyLock::new(|| {
    vec![
        list! { "files", "Collected files: what was found under each path.":
            "artifact" "string" "Which artifact asked for it.";
            "path" "string" "The path.";
            "path_b64" "string, base64" "Exact bytes where they are not UTF-8.";
            "type" "string" "file, folder, link, fifo, socket, block_device, char_device, other.";
            "entry" "string" "The entry of this part that holds it.";
            "why_no_entry" "string" "Why none does.";
            "hard_link_of" "string" "Entry of the first name of the same inode.";
            "pieces" "array of objects" "The pieces in this part, where it is larger than a part.";
            "size_bytes" "integer, bytes" "Length of what was read and stored.";
            "claimed_size_bytes" "integer, bytes" "What the system claimed, where it differs.";
            "sha256" "string, hex" "Digest of what was read.";
            "only_extents" "array of objects" "What the digest is over, in a sparse file above a limit.";
            "modified" "time" "Contents last modified, before the open.";
            "accessed" "time" "Last accessed, before the open.";
            "changed" "time" "Metadata last changed, before the open.";
            "created" "time" "Created.";
            "times_after" "object" "The same after the read, where they differ.";
            "changed_while_read" "boolean" "Whether size or times moved while it was read.";
            "read_by" "string" "live, raw_ntfs, proc.";
            "mode" "integer" "Unix mode with type bits.";
            "uid" "integer" "Owner.";
            "gid" "integer" "Group.";
            "inode" "string" "Inode number.";
            "device" "string" "major:minor.";
            "link_count" "integer" "Number of names.";
            "target" "string" "Where a symbolic link leads.";
            "target_b64" "string, base64" "Exact bytes where they are not UTF-8.";
            "xattrs" "array of objects" "Extended attributes.";
        },
        list! { "gaps", "What was asked for and not obtained.":
            "artifact" "string" "Which artifact was to gather it.";
            "subject" "string" "A path, or a fact's name.";
            "path_b64" "string, base64" "Exact bytes of a path where they are not UTF-8.";
            "reason" "string" "Why, from a closed list.";
            "severity" "string" "ordinary or serious.";
            "text" "string" "The system's error, or what is known of how much is missing.";
            "time" "time" "When.";
        },
        list! { "log", "What the agent did.":
            "time" "time" "When.";
            "message" "string" "What.";
            "artifact" "string" "Which artifact was at work.";
        },
    ]
});

/// Every artifact that writes records.
pub(super) static ARTIFACTS: LazyLock<Vec<Declared>> = LazyLock::new(|| read(REFERENCE));

/// What is declared under this name: a list where `is_list`, else an artifact.
pub(super) fn find(name: &str, is_list: bool) -> Option<&'static Declared> {
    let all = if is_list { &*LISTS } else { &*ARTIFACTS };
    all.iter().find(|d| d.name == name)
}

fn read(reference: &'static str) -> Vec<Declared> {
    let sections = reference.split("\n## ").skip(1);
    sections
        .map(section)
        .filter(|d| !d.fields.is_empty())
        .collect()
}

fn section(text: &'static str) -> Declared {
    let (name, rest) = text.split_once('\n').unwrap_or((text, ""));
    let about = rest.trim_start().lines().next().unwrap_or_default();
    let table = rest
        .split_once("\n| field |")
        .map_or("", |(_, table)| table);
    let rows = table.lines().take_while(|line| !line.is_empty());
    Declared {
        name: name.trim(),
        about: about
            .split_once(" Class ")
            .map_or(about, |(about, _)| about),
        fields: rows.filter_map(field).collect(),
    }
}

fn field(row: &'static str) -> Option<Field> {
    let (name, rest) = row.strip_prefix("| `")?.split_once("` | ")?;
    let (kind, about) = rest.split_once(" | ")?;
    let about = about.strip_suffix(" |").unwrap_or(about);
    Some(Field { name, kind, about })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_artifact_of_the_reference_is_read() {
        let names: Vec<_> = ARTIFACTS.iter().map(|d| d.name).collect();
        let headings = REFERENCE.lines().filter_map(|l| l.strip_prefix("## "));
        let with_fields = headings.filter(|name| {
            let (_, from) = REFERENCE.split_once(&format!("\n## {name}\n")).unwrap();
            from.split("\n## ").next().unwrap().contains("\n| field |")
        });
        assert_eq!(names, with_fields.collect::<Vec<_>>());
        for class in protocol::artifacts::CLASSES {
            let heading = format!("\n## {}\n", class.0);
            assert!(REFERENCE.contains(&heading), "{} is not described", class.0);
        }
        let rows = REFERENCE.lines().filter(|l| l.starts_with("| `")).count();
        let options = 9;
        let fields: usize = ARTIFACTS.iter().map(|d| d.fields.len()).sum();
        assert!(
            fields + options <= rows && fields > 150,
            "{fields} of {rows}"
        );
    }

    #[test]
    fn a_field_is_read_whole() {
        let hashes = find("file_hashes", false).unwrap();
        assert_eq!(
            hashes.about,
            "Hashes, times and owners of every file below the given paths."
        );
        let modified = hashes.fields.iter().find(|f| f.name == "modified").unwrap();
        assert_eq!(
            (modified.kind, modified.about),
            ("string, RFC 3339", "mtime")
        );
    }

    #[test]
    fn the_lists_are_those_of_the_format() {
        use evidence::records::{FileRecord, FileType};
        let record = FileRecord::new("a", b"/\xff", FileType::File);
        let json = serde_json::to_value(&record).unwrap();
        let files = find("files", true).unwrap();
        for key in json.as_object().unwrap().keys().filter(|k| *k != "times") {
            assert!(files.fields.iter().any(|f| f.name == key), "{key}");
        }
    }
}
