//! Which policy to believe: the pinned root, the roots that follow it, and the newest policy that they signed.
//!
//! What was believed once is remembered: an older policy, another one of the same version, or other roots are
//! refused whoever serves them. A policy that somebody signs under and the server does not show is told.

use anyhow::{Context as _, bail, ensure};
use evidence::{custody::note::LogKey, digest::Digest, envelope::Envelope, ids::OrderId};
use protocol::{
    messages::Trust as TrustMessage, name::Name, order::Order, policy::Policy, root::Root, version,
};
use serde::{Deserialize, Serialize};

use crate::home::Home;

/// The message as last believed.
const HELD: &str = "state/trust.json";
/// The message's ceiling is that of every message.
const HELD_BYTES: u64 = protocol::messages::MAX_MESSAGE_BYTES as u64;
/// No root chain is longer; each root is checked against the one before it.
const MOST_ROOTS: usize = 1000;

/// The newest policy that somebody signed under, as an order says.
const SEEN: &str = "state/policy-seen.json";
const SEEN_BYTES: u64 = 4096;

/// What is believed now.
#[derive(Debug, Clone)]
pub struct Believed {
    /// Every root's envelope as it was shown, version 1 first.
    pub roots: Vec<String>,
    /// The root in force.
    pub root: Root,
    /// The policy in force.
    pub policy: Policy,
    /// Its envelope.
    pub policy_envelope: Envelope,
    /// The custody log's key.
    pub log_key: LogKey,
}

/// Follows the chain from the pinned root to the policy of `message`.
///
/// # Errors
/// The message begins with another root, or a signature, version or form is wrong.
pub fn judge(pinned: &Envelope, message: &TrustMessage) -> anyhow::Result<Believed> {
    ensure!(
        message.roots.len() <= MOST_ROOTS,
        "The server shows more roots than any deployment has. It is not to be trusted."
    );
    let mut roots = message.roots.iter();
    let first = roots
        .next()
        .context("The server shows no root. It is not to be trusted.")?;
    ensure!(
        Envelope::parse(first.as_bytes())?.digest() == pinned.digest(),
        "The server belongs to another deployment: its root is not the pinned one. \
         Check the address, and compare root.json with what the deployment's admin has."
    );
    let mut root = Root::open(pinned).context("The pinned root document is not valid.")?;
    for next in roots {
        let envelope = Envelope::parse(next.as_bytes())?;
        root = root
            .open_next(&envelope)
            .context("A later root that the server shows does not follow from the pinned one.")?;
    }
    let policy_envelope = Envelope::parse(message.policy.as_bytes())?;
    let policy = Policy::open(&policy_envelope, &root)
        .context("The policy that the server shows is not the deployment's.")?;
    Ok(Believed {
        log_key: policy.log_key()?,
        roots: message.roots.clone(),
        root,
        policy,
        policy_envelope,
    })
}

/// Whether `new` may be believed after `held`: the same, or newer, and by roots that go on from those.
///
/// # Errors
/// It is older, another one of the same version, or of other roots.
pub fn check_not_older(new: &Believed, held: &Believed) -> anyhow::Result<()> {
    ensure!(
        digests(&new.roots)?.starts_with(&digests(&held.roots)?),
        "ALARM: the server's roots do not go on from those that it showed before. It was rolled back or taken over, or \
         the root keys were misused: do not work with it; tell the holders of the root keys."
    );
    if new.policy_envelope.digest() == held.policy_envelope.digest() {
        return Ok(());
    }
    let (found, before) = (new.policy.version, held.policy.version);
    if found == before {
        bail!(
            "ALARM: the server shows another policy {found} than before, and both are signed. \
             Do not work with it; tell the holders of the root keys."
        );
    }
    new.policy
        .check_update(&held.policy, &new.root)
        .with_context(|| {
            format!(
                "ALARM: the server shows policy {found}, and showed policy {before} before: an older one. It was rolled \
                 back or taken over: do not work with it; tell its operator."
            )
        })
}

fn digests(roots: &[String]) -> anyhow::Result<Vec<Digest>> {
    let digest = |text: &String| Ok(Envelope::parse(text.as_bytes())?.digest());
    roots.iter().map(digest).collect()
}

