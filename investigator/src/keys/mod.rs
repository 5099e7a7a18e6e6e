//! A person's keys: a folder with one key to sign, one to speak to the server, and one to open evidence.
//!
//! `signing.key` (PKCS#8, under a passphrase or not), `tls.key` and `tls.crt`, `identity.txt` (age),
//! and `person.json`: the public half, for the policy.

pub mod passphrase;
pub mod root;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use evidence::{
    digest::Digest,
    keys::{SigningKey, is_encrypted_pem},
    wrap::Identity,
};
use protocol::policy::Person;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use zeroize::Zeroizing;

use crate::{commands::files, private, remote::Credentials};

/// No file of the folder is longer.
const MOST_BYTES: u64 = 64 * 1024;
/// How long the TLS certificate holds; nobody but the policy gives it meaning.
const TLS_DAYS: i64 = 10 * 365;

const PERSON: &str = "person.json";
const SIGNING: &str = "signing.key";
const TLS_KEY: &str = "tls.key";
const TLS_CERTIFICATE: &str = "tls.crt";
/// The person's age identity, in the key folder.
pub const IDENTITY: &str = "identity.txt";

/// Who the new person is, as the policy shall say.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Everything but the keys, which are made here.
    pub id: protocol::name::Name,
    /// The name for people.
    pub name: String,
    /// What the person may do.
    pub roles: std::collections::BTreeSet<protocol::policy::Role>,
    /// For which agencies.
    pub agencies: std::collections::BTreeSet<protocol::name::Name>,
}

/// A key folder that was read; the signing key stays locked until [`Keys::unlock`].
pub struct Keys {
    folder: PathBuf,
    /// The public half.
    pub person: Person,
    /// The TLS certificate.
    pub tls_certificate: CertificateDer<'static>,
    /// Its key, PEM.
    pub tls_key_pem: Zeroizing<Vec<u8>>,
}

/// Makes a person's keys in a new folder and gives the public half.
///
/// # Errors
/// The folder holds something, or can't be written.
pub fn create(
    folder: &Path,
    new: NewPerson,
    passphrase: Option<&str>,
    now_s: i64,
) -> anyhow::Result<Person> {
    let shown = folder.display();
    private::create_folder(folder).with_context(|| format!("{shown} can't be made."))?;
    if std::fs::read_dir(folder)?.next().is_some() {
        bail!("{shown} is not empty. Name a new folder, so that no key is lost.");
    }
    let signing = SigningKey::generate()?;
    let signing_pem = match passphrase {
        Some(passphrase) => signing.to_encrypted_pem(passphrase)?,
        None => signing.to_pem()?,
    };
    let tls = tls_pair(new.id.as_str(), now_s)?;
    let identity = Identity::generate();
    let person = Person {
        id: new.id,
        name: new.name,
        roles: new.roles,
        agencies: new.agencies,
        signing_key: signing.public(),
        tls_key: tls.spki,
        recipient: identity.recipient(),
    };
    let public = protocol::person::write(&person)?;
    let write = |name: &str, bytes: &[u8]| {
        private::create(&folder.join(name), bytes)
            .with_context(|| format!("{shown}/{name} can't be written."))
    };
    write(SIGNING, signing_pem.as_bytes())?;
    write(TLS_KEY, tls.key_pem.as_bytes())?;
    write(TLS_CERTIFICATE, tls.certificate_pem.as_bytes())?;
    write(IDENTITY, identity_file(&identity).as_bytes())?;
    // Last, so that a folder with it is a whole one.
    write(PERSON, &public)?;
    Ok(person)
}

/// Makes a vault's key in a new file and gives its recipient.
///
/// # Errors
/// The file is there already, or can't be written.
pub fn create_vault(path: &Path) -> anyhow::Result<evidence::wrap::Recipient> {
    let identity = Identity::generate();
    private::create(path, identity_file(&identity).as_bytes()).with_context(|| {
        let shown = path.display();
        format!("{shown} can't be written. Name a new file in a folder that exists.")
    })?;
    Ok(identity.recipient())
}

fn identity_file(identity: &Identity) -> Zeroizing<String> {
    let (text, recipient) = (identity.to_text(), identity.recipient());
    Zeroizing::new(format!("# public key: {recipient}\n{}\n", text.as_str()))
}

struct TlsPair {
    key_pem: Zeroizing<String>,
    certificate_pem: String,
    spki: Digest,
}

/// A certificate by the key for itself: the policy names the key, and nothing else in it counts.
fn tls_pair(id: &str, now_s: i64) -> anyhow::Result<TlsPair> {
    const DAY_S: i64 = 86_400;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
        .context("The TLS key can't be made.")?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, id);
    params.distinguished_name = name;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |seconds: i64| {
        let since =
            u64::try_from(seconds).context("The clock shows a time before 1970. Set it.")?;
        anyhow::Ok(epoch + std::time::Duration::from_secs(since))
    };
    params.not_before = at(now_s - DAY_S)?;
    params.not_after = at(now_s + TLS_DAYS * DAY_S)?;
    params.use_authority_key_identifier_extension = false;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let made = params
        .self_signed(&key)
        .context("The TLS certificate can't be made.")?;
    Ok(TlsPair {
        key_pem: Zeroizing::new(key.serialize_pem()),
        certificate_pem: made.pem(),
        spki: Digest::of(&key.subject_public_key_info()),
    })
}

