//! `init`: a whole deployment in an empty folder, its root key in a place of its own.
//!
//! One P-256 key signs the root document, the policy and the root certificate, so that root.crt
//! alone checks an archive's seal and the policy inside it. That key is written to `offline/`
//! and used by nothing here again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::Path,
};

use anyhow::{Context as _, bail};
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use evidence::{
    custody::{log::Log, note::LogSigner},
    envelope::{self, Envelope},
    instant::Instant,
    keys::SigningKey,
    wrap::Recipient,
};
use protocol::{
    name::Name,
    policy::{Class, Person, Policy, Role},
    reach,
    root::Root,
    version::VERSION,
};
use zeroize::Zeroizing;

use crate::{
    ca::Authority,
    certificate,
    config::{self, Config},
    folder::Folder,
    keyfile,
    store::index::Index,
    trust::{Anchors, Documents, intake_key},
};

/// How long the first policy holds.
const POLICY_DAYS: i64 = 365;

/// What a deployment is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub deployment: Name,
    /// The DNS names and addresses that agents will use.
    pub names: Vec<String>,
    /// Where the server will listen.
    pub listen: SocketAddr,
    /// Who is known.
    pub people: Vec<Person>,
    /// Whom evidence of each agency is encrypted to.
    pub vaults: BTreeMap<Name, Vec<Recipient>>,
    /// How many people must sign an order of each class.
    pub thresholds: BTreeMap<Class, usize>,
}

/// Makes the server's folder; refuses one that holds anything.
///
/// # Errors
/// The folder is not empty or can't be written, or the plan contradicts itself.
pub async fn init(dir: &Path, plan: &Plan) -> anyhow::Result<()> {
    check(plan)?;
    let now = Instant::now();
    let (root, time) = (SigningKey::generate()?, SigningKey::generate()?);
    let log = log_signer(plan)?;
    let policy = first_policy(plan, &time, &log, now);
    policy
        .validate()
        .context("No deployment can be made so. Correct the command; nothing was written.")?;
    let folder = Folder::new(dir);
    make_folders(&folder)?;
    write_documents(&folder, &policy, &root)?;
    write_keys(&folder, plan, &root, &time, &log, now)?;
    Log::open(&folder.log())?;
    Index::open(&folder.index()).await?;
    // What serve will ask.
    Documents::load(&folder)?;
    Anchors::load(&folder)?;
    // Last, so that a folder with settings is a whole one.
    let config = Config {
        listen: plan.listen,
        names: plan.names.clone(),
        ..Config::default()
    };
    let text = config::to_text(&config)?;
    keyfile::create(&dir.join(config::FILE), text.as_bytes(), 0o644)?;
    Ok(())
}

fn check(plan: &Plan) -> anyhow::Result<()> {
    if plan.names.is_empty() {
        bail!("No name was given. Give the names and addresses that agents will use.");
    }
    let roles: BTreeSet<_> = plan.people.iter().flat_map(|p| &p.roles).collect();
    if !roles.contains(&Role::Admin) {
        bail!("Nobody is an admin, so nobody could let hosts in. Give a person the role `admin`.");
    }
    Ok(reach::check(
        &plan.people,
        &mut plan.vaults.keys(),
        &plan.thresholds,
    )?)
}

fn make_folders(folder: &Folder) -> anyhow::Result<()> {
    let dir = folder.path();
    fs::create_dir_all(dir).with_context(|| format!("{} can't be made.", dir.display()))?;
    if fs::read_dir(dir)?.next().is_some() {
        bail!("{} is not empty. Give a new folder.", dir.display());
    }
    keyfile::private_dir(dir)?;
    for private in [folder.keys(), folder.offline()] {
        keyfile::private_dir(&private)?;
    }
    for plain in [folder.trust(), folder.staging(), folder.blobs()] {
        fs::create_dir_all(plain)?;
    }
    Ok(())
}

struct NewLog {
    signer: LogSigner,
    key_pem: Zeroizing<String>,
}

