//! A sink in memory: what an artifact handed over, kept for a test to look at.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use evidence::{archive::Lines, gap::Reason};

use crate::files::{Outside, Pace};

use super::{Artifact, Record, Request, Sink, Stopped};

/// How much of an open file is kept; a test that needs more is a test of something else.
const KEEP_BYTES: u64 = 16 << 20;

/// A gap as the artifact stated it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGap {
    /// What is missing, as text.
    pub subject: String,
    /// The same, exactly.
    pub exact: OsString,
    /// Why.
    pub reason: Reason,
    /// More for people.
    pub text: String,
}

/// What the tree of a running system has.
const KERNELS: [&str; 3] = ["proc", "sys", "run"];

/// Keeps everything in memory, and can stop the run after a number of calls.
#[derive(Debug, Default)]
pub struct MemorySink {
    /// The records, in order.
    pub records: Vec<Record>,
    /// The host paths that were asked to be collected.
    pub files: Vec<PathBuf>,
    /// The host paths whose contents were left out on purpose.
    pub left_out: Vec<PathBuf>,
    /// Name and content of each open file handed over.
    pub open_files: Vec<(String, Vec<u8>)>,
    /// The gaps, in order.
    pub gaps: Vec<SeenGap>,
    /// What the scope left out, in the order of [`Outside::ALL`].
    pub out_of_scope: [u64; 3],
    /// After how many calls the sink says that the run must stop; `None` for never.
    pub stop_after: Option<usize>,
    calls: usize,
}

impl MemorySink {
    /// Runs `artifact` on the tree at `root`, a dead disk's where it has nothing of a kernel, with `options` (an object, or null for none).
    pub fn run(artifact: &dyn Artifact, root: &Path, options: serde_json::Value) -> Self {
        let mut sink = Self::default();
        let options = options.as_object().cloned().unwrap_or_default();
        let request = Request {
            root,
            is_running: root == Path::new("/") || KERNELS.iter().any(|k| root.join(k).exists()),
            paths: &[],
            options: &options,
            own: &[],
            pace: &Pace::free(),
            bounds: None,
        };
        // Nothing stops this sink, so there is no outcome to look at.
        let _ = artifact.collect(&request, &mut sink);
        sink
    }

    /// The keys of the records that `artifact` does not declare in `fields()`.
    pub fn undeclared(&self, artifact: &dyn Artifact) -> Vec<String> {
        let declared = |key: &String| artifact.fields().iter().any(|f| f.name == key);
        let keys = self.records.iter().flat_map(Record::keys);
        let mut wrong: Vec<String> = keys.filter(|k| !declared(k)).cloned().collect();
        wrong.sort();
        wrong.dedup();
        wrong
    }

    fn called(&mut self) -> Result<(), Stopped> {
        if self.stop_after.is_some_and(|most| self.calls >= most) {
            return Err(Stopped);
        }
        self.calls += 1;
        Ok(())
    }
}

impl Sink for MemorySink {
    fn records(&mut self, lines: Lines) -> Result<(), Stopped> {
        for line in lines.text().split(|b| *b == b'\n') {
            if line.is_empty() {
                continue;
            }
            self.called()?;
            let record = serde_json::from_slice(line);
            self.records.push(record.expect("a record is one object"));
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Stopped> {
        self.called()?;
        self.files.push(path.to_owned());
        Ok(())
    }

    fn left_out(&mut self, path: &Path, _: &'static str) -> Result<(), Stopped> {
        self.called()?;
        self.left_out.push(path.to_owned());
        Ok(())
    }

    fn open_file(&mut self, name: &str, open: File) -> Result<(), Stopped> {
        self.called()?;
        let mut bytes = Vec::new();
        match open.take(KEEP_BYTES).read_to_end(&mut bytes) {
            Ok(_) => self.open_files.push((name.to_owned(), bytes)),
            Err(error) => self.gaps.push(SeenGap {
                subject: name.to_owned(),
                exact: name.into(),
                reason: Reason::ReadError,
                text: error.to_string(),
            }),
        }
        Ok(())
    }

    fn missing(&mut self, subject: &OsStr, reason: Reason, text: &str) -> Result<(), Stopped> {
        self.called()?;
        self.gaps.push(SeenGap {
            subject: subject.to_string_lossy().into_owned(),
            exact: subject.to_owned(),
            reason,
            text: text.to_owned(),
        });
        Ok(())
    }

    fn out_of_scope(&mut self, why: Outside, count: u64) {
        self.out_of_scope[why as usize] += count;
    }
}
