//! What a collection will do: a profile and what was said beside it, judged once, so that all else receives values.

use std::{
    collections::BTreeMap,
    fs, io,
    num::NonZero,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use evidence::{
    archive::PartLimits,
    digest::Digest,
    gap::Reason,
    records::{DeadDisk, HostIdentity},
    wrap::Recipient,
};
use protocol::{
    hours::Hours,
    profile::{self, Chosen, Limits, Parameters, Profile, ProfileError},
    scope::Scope,
};
use serde_json::{Map, Value};

use crate::{
    artifacts,
    cli::CollectArgs,
    host,
    platform::{procfs, sandbox::Walls},
    reader::waits::Host,
};

/// The default length of a part: small enough for FAT32 and for starting an upload again.
pub const PART_BYTES: u64 = 1 << 30;
/// The agent's memory where neither profile nor host say otherwise.
pub const MEMORY_BYTES: u64 = 64 << 20;
/// What both processes take before a part is opened, and what each part that is being filled may take more.
const BASE_BYTES: u64 = 24 << 20;
const LANE_BYTES: u64 = 16 << 20;
/// A part's directory waits in memory, some 600 bytes an entry while it grows. With 20,000 the agent passes its 64 MiB
/// where a walk runs beside two lanes (ARCHITECTURE.md has the figures).
const PART_ENTRIES: u64 = 10_000;
/// The waiting index of a part, deflated.
const INDEX_BYTES: u64 = 4 << 20;
/// Where memory is short, parts close sooner, down to this share of what they may hold else.
const LEAST_SHARE: u64 = 10;
/// Entries that describe a part and come last.
const CLOSING_BYTES: u64 = 8 << 20;
/// No disk that works leaves a read unanswered for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One artifact that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its name; an unknown one becomes a gap.
    pub name: String,
    /// Its options; an unknown one becomes a gap.
    pub options: Map<String, Value>,
}

/// What the host and the way of collecting say, whatever the profile.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The folder that takes the collection's own, as the outcome names it.
    pub output: PathBuf,
    /// Folders of the agent itself: nothing below them is read.
    pub own: Vec<PathBuf>,
    /// To whom it is encrypted; nobody where it was told to stay readable.
    pub recipients: Vec<Recipient>,
    /// The case.
    pub case: Option<String>,
    /// The host's own limits: the stricter of these and the profile's hold.
    pub limits: Limits,
    /// Whether it runs only when nothing else wants the processor.
    pub background: bool,
    /// The walls around the half that reads.
    pub walls: Walls,
}

/// A collection that can begin.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the host's tree begins, absolute and without links.
    pub root: PathBuf,
    /// Whether that tree is of a system that runs; otherwise it is a dead disk's.
    pub is_running: bool,
    /// The profile's name.
    pub profile: String,
    /// The digest of its text.
    pub profile_sha256: Digest,
    /// The artifacts, as the profile names them.
    pub wanted: Vec<Wanted>,
    /// The roots of a walk.
    pub paths: Vec<PathBuf>,
    /// What the run may cost; 0 is no limit.
    pub limits: Limits,
    /// The folder that takes the collection's own, absolute and without links.
    pub output: PathBuf,
    /// Folders of the agent itself: nothing below them is read.
    pub own: Vec<PathBuf>,
    /// To whom it is encrypted; nobody where it was told to stay readable.
    pub recipients: Vec<Recipient>,
    /// The case.
    pub case: Option<String>,
    /// What may be gathered at all.
    pub scope: Option<Scope>,
    /// How long a part may become.
    pub part_bytes: u64,
    /// Whether it runs only when nothing else wants the processor.
    pub background: bool,
    /// The walls around the half that reads.
    pub walls: Walls,
    /// For how long the host may leave one read unanswered before it is given up.
    pub patience: Duration,
    /// Gaps that are known before anything is gathered.
    pub foreseen: Vec<Foreseen>,
    /// How it is known what the host runs on, and which hour it is there.
    pub host: Host,
}

