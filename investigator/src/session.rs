//! One sitting with the server: settings, keys, and what is believed, checked anew at each contact.

use std::io::{self, Write as _};

use anyhow::{Context as _, ensure};
use evidence::{
    custody::{checkpoint::Checkpoint, receipt::Proven},
    envelope::Envelope,
    instant::Instant,
    seal::{self, Trust as SealTrust},
};
use protocol::{
    order::Order,
    policy::{Person, Role},
};
use zeroize::Zeroizing;

use crate::{
    checkpoint,
    commands::files,
    home::{Home, Settings},
    keys::{Keys, passphrase},
    policy::words,
    remote::Remote,
    trust::{self, Believed, Seen},
};

/// No root file is longer.
const ROOT_BYTES: u64 = 1 << 20;

/// All that a command needs to speak to the server.
pub struct Session {
    /// The tool's folder.
    pub home: Home,
    /// The server.
    pub remote: Remote,
    /// The root that was pinned when the tool was set up.
    pub pinned: Envelope,
    /// Policy and keys in force.
    pub believed: Believed,
    /// The custody log as seen at this contact.
    pub checkpoint: Checkpoint,
    /// The same as seen at the contact before.
    pub seen_before: Option<Checkpoint>,
    /// The person's keys.
    pub keys: Keys,
    /// The person, as the policy has them.
    pub me: Person,
    /// The deployment's root certificate: seals lead to it.
    pub seal_trust: SealTrust,
}

impl Session {
    /// Makes contact: policy and custody log must continue what was seen before.
    ///
    /// # Errors
    /// Settings or keys are wrong, the server can't be reached, or is not to be believed.
    pub fn open(home: Home) -> anyhow::Result<Self> {
        let settings = home.settings()?;
        let keys = Keys::load(&settings.keys)?;
        let root_pem = read_text(&settings, true)?;
        let roots = seal::certificates_from_pem(&root_pem).with_context(|| {
            format!("{} is no certificate.", settings.root_certificate.display())
        })?;
        let pinned =
            Envelope::parse(read_text(&settings, false)?.as_bytes()).with_context(|| {
                format!("{} is no root document.", settings.root_document.display())
            })?;
        let remote = Remote::new(&settings.server, &roots, Some(keys.credentials()))?;
        let believed = trust::update(&home, &pinned, &remote.trust()?)?;
        warn(&home, &believed)?;
        let seen_before = checkpoint::remembered(&home, &believed.log_key)?;
        let checkpoint = look_at_log(&home, &remote, &believed)?;
        let me = find_me(&believed, &keys)?;
        Ok(Self {
            home,
            remote,
            pinned,
            believed,
            checkpoint,
            seen_before,
            keys,
            me,
            seal_trust: SealTrust::from_pem(&root_pem)?,
        })
    }

    /// Stops where the person has not the role, in words, before the server does.
    ///
    /// # Errors
    /// The policy does not give it.
    pub fn demand(&self, role: Role) -> anyhow::Result<()> {
        ensure!(
            self.me.roles.contains(&role),
            "The policy does not name {} as {}. Ask an admin of the deployment.",
            self.me.id,
            format!("{role:?}").to_lowercase()
        );
        Ok(())
    }

    /// Checks the receipt for something just handed in: the leaf is in the log, and in the log that everybody sees.
    ///
    /// # Errors
    /// The receipt proves nothing, or the log does not continue it.
    pub fn prove_logged(&self, receipt: &str) -> anyhow::Result<Proven> {
        let proven = checkpoint::prove_logged(receipt, &self.believed.log_key)?;
        let newest = look_at_log(&self.home, &self.remote, &self.believed)?;
        let prove = |from, to| self.remote.consistency(from, to);
        checkpoint::check_continued(&proven.checkpoint, &newest, &prove)?;
        Ok(proven)
    }

    /// What the server shows now: it may have changed since this session began.
    ///
    /// # Errors
    /// It can't be reached, or is not to be believed.
    pub fn believed_now(&self) -> anyhow::Result<Believed> {
        trust::update(&self.home, &self.pinned, &self.remote.trust()?)
    }

    /// Looks under which policy `order` was signed; one that the server does not show is remembered, and told.
    ///
    /// # Errors
    /// The server can't be asked again, or nothing can be remembered.
    pub fn notice_policy_of(
        &self,
        envelope: &Envelope,
        order: &Order,
    ) -> anyhow::Result<Option<String>> {
        let seen = Seen::of(envelope, order, &self.believed.policy);
        let Some(seen) = seen.filter(|s| s.version > self.believed.policy.version) else {
            return Ok(None);
        };
        // It may have come into force while this ran.
        let now = self.believed_now()?;
        if now.policy.version < seen.version {
            trust::remember_seen(&self.home, &seen)?;
        }
        trust::withheld(&self.home, &now.policy)
    }

    /// The signing key, unlocked by a passphrase that was typed elsewhere than on a terminal.
    ///
    /// # Errors
    /// The passphrase is wrong.
    pub fn unlock_by(&self, passphrase: &str) -> anyhow::Result<evidence::keys::SigningKey> {
        self.keys
            .unlock(&|| Ok(Zeroizing::new(passphrase.to_owned())))
    }

    /// The unlocked signing key.
    ///
    /// # Errors
    /// The passphrase is wrong or can't be asked for.
    pub fn unlock(&self) -> anyhow::Result<evidence::keys::SigningKey> {
        let ask = || -> anyhow::Result<Zeroizing<String>> { passphrase::to_open() };
        self.keys.unlock(&ask)
    }
}

/// Says what is to be known of the policy before it is needed.
fn warn(home: &Home, believed: &Believed) -> anyhow::Result<()> {
    let policy = &believed.policy;
    let withheld = trust::withheld(home, policy)?;
    for text in words::expiry(policy, Instant::now())
        .iter()
        .chain(&withheld)
    {
        writeln!(io::stderr(), "{text}")?;
    }
    Ok(())
}

/// The newest checkpoint, which must continue the remembered one.
fn look_at_log(home: &Home, remote: &Remote, believed: &Believed) -> anyhow::Result<Checkpoint> {
    let note = remote.checkpoint()?;
    let note = String::from_utf8(note).context("The server's checkpoint is not text.")?;
    let prove = |from, to| remote.consistency(from, to);
    checkpoint::update(home, &believed.log_key, &note, &prove)
}

fn read_text(settings: &Settings, certificate: bool) -> anyhow::Result<String> {
    let path = if certificate {
        &settings.root_certificate
    } else {
        &settings.root_document
    };
    let bytes = files::read(path, ROOT_BYTES)
        .context("The deployment's root is not there. Run `fieldseal setup` again.")?;
    String::from_utf8(bytes).with_context(|| format!("{} is not text.", path.display()))
}

/// The person of the policy whose keys these are.
fn find_me(believed: &Believed, keys: &Keys) -> anyhow::Result<Person> {
    let mine = &keys.person;
    let found = believed
        .policy
        .person(&mine.id)
        .filter(|known| known.signing_key == mine.signing_key && known.tls_key == mine.tls_key);
    found.cloned().with_context(|| {
        format!(
            "Policy {} of {} does not know the keys of {}. Send person.json to an admin of the deployment.",
            believed.policy.version, believed.policy.deployment, mine.id
        )
    })
}
