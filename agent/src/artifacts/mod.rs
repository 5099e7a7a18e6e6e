//! The registry of artifacts, in order of volatility (RFC 3227), and the one way out of an artifact.

pub mod accounts;
pub mod connections;
pub mod containers;
pub mod file_hashes;
pub mod hunt;
pub mod kernel;
pub mod logs;
pub mod mounts;
pub mod named_files;
mod namespaces;
pub mod network;
pub mod packages;
pub(crate) mod passwd;
pub mod persistence;
pub mod processes;
pub mod reference;
pub mod running_executables;
pub mod sessions;
pub mod shell_history;
pub(crate) mod source;
pub mod system;
#[doc(hidden)]
pub mod testing;

use std::{ffi::OsStr, path::Path};

use evidence::{archive::Lines, gap::Reason, instant::Instant};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::files::{Bounds, Outside, Pace};

/// One field of an artifact's records, for the reference that is generated from the code.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The JSON key.
    pub name: &'static str,
    /// Its JSON type, and unit where it has one ("integer, bytes").
    pub kind: &'static str,
    /// What it says and where it comes from.
    pub about: &'static str,
}

/// What an option of an artifact takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// `true` or `false`; without it, false.
    Flag,
    /// A whole number from 0 on.
    Number,
    /// A list of whole numbers.
    Numbers,
    /// A list of texts.
    Texts,
    /// Words without blanks: a list of them, or one text that holds them all.
    Words,
    /// A time, RFC 3339.
    Time,
}

impl OptionKind {
    /// What it takes, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Number => "a whole number",
            Self::Numbers => "a list of whole numbers",
            Self::Texts => "a list of texts",
            Self::Words => "words, as a list or as one text",
            Self::Time => "a time (RFC 3339)",
        }
    }

    fn takes(self, value: &Value) -> bool {
        let all = |of: fn(&Value) -> bool| value.as_array().is_some_and(|v| v.iter().all(of));
        match self {
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_u64(),
            Self::Numbers => all(Value::is_u64),
            Self::Texts => all(Value::is_string),
            Self::Words => value.is_string() || all(Value::is_string),
            Self::Time => value.as_str().and_then(Instant::parse).is_some(),
        }
    }
}

/// One option that a profile may give an artifact.
#[derive(Debug, Clone, Copy)]
pub struct OptionField {
    /// Its key.
    pub name: &'static str,
    /// What it takes.
    pub kind: OptionKind,
    /// What it does, and what holds without it.
    pub about: &'static str,
}

/// Why `artifact` can't take `value` for `option`, where it can't.
pub fn option_fault(artifact: &dyn Artifact, option: &str, value: &Value) -> Option<String> {
    let without = match artifact.asked() {
        Asked::Criteria => "nothing was looked for",
        Asked::Nothing | Asked::Paths => "the artifact was gathered without it",
    };
    match artifact.options().iter().find(|o| o.name == option) {
        None => Some(format!("this agent doesn't know the option; {without}")),
        Some(known) if known.kind.takes(value) => None,
        Some(known) => Some(format!("the option is {}; {without}", known.kind.words())),
    }
}

/// A record: one JSON object, one line in `results/NAME.jsonl`.
pub type Record = Map<String, Value>;

/// What a run was asked for, as an artifact may know it.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Where the host's tree begins: `/`, or a fixture in tests. Every path is joined to it.
    pub root: &'a Path,
    /// Whether that is the tree of a system that runs: what only a kernel tells is looked for there alone.
    pub is_running: bool,
    /// The roots of a walk, as asked for (file hashes).
    pub paths: &'a [std::path::PathBuf],
    /// The artifact's options from the profile.
    pub options: &'a Map<String, Value>,
    /// Folders of the agent itself, as host paths: nothing below them is read.
    pub own: &'a [std::path::PathBuf],
    /// How fast to read, and whether to stop.
    pub pace: &'a Pace,
    /// The order's scope, where it has one: nothing outside it is read.
    pub bounds: Option<&'a Bounds>,
}

impl<'a> Request<'a> {
    /// Where a sweep goes, and what bounds it.
    pub fn place(&self) -> (&'a Path, Option<&'a Bounds>) {
        (self.root, self.bounds)
    }
}

/// What an artifact tells of, for an order's scope to leave out what it must. Whatever an artifact claims to be, a record
/// that lacks what its scope is judged by is left out, and every file that it names is judged before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The host as it is now: left out whole where the scope names users or paths, or a time that is not now.
    Host,
    /// As `Host`, but each record names its user's id in this field.
    Users(&'static str),
    /// What happened: each record has `uid` or `user`, and `time`.
    Events,
    /// Files, each judged by itself. Each record is of one: its `path`, its owner's `uid`, its times `modified` and
    /// `changed` (and `born`, where known). What such an artifact reads itself it judges first, by the request's bounds.
    Files,
}

