//! The chain of parts: asks for an empty file, fills it, seals it, and waits until it is durable.
//!
//! A part closes by phase, size, entries or waiting index; each names the one before, the last says so.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use evidence::{
    archive::PartLimits,
    gap::{Gap, Reason, Severity},
    instant::Instant,
    records::{self, CollectionRecord, Counts, FileRecord, LogLine, ProfileRef, text_and_bytes},
};

use super::{
    folders, host,
    outcome::SealedPart,
    part::{OpenPart, PartError},
    port::{self, SealedSlot, Slot, SlotError, SpoolPort},
    seal::{PartBefore, Seal, SealError},
    task::{Authority, Position, Task, Watch},
};
use crate::{
    config::Plan,
    files::Stat,
    link::{LinkError, Wrapping},
};

/// Identities kept so that a further name of a stored file is told from a copy. Past this many, a
/// hard link may be stored twice, which is true evidence still.
const REMEMBERED: usize = 1 << 16;
/// Entries that describe a part and come last.
const CLOSING_BYTES: u64 = 8 * 1024 * 1024;

/// Why the run can't go on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The spool's half failed or is gone.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The part can't be written.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The part can't be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The file that the part goes to can't be had or kept.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Where the chain stands could not be kept.
    #[error(
        "the collection's position can't be kept: {0}. Check the space and health of the agent's folder."
    )]
    Position(String),
}

/// All parts of one collection, the open one and those before.
pub struct Pipeline<'p> {
    plan: &'p Plan,
    port: &'p dyn SpoolPort,
    watch: &'p dyn Watch,
    seal: Seal,
    authority: Authority,
    facts: CollectionRecord,
    open: Option<OpenPart>,
    own_part: Option<(u64, u64)>,
    sealed: Vec<SealedPart>,
    before: Option<PartBefore>,
    totals: Counts,
    stored: HashMap<(u64, u64), String>,
}

impl<'p> Pipeline<'p> {
    /// Begins the collection at the spool's half.
    pub fn begin(
        task: Task<'p>,
        port: &'p dyn SpoolPort,
        watch: &'p dyn Watch,
    ) -> Result<Self, PipelineError> {
        let facts = facts(&task);
        let Task {
            plan,
            collection,
            seal,
            authority,
            ..
        } = task;
        let wrapping = if plan.recipients.is_empty() {
            Wrapping::None
        } else {
            Wrapping::Age
        };
        port::begin(port, collection, wrapping, Some(seal.certificate_pem()))?;
        Ok(Self {
            plan,
            port,
            watch,
            seal,
            authority,
            facts,
            open: None,
            own_part: None,
            sealed: Vec::new(),
            before: None,
            totals: Counts::default(),
            stored: HashMap::new(),
        })
    }

    /// Where the host's tree begins.
    pub(super) fn root(&self) -> &Path {
        &self.plan.root
    }

    /// The most that the files of a part may hold.
    pub(super) fn part_bytes(&self) -> u64 {
        self.plan.part_bytes - CLOSING_BYTES.min(self.plan.part_bytes / 2)
    }

    /// The open part; the next one is opened where none is.
    pub(super) fn part(&mut self) -> Result<&mut OpenPart, PipelineError> {
        if self.open.is_none() {
            let (number, file) = self.ask_for_file()?;
            self.own_part = Stat::of_open(&file).ok().map(|s| s.identity());
            let mut part = self.new_part(number, file)?;
            folders::add(&mut part, &self.plan.root)?;
            self.open = Some(part);
        }
        self.open
            .as_mut()
            .ok_or(PipelineError::Slot(SlotError::NotAnEmptyFile))
    }