fn log_signer(plan: &Plan) -> anyhow::Result<NewLog> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|e| anyhow::anyhow!("No random numbers: {e}"))?;
    let key = ed25519_dalek::SigningKey::from_bytes(&seed);
    let pem = key.to_pkcs8_pem(ed25519_dalek::pkcs8::spki::der::pem::LineEnding::LF)?;
    let name = format!("{}/custody", plan.deployment);
    Ok(NewLog {
        key_pem: pem,
        signer: LogSigner::new(&name, key)?,
    })
}

fn first_policy(plan: &Plan, time: &SigningKey, log: &NewLog, now: Instant) -> Policy {
    Policy {
        v: VERSION,
        version: 1,
        root_version: 1,
        deployment: plan.deployment.clone(),
        expires: Instant {
            seconds: now.seconds + POLICY_DAYS * 86_400,
            ns: 0,
        },
        people: plan.people.clone(),
        thresholds: plan.thresholds.clone(),
        vaults: plan.vaults.clone(),
        log_key: log.signer.public().to_string(),
        time_keys: vec![time.public()],
    }
}

fn write_documents(folder: &Folder, policy: &Policy, root_key: &SigningKey) -> anyhow::Result<()> {
    let root = Root {
        v: VERSION,
        version: 1,
        deployment: policy.deployment.clone(),
        keys: vec![root_key.public()],
        threshold: 1,
    };
    let root = Envelope::sign_document(envelope::ROOT, &root, root_key)?;
    let policy = Envelope::sign_document(envelope::POLICY, policy, root_key)?;
    keyfile::create(&folder.root_document(1), &root.to_json()?, 0o644)?;
    keyfile::create(&folder.policy(), &policy.to_json()?, 0o644)?;
    Ok(())
}

fn write_keys(
    folder: &Folder,
    plan: &Plan,
    root_key: &SigningKey,
    time: &SigningKey,
    log: &NewLog,
    now: Instant,
) -> anyhow::Result<()> {
    let name = |what: &str| format!("Fieldseal {} {what}", plan.deployment);
    let root = Authority::new_root(&name("root"), root_key, now.seconds)?;
    let issuing = root.new_issuing(&name("issuing authority"), now.seconds)?;
    let secret = |path: &Path, text: &str| keyfile::create(path, text.as_bytes(), 0o600);
    let public = |path: &Path, text: &str| keyfile::create(path, text.as_bytes(), 0o644);
    secret(&folder.offline().join("root.key"), &root_key.to_pem()?)?;
    public(&folder.root_certificate(), root.certificate_pem())?;
    public(&folder.issuing_certificate(), issuing.certificate_pem())?;
    secret(&folder.issuing_key(), &issuing.key_pem())?;
    secret(&folder.time_key(), &time.to_pem()?)?;
    secret(&folder.log_key(), &log.key_pem)?;
    let server = certificate::new_server(&issuing, &plan.names, now)?;
    secret(&folder.server_pem(), &server)?;
    intake_key(folder)?;
    Ok(())
}

/// What whoever ran `init` as `program` has to do next; the last line is a command as the shell takes it.
pub fn next_steps(program: &str, dir: &Path) -> String {
    // Absolute, so that the command works from everywhere.
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let folder = Folder::new(&dir);
    let (offline, trust) = (folder.offline(), folder.trust());
    format!(
        "The deployment is ready in {shown}.\n\
         Now take the root key offline: put {key} under a passphrase on a machine without network \
         (fieldseal policy root-key --from {key} --output root.key), copy it to two media that are kept apart, delete \
         it here, and note where they lie. Serving does not need it; a new policy does: KEYS.md has the steps.\n\
         Give {trust} to every host and person: it is public.\n\
         {settings} says what can be set.\n\
         Start the server:\n  {program} serve {dir}\n",
        shown = dir.display(),
        key = offline.join("root.key").display(),
        trust = trust.display(),
        settings = dir.join(config::FILE).display(),
        program = in_shell(program),
        dir = in_shell(&dir.to_string_lossy()),
    )
}

/// A word as a POSIX shell takes it back.
fn in_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
