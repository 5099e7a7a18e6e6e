//! What was brought to this host to enrol it: a trust folder and a token, or one deployment file.
//!
//! Each half reads it for itself. It is believed because whoever installed the agent laid it there; that an admin of the
//! policy made it is judged by the reader, once the policy is there.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::Command,
};

use evidence::{
    digest::Digest,
    envelope::{Envelope, EnvelopeError},
    instant::Instant,
};
use protocol::{
    deployment::Deployment, enrolment::Token, error::DocumentError, policy::Policy,
    profile::Limits, root::Root,
};

/// Where a deployment file lies unless told otherwise.
pub const DEPLOYMENT: &str = "/etc/fieldseal/deployment.json";

/// No file that is brought is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a trust folder and a token's file.
    Folder {
        /// The trust folder, with `root.crt` and `root.json`.
        trust: PathBuf,
        /// The token's file.
        token: PathBuf,
    },
    /// In one deployment file.
    File(PathBuf),
}

/// What was brought can't be used, whoever the server is.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file can't be read.
    #[error(
        "{path} can't be read: {source}. Give the files that came from the server's administrator."
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A document does not hold in itself.
    #[error("{path} can't be used: {source}")]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DocumentError,
    },
}

/// What was brought.
#[derive(Debug, Clone)]
pub struct Brought {
    /// The root to pin.
    pub root: Root,
    /// Its envelope, as JSON text.
    pub root_text: String,
    /// Digest of its payload.
    pub root_sha256: Digest,
    /// The root certificate, PEM.
    pub root_certificate: String,
    /// The token's envelope, as JSON text.
    pub token: String,
    /// The deployment file, where it is one.
    file: Option<(Envelope, Deployment)>,
}

impl Source {
    /// Reads it, and judges what can be judged without any policy.
    ///
    /// # Errors
    /// A file can't be read, or a document does not hold.
    pub fn read(&self) -> Result<Brought, SourceError> {
        match self {
            Self::Folder { trust, token } => {
                let root_path = trust.join("root.json");
                let (root_text, token) = (read_text(&root_path)?, read_text(token)?);
                let certificate = read_text(&trust.join("root.crt"))?;
                let made = Brought::new(&root_text, certificate, &token, None);
                made.map_err(wrong(&root_path))
            }
            Self::File(path) => {
                let text = read_text(path)?;
                let envelope = Envelope::parse(text.trim().as_bytes());
                let envelope = envelope.map_err(|e| wrong(path)(e.into()))?;
                let file = Deployment::read(&envelope).map_err(wrong(path))?;
                let (root, token) = (file.root.clone(), file.token.clone());
                let certificate = file.root_certificate.clone();
                let made = Brought::new(&root, certificate, &token, Some((envelope, file)));
                made.map_err(wrong(path))
            }
        }
    }

    /// Tells another process of ours where it lies.
    pub fn pass_on(&self, command: &mut Command) {
        match self {
            Self::Folder { trust, token } => {
                command.arg("--trust").arg(trust).arg("--token").arg(token)
            }
            Self::File(path) => command.arg("--deployment").arg(path),
        };
    }
}

fn wrong(path: &Path) -> impl FnOnce(DocumentError) -> SourceError {
    let path = path.to_path_buf();
    move |source| SourceError::Document { path, source }
}

fn read_text(path: &Path) -> Result<String, SourceError> {
    let failed = |source| SourceError::File {
        path: path.to_path_buf(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

impl Brought {
    fn new(
        root: &str,
        root_certificate: String,
        token: &str,
        file: Option<(Envelope, Deployment)>,
    ) -> Result<Self, DocumentError> {
        let envelope = Envelope::parse(root.trim().as_bytes())?;
        Ok(Self {
            root: Root::open(&envelope)?,
            root_text: root.trim().to_owned(),
            root_sha256: envelope.digest(),
            root_certificate,
            token: token.trim().to_owned(),
            file,
        })
    }

    /// Server and proxy, where the deployment file names them.
    pub fn way(&self) -> Option<(&str, Option<&str>)> {
        let (_, file) = self.file.as_ref()?;
        Some((&file.server, file.proxy.as_deref()))
    }

    /// What any run may cost on this host, by the deployment file.
    pub fn limits(&self) -> Limits {
        self.file
            .as_ref()
            .map_or_else(Limits::default, |f| f.1.limits.clone())
    }

    /// The token, for who shows it: nobody has judged it.
    ///
    /// # Errors
    /// It is malformed.
    pub fn token_shown(&self) -> Result<Token, DocumentError> {
        Token::read(&Envelope::parse(self.token.as_bytes())?)
    }

    /// From when on it enrols nobody, as it says itself.
    ///
    /// # Errors
    /// Its token is malformed.
    pub fn ends(&self) -> Result<Instant, DocumentError> {
        let token = self.token_shown()?.expires;
        let file = self.file.as_ref().map(|(_, file)| file.expires);
        Ok(file.map_or(token, |file| file.min(token)))
    }

    /// Checks that admins of `policy` made it for this deployment, that it agrees with itself, and that it has not ended.
    ///
    /// # Errors
    /// It does not hold.
    pub fn check(&self, policy: &Policy, now: Instant) -> Result<(), DocumentError> {
        match &self.file {
            Some((envelope, _)) => Deployment::open(envelope, policy, now).map(drop),
            None => {
                let token = Envelope::parse(self.token.as_bytes());
                let token = token.map_err(|e: EnvelopeError| DocumentError::from(e))?;
                Token::open(&token, policy, now).map(drop)
            }
        }
    }
}
