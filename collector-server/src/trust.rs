//! What the server shows and believes: the roots, the policy, the root certificate, and its own keys.
//!
//! The root's key is none of them: the server serves without it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use evidence::{
    custody::note::LogSigner,
    digest::Digest,
    envelope::{Envelope, EnvelopeError},
    keys::{PublicKey, SigningKey},
    seal,
    wrap::Identity,
};
use protocol::{
    error::DocumentError, messages::Trust, policy::Policy, root::Root, version::VERSION,
};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use zeroize::Zeroizing;

use crate::{ca::Authority, folder::Folder, keyfile};

/// Nobody has so many roots.
const MAX_ROOTS: usize = 1_000;

/// The documents in force, until others take their place.
pub struct Documents {
    /// As `/v1/trust` shows them.
    pub shown: Trust,
    /// The root in force.
    pub root: Root,
    /// The policy in force.
    pub policy: Policy,
    /// Digest of the policy's payload.
    pub policy_sha256: Digest,
}

/// Why documents that were offered don't come into force.
#[derive(Debug, thiserror::Error)]
pub enum NotInForce {
    /// They are not newer than those in force.
    #[error(
        "policy {offered} does not take the place of {held}, which is in force. Draft the next version from that one."
    )]
    NotNewer {
        /// The version offered.
        offered: u64,
        /// The version in force.
        held: u64,
    },
    /// Their roots don't go on from those in force.
    #[error(
        "the roots do not begin with those in force. Take them from this server, and add the next one behind them."
    )]
    OtherRoots,
    /// This server could not work under it.
    #[error("the policy does not name this server's {0}. Draft it from the policy in force.")]
    OtherKeys(&'static str),
    /// They are not sound, or not signed by whom they must be.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// They are no envelopes.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

impl Documents {
    /// Reads and checks `trust/`.
    ///
    /// # Errors
    /// A file is missing or damaged, or they do not belong together.
    pub fn load(folder: &Folder) -> anyhow::Result<Self> {
        let (mut roots, mut texts) = roots(folder)?;
        let text = read(&folder.policy())?;
        let envelope = Envelope::parse(text.as_bytes())?;
        let mut opened = opened(&envelope, &roots);
        // A root whose policy never came to its place: the publication was cut off, and is made again.
        while opened.is_err() && roots.len() > 1 {
            roots.pop();
            texts.pop();
            opened = self::opened(&envelope, &roots).or(opened);
        }
        let policy =
            opened.with_context(|| format!("{} is not in force.", folder.policy().display()))?;
        let root = roots.pop().context("There is no root.")?;
        Ok(Self {
            shown: Trust {
                v: VERSION,
                roots: texts,
                policy: text,
            },
            policy_sha256: envelope.digest(),
            root,
            policy,
        })
    }

    /// What is in force once `offered` is, which must go on from these; none where it is in force already.
    ///
    /// # Errors
    /// It is not newer, not signed by the roots, not sound, or not one under which this server, whose key of signed time
    /// is `time`, could work.
    pub fn next(&self, offered: &Trust, time: &PublicKey) -> Result<Option<Self>, NotInForce> {
        let envelope = Envelope::parse(offered.policy.as_bytes())?;
        if envelope.digest() == self.policy_sha256 {
            return Ok(None);
        }
        let held = self.shown.roots.len();
        if offered.roots.len() < held || offered.roots.len() >= MAX_ROOTS {
            return Err(NotInForce::OtherRoots);
        }
        let (old, further) = offered.roots.split_at(held);
        for (offered, held) in old.iter().zip(&self.shown.roots) {
            let digest = |text: &str| Envelope::parse(text.as_bytes()).map(|e| e.digest());
            if digest(offered)? != digest(held)? {
                return Err(NotInForce::OtherRoots);
            }
        }
        let mut root = self.root.clone();
        for text in further {
            root = root.open_next(&Envelope::parse(text.as_bytes())?)?;
        }
        let policy = Policy::open(&envelope, &root)?;
        match policy.check_update(&self.policy, &root) {
            Err(DocumentError::WrongSuccession { .. }) => {
                return Err(NotInForce::NotNewer {
                    offered: policy.version,
                    held: self.policy.version,
                });
            }
            other => other?,
        }
        if !policy.time_keys.contains(time) {
            return Err(NotInForce::OtherKeys("time key"));
        }
        if policy.log_key()? != self.policy.log_key()? {
            return Err(NotInForce::OtherKeys("key of the custody log"));
        }
        let mut roots = self.shown.roots.clone();
        roots.extend_from_slice(further);
        Ok(Some(Self {
            shown: Trust {
                v: VERSION,
                roots,
                policy: offered.policy.clone(),
            },
            policy_sha256: envelope.digest(),
            root,
            policy,
        }))
    }

    /// Makes these durable in the place of `old`. The old policy stays beside them: what was signed under it is
    /// explained by it.
    ///
    /// # Errors
    /// The folder can't be written; what was in force is then still there, or these are.
    pub fn store(&self, folder: &Folder, old: &Self) -> anyhow::Result<()> {
        let write = |path: &Path, text: &str| {
            keyfile::replace(path, text.as_bytes(), 0o644)
                .with_context(|| format!("{} can't be written.", path.display()))
        };
        for (number, text) in (1..).zip(&self.shown.roots).skip(old.shown.roots.len()) {
            write(&folder.root_document(number), text)?;
        }
        write(&folder.old_policy(old.policy.version), &old.shown.policy)?;
        write(&folder.policy(), &self.shown.policy)
    }
}

fn opened(policy: &Envelope, roots: &[Root]) -> anyhow::Result<Policy> {
    let root = roots.last().context("There is no root.")?;
    Ok(Policy::open(policy, root)?)
}

/// What certificates are checked under; no document changes it.
pub struct Anchors {
    /// The root certificate, as seals are checked under it.
    pub seals: seal::Trust,
    /// The same, as clients are checked under it.
    pub anchor: TrustAnchor<'static>,
}

impl Anchors {
    /// Reads `trust/root.crt`.
    ///
    /// # Errors
    /// It is missing or damaged, or belongs to another deployment.
    pub fn load(folder: &Folder) -> anyhow::Result<Self> {
        let pem = read(&folder.root_certificate())?;
        let der = root_der(&pem)?;
        // By a key of the first root: what is pinned stays, whichever roots follow it.
        check_root_key(&der, &first_root(folder)?.0)?;
        let anchor = webpki::anchor_from_trusted_cert(&der)
            .context("root.crt can't be an anchor. Restore it from a copy.")?
            .to_owned();
        Ok(Self {
            seals: seal::Trust::from_der(&der)?,
            anchor,
        })
    }
}

fn first_root(folder: &Folder) -> anyhow::Result<(Root, String)> {
    let text = read(&folder.root_document(1))?;
    let root = Root::open(&Envelope::parse(text.as_bytes())?)
        .context("trust/root.json does not hold. Restore it from a copy.")?;
    Ok((root, text))
}

/// Every root from the first on, read and as it stands; each was signed by the one before.
fn roots(folder: &Folder) -> anyhow::Result<(Vec<Root>, Vec<String>)> {
    let (first, text) = first_root(folder)?;
    let (mut roots, mut texts) = (vec![first.clone()], vec![text]);
    let mut root = first;
    for version in 2..MAX_ROOTS as u64 {
        let path = folder.root_document(version);
        if !path.exists() {
            break;
        }
        let text = read(&path)?;
        let envelope = Envelope::parse(text.as_bytes())?;
        root = root.open_next(&envelope).with_context(|| {
            format!(
                "{} does not follow the root before it. Restore it from a copy.",
                path.display()
            )
        })?;
        texts.push(text);
        roots.push(root.clone());
    }
    Ok((roots, texts))
}

fn root_der(pem: &str) -> anyhow::Result<CertificateDer<'static>> {
    let mut all = seal::certificates_from_pem(pem)?;
    match (all.pop(), all.is_empty()) {
        (Some(der), true) => Ok(CertificateDer::from(der)),
        _ => bail!("root.crt holds more than one certificate. Leave the deployment's root alone."),
    }
}