    /// Whether the open part must be closed now.
    pub(super) fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(OpenPart::is_due)
    }

    /// Whether a file of `size_bytes` fits into the open part.
    pub(super) fn has_room(&self, size_bytes: u64) -> bool {
        let fits = |part: &OpenPart| !part.is_due() && part.room_bytes() >= size_bytes;
        self.open.as_ref().is_none_or(fits)
    }

    /// Seals the open part, which is not the last.
    pub(super) fn close_part(&mut self) -> Result<(), PipelineError> {
        self.close(false, None)
    }

    /// Seals the last part, opened for that alone where none is, and ends the conversation.
    pub fn finish(mut self, ended_early: Option<String>) -> Result<Done, PipelineError> {
        self.part()?;
        self.close(true, ended_early)?;
        let collection = self.facts.collection;
        port::end(self.port, collection)?;
        Ok(Done {
            parts: self.sealed,
            counts: self.totals,
        })
    }

    /// Notes a gap.
    pub(super) fn gap(
        &mut self,
        artifact: &str,
        subject: &str,
        reason: Reason,
        severity: Severity,
        text: &str,
    ) -> Result<(), PipelineError> {
        let gap = Gap {
            artifact: artifact.to_owned(),
            subject: subject.to_owned(),
            path_b64: None,
            reason,
            severity,
            text: text.to_owned(),
            time: Instant::now(),
        };
        Ok(self.part()?.gap(&gap)?)
    }

    /// Notes a gap at a path, exact.
    pub(super) fn path_gap(
        &mut self,
        artifact: &str,
        path: &Path,
        reason: Reason,
        text: &str,
    ) -> Result<(), PipelineError> {
        let (subject, path_b64) = text_and_bytes(path.as_os_str().as_bytes());
        let gap = Gap {
            artifact: artifact.to_owned(),
            subject,
            path_b64,
            reason,
            severity: Severity::Ordinary,
            text: text.to_owned(),
            time: Instant::now(),
        };
        Ok(self.part()?.gap(&gap)?)
    }

    /// Notes a line of files.jsonl.
    pub(super) fn file_record(&mut self, record: FileRecord) -> Result<(), PipelineError> {
        self.part()?.file_record(&record)?;
        Ok(())
    }

    /// Notes what the agent did.
    pub(super) fn log(
        &mut self,
        artifact: Option<&str>,
        message: &str,
    ) -> Result<(), PipelineError> {
        let line = LogLine {
            time: Instant::now(),
            message: message.to_owned(),
            artifact: artifact.map(str::to_owned),
        };
        Ok(self.part()?.log(&line)?)
    }

    /// Whether `path` lies in the collection's own output.
    pub(super) fn is_own_output(&self, path: &Path) -> bool {
        path.starts_with(&self.plan.output)
    }

    /// Whether that file is the part being written, whatever its name here.
    pub(super) fn is_own_part(&self, identity: (u64, u64)) -> bool {
        self.own_part == Some(identity)
    }

    /// The entry under which that file was stored already.
    pub(super) fn first_name(&self, identity: (u64, u64)) -> Option<String> {
        self.stored.get(&identity).cloned()
    }

    /// Remembers that the file was stored as `entry`.
    pub(super) fn remember(&mut self, identity: (u64, u64), entry: String) {
        if self.stored.len() < REMEMBERED {
            self.stored.entry(identity).or_insert(entry);
        }
    }

    /// Shows how far the run is.
    pub(super) fn tell(&mut self, artifact: &str) {
        let open = self.open.as_ref().map(OpenPart::counts).unwrap_or_default();
        let now = self.totals.plus(open);
        self.watch.progress(&protocol::messages::Progress {
            artifact: artifact.to_owned(),
            records: now.records,
            files: now.files,
            file_bytes: now.file_bytes,
            gaps: now.gaps,
            ..Default::default()
        });
    }

    fn new_part(&self, number: u32, file: File) -> Result<OpenPart, PartError> {
        let limits = PartLimits {
            size_bytes: self.part_bytes(),
            ..PartLimits::default()
        };
        OpenPart::new(number, file, &self.plan.recipients, limits)
    }

    fn ask_for_file(&mut self) -> Result<(u32, File), PipelineError> {
        let number = u32::try_from(self.sealed.len()).unwrap_or(u32::MAX - 1) + 1;
        let Slot { file, .. } =
            port::open_slot(self.port, self.facts.collection, number, false, &|| false)?;
        Ok((number, file))
    }

    fn close(&mut self, last: bool, ended_early: Option<String>) -> Result<(), PipelineError> {
        let Some(part) = self.open.take() else {
            return Ok(());
        };
        self.own_part = None;
        let number = part.number();
        self.totals = self.totals.plus(part.counts());
        let record = CollectionRecord {
            part: number,
            previous_sha256: self.before.as_ref().map(|b| b.plain_sha256),
            last,
            ended_early,
            counts: part.counts(),
            counts_so_far: self.totals,
            ended: Instant::now(),
            ..self.facts.clone()
        };
        let written = part.finish(&record, &self.authority, &self.seal)?;
        let statement = self.seal.statement(
            &record,
            &written,
            self.before.as_ref(),
            &self.plan.recipients,
        )?;
        let before = PartBefore {
            plain_sha256: written.plain_sha256,
            stored_sha256: written.stored_sha256,
        };
        let position = Position {
            started: self.facts.started,
            parts: number,
            before,
            totals: self.totals,
            finished: Vec::new(),
        };
        self.watch
            .sealing(&position)
            .map_err(PipelineError::Position)?;
        let sealed = SealedSlot {
            slot: number,
            part: number,
            size_bytes: written.stored_bytes,
            sha256: written.stored_sha256,
            statement,
        };
        port::seal(self.port, record.collection, sealed)?;
        self.watch
            .durable(&position)
            .map_err(PipelineError::Position)?;
        self.sealed.push(SealedPart {
            part: number,
            size_bytes: written.stored_bytes,
            sha256: written.stored_sha256,
        });
        self.before = Some(before);
        Ok(())
    }
}

/// What is left when all is sealed.
#[derive(Debug)]
pub struct Done {
    /// The parts.
    pub parts: Vec<SealedPart>,
    /// The totals.
    pub counts: Counts,
}

/// What every part of the collection says alike; the rest is filled in as each closes.
fn facts(task: &Task<'_>) -> CollectionRecord {
    let (now, plan, authority) = (Instant::now(), task.plan, &task.authority);
    CollectionRecord {
        v: records::VERSION,
        collection: task.collection,
        // Without enrolment: the id that the run's own seal certificate names.
        agent: Some(task.seal.agent()),
        host: authority.host,
        order: authority.order_id,
        order_sha256: authority.order_sha256,
        policy_sha256: authority.policy_sha256,
        requester: authority.requester.clone(),
        signers: authority.signers.clone(),
        case: plan.case.clone(),
        host_identity: host::identity(&plan.root),
        clock: authority.clock,
        boot_time: host::boot_time(&plan.root),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        agent_sha256: host::own_digest(),
        profile: Some(ProfileRef {
            name: plan.profile.clone(),
            sha256: plan.profile_sha256,
        }),
        limits: BTreeMap::from([("part_bytes".to_owned(), plan.part_bytes)]),
        part: 0,
        previous_sha256: None,
        last: false,
        attempt: task.attempt,
        ended_early: None,
        counts: Counts::default(),
        counts_so_far: Counts::default(),
        sandbox: "none".to_owned(),
        started: now,
        ended: now,
        unencrypted: plan.recipients.is_empty(),
        refusals: authority.refusals.clone(),
    }
}
