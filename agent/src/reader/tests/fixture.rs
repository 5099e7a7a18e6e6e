//! A host's tree, an output folder, and artifacts made for a test.

use std::{
    collections::HashMap,
    fs,
    io::{Cursor, Read as _},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Duration,
};

use evidence::{
    digest::Digest,
    gap::{Gap, Reason},
    ids::CollectionId,
    records::{CollectionRecord, FileRecord},
};
use protocol::{messages::Progress, profile::Limits, scope::Scope};
use serde_json::{Map, Value, json};

use crate::{
    artifacts::{Artifact, Extent, Field, Request, Sink, Stopped},
    config::{Plan, Wanted},
    courier::{local, room::Floor},
    link::Link,
    platform::{sandbox::Walls, socket},
    reader::{
        collect::{CollectError, run_with},
        outcome::Outcome,
        port::LinkPort,
        seal::Seal,
        task::{Authority, Position, Task, Watch},
        waits::Host,
    },
};

pub(super) const ID: CollectionId = CollectionId::from_bytes([7; 16]);

/// What a test artifact says.
type Speech = Box<dyn Fn(&mut dyn Sink) -> Result<(), Stopped> + Send + Sync>;

/// An artifact that says what a test wants.
pub(super) struct Says {
    name: &'static str,
    is_volatile: bool,
    extent: Extent,
    speech: Speech,
}

impl Artifact for Says {
    fn name(&self) -> &'static str {
        self.name
    }
    fn about(&self) -> &'static str {
        "A test's."
    }
    fn volatile(&self) -> bool {
        self.is_volatile
    }
    fn extent(&self) -> Extent {
        self.extent
    }
    fn fields(&self) -> &'static [Field] {
        &[]
    }
    fn collect(&self, _: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        (self.speech)(sink)
    }
}

pub(super) fn says(
    name: &'static str,
    speech: impl Fn(&mut dyn Sink) -> Result<(), Stopped> + Send + Sync + 'static,
) -> &'static dyn Artifact {
    telling(Extent::Host, name, speech)
}

pub(super) fn volatile(
    name: &'static str,
    speech: impl Fn(&mut dyn Sink) -> Result<(), Stopped> + Send + Sync + 'static,
) -> &'static dyn Artifact {
    artifact(name, true, Extent::Host, Box::new(speech))
}

/// An artifact of which a scope may take some.
pub(super) fn telling(
    extent: Extent,
    name: &'static str,
    speech: impl Fn(&mut dyn Sink) -> Result<(), Stopped> + Send + Sync + 'static,
) -> &'static dyn Artifact {
    artifact(name, false, extent, Box::new(speech))
}

fn artifact(
    name: &'static str,
    is_volatile: bool,
    extent: Extent,
    speech: Speech,
) -> &'static dyn Artifact {
    Box::leak(Box::new(Says {
        name,
        is_volatile,
        extent,
        speech,
    }))
}

