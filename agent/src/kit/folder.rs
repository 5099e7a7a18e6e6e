//! The kit's folder: every file is what was signed, and the order is this kit's to obey.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use evidence::{
    digest::{Digest, DigestWriter},
    envelope::Envelope,
    instant::Instant,
    keys::{KeyError, SigningKey, is_encrypted_pem},
    seal,
};
use protocol::{
    artifacts,
    error::DocumentError,
    kit::{Kit, KitTerms, layout},
    name::NotAName,
    order::Order,
    order_check::{self, Accepted, Refusal, Situation},
    policy::Policy,
    root::Root,
    target::{Subject, TargetProof},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::reader::seal::Seal;

/// No document of a kit is longer; an order may carry a hunt's digests.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

/// The kit can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// A file can't be read.
    #[error("{path} can't be read: {source}. Check the stick, or have the kit built again.")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is not what was signed.
    #[error(
        "THE KIT WAS ALTERED: {path} {what}. Don't use it; tell whoever gave it to you, and keep it as it is."
    )]
    Altered {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A document does not hold.
    #[error(
        "THE KIT WAS ALTERED or is not whole: a document in it does not hold. Don't use it; tell whoever gave it to you."
    )]
    Document(#[from] DocumentError),
    /// The order is not obeyed.
    #[error("this kit can't collect here")]
    Refused(#[from] Refusal),
    /// The host is none of those that the order names.
    #[error(
        "the kit's order does not name this host, {0}. Collect on the hosts that it names, or have a kit built for this one."
    )]
    OtherHost(String),
    /// All uses are used.
    #[error(
        "the kit was used {0} times already, as often as its order allows. Have another one built."
    )]
    UsedUp(u32),
    /// The seal key needs a passphrase, or another one.
    #[error("the kit's key can't be opened. Type the passphrase that came with the kit.")]
    Passphrase,
    /// The seal key does not read.
    #[error(transparent)]
    Key(KeyError),
}

impl From<evidence::envelope::EnvelopeError> for KitError {
    fn from(error: evidence::envelope::EnvelopeError) -> Self {
        Self::Document(error.into())
    }
}

impl From<NotAName> for KitError {
    fn from(error: NotAName) -> Self {
        Self::Refused(Refusal::Malformed {
            why: error.to_string(),
        })
    }
}

/// A kit whose every file is what its builder signed.
pub struct Opened {
    /// Its folder, absolute.
    pub folder: PathBuf,
    /// What it is made of.
    pub kit: Kit,
    /// The order.
    pub order: Order,
    /// The order's terms.
    pub terms: KitTerms,
    /// The policy.
    pub policy: Policy,
    /// The order's envelope, to the letter.
    pub order_text: String,
    /// The policy's envelope, to the letter.
    pub policy_text: String,
    root: Root,
    proof: TargetProof,
    key_pem: String,
}

impl Opened {
    /// Reads the kit in `folder`, and holds every file against what was signed.
    ///
    /// # Errors
    /// Something of it is missing, altered or does not hold.
    pub fn open(folder: &Path) -> Result<Self, KitError> {
        let folder = folder.canonicalize().map_err(|source| KitError::File {
            path: folder.to_path_buf(),
            source,
        })?;
        let text = |name: &str| text(&folder, name);
        let root = Root::open(&Envelope::parse(text(layout::ROOT)?.trim().as_bytes())?)?;
        let policy_text = text(layout::POLICY)?;
        let policy = Policy::open(&Envelope::parse(policy_text.as_bytes())?, &root)?;
        let order_text = text(layout::ORDER)?;
        let envelope = Envelope::parse(order_text.as_bytes())?;
        let order = Order::read(&envelope)?;
        let document = Envelope::parse(text(layout::KIT)?.as_bytes())?;
        let kit = Kit::open(&document, &policy, (&order, envelope.digest()))?;
        let sums = text(layout::SUMS)?;
        check_files(&folder, &sums, kit.sums_sha256)?;
        let altered = |what| KitError::Altered {
            path: layout::TARGET.to_owned(),
            what,
        };
        let proof = serde_json::from_str(&text(layout::TARGET)?)
            .map_err(|_| altered("can't be understood"))?;
        let terms = order.kit.clone();
        Ok(Self {
            key_pem: text(layout::SEAL_KEY)?,
            terms: terms.ok_or(altered("is for an order without a kit"))?,
            folder,
            kit,
            order,
            policy,
            order_text,
            policy_text,
            root,
            proof,
        })
    }

    /// Whether a passphrase opens the seal key.
    pub fn is_locked(&self) -> bool {
        is_encrypted_pem(&self.key_pem)
    }

    /// The seal, which must be the one that the order names.
    ///
    /// # Errors
    /// The passphrase is not the right one, or the key is another.
    pub fn seal(&self, passphrase: Option<&str>) -> Result<Seal, KitError> {
        let key = match (self.is_locked(), passphrase) {
            (false, _) => SigningKey::from_pem(&self.key_pem).map_err(KitError::Key)?,
            (true, Some(word)) => SigningKey::from_encrypted_pem(&self.key_pem, word)
                .map_err(|_| KitError::Passphrase)?,
            (true, None) => return Err(KitError::Passphrase),
        };
        let altered = |what| KitError::Altered {
            path: layout::SEAL_KEY.to_owned(),
            what,
        };
        if key.public().key_id() != self.terms.key {
            return Err(altered("is not the key that the order names"));
        }
        let chain = CertificateDer::pem_slice_iter(self.kit.seal_chain.as_bytes());
        let chain: Result<Vec<Vec<u8>>, _> = chain.map(|c| c.map(|c| c.to_vec())).collect();
        let chain = chain.map_err(|_| altered("has no certificate"))?;
        // The log's receipt, and not a root of the stick's own, makes it believed later.
        let trust = seal::Trust::default();
        let expected = seal::Expected {
            trust: &trust,
            agent: Some(self.kit.agent),
            at: None,
        };
        let report = seal::check_certificates(&chain, expected, self.kit.built);
        let certified = report.signer.and_then(|s| s.key).map(|key| key.key_id());
        if !report.faults.is_empty() || certified != Some(self.terms.key) {
            return Err(altered("is not the key that was certified"));
        }
        Ok(Seal::enrolled(key, self.kit.agent, chain))
    }