/// A gap that is known before the collection begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// What would have gathered it.
    pub artifact: &'static str,
    /// What is missing: a path or a fact.
    pub subject: Vec<u8>,
    /// Why.
    pub reason: Reason,
    /// The same for people.
    pub text: String,
}

impl Foreseen {
    /// See the fields.
    pub fn new(artifact: &'static str, subject: &[u8], reason: Reason, text: String) -> Self {
        Self {
            artifact,
            subject: subject.to_vec(),
            reason,
            text,
        }
    }
}

/// What was asked for can't be.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The disk's tree is not there.
    #[error("{path} can't be collected from: {source}. Mount the disk there, read-only, first.")]
    Disk {
        /// Where it should be mounted.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is this host, or nothing that can be named.
    #[error(
        "{0} leads to this host's own tree, or by a link that can't be followed by name. Mount the disk somewhere, or bind-mount the tree, and name that folder."
    )]
    NoDisk(PathBuf),
    /// The disk would be written to.
    #[error(
        "{0} lies on the disk that is collected from, and nothing is written there. Name a folder elsewhere."
    )]
    OutputOnDisk(PathBuf),
    /// The profile, or what an order adds to it, makes no sense.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The profile's file can't be read.
    #[error(
        "the profile {path} can't be read: {source}. Give a built-in name, or a file that ends in .yaml."
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Paths without anything that walks.
    #[error(
        "the profile {0:?} has no artifact that walks, so a path means nothing to it. Leave the path out, or choose a profile with file_hashes or files."
    )]
    NothingWalks(String),
    /// A recipient is no age recipient.
    #[error(transparent)]
    Recipient(#[from] evidence::wrap::WrapError),
    /// The output folder can't be used.
    #[error(
        "the output folder {path} can't be used: {source}. Make the folder above it, or choose another."
    )]
    Output {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A path of a walk isn't one that can be sent.
    #[error("{0} is no text in UTF-8, which --path must be. Name a folder above it.")]
    NoText(PathBuf),
}

impl Plan {
    /// The plan that the profile `yaml`, with what an order adds to it, makes in `setting`.
    ///
    /// # Errors
    /// The profile is not valid, or `parameters` don't fit it.
    pub fn from_profile(
        yaml: &str,
        parameters: &Parameters,
        setting: Setting,
    ) -> Result<Self, PlanError> {
        let profile = parameters.apply(Profile::parse(yaml)?)?;
        let walks = |c: &Chosen| artifacts::find(c.name.as_str()).is_some_and(|a| a.walks());
        if !parameters.paths.is_empty() && !profile.artifacts.iter().any(walks) {
            return Err(PlanError::NothingWalks(profile.name.to_string()));
        }
        let wanted = profile.artifacts.into_iter().map(|chosen| Wanted {
            name: chosen.name.to_string(),
            options: chosen.options,
        });
        Ok(Self {
            root: PathBuf::from("/"),
            is_running: true,
            profile: profile.name.to_string(),
            profile_sha256: profile::digest(yaml),
            wanted: wanted.collect(),
            paths: profile.paths.into_iter().map(PathBuf::from).collect(),
            limits: profile.limits.stricter(&setting.limits),
            output: setting.output,
            own: setting.own,
            recipients: setting.recipients,
            case: setting.case,
            scope: parameters.scope.clone(),
            part_bytes: PART_BYTES,
            background: setting.background,
            walls: setting.walls,
            patience: PATIENCE,
            foreseen: Vec::new(),
            host: Host::default(),
        })
    }

    /// Judges the command line of a local collection; nothing of the output is made yet.
    ///
    /// # Errors
    /// No such profile, a recipient that is none, a folder that can't be used.
    pub fn resolve(args: CollectArgs) -> Result<Self, PlanError> {
        let recipients = args
            .recipients
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<Recipient>, _>>()?;
        let text = |path: PathBuf| {
            let text = path.into_os_string().into_string();
            text.map_err(|path| PlanError::NoText(path.into()))
        };
        let parameters = Parameters {
            paths: args.paths.into_iter().map(text).collect::<Result<_, _>>()?,
            ..Parameters::default()
        };
        let yaml = profile_text(&args.profile)?;
        let output = output_folder(&args.output)?;
        let root = args.root;
        let setting = Setting {
            own: vec![output.clone()],
            output,
            recipients,
            case: args.case,
            limits: Limits::default(),
            background: !args.foreground,
            walls: Walls::default(),
        };
        let plan = Self::from_profile(&yaml, &parameters, setting)?;
        match root {
            Some(root) => plan.of_disk(&root),
            None => Ok(plan),
        }
    }

