//! Which policy to believe: the pinned root, the roots that follow it, and the newest policy that they signed.
//!
//! What was believed once is remembered: an older policy, or another one of the same version, is refused
//! whoever serves it.

use anyhow::{Context as _, bail, ensure};
use evidence::{custody::note::LogKey, envelope::Envelope};
use protocol::{messages::Trust as TrustMessage, policy::Policy, root::Root, version};

use crate::home::Home;

/// The message as last believed.
const HELD: &str = "state/trust.json";
/// The message's ceiling is that of every message.
const HELD_BYTES: u64 = protocol::messages::MAX_MESSAGE_BYTES as u64;
/// No root chain is longer; each root is checked against the one before it.
const MOST_ROOTS: usize = 1000;

/// What is believed now.
#[derive(Debug, Clone)]
pub struct Believed {
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
        root,
        policy,
        policy_envelope,
    })
}

/// Whether `new` may be believed after `held`: the same, or newer.
///
/// # Errors
/// It is older, or another one of the same version.
pub fn check_not_older(new: &Believed, held: &Believed) -> anyhow::Result<()> {
    if new.policy_envelope.digest() == held.policy_envelope.digest() {
        return Ok(());
    }
    if new.policy.version == held.policy.version {
        bail!(
            "ALARM: the server shows another policy {} than before, and both are signed. \
             Do not work with it; tell the holders of the root keys.",
            new.policy.version
        );
    }
    new.policy.check_update(&held.policy, &new.root).context(
        "ALARM: the server shows an older policy than before. It was rolled back or taken over: \
         do not work with it; tell its operator.",
    )
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
mod tests {
    use super::*;
    use crate::testing::World;

    fn home(dir: &tempfile::TempDir) -> Home {
        Home::locate(Some(dir.path()), None).unwrap()
    }

    #[test]
    fn only_the_pinned_root_leads_to_a_policy() {
        let (world, other) = (World::new(), World::new());
        assert!(judge(&world.root_envelope(), &world.trust()).is_ok());
        assert!(judge(&other.root_envelope(), &world.trust()).is_err());
        let mut mixed = world.trust();
        mixed.policy = other.trust().policy;
        assert!(judge(&world.root_envelope(), &mixed).is_err());
        mixed.roots.clear();
        assert!(judge(&world.root_envelope(), &mixed).is_err());
    }

    #[test]
    fn a_rolled_back_policy_is_an_alarm() {
        let dir = tempfile::tempdir().unwrap();
        let (home, mut world) = (home(&dir), World::new());
        let pinned = world.root_envelope();
        let old = world.trust();
        update(&home, &pinned, &old).unwrap();
        world.policy.version += 1;
        update(&home, &pinned, &world.trust()).unwrap();
        let error = update(&home, &pinned, &old).unwrap_err();
        assert!(error.to_string().contains("ALARM"), "{error:#}");
        assert!(update(&home, &pinned, &world.trust()).is_ok());
    }

    #[test]
    fn a_second_policy_of_one_version_is_an_alarm() {
        let dir = tempfile::tempdir().unwrap();
        let (home, mut world) = (home(&dir), World::new());
        let pinned = world.root_envelope();
        update(&home, &pinned, &world.trust()).unwrap();
        world.policy.expires.seconds += 1;
        let error = update(&home, &pinned, &world.trust()).unwrap_err();
        assert!(error.to_string().contains("ALARM"), "{error:#}");
    }

    #[test]
    fn earlier_policies_still_explain_old_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let (home, mut world) = (home(&dir), World::new());
        let pinned = world.root_envelope();
        update(&home, &pinned, &world.trust()).unwrap();
        let old = world.time_key.public();
        world.rotate_time_key();
        let now = update(&home, &pinned, &world.trust()).unwrap();
        assert!(!now.policy.time_keys.contains(&old));
        let all = policies(&home, &now).unwrap();
        assert_eq!(all.len(), 2);
        assert!(all[1].time_keys.contains(&old));
    }
}
