//! The records of an archive: a line of files.jsonl, a line of log.jsonl, and collection.json.
//!
//! Unknown fields are ignored, an unknown version is refused by name (an archive must stay
//! readable by older tools, but never be misread). Gaps have their own file, `gap.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    capture::Capture,
    digest::Digest,
    field::Field,
    ids::{AgentId, CollectionId, HostId, OrderId},
    instant::Instant,
};

/// The version of collection.json, and with it of all records of the part.
pub const VERSION: u32 = 1;

/// collection.json (or a record) was not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is of a version that this program doesn't know.
    #[error(
        "collection.json is of version {0}, which this program does not know. Use a newer one."
    )]
    Version(u64),
    /// It is not JSON, or a field is missing or of the wrong kind.
    #[error("{what} can't be read. The archive is damaged or was not written by Fieldseal.")]
    Malformed {
        /// Which record.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// What a path named on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, or a reparse point.
    Link,
    /// A named pipe; never opened.
    Fifo,
    /// A socket; never opened.
    Socket,
    /// A block device; never opened.
    BlockDevice,
    /// A character device; never opened.
    CharDevice,
    /// Something else.
    Other,
}

/// By which way the bytes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadBy {
    /// Through the running system's own file calls.
    Live,
    /// From the raw volume, by our NTFS reader.
    RawNtfs,
    /// Through /proc (a deleted or memory-only file of a process).
    Proc,
}

/// A file's times; what the file system doesn't keep is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Times {
    /// Contents last modified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Instant>,
    /// Last accessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessed: Option<Instant>,
    /// Metadata last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Instant>,
    /// Created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Instant>,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattr {
    /// Its name, as text for people.
    pub name: String,
    /// The exact bytes of the name, base64, where `name` isn't they.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_b64: Option<String>,
    /// Its value, base64.
    pub value_b64: String,
}

/// A piece of a file larger than a part, stored as an entry of its own under `pieces/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The entry in this part.
    pub entry: String,
    /// 1 for the first; pieces are joined in this order.
    pub number: u32,
    /// Where in the file it starts.
    pub offset_bytes: u64,
    /// How long it is.
    pub size_bytes: u64,
    /// Over this piece.
    pub sha256: Digest,
    /// Whether it is the last.
    pub last: bool,
}

/// A run of data in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Where it starts.
    pub offset_bytes: u64,
    /// How long it is.
    pub size_bytes: u64,
}

/// One line of files.jsonl: something that was found under a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The artifact that asked for it.
    pub artifact: String,
    /// The path as text for people.
    pub path: String,
    /// The exact bytes of the path, base64, where `path` isn't they.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub file_type: FileType,
    /// The entry that holds it in this part; none where nothing was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Why there is no entry, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_no_entry: Option<String>,
    /// The entry of the first name of the same inode, where this is a further hard link to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_link_of: Option<String>,
    /// The pieces in this part, where the file was larger than a part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
    /// The length of the bytes that were read and stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What the system claimed, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_size_bytes: Option<u64>,
    /// SHA-256 of the bytes that were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Where not empty: the digests and the entry are over these extents only, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_extents: Vec<Extent>,
    /// Times before the file was opened.
    #[serde(default)]
    pub times: Times,
    /// Times after it was read, where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_after: Option<Times>,
    /// Whether size or times moved while it was read.
    #[serde(default)]
    pub changed_while_read: bool,
    /// How it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_by: Option<ReadBy>,
    /// The Unix mode, type bits included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Inode (or NTFS record) number, as text: it has 64 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<String>,
    /// The device it lies on, `major:minor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// How many names the inode has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_count: Option<u64>,
    /// Where a symbolic link leads, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The exact bytes of the target, base64, where `target` isn't they.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_b64: Option<String>,
    /// Extended attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<Xattr>,
}

impl FileRecord {
    /// A record that knows its path and type, all else still empty.
    pub fn new(artifact: impl Into<String>, path: &[u8], file_type: FileType) -> Self {
        let (path, path_b64) = text_and_bytes(path);
        Self {
            artifact: artifact.into(),
            path,
            path_b64,
            file_type,
            entry: None,
            why_no_entry: None,
            hard_link_of: None,
            pieces: Vec::new(),
            size_bytes: None,
            claimed_size_bytes: None,
            sha256: None,
            only_extents: Vec::new(),
            times: Times::default(),
            times_after: None,
            changed_while_read: false,
            read_by: None,
            mode: None,
            uid: None,
            gid: None,
            inode: None,
            device: None,
            link_count: None,
            target: None,
            target_b64: None,
            xattrs: Vec::new(),
        }
    }
}

