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
    envelope::Envelope,
    keys::{PublicKey, SigningKey},
    seal,
};
use protocol::{messages::Trust, policy::Policy, root::Root, version::VERSION};
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::{ca::Authority, folder::Folder};

/// Nobody has so many roots.
const MAX_ROOTS: u64 = 1_000;

/// The documents in force.
pub struct Documents {
    /// As `/v1/trust` shows them.
    pub shown: Trust,
    /// The root in force.
    pub root: Root,
    /// The policy in force.
    pub policy: Policy,
    /// Digest of the policy's payload.
    pub policy_sha256: Digest,
    /// The root certificate, as seals are checked under it.
    pub seals: seal::Trust,
    /// The same, as clients are checked under it.
    pub anchor: TrustAnchor<'static>,
    /// The issuing authority's certificate.
    pub issuing_pem: String,
}

impl Documents {
    /// Reads and checks `trust/`.
    ///
    /// # Errors
    /// A file is missing or damaged, or they do not belong together.
    pub fn load(folder: &Folder) -> anyhow::Result<Self> {
        let (root, roots) = roots(folder)?;
        let text = read(&folder.policy())?;
        let envelope = Envelope::parse(text.as_bytes())?;
        let policy = Policy::open(&envelope, &root)
            .with_context(|| format!("{} is not in force.", folder.policy().display()))?;
        let pem = read(&folder.root_certificate())?;
        let der = root_der(&pem)?;
        check_root_key(&der, &root)?;
        let anchor = webpki::anchor_from_trusted_cert(&der)
            .context("root.crt can't be an anchor. Restore it from a copy.")?
            .to_owned();
        Ok(Self {
            shown: Trust {
                v: VERSION,
                roots,
                policy: text,
            },
            policy_sha256: envelope.digest(),
            seals: seal::Trust::from_der(&der)?,
            anchor,
            issuing_pem: read(&folder.issuing_certificate())?,
            root,
            policy,
        })
    }
}

/// Every root from the first on; each was signed by the one before.
fn roots(folder: &Folder) -> anyhow::Result<(Root, Vec<String>)> {
    let text = read(&folder.root_document(1))?;
    let mut root = Root::open(&Envelope::parse(text.as_bytes())?)
        .context("trust/root.json does not hold. Restore it from a copy.")?;
    let mut texts = vec![text];
    for version in 2..MAX_ROOTS {
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
    }
    Ok((root, texts))
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
        let time = SigningKey::from_pem(&read(&folder.time_key())?)
            .context("keys/time.key is no signing key. Restore it from a copy.")?;
        if !policy.time_keys.contains(&time.public()) {
            bail!("keys/time.key is none of the policy's time keys. Restore it from a copy.");
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&read(&folder.log_key())?)
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

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| missing(path.to_owned()))
}

fn missing(path: PathBuf) -> String {
    format!(
        "{} could not be read. Check that it exists and belongs to the server's user.",
        path.display()
    )
}
