//! eBPF without the bpf call, which would need a capability that the reader does not take: pins in
//! bpffs, objects that processes hold, and compiled programs among the kernel's symbols.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

use evidence::gap::Reason;

use crate::artifacts::processes::open_descriptors;
use crate::artifacts::source::{put, reason_of};
use crate::artifacts::{Record, Request, Sink, Stopped};
use crate::platform::procfs;

const PINS: &str = "/sys/fs/bpf";
/// More pins than are listed, and deeper than is looked.
const MOST_PINS: usize = 10_000;
const DEEPEST: usize = 16;
/// How much of the kernel's symbols is read.
const SYMBOLS: u64 = 64 << 20;
/// So much of them at once.
const READ: usize = 64 << 10;

/// Writes what can be known of eBPF.
pub(super) fn collect(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    pinned(request, sink)?;
    held(request, sink)?;
    compiled(request, sink)
}

fn of_kind(kind: &str) -> Record {
    let mut record = Record::new();
    put(&mut record, "kind", kind);
    record
}

fn pinned(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let mut folders: Vec<(PathBuf, usize)> = vec![(PathBuf::from(PINS), 0)];
    let mut count = 0;
    while let Some((folder, depth)) = folders.pop() {
        let below = folder.strip_prefix("/").unwrap_or(&folder);
        let entries = match std::fs::read_dir(request.root.join(below)) {
            Ok(entries) => entries,
            Err(error) if depth == 0 && error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => {
                let subject = folder.to_string_lossy();
                sink.gap(&subject, reason_of(&error), &error.to_string())?;
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            if count >= MOST_PINS || depth >= DEEPEST {
                return sink.gap(
                    PINS,
                    Reason::Limit,
                    "more pins, or deeper ones, are not listed",
                );
            }
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                folders.push((path, depth + 1));
                continue;
            }
            count += 1;
            let mut record = of_kind("bpf_pinned");
            put(
                &mut record,
                "name",
                entry.file_name().to_string_lossy().into_owned(),
            );
            put(&mut record, "path", path.to_string_lossy().into_owned());
            sink.record(record)?;
        }
    }
    Ok(())
}

/// Programs, maps and links that a process has open: fdinfo tells type, id and tag.
fn held(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let proc = request.root.join("proc");
    for pid in procfs::pids(&proc).unwrap_or_default() {
        let folder = proc.join(pid.to_string());
        // What may not be seen here is a gap of `processes` and `connections` already.
        let Ok((open, _, _)) = open_descriptors(&folder) else {
            continue;
        };
        for file in open {
            let target = String::from_utf8_lossy(&file.target);
            let Some(object) = object(&target) else {
                continue;
            };
            let mut record = of_kind("bpf_held");
            put(&mut record, "pid", pid);
            put(&mut record, "fd", file.number);
            put(&mut record, "object", object);
            let about = folder.join("fdinfo").join(file.number.to_string());
            if let Ok(read) = procfs::read_capped(&about, 1 << 16) {
                let text = String::from_utf8_lossy(&read.bytes);
                let pairs = text.lines().filter_map(|l| l.split_once(':'));
                let told: Record = pairs
                    .map(|(k, v)| (k.to_owned(), v.trim().into()))
                    .collect();
                put(&mut record, "properties", told);
            }
            sink.record(record)?;
        }
    }
    Ok(())
}

/// `anon_inode:bpf-prog` and its kin.
fn object(target: &str) -> Option<&str> {
    let name = target.strip_prefix("anon_inode:")?.trim_matches(['[', ']']);
    match name {
        "btf" => Some(name),
        _ => name
            .strip_prefix("bpf-")
            .or_else(|| name.strip_prefix("bpf_")),
    }
}

/// Every program that was compiled has a symbol, whoever holds it.
fn compiled(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    const PATH: &str = "/proc/kallsyms";
    let file = match procfs::open_regular(&request.root.join(&PATH[1..])) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return sink.gap(PATH, reason_of(&error), &error.to_string()),
    };
    let mut symbols = BufReader::with_capacity(READ, file.take(SYMBOLS));
    let mut line = String::new();
    loop {
        line.clear();
        match symbols.read_line(&mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return sink.gap(PATH, reason_of(&error), &error.to_string()),
        }
        if let Some(name) = program(line.trim_end()) {
            let mut record = of_kind("bpf_loaded");
            put(&mut record, "name", name);
            sink.record(record)?;
        }
    }
    Ok(())
}

fn program(line: &str) -> Option<&str> {
    let symbol = line.strip_suffix("[bpf]")?.trim_end();
    symbol.split_ascii_whitespace().nth(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_objects_and_programs_by_their_names() {
        assert_eq!(object("anon_inode:bpf-prog"), Some("prog"));
        assert_eq!(object("anon_inode:bpf_link"), Some("link"));
        assert_eq!(object("anon_inode:[eventpoll]"), None);
        assert_eq!(
            program("0 t bpf_prog_6deef7357e7b4530_x\t[bpf]"),
            Some("bpf_prog_6deef7357e7b4530_x")
        );
        assert_eq!(program("0 t tcp_v4_rcv"), None);
    }
}