    /// The same of the disk that is mounted at `root`, whose system does not run. `/` changes nothing.
    ///
    /// # Errors
    /// There is no such folder, or the output would lie on the disk.
    pub fn of_disk(mut self, root: &Path) -> Result<Self, PlanError> {
        if root == Path::new("/") {
            return Ok(self);
        }
        let root = disk(root)?;
        if self.output.starts_with(&root) || is_on(&self.output, &root) {
            return Err(PlanError::OutputOnDisk(self.output));
        }
        // What lies outside of the disk is not met there.
        let on_disk = |own: &PathBuf| Some(Path::new("/").join(own.strip_prefix(&root).ok()?));
        self.own = self.own.iter().filter_map(on_disk).collect();
        (self.root, self.is_running) = (root, false);
        Ok(self)
    }

    /// The machine that is collected from.
    pub fn identity(&self) -> HostIdentity {
        match self.is_running {
            true => host::identity(&self.root),
            false => host::of_disk(&self.root),
        }
    }

    /// How the disk of a machine that does not run is read.
    pub fn dead_disk(&self) -> Option<DeadDisk> {
        (!self.is_running).then(|| DeadDisk {
            mounted_at: self.root.to_string_lossy().into_owned(),
            read_by: host::identity(Path::new("/")),
        })
    }

    fn memory_bytes(&self) -> u64 {
        match self.limits.memory_bytes {
            0 => MEMORY_BYTES,
            bytes => bytes,
        }
    }

    /// How many parts are filled at once: as many as there are processors and memory allows.
    pub fn lanes(&self) -> usize {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let room = self.memory_bytes().saturating_sub(BASE_BYTES) / LANE_BYTES;
        usize::try_from(room).map_or(cores, |room| room.clamp(1, cores))
    }

    /// What the run takes at the least, where its limit on memory is lower and can't be held.
    pub fn memory_short_of(&self) -> Option<u64> {
        let least = BASE_BYTES + LANE_BYTES / LEAST_SHARE;
        (self.memory_bytes() < least).then_some(least)
    }

    /// The most that a part may hold of files.
    pub fn content_bytes(&self) -> u64 {
        self.part_bytes - CLOSING_BYTES.min(self.part_bytes / 2)
    }

    /// When a part is closed.
    pub fn part_limits(&self) -> PartLimits {
        // What one lane may take, where even one is more than memory allows.
        let lane_bytes = self.memory_bytes().saturating_sub(BASE_BYTES);
        let lane_bytes = lane_bytes.clamp(LANE_BYTES / LEAST_SHARE, LANE_BYTES);
        let share = |whole: u64| whole * lane_bytes / LANE_BYTES;
        PartLimits {
            size_bytes: self.content_bytes(),
            entries: share(PART_ENTRIES),
            index_bytes: share(INDEX_BYTES),
            ..PartLimits::default()
        }
    }

    /// The limits as they stand in the archive, `lanes` parts being filled at once.
    pub fn limits_told(&self, lanes: usize) -> BTreeMap<String, u64> {
        let hours = self.limits.hours.as_ref().map(Hours::minutes_a_week);
        let all = [
            ("part_bytes", self.part_bytes),
            ("lanes", lanes as u64),
            ("size_bytes", self.limits.size_bytes),
            ("files", self.limits.files),
            ("wall_seconds", self.limits.wall_seconds),
            ("cpu_percent", self.limits.cpu_percent),
            ("io_bytes_per_second", self.limits.io_bytes_per_second),
            ("memory_bytes", self.limits.memory_bytes),
            ("mains_only", self.limits.mains_only.into()),
        ];
        let given = all.into_iter().filter(|(_, limit)| *limit > 0);
        // Hours that never come are a limit too.
        let given = given.chain(hours.map(|minutes| ("hours_minutes_a_week", minutes)));
        given
            .map(|(name, limit)| (name.to_owned(), limit))
            .collect()
    }
}