/// An artifact that names `paths`.
pub(super) fn files(name: &'static str, paths: &[&str]) -> &'static dyn Artifact {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    says(name, move |sink| {
        paths.iter().try_for_each(|p| sink.file(p))
    })
}

/// A host's tree and an output folder, both temporary.
pub(super) struct Fixture {
    pub(super) host: tempfile::TempDir,
    pub(super) output: tempfile::TempDir,
    pub(super) part_bytes: u64,
    pub(super) limits: Limits,
    pub(super) patience: Duration,
    pub(super) floor: Floor,
    pub(super) position: Option<Position>,
    pub(super) scope: Option<Scope>,
    pub(super) is_running: bool,
    wanted: Vec<Wanted>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self {
            host: tempfile::tempdir().unwrap(),
            output: tempfile::tempdir().unwrap(),
            part_bytes: 1 << 30,
            limits: Limits::default(),
            patience: Duration::from_secs(60),
            floor: Floor::NONE,
            position: None,
            scope: None,
            is_running: true,
            wanted: Vec::new(),
        }
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.host.path().join(path)
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8]) {
        let at = self.path(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    }

    /// Wants an artifact with options, beside or instead of what is given to [`Self::collect`].
    pub(super) fn wants(&mut self, name: &str, options: Value) {
        self.wanted.push(Wanted {
            name: name.to_owned(),
            options: options.as_object().cloned().unwrap_or_default(),
        });
    }

    fn plan(&self, artifacts: &[&'static dyn Artifact]) -> Plan {
        let mut wanted = self.wanted.clone();
        for artifact in artifacts {
            if !wanted.iter().any(|w| w.name == artifact.name()) {
                wanted.push(Wanted {
                    name: artifact.name().to_owned(),
                    options: Map::new(),
                });
            }
        }
        Plan {
            is_running: self.is_running,
            root: self.host.path().to_path_buf(),
            profile: "test".into(),
            profile_sha256: Digest::of(b""),
            wanted,
            paths: vec![PathBuf::from("/")],
            limits: self.limits.clone(),
            output: self.output.path().to_path_buf(),
            own: vec![PathBuf::from("/own/output")],
            recipients: Vec::new(),
            case: None,
            scope: self.scope.clone(),
            part_bytes: self.part_bytes,
            background: false,
            walls: Walls::default(),
            patience: self.patience,
            foreseen: Vec::new(),
            host: Host::default(),
        }
    }

    /// Runs `artifacts` to the end of the chain, followed by `watch`.
    pub(super) fn run(
        &self,
        artifacts: &[&'static dyn Artifact],
        watch: &dyn Watch,
    ) -> Result<Outcome, CollectError> {
        let (ours, theirs) = socket::pair().unwrap();
        let (output, floor) = (self.output.path().to_path_buf(), self.floor);
        let half = thread::spawn(move || local::serve(theirs, &output, floor));
        let plan = self.plan(artifacts);
        let task = Task {
            plan: &plan,
            collection: ID,
            seal: Seal::for_run().unwrap(),
            authority: Authority::default(),
            attempt: 1 + u32::from(self.position.is_some()),
            position: self.position.clone(),
            sealing: None,
        };
        let port = LinkPort::greet(Link::new(ours)).unwrap();
        let outcome = run_with(task, &port, watch, Box::leak(artifacts.into()));
        drop(port);
        half.join().unwrap().unwrap();
        outcome
    }

    /// Runs `artifacts`, and opens all parts again.
    pub(super) fn collect(&self, artifacts: &[&'static dyn Artifact]) -> Vec<Part> {
        let outcome = self.run(artifacts, &Follows::default()).unwrap();
        assert_eq!(outcome.ended_early, None);
        self.parts()
    }

    /// The parts that lie in the output, in order.
    pub(super) fn parts(&self) -> Vec<Part> {
        let folder = self.output.path().join(ID.to_string());
        (1..)
            .map(|n| folder.join(format!("part-{n:04}.zip")))
            .take_while(|path| path.exists())
            .map(|path| Part::open(&path))
            .collect()
    }
}

/// Follows a run, and stops it when told.
#[derive(Default)]
pub(super) struct Follows {
    pub(super) stop: Mutex<Option<String>>,
    pub(super) positions: Mutex<Vec<Position>>,
    pub(super) progress: Mutex<Progress>,
}

impl Watch for Follows {
    fn progress(&self, progress: &Progress) {
        *self.progress.lock().unwrap() = progress.clone();
    }
    fn durable(&self, position: &Position) -> Result<(), String> {
        self.positions.lock().unwrap().push(position.clone());
        Ok(())
    }
    fn stop(&self) -> Option<(Reason, String)> {
        let why = self.stop.lock().unwrap().clone()?;
        Some((Reason::Interrupted, why))
    }
}

/// A part, unpacked in memory.
pub(super) struct Part {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: HashMap<String, Vec<u8>>,
}

impl Part {
    fn open(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
        let mut entries = HashMap::new();
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            entries.insert(entry.name().unwrap().into_owned(), content);
        }
        Self { bytes, entries }
    }

    pub(super) fn lines<T: serde::de::DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let text = self.entries.get(name).map_or(&[][..], Vec::as_slice);
        serde_json::Deserializer::from_slice(text)
            .into_iter()
            .map(Result::unwrap)
            .collect()
    }

    pub(super) fn record(&self) -> CollectionRecord {
        CollectionRecord::parse(&self.entries["collection.json"]).unwrap()
    }

    pub(super) fn file(&self, path: &str) -> FileRecord {
        let mut all = self.lines::<FileRecord>("files.jsonl").into_iter();
        all.find(|f| f.path == path).unwrap()
    }
}

/// The gaps of all parts.
pub(super) fn gaps(parts: &[Part]) -> Vec<Gap> {
    parts.iter().flat_map(|p| p.lines("gaps.jsonl")).collect()
}

/// The record of `path`, in whichever part.
pub(super) fn file(parts: &[Part], path: &str) -> FileRecord {
    let mut all = parts
        .iter()
        .flat_map(|p| p.lines::<FileRecord>("files.jsonl"));
    all.find(|f| f.path == path).unwrap()
}

pub(super) fn record(n: u64) -> Map<String, Value> {
    let Value::Object(record) = json!({"n": n}) else {
        unreachable!()
    };
    record
}