/// Text for people and, only where the bytes are not that text, the exact bytes in base64.
pub fn text_and_bytes(bytes: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (
            String::from_utf8_lossy(bytes).into_owned(),
            Some(data_encoding::BASE64.encode(bytes)),
        ),
    }
}

/// One line of log.jsonl: what the agent did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub time: Instant,
    /// What, readable alone.
    pub message: String,
    /// Which artifact was at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
}

/// Somebody of the policy who asked for, or approved, the collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name in the policy.
    pub name: String,
    /// SHA-256 of the signing key's SubjectPublicKeyInfo: the identity.
    pub key_sha256: Digest,
}

/// Which machine it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostIdentity {
    /// The host's name.
    pub hostname: String,
    /// `linux`, `windows`.
    pub os: String,
    /// The system's own name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The kernel's release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The processor's architecture.
    pub arch: String,
    /// machine-id, or the MachineGuid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// What the machine is built of; none where the system says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
}

impl HostIdentity {
    /// Whether `name` is its name or its machine id, capitals aside.
    pub fn is_called(&self, name: &str) -> bool {
        let is_it = |known: &String| known.eq_ignore_ascii_case(name);
        is_it(&self.hostname) || self.machine_id.as_ref().is_some_and(is_it)
    }
}

/// Where evidence of a machine that did not run was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadDisk {
    /// The folder at which its tree was mounted.
    pub mounted_at: String,
    /// The machine that read it, and by whose clock the times of the collection are.
    pub read_by: HostIdentity,
}

/// By what a machine is known whatever its system is called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardware {
    /// Maker, product, serial numbers, by the firmware's names for them.
    pub firmware: BTreeMap<String, String>,
    /// Hardware addresses of network interfaces, by the interface's name.
    pub macs: BTreeMap<String, String>,
    /// Disks, by the kernel's name: model, serial number and size as the system tells them.
    pub disks: BTreeMap<String, String>,
}

/// How far the host's clock was from the server's signed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The host's clock minus the server's.
    pub offset_ms: i64,
    /// The most by which the offset may be wrong.
    pub bound_ms: u64,
    /// When it was measured, by the host's clock.
    pub measured: Instant,
}

/// How much was gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Entries under fs/ and pieces/.
    pub files: u64,
    /// Lines of files.jsonl.
    pub file_records: u64,
    /// Lines under results/.
    pub records: u64,
    /// Lines of gaps.jsonl.
    pub gaps: u64,
    /// Lines of gaps.jsonl that are serious.
    pub serious_gaps: u64,
    /// Bytes under fs/ and pieces/, plain.
    pub file_bytes: u64,
}

impl Counts {
    /// The sum with another part's.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            file_records: self.file_records.saturating_add(other.file_records),
            records: self.records.saturating_add(other.records),
            gaps: self.gaps.saturating_add(other.gaps),
            serious_gaps: self.serious_gaps.saturating_add(other.serious_gaps),
            file_bytes: self.file_bytes.saturating_add(other.file_bytes),
        }
    }
}

/// A profile by name and by digest of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRef {
    /// Its name.
    pub name: String,
    /// SHA-256 of its YAML bytes as carried in the order.
    pub sha256: Digest,
}

/// Something that the agent was told and did not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What it was told.
    pub what: String,
    /// Why it refused.
    pub why: String,
    /// When.
    pub time: Instant,
}