/// The newest policy that an order was signed under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The policy's version.
    pub version: u64,
    /// The order that names it.
    pub order: OrderId,
    /// Who signed that.
    pub person: Name,
}

impl Seen {
    /// `order`, where its requester, whom `policy` knows, has signed it; anybody else's word is none.
    pub fn of(envelope: &Envelope, order: &Order, policy: &Policy) -> Option<Self> {
        let requester = policy.person(&order.requester)?;
        let is_signed = !envelope.verify(&[requester.signing_key]).is_empty();
        is_signed.then(|| Self {
            version: order.policy_version,
            order: order.id,
            person: order.requester.clone(),
        })
    }
}

/// Remembers `seen`, unless a newer policy is remembered.
///
/// # Errors
/// It can't be written.
pub fn remember_seen(home: &Home, seen: &Seen) -> anyhow::Result<()> {
    match newest_seen(home)? {
        Some(held) if held.version >= seen.version => Ok(()),
        _ => home.remember(SEEN, &serde_json::to_vec(seen)?),
    }
}

fn newest_seen(home: &Home) -> anyhow::Result<Option<Seen>> {
    let Some(bytes) = home.recall(SEEN, SEEN_BYTES)? else {
        return Ok(None);
    };
    let seen = serde_json::from_slice(&bytes)
        .context("state/policy-seen.json is damaged. Remove it; it is written anew.")?;
    Ok(Some(seen))
}

/// Says that the server may withhold a policy that somebody has signed under. One person's word is no proof, so that
/// nothing is refused for it.
///
/// # Errors
/// What is remembered can't be read.
pub fn withheld(home: &Home, policy: &Policy) -> anyhow::Result<Option<String>> {
    let seen = newest_seen(home)?.filter(|seen| seen.version > policy.version);
    Ok(seen.map(|seen| {
        format!(
            "ATTENTION: {} signed order {} under policy {}, and the server shows policy {}: it may withhold the newer one. \
             Ask the holders of the root keys which is in force.",
            seen.person, seen.order, seen.version, policy.version
        )
    }))
}

/// Judges `message` against the pinned root and what is remembered, and remembers it.
///
/// # Errors
/// It is not to be believed, or can't be remembered.
pub fn update(home: &Home, pinned: &Envelope, message: &TrustMessage) -> anyhow::Result<Believed> {
    let new = judge(pinned, message)?;
    if let Some(held) = held(home, pinned)? {
        check_not_older(&new, &held)?;
        if new.policy_envelope.digest() == held.policy_envelope.digest() {
            return Ok(new);
        }
    }
    // Old policies stay: leaves of the custody log were signed by keys that they name.
    let name = policy_file(new.policy.version);
    home.remember(&name, &new.policy_envelope.to_json()?)?;
    home.remember(HELD, &serde_json::to_vec(message)?)?;
    Ok(new)
}

fn policy_file(version: u64) -> String {
    format!("state/policy-{version}.json")
}

/// What was believed last.
fn held(home: &Home, pinned: &Envelope) -> anyhow::Result<Option<Believed>> {
    let Some(bytes) = home.recall(HELD, HELD_BYTES)? else {
        return Ok(None);
    };
    let message: TrustMessage = version::read_message(&bytes, "remembered policy")?;
    let held = judge(pinned, &message).context(
        "The policy that this tool remembers is damaged. Remove the folder `state` only if you know why.",
    )?;
    Ok(Some(held))
}

/// Every policy that was ever believed here, the one in force first: old leaves were signed under old ones.
///
/// # Errors
/// A remembered policy can't be read.
pub fn policies(home: &Home, now: &Believed) -> anyhow::Result<Vec<Policy>> {
    let mut all = vec![now.policy.clone()];
    for version in (1..now.policy.version).rev() {
        let Some(bytes) = home.recall(&policy_file(version), HELD_BYTES)? else {
            continue;
        };
        // It was believed when it was remembered; a root that changed since can't be asked again.
        all.push(Envelope::parse(&bytes)?.document(evidence::envelope::POLICY)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
