//! Installed packages: a record for each that dpkg and apk list, and the package databases themselves (RPM's as a
//! file: its formats are parsed at the investigator's).

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use evidence::gap::Reason;
use serde_json::Map;

use super::source::put_bytes;
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::{
    open_file,
    record::field,
    resolve,
    rules::{Rule, rule, sweep},
};

/// No list of packages is longer; what lies beyond is a gap.
const LIST_BYTES: u64 = 256 * 1024 * 1024;
/// A line beyond this is no field that we keep.
const LINE_BYTES: u64 = 64 * 1024;

const FIELDS: &[Field] = &[
    field("manager", "string", "dpkg or apk"),
    field("name", "string", "the package"),
    field(
        "name_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("version", "string", "its version"),
    field(
        "version_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("architecture", "string", "its architecture"),
    field(
        "architecture_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field(
        "status",
        "string",
        "dpkg's three words: wanted, fault, state",
    ),
    field(
        "status_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("maintainer", "string", "who made it, by its own word"),
    field(
        "maintainer_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field("source", "string", "the source package"),
    field(
        "source_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
];

/// Keys of a list's lines, and the names they get in a record.
type Keys = &'static [(&'static str, &'static str)];

/// Manager, its list, and which of its keys stand under which of ours.
const LISTS: &[(&str, &str, Keys)] = &[
    (
        "dpkg",
        "/var/lib/dpkg/status",
        &[
            ("Package", "name"),
            ("Version", "version"),
            ("Architecture", "architecture"),
            ("Status", "status"),
            ("Maintainer", "maintainer"),
            ("Source", "source"),
        ],
    ),
    (
        "apk",
        "/lib/apk/db/installed",
        &[
            ("P", "name"),
            ("V", "version"),
            ("A", "architecture"),
            ("m", "maintainer"),
            ("o", "source"),
        ],
    ),
];

const RULES: &[Rule] = &[
    rule("/var/lib/dpkg/{status,status-old,available,diversions,statoverride}"),
    rule("/var/lib/dpkg/triggers/*"),
    rule("/var/lib/dpkg/status.d/*"),
    rule("/var/lib/dpkg/info/*.{md5sums,preinst,postinst,prerm,postrm}"),
    rule("/var/lib/apt/extended_states"),
    rule("/var/lib/rpm/**"),
    rule("/usr/lib/sysimage/rpm/**"),
    rule("/usr/share/rpm/**"),
    rule("/var/lib/{dnf,yum}/**/*.{sqlite,sqlite-wal,db,toml}"),
    rule("/usr/lib/sysimage/libdnf5/**"),
    rule("/lib/apk/db/{installed,scripts.tar,triggers}"),
    rule("/etc/apk/world"),
    rule("/var/lib/pacman/local/*/desc"),
    rule("/var/lib/snapd/state.json"),
    rule("/var/lib/flatpak/repo/config"),
    rule(
        "/usr/lib/python3*/{site,dist}-packages/*.{dist,egg}-info/{RECORD,INSTALLER,direct_url.json}",
    ),
    rule(
        "/usr/local/lib/python3*/{site,dist}-packages/*.{dist,egg}-info/{RECORD,INSTALLER,direct_url.json}",
    ),
];

/// The artifact.
#[derive(Debug)]
pub struct Packages;

impl Artifact for Packages {
    fn name(&self) -> &'static str {
        "packages"
    }

    fn about(&self) -> &'static str {
        "Installed packages and the databases of the package managers."
    }

    fn files(&self) -> Vec<&'static str> {
        RULES.iter().map(|r| r.pattern).collect()
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        for (manager, path, keys) in LISTS {
            list(request.root, manager, Path::new(path), keys, sink)?;
        }
        sweep(request.place(), RULES, &[], sink)
    }
}

fn list(
    root: &Path,
    manager: &str,
    path: &Path,
    keys: &[(&str, &str)],
    sink: &mut dyn Sink,
) -> Result<(), Stopped> {
    let opened = match resolve(root, path).and_then(|path| open_file(root, &path)) {
        Ok(opened) => opened,
        // Another manager's host.
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return sink.gap(path, error.reason(), &error.to_string()),
    };
    let mut reader = BufReader::new(opened.file.take(LIST_BYTES));
    let mut record = Map::new();
    loop {
        let mut line = Vec::new();
        match reader
            .by_ref()
            .take(LINE_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                let text = format!("The list can't be read to its end: {error}.");
                return sink.gap(path, Reason::ReadError, &text);
            }
        }
        match line.trim_ascii_end() {
            b"" => write(manager, std::mem::take(&mut record), sink)?,
            line => keep(&mut record, line, keys),
        }
    }
    if reader.get_ref().limit() == 0 {
        sink.gap(
            path,
            Reason::Limit,
            "The list passes 256 MiB; its end has no records.",
        )?;
    }
    write(manager, record, sink)
}

fn keep(record: &mut Record, line: &[u8], keys: &[(&str, &str)]) {
    let Some(at) = line.iter().position(|b| *b == b':') else {
        return;
    };
    let (key, value) = (&line[..at], line[at + 1..].trim_ascii());
    if let Some((_, name)) = keys.iter().find(|(k, _)| k.as_bytes() == key) {
        put_bytes(record, name, value);
    }
}

fn write(manager: &str, mut record: Record, sink: &mut dyn Sink) -> Result<(), Stopped> {
    if record.is_empty() {
        return Ok(());
    }
    record.insert("manager".to_owned(), manager.into());
    sink.record(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::testing::MemorySink;

    #[test]
    fn a_record_for_each_package() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("var/lib/dpkg")).unwrap();
        let text = b"Package: a\nStatus: install ok installed\nDescription: x\n Version: trap\nVersion: 1\n\n\nPackage: \xff\nno colon\n";
        std::fs::write(tree.path().join("var/lib/dpkg/status"), text).unwrap();
        let sink = MemorySink::run(&Packages, tree.path(), serde_json::Value::Null);
        assert_eq!(sink.records.len(), 2);
        assert_eq!(sink.records[0]["version"], "1");
        assert_eq!(sink.records[0]["status"], "install ok installed");
        assert_eq!(sink.records[1]["name_b64"], "/w==");
        assert!(sink.undeclared(&Packages).is_empty());
        assert!(sink.gaps.is_empty());
        assert_eq!(sink.files.len(), 1);
    }
}
