//! The courier's own folder, STATE/courier: its settings, its TLS key and certificate, the spool and what waits.
//!
//! `courier.toml` is written last of all that enrolment makes, so that its being there says that the rest is.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use evidence::ids::AgentId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::disk::{self, DiskError, failed};
use crate::platform::private;

/// The default ceiling of what waits in the spool.
pub const SPOOL_QUOTA_BYTES: u64 = 20 << 30;
/// No file of the folder that is read whole is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no enrolment.
    #[error(
        "this host is not enrolled: {0} is missing. Run `fieldseal-agent enrol` with a deployment token."
    )]
    NotEnrolled(PathBuf),
    /// The settings don't read.
    #[error("{path} can't be understood. Correct the line that is named below.")]
    Settings {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Another courier runs.
    #[error("another courier works in {0}. Stop it first; two would deliver everything twice.")]
    InUse(PathBuf),
}

/// What `courier.toml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The file's format, now 1.
    pub v: Version,
    /// The agent that this host was enrolled as.
    pub agent: AgentId,
    /// The server: `https://HOST[:PORT]`.
    pub server: String,
    /// An HTTP proxy that is asked to CONNECT: `http://[USER:PASSWORD@]HOST:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// So much may wait in the spool; then the reader waits for delivery.
    #[serde(default = "spool_quota")]
    pub spool_quota_bytes: u64,
    /// So much stays free on the disk; by default 1 GiB, or a twentieth of a smaller disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_free_bytes: Option<u64>,
}

/// The only version of the settings: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Version;

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(found: u64) -> Result<Self, String> {
        match found {
            1 => Ok(Self),
            other => Err(format!("version {other} is not known here, only 1")),
        }
    }
}

impl From<Version> for u64 {
    fn from(Version: Version) -> Self {
        1
    }
}

fn spool_quota() -> u64 {
    SPOOL_QUOTA_BYTES
}