/// The text of a built-in profile, or of a file that is named as one.
fn profile_text(name: &str) -> Result<String, PlanError> {
    let is_file = name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml");
    if !is_file {
        return Ok(profile::built_in(name)?.0.to_owned());
    }
    let path = PathBuf::from(name);
    fs::read_to_string(&path).map_err(|source| PlanError::File { path, source })
}

/// Where a disk is mounted, links resolved.
fn disk(root: &Path) -> Result<PathBuf, PlanError> {
    let failed = |source| PlanError::Disk {
        path: root.to_owned(),
        source,
    };
    let real = root.canonicalize().map_err(failed)?;
    // Is there, can be entered, and is no file.
    fs::read_dir(&real).map_err(failed)?;
    // The kernel's own links, such as /proc/PID/root, lead elsewhere than they say.
    let is_same = identity_of(root).is_some() && identity_of(root) == identity_of(&real);
    match is_same && identity_of(&real) != identity_of(Path::new("/")) {
        true => Ok(real),
        false => Err(PlanError::NoDisk(root.to_owned())),
    }
}

/// Device and inode.
fn identity_of(path: &Path) -> Option<(u64, u64)> {
    let found = procfs::identity(path).ok()?;
    Some((found.device, found.inode))
}

/// Whether `path`, as far as it is there, lies below the folder `root`, or on the file system that is mounted there, under
/// whatever name.
fn is_on(path: &Path, root: &Path) -> bool {
    let Some(at) = identity_of(root) else {
        return false;
    };
    let is_mounted = root
        .parent()
        .and_then(identity_of)
        .is_some_and(|above| above.0 != at.0);
    let mut there = path.ancestors().filter_map(identity_of);
    there.clone().any(|above| above == at)
        || is_mounted && there.next().is_some_and(|n| n.0 == at.0)
}

