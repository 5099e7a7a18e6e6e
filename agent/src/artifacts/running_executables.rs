//! The SHA-256 of every running program, each file once, deleted ones through `/proc/PID/exe`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use evidence::gap::Reason;

use super::source::{has_procfs, number, put, put_bytes, reason_of};
use super::{Artifact, Field, OptionField, OptionKind, Record, Request, Sink, Stopped};
use crate::files::{
    Stat,
    digest::{Digesting, Digests, Done, Wanted},
    record::field,
};
use crate::platform::procfs;

/// A program past this size isn't read, unless the profile says otherwise.
pub(super) const MOST_BYTES: u64 = 2 << 30;

/// The programs that run.
#[derive(Debug)]
pub struct RunningExecutables;

const FIELDS: &[Field] = &[
    field("exe", "string", "The program, as /proc/PID/exe names it."),
    field(
        "exe_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("device", "integer", "Device of the file."),
    field("inode", "integer", "Inode of the file."),
    field(
        "size_bytes",
        "integer, bytes",
        "How many bytes were read and hashed.",
    ),
    field(
        "links",
        "integer",
        "How many names it has; 0 for a deleted file.",
    ),
    field("sha256", "string, hex", "Digest of the content."),
    field("pids", "array of integers", "The processes that run it."),
];

pub(super) struct Program {
    link: PathBuf,
    target: Vec<u8>,
    found: procfs::Identity,
    pub(super) pids: Vec<u32>,
}

impl Program {
    /// What a gap is about.
    pub(super) fn subject(&self) -> &Path {
        &self.link
    }
}

impl Artifact for RunningExecutables {
    fn name(&self) -> &'static str {
        "running_executables"
    }

    fn needs_running(&self) -> bool {
        true
    }

    fn about(&self) -> &'static str {
        "SHA-256 of every running program, deleted ones too."
    }

    fn options(&self) -> &'static [OptionField] {
        &[OptionField {
            name: "hash_file_bytes",
            kind: OptionKind::Number,
            about: "the longest program that is read; 2 GiB",
        }]
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        if !has_procfs(request, sink)? {
            return Ok(());
        }
        let most = number(request, "hash_file_bytes", MOST_BYTES);
        let mut digesting = Digesting::new(Wanted {
            sparse_limit_bytes: u64::MAX,
            ..Wanted::default()
        });
        let programs = programs(&request.root.join("proc"), &|_| true, sink)?;
        digest_each(request, programs, most, &mut digesting, sink, &mut tell)
    }
}

/// Digests each of `programs` that is not longer than `most` bytes, and hands it to `tell`; what can't be had is a gap.
pub(super) fn digest_each(
    request: &Request<'_>,
    programs: Vec<Program>,
    most: u64,
    digesting: &mut Digesting<Program>,
    sink: &mut dyn Sink,
    tell: &mut Tell<'_>,
) -> Result<(), Stopped> {
    let reading = (request.pace, &AtomicBool::new(false));
    for program in programs {
        if program.found.size_bytes > most {
            let size_bytes = program.found.size_bytes;
            let text = format!("{size_bytes} bytes are more than are hashed");
            sink.gap(program.subject(), Reason::Limit, &text)?;
            continue;
        }
        match open_same(&program) {
            Ok((file, stat)) => {
                let done = digesting.add(program, file, &stat, reading);
                done.map_or(Ok(()), |done| tell(done, sink))?;
            }
            Err(error) => sink.gap(program.subject(), gone(&error), &error.to_string())?,
        }
    }
    while let Some(done) = digesting.next(reading) {
        tell(done, sink)?;
    }
    Ok(())
}

/// What is done with a program that was read.
pub(super) type Tell<'a> = dyn FnMut(Done<Program>, &mut dyn Sink) -> Result<(), Stopped> + 'a;

fn tell(done: Done<Program>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let program = done.what;
    match done.outcome {
        Ok(digests) => sink.record(record(&program, &digests)),
        Err(error) => sink.gap(program.subject(), Reason::ReadError, &error.to_string()),
    }
}

/// Every running file of the processes that are `wanted`, once. A kernel thread has none; what may not be seen is one gap in all.
pub(super) fn programs(
    proc: &Path,
    wanted: &dyn Fn(u32) -> bool,
    sink: &mut dyn Sink,
) -> Result<Vec<Program>, Stopped> {
    let mut programs: BTreeMap<(u64, u64), Program> = BTreeMap::new();
    let mut unseen = 0_u64;
    let pids = procfs::pids(proc).unwrap_or_default();
    for pid in pids.into_iter().filter(|pid| wanted(*pid)) {
        let link = proc.join(pid.to_string()).join("exe");
        let seen = procfs::link(&link).and_then(|(_, t)| Ok((t, procfs::identity(&link)?)));
        match seen {
            Ok((target, found)) => {
                let program = programs.entry((found.device, found.inode));
                let program = program.or_insert_with(|| Program {
                    link,
                    target,
                    found,
                    pids: Vec::new(),
                });
                program.pids.push(pid);
            }
            Err(error) => unseen += u64::from(reason_of(&error) == Reason::PermissionDenied),
        }
    }
    if unseen > 0 {
        let text = format!("the programs of {unseen} processes may not be seen");
        sink.gap("/proc/PID/exe", Reason::PermissionDenied, &text)?;
    }
    Ok(programs.into_values().collect())
}

/// Opens it and makes sure that the number still belongs to the same program.
fn open_same(program: &Program) -> std::io::Result<(File, Stat)> {
    let file = procfs::open_regular(&program.link)?;
    let now = procfs::identity(&program.link)?;
    if (now.device, now.inode) == (program.found.device, program.found.inode) {
        let stat = Stat::of_open(&file)?;
        Ok((file, stat))
    } else {
        let text = "the process runs another program now";
        Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text))
    }
}

fn gone(error: &std::io::Error) -> Reason {
    match reason_of(error) {
        Reason::NotFound => Reason::Vanished,
        other => other,
    }
}

fn record(program: &Program, digests: &Digests) -> Record {
    let mut record = Record::new();
    put_bytes(&mut record, "exe", &program.target);
    put(&mut record, "device", program.found.device);
    put(&mut record, "inode", program.found.inode);
    put(&mut record, "size_bytes", digests.read_bytes);
    put(&mut record, "links", program.found.links);
    put(&mut record, "sha256", digests.sha256.to_string());
    put(&mut record, "pids", program.pids.clone());
    record
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::artifacts::testing::MemorySink;

    #[test]
    fn hashes_its_own_program_once() {
        let sink = MemorySink::run(&RunningExecutables, Path::new("/"), serde_json::Value::Null);
        let me = u64::from(std::process::id());
        let mine = |r: &&Record| r["pids"].as_array().is_some_and(|p| p.contains(&me.into()));
        let found: Vec<_> = sink.records.iter().filter(mine).collect();
        assert_eq!(found.len(), 1);
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let expected = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        assert_eq!(found[0]["sha256"], expected);
        assert_eq!(sink.undeclared(&RunningExecutables), Vec::<String>::new());
    }
}