    /// Judges the order at `now`, as an agent judges one, and by the time that the person says it is.
    ///
    /// # Errors
    /// The reason to refuse.
    pub fn judge(&self, now: Instant, said: Option<Instant>) -> Result<Accepted, KitError> {
        let subject = Subject {
            id: self.kit.agent,
            agency: self.terms.agency.clone(),
            labels: BTreeSet::new(),
            os: std::env::consts::OS.parse()?,
            arch: std::env::consts::ARCH.parse()?,
        };
        let nothing = BTreeSet::new();
        let situation = Situation {
            policy: &self.policy,
            root: &self.root,
            subject: &subject,
            kit: Some(self.terms.key),
            now,
            highest_signed: said,
            used: &nothing,
            cancelled: &nothing,
            class_of: &artifacts::class_of,
        };
        let envelope = Envelope::parse(self.order_text.as_bytes())?;
        Ok(order_check::check(
            &envelope,
            Some(&self.proof),
            &situation,
        )?)
    }

    /// The folder that collections go to.
    pub fn evidence(&self) -> PathBuf {
        self.folder.join(layout::EVIDENCE)
    }

    /// Whether the folder that collections go to is one, or is still to be made: by a link in its place they would be
    /// written to the host.
    ///
    /// # Errors
    /// It is something else.
    pub fn check_evidence(&self) -> Result<(), KitError> {
        match fs::symlink_metadata(self.evidence()) {
            Ok(found) if !found.is_dir() => Err(KitError::Altered {
                path: layout::EVIDENCE.to_owned(),
                what: "is no folder",
            }),
            _ => Ok(()),
        }
    }

    /// Whether one collection more is within the order's uses, by what lies here: a copy of the stick does not know
    /// of this one, so that the server counts again.
    ///
    /// # Errors
    /// It is not.
    pub fn check_uses(&self) -> Result<(), KitError> {
        let begun = fs::read_dir(self.evidence())
            .into_iter()
            .flatten()
            .flatten();
        let begun = begun.filter(|entry| entry.path().join(layout::USED).is_file());
        match u32::try_from(begun.count()).unwrap_or(u32::MAX) {
            count if count >= self.terms.uses => Err(KitError::UsedUp(count)),
            _ => Ok(()),
        }
    }
}

fn text(folder: &Path, name: &str) -> Result<String, KitError> {
    let (path, file) = open_plain(folder, name)?;
    let mut text = String::new();
    file.take(DOCUMENT_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|source| KitError::File { path, source })?;
    Ok(text)
}

/// Opens what must be a plain file: a link could lead to what is the host's, and a pipe never ends.
fn open_plain(folder: &Path, name: &str) -> Result<(PathBuf, File), KitError> {
    let path = folder.join(name);
    let failed = |source| KitError::File {
        path: path.clone(),
        source,
    };
    if !fs::symlink_metadata(&path).map_err(failed)?.is_file() {
        return Err(KitError::Altered {
            path: name.to_owned(),
            what: "is no plain file",
        });
    }
    let file = File::open(&path).map_err(failed)?;
    Ok((path, file))
}

/// Every file that `sums` names is what it says, and in the closed folders lies no other.
fn check_files(folder: &Path, sums: &str, sums_sha256: Digest) -> Result<(), KitError> {
    let altered = |path: &str, what| KitError::Altered {
        path: path.to_owned(),
        what,
    };
    if Digest::of(sums.as_bytes()) != sums_sha256 {
        return Err(altered(layout::SUMS, "is not the list that was signed"));
    }
    let mut named = BTreeMap::new();
    for line in sums.lines() {
        let (digest, name) = line
            .split_once("  ")
            .ok_or_else(|| altered(layout::SUMS, "can't be understood"))?;
        let digest: Digest = digest
            .parse()
            .map_err(|_| altered(layout::SUMS, "can't be understood"))?;
        named.insert(name, digest);
    }
    for (name, digest) in &named {
        if digest_of(folder, name)? != *digest {
            return Err(altered(name, "is not what was signed"));
        }
    }
    for closed in layout::CLOSED {
        check_nothing_more(folder, closed, &named)?;
    }
    Ok(())
}

fn check_nothing_more(
    folder: &Path,
    below: &str,
    named: &BTreeMap<&str, Digest>,
) -> Result<(), KitError> {
    let place = folder.join(below);
    let failed = |source| KitError::File {
        path: place.clone(),
        source,
    };
    for entry in fs::read_dir(&place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(failed)?.is_dir() {
            check_nothing_more(folder, &name, named)?;
        } else if !named.contains_key(name.as_str()) && name != layout::KIT {
            return Err(KitError::Altered {
                path: name,
                what: "was not there when the kit was built",
            });
        }
    }
    Ok(())
}

fn digest_of(folder: &Path, name: &str) -> Result<Digest, KitError> {
    let (path, mut file) = open_plain(folder, name)?;
    let mut hash = DigestWriter::new(io::sink());
    io::copy(&mut file, &mut hash).map_err(|source| KitError::File { path, source })?;
    Ok(hash.finish().1)
}