/// Reads a signing key; `ask` is called for the passphrase where one protects it.
///
/// # Errors
/// It is no such key, or the passphrase is wrong.
pub fn read_signing_key(
    path: &Path,
    ask: &dyn Fn() -> anyhow::Result<Zeroizing<String>>,
) -> anyhow::Result<SigningKey> {
    let shown = path.display();
    let pem = Zeroizing::new(files::read(path, MOST_BYTES)?);
    let pem = std::str::from_utf8(&pem).with_context(|| format!("{shown} is not PEM."))?;
    let key = if is_encrypted_pem(pem) {
        SigningKey::from_encrypted_pem(pem, &ask()?)
    } else {
        SigningKey::from_pem(pem)
    };
    key.with_context(|| format!("{shown} can't be opened."))
}

impl Keys {
    /// Reads the folder; the signing key is left where it is.
    ///
    /// # Errors
    /// A file is missing, or they do not belong together.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let shown = folder.display();
        let read = |name: &str| {
            files::read(&folder.join(name), MOST_BYTES).with_context(|| {
                format!("{shown} is not a key folder. Make one with `fieldseal keys new`.")
            })
        };
        let person = protocol::person::read(&read(PERSON)?)
            .with_context(|| format!("{shown}/{PERSON} can't be used."))?;
        let tls_certificate = CertificateDer::from_pem_slice(&read(TLS_CERTIFICATE)?)
            .with_context(|| format!("{shown}/{TLS_CERTIFICATE} is no certificate."))?;
        let tls_key_pem = Zeroizing::new(read(TLS_KEY)?);
        Ok(Self {
            folder: folder.to_owned(),
            person,
            tls_certificate,
            tls_key_pem,
        })
    }

    /// The signing key; `ask` is called for the passphrase where one protects it.
    ///
    /// # Errors
    /// The passphrase is wrong, or the key is not the person's.
    pub fn unlock(
        &self,
        ask: &dyn Fn() -> anyhow::Result<Zeroizing<String>>,
    ) -> anyhow::Result<SigningKey> {
        let path = self.folder.join(SIGNING);
        let shown = path.display();
        let key = read_signing_key(&path, ask)?;
        ensure!(
            key.public() == self.person.signing_key,
            "{shown} is not the key of {PERSON} beside it. Restore the folder from a copy."
        );
        Ok(key)
    }

    /// Whether a passphrase protects the signing key.
    ///
    /// # Errors
    /// The key can't be read.
    pub fn is_locked(&self) -> anyhow::Result<bool> {
        let pem = Zeroizing::new(files::read(&self.folder.join(SIGNING), MOST_BYTES)?);
        Ok(std::str::from_utf8(&pem).is_ok_and(is_encrypted_pem))
    }

    /// Who asks the server.
    pub fn credentials(&self) -> Credentials<'_> {
        Credentials {
            certificate: &self.tls_certificate,
            key_pem: &self.tls_key_pem,
        }
    }

    /// The file with the person's age identity.
    pub fn identity_path(&self) -> PathBuf {
        self.folder.join(IDENTITY)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::policy::Role;

    use super::*;

    fn ann() -> NewPerson {
        NewPerson {
            id: "ann".parse().unwrap(),
            name: "Ann".into(),
            roles: BTreeSet::from([Role::Investigator, Role::Admin]),
            agencies: BTreeSet::from(["lab".parse().unwrap()]),
        }
    }

    fn never() -> anyhow::Result<Zeroizing<String>> {
        panic!("no passphrase is needed")
    }

    #[test]
    fn the_public_half_is_exactly_the_policys_person() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ann");
        let person = create(&folder, ann(), None, 1_800_000_000).unwrap();
        let text = std::fs::read_to_string(folder.join(PERSON)).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json.as_object_mut().unwrap().remove("v"), Some(1.into()));
        assert_eq!(serde_json::from_value::<Person>(json).unwrap(), person);
        assert!(!text.contains("PRIVATE") && !text.contains("SECRET"));
    }

    #[test]
    fn what_was_made_is_read_back_and_belongs_together() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ann");
        let person = create(&folder, ann(), None, 1_800_000_000).unwrap();
        let keys = Keys::load(&folder).unwrap();
        assert_eq!(keys.person, person);
        let key = keys.unlock(&never).unwrap();
        assert_eq!(key.public(), person.signing_key);
        let identities = files::identities(&keys.identity_path()).unwrap();
        assert_eq!(identities[0].recipient(), person.recipient);
        assert!(create(&folder, ann(), None, 0).is_err(), "keys are kept");
    }

    #[test]
    fn a_passphrase_protects_the_signing_key() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ann");
        create(&folder, ann(), Some("open"), 1_800_000_000).unwrap();
        let pem = std::fs::read_to_string(folder.join(SIGNING)).unwrap();
        assert!(is_encrypted_pem(&pem));
        let keys = Keys::load(&folder).unwrap();
        let say = |word: &'static str| move || Ok(Zeroizing::new(word.to_owned()));
        assert!(keys.unlock(&say("open")).is_ok());
        assert!(keys.unlock(&say("shut")).is_err());
    }

    #[test]
    fn another_persons_signing_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("ann");
        create(&folder, ann(), None, 1_800_000_000).unwrap();
        let other = SigningKey::generate().unwrap().to_pem().unwrap();
        std::fs::write(folder.join(SIGNING), other.as_bytes()).unwrap();
        assert!(Keys::load(&folder).unwrap().unlock(&never).is_err());
    }
}
