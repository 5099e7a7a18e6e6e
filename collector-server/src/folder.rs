//! Where everything lies in the server's folder.
//!
//! `trust/` is public and may be copied to hosts and people; `keys/` is the server's own;
//! `offline/` is to be taken away; the rest is what the server keeps.

use std::path::{Path, PathBuf};

/// The server's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `dir`; nothing is looked at yet.
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What agents and people trust: root.crt, root.json, policy.json, issuing.crt.
    pub fn trust(&self) -> PathBuf {
        self.0.join("trust")
    }

    /// The server's own keys.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The root's key, until it is taken offline.
    pub fn offline(&self) -> PathBuf {
        self.0.join("offline")
    }

    /// The root certificate.
    pub fn root_certificate(&self) -> PathBuf {
        self.trust().join("root.crt")
    }

    /// The root document of this version.
    pub fn root_document(&self, version: u64) -> PathBuf {
        let name = match version {
            1 => "root.json".to_owned(),
            later => format!("root-{later}.json"),
        };
        self.trust().join(name)
    }

    /// The policy's envelope.
    pub fn policy(&self) -> PathBuf {
        self.trust().join("policy.json")
    }

    /// A policy that was in force.
    pub fn old_policy(&self, version: u64) -> PathBuf {
        self.trust().join(format!("policy-{version}.json"))
    }

    /// The issuing authority's certificate.
    pub fn issuing_certificate(&self) -> PathBuf {
        self.trust().join("issuing.crt")
    }

    /// The issuing authority's key.
    pub fn issuing_key(&self) -> PathBuf {
        self.keys().join("issuing.key")
    }

    /// The server's TLS key and certificate chain, in one file so that they can't part.
    pub fn server_pem(&self) -> PathBuf {
        self.keys().join("server.pem")
    }

    /// The key of the server's signed time and its custody leaves.
    pub fn time_key(&self) -> PathBuf {
        self.keys().join("time.key")
    }

    /// The key of the custody log's checkpoints.
    pub fn log_key(&self) -> PathBuf {
        self.keys().join("log.key")
    }

    /// The key that opens the records of kits' uses.
    pub fn intake_key(&self) -> PathBuf {
        self.keys().join("intake.key")
    }

    /// The custody log.
    pub fn log(&self) -> PathBuf {
        self.0.join("custody.log")
    }

    /// The index.
    pub fn index(&self) -> PathBuf {
        self.0.join("index.sqlite")
    }

    /// Why the time-stamping authority can't be used, where it can't.
    pub fn stamp_fault(&self) -> PathBuf {
        self.0.join("tsa-fault.txt")
    }

    /// At what time somebody last said that the server's clock is right.
    pub fn clock_confirmed(&self) -> PathBuf {
        self.0.join("clock-confirmed.txt")
    }

    /// How far the events have been sent to this receiver.
    pub fn siem_cursor(&self, receiver: &str) -> PathBuf {
        self.0.join(format!("siem-{receiver}.cursor"))
    }

    /// What came by hand and is not believed.
    pub fn quarantine(&self) -> PathBuf {
        self.0.join("quarantine")
    }

    /// Where whoever brings evidence by hand lays it.
    pub fn drop_folder(&self) -> PathBuf {
        self.0.join("drop")
    }

    /// Uploads on their way.
    pub fn staging(&self) -> PathBuf {
        self.0.join("evidence/staging")
    }

    /// Stored ciphertext, by digest.
    pub fn blobs(&self) -> PathBuf {
        self.0.join("evidence/blobs")
    }
}
