//! What must hold before a root key signs: a policy that locks everybody out, or a server that can't work under it,
//! would be found out only once it is in force.

use anyhow::{Context as _, bail, ensure};
use evidence::instant::Instant;
use protocol::{
    policy::{Policy, Role},
    reach,
    root::Root,
};

/// What a new policy is judged by, besides itself.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// The policy that it follows, where it is there.
    pub old: Option<&'a Policy>,
    /// The root that is to sign it, where it is there.
    pub root: Option<&'a Root>,
    /// Whether the server's own keys may change.
    pub new_server_keys: bool,
    /// The clock here.
    pub now: Instant,
}

/// Checks that `new` may be signed.
///
/// # Errors
/// It is not sound, does not follow, or would lock people or the server out.
pub fn policy(new: &Policy, beside: Beside<'_>) -> anyhow::Result<()> {
    new.validate()?;
    reach::check_policy(new)?;
    ensure!(
        new.people.iter().any(|p| p.roles.contains(&Role::Admin)),
        "Nobody would be an admin, so nobody could let hosts in or publish the next policy. Leave one, or add one."
    );
    ensure!(
        beside.now < new.expires,
        "The policy has ended before it begins. Draft it with a later end, or set this machine's clock."
    );
    if let Some(root) = beside.root {
        ensure!(
            new.root_version == root.version && new.deployment == root.deployment,
            "The policy is for root {} of {}, and this is root {} of {}. Draft it with --root for a new root.",
            new.root_version,
            new.deployment,
            root.version,
            root.deployment
        );
    }
    match beside.old {
        Some(old) => follows(new, old, beside.new_server_keys),
        None => Ok(()),
    }
}

fn follows(new: &Policy, old: &Policy, new_server_keys: bool) -> anyhow::Result<()> {
    ensure!(
        new.deployment == old.deployment,
        "The policy is of {}, and the one before it of {}. Draft it from the policy in force.",
        new.deployment,
        old.deployment
    );
    ensure!(
        new.version > old.version && new.root_version >= old.root_version,
        "Policy {} by root {} can't follow policy {} by root {}: versions only grow. Draft it from the policy in force.",
        new.version,
        new.root_version,
        old.version,
        old.root_version
    );
    if !new_server_keys && (new.log_key != old.log_key || new.time_keys != old.time_keys) {
        bail!(
            "The server's own keys change: its time key or the custody log's. Find out why; if they are meant to, \
             say --new-server-keys."
        );
    }
    Ok(())
}

/// Checks that `new` may be signed as the root after `old`.
///
/// # Errors
/// It is not sound, or not the next.
pub fn root(new: &Root, old: Option<&Root>) -> anyhow::Result<()> {
    new.validate()
        .context("The draft of the root is not sound. Correct it.")?;
    let Some(old) = old else { return Ok(()) };
    ensure!(
        new.deployment == old.deployment && Some(new.version) == old.version.checked_add(1),
        "Root {} of {} does not follow root {} of {}. Draft it from the root in force.",
        new.version,
        new.deployment,
        old.version,
        old.deployment
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::policy::Class;

    use super::*;
    use crate::testing::{World, at};

    type Change = fn(&mut Policy);

    #[test]
    fn only_what_can_work_is_signed() {
        let world = World::new();
        let beside = Beside {
            old: Some(&world.policy),
            root: Some(&world.root),
            new_server_keys: false,
            now: at(5),
        };
        let next = |change: Change| {
            let mut new = world.policy.clone();
            new.version += 1;
            change(&mut new);
            new
        };
        policy(&next(|_| {}), beside).unwrap();
        let changes: [(Change, &str); 10] = [
            (|p| p.version -= 1, "versions only grow"),
            (|p| p.version = 1, "versions only grow"),
            (
                |p| p.vaults.values_mut().for_each(|v| v.truncate(1)),
                "two different recipients",
            ),
            (
                |p| {
                    p.thresholds.insert(Class::Files, 2);
                },
                "at most 1 can",
            ),
            (
                |p| {
                    p.thresholds.remove(&Class::Files);
                },
                "needs a threshold",
            ),
            (
                |p| {
                    p.people.pop();
                },
                "Nobody would be an admin",
            ),
            (|p| p.expires = at(5), "ended before it begins"),
            (|p| p.root_version = 2, "this is root 1"),
            (
                |p| p.time_keys = vec![p.people[0].signing_key],
                "--new-server-keys",
            ),
            (|p| p.deployment = "other".parse().unwrap(), "of other"),
        ];
        for (change, why) in changes {
            let error = policy(&next(change), beside).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{why}: {error:#}");
        }
        let other_keys = next(|p| p.time_keys = vec![p.people[0].signing_key]);
        let told = Beside {
            new_server_keys: true,
            ..beside
        };
        policy(&other_keys, told).unwrap();
    }

    #[test]
    fn a_root_is_followed_by_the_next_one_only() {
        let world = World::new();
        let mut new = world.root.clone();
        assert!(root(&new, Some(&world.root)).is_err());
        new.version = 2;
        assert!(root(&new, Some(&world.root)).is_ok());
        new.version = 3;
        assert!(root(&new, Some(&world.root)).is_err());
        new.threshold = 2;
        assert!(root(&new, None).is_err());
    }
}