/// collection.json: what, who, when, where, for one part of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionRecord {
    /// [`VERSION`].
    pub v: u32,
    /// The collection.
    pub collection: CollectionId,
    /// The agent; none where the host was never enrolled.
    #[serde(default)]
    pub agent: Option<AgentId>,
    /// The host; none where it was never enrolled.
    #[serde(default)]
    pub host: Option<HostId>,
    /// The order; none for a local collection.
    #[serde(default)]
    pub order: Option<OrderId>,
    /// SHA-256 of the order's DSSE payload.
    #[serde(default)]
    pub order_sha256: Option<Digest>,
    /// SHA-256 of the policy's DSSE payload.
    #[serde(default)]
    pub policy_sha256: Option<Digest>,
    /// Who asked.
    #[serde(default)]
    pub requester: Option<Person>,
    /// Who signed the order, the requester included.
    #[serde(default)]
    pub signers: Vec<Person>,
    /// The case that it belongs to.
    #[serde(default)]
    pub case: Option<String>,
    /// The machine.
    pub host_identity: HostIdentity,
    /// Of a machine that did not run, how its disk was read; then `host_identity` is as the disk has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_disk: Option<DeadDisk>,
    /// The clock against the server's; none where no signed time was had.
    #[serde(default)]
    pub clock: Option<Clock>,
    /// When the host was started.
    #[serde(default)]
    pub boot_time: Option<Instant>,
    /// Nanoseconds since then when this attempt began, sleep included, as text: a clock that nobody sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotonic_ns: Option<String>,
    /// The agent's version.
    pub agent_version: String,
    /// SHA-256 of the agent's own executable.
    #[serde(default)]
    pub agent_sha256: Option<Digest>,
    /// The profile.
    #[serde(default)]
    pub profile: Option<ProfileRef>,
    /// Limits in force, by name with the unit in it.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// This part's number, from 1 in the order of sealing.
    pub part: u32,
    /// SHA-256 of the plain part before; none (null) in part 1.
    pub previous_sha256: Option<Digest>,
    /// Whether this is the last part.
    pub last: bool,
    /// 1, and one more for each time that the run was taken up again.
    pub attempt: u32,
    /// Why the collection ended early, in the last part of one that did.
    #[serde(default)]
    pub ended_early: Option<String>,
    /// What is in this part.
    pub counts: Counts,
    /// What is in this part and all before; in the last part, the totals.
    pub counts_so_far: Counts,
    /// The walls in force around the reader (rule by rule, in words).
    #[serde(default)]
    pub sandbox: String,
    /// When the collection was started.
    pub started: Instant,
    /// When this part was closed.
    pub ended: Instant,
    /// Whether the part was told to be kept unencrypted.
    #[serde(default)]
    pub unencrypted: bool,
    /// What was refused.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
    /// Which capture of a standing order or a watch this is; none of an order that makes one collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// What the person at the host said, where it was collected with a kit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Field>,
}

impl CollectionRecord {
    /// Reads collection.json, the version first.
    ///
    /// # Errors
    /// An unknown version; not JSON; a field missing or of the wrong kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }
        let malformed = |source| RecordError::Malformed {
            what: "collection.json",
            source,
        };
        let Versioned { v } = serde_json::from_slice(bytes).map_err(malformed)?;
        if v != u64::from(VERSION) {
            return Err(RecordError::Version(v));
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CollectionRecord {
        let time = Instant { seconds: 0, ns: 1 };
        CollectionRecord {
            v: VERSION,
            collection: CollectionId::from_bytes([1; 16]),
            agent: Some(AgentId::from_bytes([2; 16])),
            host: None,
            order: None,
            order_sha256: Some(Digest::of(b"order")),
            policy_sha256: None,
            requester: None,
            signers: Vec::new(),
            case: Some("2026-17".into()),
            host_identity: HostIdentity::default(),
            dead_disk: None,
            clock: Some(Clock {
                offset_ms: -3,
                bound_ms: 5,
                measured: time,
            }),
            boot_time: None,
            monotonic_ns: None,
            agent_version: "0.1.0".into(),
            agent_sha256: None,
            profile: None,
            limits: BTreeMap::new(),
            part: 1,
            previous_sha256: None,
            last: true,
            attempt: 1,
            ended_early: None,
            counts: Counts::default(),
            counts_so_far: Counts::default(),
            sandbox: String::new(),
            started: time,
            ended: time,
            unencrypted: false,
            refusals: Vec::new(),
            capture: None,
            field: None,
        }
    }

    #[test]
    fn collection_comes_back_and_ignores_what_it_does_not_know() {
        let mut json = serde_json::to_value(sample()).unwrap();
        json["later"] = 7.into();
        let bytes = serde_json::to_vec(&json).unwrap();
        assert_eq!(CollectionRecord::parse(&bytes).unwrap(), sample());
        assert!(json["previous_sha256"].is_null());
    }

    #[test]
    fn refuses_an_unknown_version_by_name() {
        let error = CollectionRecord::parse(br#"{"v":9}"#).unwrap_err();
        assert!(matches!(error, RecordError::Version(9)));
    }

    #[test]
    fn file_record_says_the_exact_bytes_only_where_needed() {
        let plain = FileRecord::new("logs", b"/var/log/a", FileType::File);
        assert_eq!(plain.path_b64, None);
        let odd = FileRecord::new("logs", b"/var/\xff", FileType::File);
        assert_eq!(odd.path_b64.as_deref(), Some("L3Zhci//"));
        let json = serde_json::to_string(&odd).unwrap();
        assert!(json.contains(r#""type":"file""#), "{json}");
        assert_eq!(serde_json::from_str::<FileRecord>(&json).unwrap(), odd);
    }
}
