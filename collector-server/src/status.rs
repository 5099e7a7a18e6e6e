//! `status`: the deployment in numbers, read beside a server that runs.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use evidence::instant::Instant;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    certificate,
    folder::Folder,
    keyfile,
    store::{index::Index, survey::Survey},
    trust::Documents,
};

/// What `status` tells.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The deployment's name.
    pub deployment: String,
    /// The policy's version.
    pub policy_version: u64,
    /// When it ends.
    pub policy_expires: Instant,
    /// When the server's TLS certificate ends.
    pub server_certificate_ends: Instant,
    /// When the issuing authority's certificate ends.
    pub issuing_certificate_ends: Instant,
    /// When the root certificate ends.
    pub root_certificate_ends: Instant,
    /// Whether the root's key still lies in the folder.
    pub root_key_here: bool,
    /// Why the time-stamping authority can't be used, where it can't.
    pub stamp_fault: Option<String>,
    /// Bytes of the custody log's file.
    pub custody_log_bytes: u64,
    /// Free bytes of the disk that holds the evidence.
    pub free_bytes: u64,
    /// What the index holds.
    pub kept: Survey,
}

impl Status {
    /// Reads the folder; changes nothing in it.
    ///
    /// # Errors
    /// It is not one that `init` made.
    pub async fn of(dir: &Path) -> anyhow::Result<Self> {
        let folder = Folder::new(dir);
        let documents = Documents::load(&folder)?;
        let end = |path: &Path| -> anyhow::Result<Instant> {
            // One of them has its key beside it.
            let text = fs::read_to_string(path)
                .map(Zeroizing::new)
                .with_context(|| format!("{} can't be read.", path.display()))?;
            certificate::end_of(&text)
        };
        let index = Index::open_to_read(&folder.index()).await?;
        Ok(Self {
            deployment: documents.policy.deployment.to_string(),
            policy_version: documents.policy.version,
            policy_expires: documents.policy.expires,
            server_certificate_ends: end(&folder.server_pem())?,
            issuing_certificate_ends: end(&folder.issuing_certificate())?,
            root_certificate_ends: end(&folder.root_certificate())?,
            root_key_here: folder.offline().join("root.key").exists(),
            stamp_fault: fs::read_to_string(folder.stamp_fault()).ok(),
            custody_log_bytes: fs::metadata(folder.log())?.len(),
            free_bytes: keyfile::free_bytes(&folder.blobs())?,
            kept: index.survey().await?,
        })
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let time = |at: Instant| at.to_rfc3339().unwrap_or_else(|| "far away".into());
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{name:<26}{value}");
        };
        line("deployment", self.deployment.clone());
        let policy = format!(
            "{}, until {}",
            self.policy_version,
            time(self.policy_expires)
        );
        line("policy", policy);
        line(
            "server certificate until",
            time(self.server_certificate_ends),
        );
        line(
            "issuing authority until",
            time(self.issuing_certificate_ends),
        );
        line("root until", time(self.root_certificate_ends));
        let key = match self.root_key_here {
            true => "HERE: take offline/root.key away",
            false => "offline",
        };
        line("root key", key.into());
        if let Some(fault) = &self.stamp_fault {
            line("time stamps", format!("NONE: {fault}"));
        }
        line("custody log bytes", self.custody_log_bytes.to_string());
        line("free disk bytes", self.free_bytes.to_string());
        for (name, count) in self.kept.counts() {
            line(&name.replace('_', " "), count.to_string());
        }
        text
    }
}