/// The certificate that seals are checked under is by a key that signs policies: who has one has both.
fn check_root_key(der: &CertificateDer<'_>, root: &Root) -> anyhow::Result<()> {
    let certificate = webpki::EndEntityCert::try_from(der)?;
    let key = PublicKey::from_spki_der(&certificate.subject_public_key_info())?;
    if root.keys.contains(&key) {
        return Ok(());
    }
    bail!("root.crt and root.json have different keys. Restore trust/ from a copy.")
}

/// The keys that the server works with.
pub struct Keys {
    /// Signs time and the server's own custody leaves.
    pub time: SigningKey,
    /// Signs the custody log's checkpoints.
    pub log: LogSigner,
    /// Certifies agents and the server.
    pub issuing: Authority,
}

impl Keys {
    /// Reads `keys/`; each must be the one that the policy names.
    ///
    /// # Errors
    /// A key is missing or another one.
    pub fn load(folder: &Folder, policy: &Policy) -> anyhow::Result<Self> {
        let time = SigningKey::from_pem(&secret(&folder.time_key())?)
            .context("keys/time.key is no signing key. Restore it from a copy.")?;
        if !policy.time_keys.contains(&time.public()) {
            bail!("keys/time.key is none of the policy's time keys. Restore it from a copy.");
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&secret(&folder.log_key())?)
            .context("keys/log.key is no Ed25519 key. Restore it from a copy.")?;
        let public = policy.log_key()?;
        let log = LogSigner::new(public.name(), key)?;
        if *log.public() != public {
            bail!("keys/log.key is not the policy's log key. Restore it from a copy.");
        }
        let issuing = Authority::load(&folder.issuing_certificate(), &folder.issuing_key())?;
        Ok(Self { time, log, issuing })
    }
}

/// The key that opens the records of kits' uses, made where there is none yet.
///
/// # Errors
/// The file holds something else, or can't be read or written.
pub fn intake_key(folder: &Folder) -> anyhow::Result<Identity> {
    let path = folder.intake_key();
    if !path.exists() {
        let text = Identity::generate().to_text();
        let text = Zeroizing::new(format!("{}\n", text.as_str()));
        keyfile::create(&path, text.as_bytes(), 0o600)
            .with_context(|| format!("{} can't be written.", path.display()))?;
    }
    let keys = Identity::parse_file(&secret(&path)?);
    let first = keys.ok().and_then(|keys| keys.into_iter().next());
    first.context("keys/intake.key is no age identity. Restore it from a copy.")
}

/// A key as text: wiped out of memory with the value.
fn secret(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    read(path).map(Zeroizing::new)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| missing(path.to_owned()))
}

fn missing(path: PathBuf) -> String {
    format!(
        "{} could not be read. Check that it exists and belongs to the server's user.",
        path.display()
    )
}
