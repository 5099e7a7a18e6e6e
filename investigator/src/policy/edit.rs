//! What a draft changes in the policy, or the root, that it begins with.

use anyhow::{bail, ensure};
use evidence::{digest::Digest, keys::PublicKey, wrap::Recipient};
use protocol::{
    name::Name,
    policy::{Class, Person, Policy},
    root::Root,
};

use crate::exit::{OrMisuse as _, misuse};

/// Changes of a policy, as asked for.
#[derive(Debug, Default)]
pub struct Edits {
    /// People to remove; they go first.
    pub remove: Vec<Name>,
    /// People with new keys.
    pub replace: Vec<Person>,
    /// New people.
    pub add: Vec<Person>,
    /// How many must sign.
    pub thresholds: Vec<(Class, usize)>,
    /// Recipients of vaults to add.
    pub vaults: Vec<(Name, Recipient)>,
    /// Recipients of vaults to remove.
    pub remove_vaults: Vec<(Name, Recipient)>,
}

impl Edits {
    /// Makes the changes.
    ///
    /// # Errors
    /// One names what is not there, or what is there already: a mistake of the command line.
    pub fn apply(&self, policy: &mut Policy) -> anyhow::Result<()> {
        self.edit(policy).or_misuse()
    }

    fn edit(&self, policy: &mut Policy) -> anyhow::Result<()> {
        for id in &self.remove {
            ensure!(policy.person(id).is_some(), "{}", unknown(id));
            policy.people.retain(|p| p.id != *id);
        }
        for person in &self.replace {
            replace(policy, person)?;
        }
        for person in &self.add {
            ensure!(
                policy.person(&person.id).is_none(),
                "{} stands in the policy already. Name other keys with --replace, or remove the person first.",
                person.id
            );
            policy.people.push(person.clone());
        }
        policy.thresholds.extend(self.thresholds.iter().copied());
        for (agency, recipient) in &self.vaults {
            let vault = policy.vaults.entry(agency.clone()).or_default();
            ensure!(
                !vault.contains(recipient),
                "{recipient} opens the vault of {agency} already. Name another."
            );
            vault.push(recipient.clone());
        }
        for (agency, recipient) in &self.remove_vaults {
            remove_recipient(policy, agency, recipient)?;
        }
        Ok(())
    }
}

/// New keys; who brings them says nothing of roles and agencies.
fn replace(policy: &mut Policy, new: &Person) -> anyhow::Result<()> {
    let Some(held) = policy.people.iter_mut().find(|p| p.id == new.id) else {
        bail!("{}", unknown(&new.id));
    };
    ensure!(
        held.signing_key != new.signing_key || held.tls_key != new.tls_key,
        "The policy has these keys of {} already. Make new ones with `fieldseal keys new`.",
        new.id
    );
    held.signing_key = new.signing_key;
    held.tls_key = new.tls_key;
    held.recipient = new.recipient.clone();
    Ok(())
}

fn remove_recipient(
    policy: &mut Policy,
    agency: &Name,
    recipient: &Recipient,
) -> anyhow::Result<()> {
    let missing = || {
        misuse(format!(
            "{recipient} is no recipient of the vault of {agency}. `fieldseal policy show` lists them."
        ))
    };
    let vault = policy.vaults.get_mut(agency).ok_or_else(missing)?;
    let at = vault
        .iter()
        .position(|r| r == recipient)
        .ok_or_else(missing)?;
    vault.remove(at);
    if vault.is_empty() {
        policy.vaults.remove(agency);
    }
    Ok(())
}

fn unknown(id: &Name) -> String {
    format!("The policy knows nobody called {id}. `fieldseal policy show` lists its people.")
}

/// The root after `old`.
///
/// # Errors
/// A key is there already, or is not: a mistake of the command line; or what comes of it is not sound.
pub fn next_root(
    old: &Root,
    add: &[PublicKey],
    remove: &[Digest],
    threshold: Option<usize>,
) -> anyhow::Result<Root> {
    let mut new = old.clone();
    new.version += 1;
    for key in add {
        let id = key.key_id();
        if new.keys.contains(key) {
            return Err(misuse(format!("{id} is a root key already. Name another.")));
        }
        new.keys.push(*key);
    }
    for id in remove {
        let Some(at) = new.keys.iter().position(|k| k.key_id() == *id) else {
            return Err(misuse(format!(
                "{id} is no root key. `fieldseal policy show` lists them."
            )));
        };
        new.keys.remove(at);
    }
    new.threshold = threshold.unwrap_or(new.threshold);
    new.validate().or_misuse()?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use evidence::{keys::SigningKey, wrap::Identity};
    use protocol::policy::Role;

    use super::*;
    use crate::testing::World;

    fn lab() -> Name {
        "lab".parse().unwrap()
    }

    #[test]
    fn new_keys_bring_no_new_powers() {
        let world = World::new();
        let mut ann = world.policy.people[0].clone();
        ann.signing_key = SigningKey::generate().unwrap().public();
        ann.roles.insert(Role::Admin);
        let mut policy = world.policy.clone();
        let edits = Edits {
            replace: vec![ann.clone()],
            ..Edits::default()
        };
        edits.apply(&mut policy).unwrap();
        assert_eq!(policy.people[0].signing_key, ann.signing_key);
        assert_eq!(policy.people[0].roles, world.policy.people[0].roles);
        assert!(edits.apply(&mut policy).is_err(), "the same keys");
    }

    #[test]
    fn a_person_removed_and_added_again_is_a_new_one() {
        let world = World::new();
        let (mut policy, ann) = (world.policy.clone(), world.policy.people[0].clone());
        let add = Edits {
            add: vec![ann.clone()],
            ..Edits::default()
        };
        assert!(add.apply(&mut policy).is_err());
        let both = Edits {
            remove: vec![ann.id.clone()],
            ..add
        };
        both.apply(&mut policy).unwrap();
        assert_eq!(policy.people.last(), Some(&ann));
        let nobody = Edits {
            remove: vec!["zoe".parse().unwrap()],
            ..Edits::default()
        };
        assert!(nobody.apply(&mut policy).is_err());
    }

    #[test]
    fn a_vaults_recipient_is_replaced_in_one_step() {
        let world = World::new();
        let (mut policy, new) = (world.policy.clone(), Identity::generate().recipient());
        let old = policy.vaults[&lab()][0].clone();
        let edits = Edits {
            vaults: vec![(lab(), new.clone())],
            remove_vaults: vec![(lab(), old.clone())],
            ..Edits::default()
        };
        edits.apply(&mut policy).unwrap();
        let vault = &policy.vaults[&lab()];
        assert!(vault.len() == 2 && vault.contains(&new) && !vault.contains(&old));
        assert!(edits.apply(&mut policy).is_err());
    }

    #[test]
    fn a_root_is_followed_by_one_that_is_sound() {
        let world = World::new();
        let new = SigningKey::generate().unwrap().public();
        let old = world.root_key.public().key_id();
        let next = next_root(&world.root, &[new], &[old], None).unwrap();
        assert_eq!((next.version, &next.keys[..]), (2, &[new][..]));
        assert!(next_root(&world.root, &[], &[old], None).is_err());
        assert!(next_root(&world.root, &[new], &[], Some(3)).is_err());
        assert!(next_root(&world.root, &[new], &[new.key_id(), new.key_id()], None).is_err());
    }
}