/// Where the output will lie, links resolved; making it is the spool's business, not the reader's.
fn output_folder(path: &Path) -> Result<PathBuf, PlanError> {
    let failed = |source| PlanError::Output {
        path: path.to_path_buf(),
        source,
    };
    let absolute = std::path::absolute(path).map_err(failed)?;
    match (
        absolute.canonicalize(),
        absolute.parent(),
        absolute.file_name(),
    ) {
        (Ok(there), _, _) => Ok(there),
        (Err(_), Some(parent), Some(name)) => Ok(parent.canonicalize().map_err(failed)?.join(name)),
        (Err(error), _, _) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::{ARTIFACTS, Artifact, Asked};

    fn setting() -> Setting {
        Setting {
            output: PathBuf::from("/o"),
            own: Vec::new(),
            recipients: Vec::new(),
            case: None,
            limits: Limits {
                files: 5,
                ..Limits::default()
            },
            background: true,
            walls: Walls::default(),
        }
    }

    fn plan(name: &str, paths: &[&str]) -> Result<Plan, PlanError> {
        let parameters = Parameters {
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
            ..Parameters::default()
        };
        Plan::from_profile(&profile_text(name)?, &parameters, setting())
    }

    #[test]
    fn an_unknown_profile_is_told_with_the_known_ones() {
        let error = plan("nosuch", &[]).unwrap_err().to_string();
        assert!(error.contains("triage"), "{error}");
        let error = plan("./nosuch.yaml", &[]).unwrap_err().to_string();
        assert!(error.contains("nosuch.yaml"), "{error}");
    }

    #[test]
    fn every_built_in_profile_names_known_artifacts_and_options() {
        for built_in in profile::BUILT_IN {
            for wanted in plan(built_in.name, &[]).unwrap().wanted {
                let artifact = artifacts::find(&wanted.name).unwrap();
                for (option, value) in &wanted.options {
                    assert_eq!(artifacts::option_fault(artifact, option, value), None);
                }
            }
        }
    }

    #[test]
    fn built_in_profiles_hold_what_their_names_say() {
        let names = |plan: Plan| plan.wanted.into_iter().map(|w| w.name).collect::<Vec<_>>();
        let of = |takes: &dyn Fn(&dyn Artifact) -> bool| {
            let taken = ARTIFACTS.iter().filter(|a| takes(**a));
            taken.map(|a| a.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            names(plan("volatile", &[]).unwrap()),
            of(&|a| a.volatile() && a.asked() == Asked::Nothing)
        );
        let by_itself = |a: &dyn Artifact| a.asked() == Asked::Nothing;
        assert_eq!(names(plan("triage", &[]).unwrap()), of(&by_itself));
        assert_eq!(names(plan("full", &[]).unwrap()), of(&by_itself));
        assert_eq!(names(plan("files", &["/x"]).unwrap()), ["files"]);
        assert_eq!(names(plan("hashes", &["/x"]).unwrap()), ["file_hashes"]);
    }

    #[test]
    fn little_memory_makes_few_lanes_and_small_parts() {
        let mut plan = plan("triage", &[]).unwrap();
        let mut with = |bytes: u64| {
            plan.limits.memory_bytes = bytes;
            let limits = plan.part_limits();
            let short = plan.memory_short_of().is_some();
            (plan.lanes(), limits.entries, limits.index_bytes, short)
        };
        let whole = (1, PART_ENTRIES, INDEX_BYTES, false);
        assert_eq!(with(BASE_BYTES + LANE_BYTES), whole);
        assert_eq!(with(BASE_BYTES + 2 * LANE_BYTES - 1), whole);
        let half = (1, PART_ENTRIES / 2, INDEX_BYTES / 2, false);
        assert_eq!(with(BASE_BYTES + LANE_BYTES / 2), half);
        let (lanes, entries, _, short) = with(1 << 20);
        assert_eq!((lanes, short), (1, true));
        assert!(entries >= PART_ENTRIES / LEAST_SHARE - 1);
        let cores = thread::available_parallelism().unwrap().get();
        assert_eq!(with(1 << 40).0, cores);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_is_what_was_named_and_takes_no_output() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("disk")).unwrap();
        std::os::unix::fs::symlink("/", at("root")).unwrap();
        std::os::unix::fs::symlink(at("disk"), at("link")).unwrap();
        let of = |root: &Path, output: PathBuf| {
            let mut plan = plan("triage", &[]).unwrap();
            plan.output = output;
            plan.of_disk(root)
        };
        let elsewhere = || at("out");
        for own in [Path::new("/proc/self/root"), &at("root")] {
            let refused = of(own, elsewhere()).unwrap_err();
            assert!(matches!(refused, PlanError::NoDisk(_)), "{refused}");
        }
        assert!(of(Path::new("/"), elsewhere()).unwrap().is_running);
        for name in ["disk", "link", "disk/"] {
            let plan = of(&at(name), elsewhere()).unwrap();
            assert!(!plan.is_running && plan.root.ends_with("disk"));
            let refused = of(&at(name), plan.root.join("out")).unwrap_err();
            assert!(matches!(refused, PlanError::OutputOnDisk(_)), "{refused}");
        }
        assert!(matches!(
            of(&at("none"), elsewhere()),
            Err(PlanError::Disk { .. })
        ));
    }

    #[test]
    fn the_stricter_limit_holds_and_paths_need_a_walk() {
        let plan_of = plan("triage", &["/etc"]).unwrap();
        assert_eq!(plan_of.limits.files, 5);
        assert_eq!(plan_of.paths, [PathBuf::from("/etc")]);
        let refused = plan("volatile", &["/etc"]).unwrap_err();
        assert!(matches!(refused, PlanError::NothingWalks(_)), "{refused}");
        assert!(plan("triage", &["etc"]).is_err());
    }
}