/// What an artifact must be told to do anything at all. One that must be told something is in no profile of everything,
/// and what it can't do weighs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: its name is enough.
    Nothing,
    /// What to look for. With an option that it can't read it looks for nothing: "no hits" would be a lie.
    Criteria,
    /// Which files, each by its path.
    Paths,
}

/// The run must stop: no more may be written (cancelled, full, out of time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the collection was stopped")]
pub struct Stopped;

/// The only way out of an artifact: a file, a record, or a gap.
pub trait Sink {
    /// Writes records of this artifact.
    ///
    /// # Errors
    /// The run must stop.
    fn records(&mut self, lines: Lines) -> Result<(), Stopped>;

    /// Collects the file at `path` (host path, from the host's root) whole; a failure is a gap that the sink writes.
    ///
    /// # Errors
    /// The run must stop.
    fn file(&mut self, path: &Path) -> Result<(), Stopped>;

    /// Records the file at `path` without its contents, which are left out on purpose: `why`.
    ///
    /// # Errors
    /// The run must stop.
    fn left_out(&mut self, path: &Path, why: &'static str) -> Result<(), Stopped>;

    /// Collects `open` (a deleted or in-memory file) under `name` below the results.
    ///
    /// # Errors
    /// The run must stop.
    fn open_file(&mut self, name: &str, open: std::fs::File) -> Result<(), Stopped>;

    /// Says that something asked for was not obtained; `subject` keeps its exact bytes.
    ///
    /// # Errors
    /// The run must stop.
    fn missing(&mut self, subject: &OsStr, reason: Reason, text: &str) -> Result<(), Stopped>;

    /// Counts files and folders that the order's scope left out. Their number is told at the end, their names never: they
    /// may be what the scope protects.
    fn out_of_scope(&mut self, why: Outside, count: u64);
}

impl dyn Sink + '_ {
    /// Writes one record of this artifact.
    ///
    /// # Errors
    /// The run must stop.
    pub fn record(&mut self, record: impl Serialize) -> Result<(), Stopped> {
        let mut lines = Lines::default();
        match lines.push(&record) {
            Ok(()) => self.records(lines),
            Err(error) => self.gap("record", Reason::Unsupported, &error.to_string()),
        }
    }

    /// Says that something asked for was not obtained.
    ///
    /// # Errors
    /// The run must stop.
    pub fn gap(
        &mut self,
        subject: impl AsRef<OsStr>,
        reason: Reason,
        text: &str,
    ) -> Result<(), Stopped> {
        self.missing(subject.as_ref(), reason, text)
    }
}

/// One kind of evidence.
pub trait Artifact: Sync {
    /// The name in profiles and of `results/NAME.jsonl`: lower case, words joined by `_`.
    fn name(&self) -> &'static str;
    /// One sentence for people.
    fn about(&self) -> &'static str;
    /// Whether it belongs into part 1 (state that is gone in seconds).
    fn volatile(&self) -> bool {
        false
    }
    /// Whether it walks the paths of the profile or order.
    fn walks(&self) -> bool {
        false
    }
    /// What it must be told.
    fn asked(&self) -> Asked {
        Asked::Nothing
    }
    /// Whether all that it tells is told by a running system: then a dead disk has nothing of it.
    fn needs_running(&self) -> bool {
        false
    }
    /// What it tells of. The sink leaves out what an order's scope does not take in.
    fn extent(&self) -> Extent {
        Extent::Host
    }
    /// The options that it knows.
    fn options(&self) -> &'static [OptionField] {
        &[]
    }
    /// The patterns of the files that it takes.
    fn files(&self) -> Vec<&'static str> {
        Vec::new()
    }
    /// The fields of its records; empty when it writes none.
    fn fields(&self) -> &'static [Field];
    /// Gathers it.
    ///
    /// # Errors
    /// Only when the run must stop; everything else is a gap.
    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped>;
}

/// Every artifact, the most volatile first.
pub const ARTIFACTS: &[&dyn Artifact] = &[
    &processes::Processes,
    &connections::Connections,
    &hunt::processes::HuntProcesses,
    &hunt::connections::HuntConnections,
    &network::Network,
    &sessions::Sessions,
    &kernel::Kernel,
    &mounts::Mounts,
    &running_executables::RunningExecutables,
    &system::System,
    &accounts::Accounts,
    &persistence::Persistence,
    &packages::Packages,
    &containers::Containers,
    &shell_history::ShellHistory,
    &logs::Logs,
    &file_hashes::FileHashes,
    &hunt::files::HuntFiles,
    &named_files::NamedFiles,
];

/// The artifact called `name`.
pub fn find(name: &str) -> Option<&'static dyn Artifact> {
    ARTIFACTS.iter().copied().find(|a| a.name() == name)
}

#[cfg(test)]
mod registry_tests;