/// The folder and the paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The courier's folder below the agent's state folder; nothing is made.
    pub fn below(state_dir: &Path) -> Self {
        Self(state_dir.join("courier"))
    }

    /// Makes the folder and those in it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn make(&self) -> Result<(), DiskError> {
        disk::make_folder(&self.spool())?;
        disk::make_folder(&self.reports())
    }

    /// Sealed parts on their way, one folder a collection.
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// Reports that the server has not taken yet.
    pub(super) fn reports(&self) -> PathBuf {
        self.0.join("reports")
    }

    /// Where an agent's TLS key and certificate lie: an identity that was forked has a folder of its own, so that one
    /// rename makes it the courier's.
    fn identity(&self, agent: AgentId) -> PathBuf {
        let own = self.forked(agent);
        if own.is_dir() { own } else { self.0.clone() }
    }

    fn forked(&self, agent: AgentId) -> PathBuf {
        self.0.join(agent.to_string())
    }

    /// The TLS key.
    pub(super) fn key(&self, agent: AgentId) -> PathBuf {
        self.identity(agent).join("tls.key")
    }

    /// The TLS certificate and its chain.
    pub(super) fn chain(&self, agent: AgentId) -> PathBuf {
        self.identity(agent).join("tls.crt")
    }

    /// The TLS key of an enrolment that is being asked for.
    pub(super) fn enrol_key(&self) -> PathBuf {
        self.0.join("enrol.key")
    }

    /// Whether the host is enrolled, or its reader may be: an enrolment was cut off after it was handed over.
    pub fn may_be_enrolled(&self) -> bool {
        self.is_enrolled() || self.pending_path().exists()
    }

    /// The TLS key of an identity that is being asked for.
    pub(super) fn fork_key(&self) -> PathBuf {
        self.0.join("fork.key")
    }

    /// The deployment's root certificate.
    pub(super) fn root(&self) -> PathBuf {
        self.0.join("root.crt")
    }

    /// What `status` shows.
    pub(super) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// The settings.
    pub fn settings_path(&self) -> PathBuf {
        self.0.join("courier.toml")
    }

    fn pending_path(&self) -> PathBuf {
        self.0.join("courier.toml.pending")
    }

    /// Reads a text file of the folder.
    pub(super) fn text(&self, path: &Path) -> Result<String, DiskError> {
        self.secret(path).map(|text| text.to_string())
    }

    /// Reads a key of the folder; its text is wiped out of memory with the value.
    pub(super) fn secret(&self, path: &Path) -> Result<Zeroizing<String>, DiskError> {
        let bytes = Zeroizing::new(disk::read_capped(path, FILE_BYTES_MAX)?);
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let wrong = std::io::Error::new(std::io::ErrorKind::InvalidData, e);
            failed("read", path)(wrong)
        })?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Whether the host is enrolled.
    pub fn is_enrolled(&self) -> bool {
        self.settings_path().exists()
    }

    /// Reads the settings, and first takes up an enrolment that was cut off after the reader had kept its half.
    ///
    /// # Errors
    /// There is no enrolment, or the settings don't read.
    pub fn settings(&self) -> Result<Settings, FolderError> {
        let path = self.settings_path();
        if !self.is_enrolled() {
            if !self.pending_path().exists() {
                return Err(FolderError::NotEnrolled(path));
            }
            // The reader runs, so it is enrolled; and only the last enrolment can be pending.
            self.confirm()?;
        }
        self.read_settings(path)
    }

    /// Reads the settings, and takes up nothing.
    ///
    /// # Errors
    /// There is no whole enrolment, or the settings can't be read, with the reason.
    pub(super) fn look(&self) -> Result<Settings, FolderError> {
        let path = self.settings_path();
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(FolderError::NotEnrolled(path))
            }
            Err(error) => Err(failed("read", &path)(error).into()),
            Ok(_) => self.read_settings(path),
        }
    }

    /// Whether a courier works in the folder now; nothing is made.
    ///
    /// # Errors
    /// It can't be looked at.
    pub(super) fn is_held(&self) -> std::io::Result<bool> {
        let lock = File::open(self.0.join("lock"))?;
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn read_settings(&self, path: PathBuf) -> Result<Settings, FolderError> {
        let text = self.text(&path)?;
        toml::from_str(&text).map_err(|e| FolderError::Settings {
            path,
            source: Box::new(e),
        })
    }

    /// Keeps all that enrolment made but for the last step, which is [`Folder::confirm`].
    pub(super) fn prepare(
        &self,
        settings: &Settings,
        root_pem: &str,
        key_pem: &str,
        chain_pem: &str,
    ) -> Result<(), DiskError> {
        self.make()?;
        disk::write_durable(&self.root(), root_pem.as_bytes())?;
        disk::write_durable(&self.key(settings.agent), key_pem.as_bytes())?;
        disk::write_durable(&self.chain(settings.agent), chain_pem.as_bytes())?;
        let text = toml::to_string(settings).map_err(|e| {
            failed("written", &self.settings_path())(std::io::Error::other(e.to_string()))
        })?;
        disk::write_durable(&self.pending_path(), text.as_bytes())
    }

    /// Keeps an identity that takes the place of the present one, but for the last step, which is [`Folder::take_up`].
    pub(super) fn prepare_fork(
        &self,
        settings: &Settings,
        root_pem: &str,
        key_pem: &str,
        chain_pem: &str,
    ) -> Result<(), DiskError> {
        disk::make_folder(&self.forked(settings.agent))?;
        self.prepare(settings, root_pem, key_pem, chain_pem)
    }

    /// The last step of a fork: from here on the courier is `agent`, as the reader is. Gives whether that was prepared.
    ///
    /// # Errors
    /// The disk fails, or what was prepared does not read.
    pub(super) fn take_up(&self, agent: AgentId) -> Result<bool, FolderError> {
        let path = self.pending_path();
        if !path.exists() || self.read_settings(path)?.agent != agent {
            return Ok(false);
        }
        // Never one key for two identities.
        disk::remove(&self.fork_key())?;
        self.confirm()?;
        Ok(true)
    }

    /// Removes the keys of identities that are the courier's no more.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) fn tidy(&self, agent: AgentId) -> Result<(), DiskError> {
        if self.pending_path().exists() {
            return Ok(()); // Whose turn it is only the reader knows.
        }
        for entry in fs::read_dir(&self.0).map_err(failed("read", &self.0))? {
            let path = entry.map_err(failed("read", &self.0))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let other = name.and_then(|name| name.parse::<AgentId>().ok());
            if other.is_some_and(|other| other != agent) {
                fs::remove_dir_all(&path).map_err(failed("removed", &path))?;
            }
        }
        if self.forked(agent).is_dir() {
            disk::remove(&self.0.join("tls.key"))?;
            disk::remove(&self.0.join("tls.crt"))?;
        }
        Ok(())
    }

    /// Gives up what [`Folder::prepare`] has kept: the reader does not believe it.
    pub(super) fn withdraw(&self) -> Result<(), DiskError> {
        disk::remove(&self.pending_path())
    }

    /// The last step of enrolment.
    pub(super) fn confirm(&self) -> Result<(), DiskError> {
        disk::rename_durable(&self.pending_path(), &self.settings_path())
    }

    /// Claims the folder for this process, until the value is dropped or the process ends.
    ///
    /// # Errors
    /// Another process has it.
    pub fn lock(&self) -> Result<File, FolderError> {
        disk::make_folder(&self.0)?;
        let path = self.0.join("lock");
        let file = private::file()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("created", &path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FolderError::InUse(self.0.clone()),
            TryLockError::Error(error) => failed("locked", &path)(error).into(),
        })?;
        Ok(file)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::courier) fn settings(server: &str) -> Settings {
        Settings {
            v: Version,
            agent: AgentId::from_bytes([7; 16]),
            server: server.to_owned(),
            proxy: None,
            spool_quota_bytes: SPOOL_QUOTA_BYTES,
            min_free_bytes: Some(0),
        }
    }

    #[test]
    fn an_enrolment_counts_once_confirmed_or_taken_up() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::below(state.path());
        assert!(matches!(
            folder.settings(),
            Err(FolderError::NotEnrolled(_))
        ));
        let said = settings("https://localhost");
        folder.prepare(&said, "root", "key", "chain").unwrap();
        assert!(!folder.is_enrolled());
        assert_eq!(folder.settings().unwrap(), said);
        assert!(folder.is_enrolled());
    }

    #[test]
    fn unknown_settings_and_versions_are_refused() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::below(state.path());
        folder.make().unwrap();
        let good = toml::to_string(&settings("https://localhost")).unwrap();
        for (text, is_good) in [
            (good.clone(), true),
            (good.replace("v = 1", "v = 2"), false),
            (format!("{good}surprise = 1\n"), false),
        ] {
            std::fs::write(folder.settings_path(), text).unwrap();
            assert_eq!(folder.settings().is_ok(), is_good);
        }
    }

    #[test]
    fn two_couriers_never_share_a_folder() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::below(state.path());
        let held = folder.lock().unwrap();
        assert!(matches!(folder.lock(), Err(FolderError::InUse(_))));
        drop(held);
        assert!(folder.lock().is_ok());
    }
}
