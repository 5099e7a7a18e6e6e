//! eBPF without the bpf call, which would need a capability that the reader does not take: pins in
//! bpffs, objects that processes hold, and compiled programs among the kernel's symbols.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

use evidence::gap::Reason;

use crate::artifacts::processes::open_descriptors;
use crate::artifacts::source::{put, put_bytes, reason_of};
use crate::artifacts::{Record, Request, Sink, Stopped};
use crate::platform::{names::OsStrExt as _, procfs};

use super::file_systems::BPFFS;

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
    let Some(pins) = BPFFS.folder(request, sink)? else {
        return Ok(());
    };
    let mut folders: Vec<(PathBuf, usize)> = vec![(PathBuf::from(pins), 0)];
    let mut count = 0;
    while let Some((folder, depth)) = folders.pop() {
        let below = folder.strip_prefix("/").unwrap_or(&folder);
        let entries = std::fs::read_dir(request.root.join(below)).and_then(Iterator::collect);
        let entries: Vec<std::fs::DirEntry> = match entries {
            Ok(entries) => entries,
            Err(error) => {
                sink.gap(folder, reason_of(&error), &error.to_string())?;
                continue;
            }
        };
        for entry in entries {
            let name = entry.file_name();
            let path = folder.join(&name);
            if count >= MOST_PINS || depth >= DEEPEST {
                return sink.gap(
                    pins,
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
            put_bytes(&mut record, "name", name.as_bytes());
            put_bytes(&mut record, "path", path.as_os_str().as_bytes());
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = "this kernel shows no symbols, so compiled eBPF programs can't be seen";
            return sink.gap(PATH, Reason::Unsupported, text);
        }
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
    fn a_pin_keeps_its_exact_bytes_and_objects_that_are_held_are_told() {
        use crate::artifacts::{kernel::Kernel, testing::MemorySink};
        use std::{ffi::OsStr, fs, os::unix::fs::symlink};
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("sys/fs/bpf")).unwrap();
        fs::write(at("sys/fs/bpf").join(OsStr::from_bytes(b"p\xff")), "").unwrap();
        fs::create_dir_all(at("proc/7/fd")).unwrap();
        fs::create_dir_all(at("proc/7/fdinfo")).unwrap();
        symlink("anon_inode:bpf-prog", at("proc/7/fd/4")).unwrap();
        fs::write(at("proc/7/fdinfo/4"), "pos:\t0\nprog_type:\t2\n").unwrap();
        fs::write(at("proc/kallsyms"), "0 t bpf_prog_6d_x\t[bpf]\n").unwrap();
        let sink = MemorySink::run(&Kernel, root.path(), serde_json::Value::Null);
        let of = |kind: &str| sink.records.iter().find(|r| r["kind"] == kind).unwrap();
        let encoded = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
        let pin = of("bpf_pinned");
        assert_eq!(pin["name_b64"], encoded(b"p\xff"));
        assert_eq!(pin["path_b64"], encoded(b"/sys/fs/bpf/p\xff"));
        let held = of("bpf_held");
        assert_eq!((&held["pid"], &held["fd"]), (&7.into(), &4.into()));
        assert_eq!(held["object"], "prog");
        assert_eq!(held["properties"]["prog_type"], "2");
        assert_eq!(of("bpf_loaded")["name"], "bpf_prog_6d_x");
        assert_eq!(sink.undeclared(&Kernel), Vec::<String>::new());
    }

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
