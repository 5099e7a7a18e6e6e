//! The policy: who may do what, how many must agree, and to whom evidence is encrypted.
//!
//! Signed by the root. Identity is the key that stands here, never a chain or a name.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{
    custody::note::LogKey,
    digest::Digest,
    envelope::{self, Envelope},
    instant::Instant,
    keys::PublicKey,
    wrap::Recipient,
};
use serde::{Deserialize, Serialize};

use crate::{error::DocumentError, name::Name, root::Root, version};

const KIND: &str = "policy";

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Requests orders and reads evidence.
    Investigator,
    /// Approves other people's orders.
    Approver,
    /// Reads the custody log.
    Auditor,
    /// Makes deployment tokens, cancels.
    Admin,
}

/// How far an artifact reaches into a person's data; thresholds hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// State and settings of the system.
    Triage,
    /// Whole files, logs and histories.
    Files,
}

impl Class {
    /// Every class.
    pub const ALL: &[Self] = &[Self::Triage, Self::Files];
}

/// Somebody whom the policy knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// A short name, unique in the policy.
    pub id: Name,
    /// The name for people.
    pub name: String,
    /// What the person may do.
    pub roles: BTreeSet<Role>,
    /// For which agencies.
    pub agencies: BTreeSet<Name>,
    /// Signs orders, approvals, tokens (PEM of the public key).
    pub signing_key: PublicKey,
    /// SHA-256 of the SubjectPublicKeyInfo of the person's TLS key.
    pub tls_key: Digest,
    /// Whom evidence is encrypted to for this person.
    pub recipient: Recipient,
}

impl Person {
    /// Whether the person may act as `role` for `agency`.
    pub fn may(&self, role: Role, agency: &Name) -> bool {
        self.roles.contains(&role) && self.agencies.contains(agency)
    }
}

/// The policy document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The document's format.
    pub v: u64,
    /// Only grows.
    pub version: u64,
    /// The root that signed it.
    pub root_version: u64,
    /// The deployment that it governs.
    pub deployment: Name,
    /// From then on agents refuse orders under it.
    pub expires: Instant,
    /// Who is known.
    pub people: Vec<Person>,
    /// How many people must sign an order, the requester included, by the widest class in it.
    pub thresholds: BTreeMap<Class, usize>,
    /// Whom evidence of each agency is encrypted to: at least two, so that one lost key loses nothing.
    pub vaults: BTreeMap<Name, Vec<Recipient>>,
    /// The custody log's public key, `NAME+HASH+BASE64`.
    pub log_key: String,
    /// The keys that sign the server's time.
    pub time_keys: Vec<PublicKey>,
}

impl Policy {
    /// Reads a policy that `root`'s threshold has signed and that is sound in itself.
    ///
    /// # Errors
    /// It is malformed, unsound, of another root, or signed by too few.
    pub fn open(envelope: &Envelope, root: &Root) -> Result<Self, DocumentError> {
        root.check_signatures(envelope, KIND)?;
        let policy: Self = version::read(envelope, envelope::POLICY, KIND)?;
        policy.validate()?;
        policy.check_root(root)?;
        Ok(policy)
    }

    /// Checks that this policy, read by [`Policy::open`], may take the place of `old`.
    ///
    /// # Errors
    /// It is of another root or deployment, or not newer.
    pub fn check_update(&self, old: &Self, root: &Root) -> Result<(), DocumentError> {
        self.check_root(root)?;
        if self.deployment != old.deployment {
            let what = "deployment";
            return Err(DocumentError::Foreign { kind: KIND, what });
        }
        if self.version <= old.version || self.root_version < old.root_version {
            return Err(DocumentError::WrongSuccession {
                kind: KIND,
                found: self.version,
                held: old.version,
            });
        }
        Ok(())
    }

    /// The person called `id`.
    pub fn person(&self, id: &Name) -> Option<&Person> {
        self.people.iter().find(|p| p.id == *id)
    }

    /// The person whose TLS key has this digest.
    pub fn person_by_tls_key(&self, spki: &Digest) -> Option<&Person> {
        self.people.iter().find(|p| p.tls_key == *spki)
    }

    /// The people whose valid signatures `envelope` carries, each once.
    pub fn signers(&self, envelope: &Envelope) -> Vec<&Person> {
        let keys: Vec<_> = self.people.iter().map(|p| p.signing_key).collect();
        let ids = envelope.verify(&keys);
        let signed = |p: &&Person| ids.contains(&p.signing_key.key_id());
        self.people.iter().filter(signed).collect()
    }

    /// Whether the person called `id` has signed `envelope`, and has one of these roles for `agency`.
    pub fn is_signed_by(
        &self,
        envelope: &Envelope,
        id: &Name,
        roles: &[Role],
        agency: &Name,
    ) -> bool {
        let may = |person: &Person| roles.iter().any(|role| person.may(*role, agency));
        let mut signers = self.signers(envelope).into_iter();
        signers.any(|person| person.id == *id && may(person))
    }

    /// The custody log's public key.
    ///
    /// # Errors
    /// The text is none, which [`Policy::open`] has refused.
    pub fn log_key(&self) -> Result<LogKey, DocumentError> {
        LogKey::parse(&self.log_key).map_err(|e| DocumentError::invalid(KIND, e.to_string()))
    }

    fn check_root(&self, root: &Root) -> Result<(), DocumentError> {
        let foreign = |what| Err(DocumentError::Foreign { kind: KIND, what });
        if self.root_version != root.version {
            return foreign("version of the root");
        }
        if self.deployment != root.deployment {
            return foreign("deployment");
        }
        Ok(())
    }

    /// Checks that the policy is sound; [`Policy::open`] does, and who writes one should.
    ///
    /// # Errors
    /// It contradicts itself or misses what it must have.
    pub fn validate(&self) -> Result<(), DocumentError> {
        let invalid = |why: String| Err(DocumentError::invalid(KIND, why));
        if self.version == 0 {
            return invalid("versions begin at 1".into());
        }
        self.validate_people()?;
        for class in Class::ALL {
            match self.thresholds.get(class) {
                Some(1..=envelope::MAX_SIGNATURES) => {}
                _ => return invalid(format!("{class:?} needs a threshold of 1 to 16")),
            }
        }
        for (agency, vault) in &self.vaults {
            if vault.len() < 2 || has_twice(vault.iter().map(ToString::to_string)) {
                return invalid(format!(
                    "the vault of {agency} needs two different recipients"
                ));
            }
        }
        self.log_key()?;
        if self.time_keys.is_empty() {
            return invalid("it names no key for the server's time".into());
        }
        Ok(())
    }

    /// One key, one person: else a single hand could sign for two.
    fn validate_people(&self) -> Result<(), DocumentError> {
        let invalid = |why: String| Err(DocumentError::invalid(KIND, why));
        let people = || self.people.iter();
        if has_twice(people().map(|p| &p.id)) {
            return invalid("an id stands for two people".into());
        }
        if has_twice(people().map(|p| p.signing_key.key_id())) {
            return invalid("two people have the same signing key".into());
        }
        if has_twice(people().map(|p| p.tls_key)) {
            return invalid("two people have the same TLS key".into());
        }
        for agency in people().flat_map(|p| &p.agencies) {
            if !self.vaults.contains_key(agency) {
                return invalid(format!("agency {agency} has no vault"));
            }
        }
        Ok(())
    }
}

fn has_twice<T: Ord>(items: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.into_iter().any(|item| !seen.insert(item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::World;

    type Change = fn(&mut Policy);

    #[test]
    fn opens_only_under_its_root() {
        let world = World::new();
        assert!(Policy::open(&world.sign_policy(&world.policy), &world.root).is_ok());
        let by_ann = Envelope::sign_document(envelope::POLICY, &world.policy, &world.ann).unwrap();
        assert!(matches!(
            Policy::open(&by_ann, &world.root),
            Err(DocumentError::BelowThreshold { .. })
        ));
    }

    #[test]
    fn rejects_what_is_unsound() {
        let world = World::new();
        let changes: [Change; 9] = [
            |p| p.version = 0,
            |p| p.v = 2,
            |p| p.root_version = 9,
            |p| p.deployment = "other".parse().unwrap(),
            |p| p.people[1].signing_key = p.people[0].signing_key,
            |p| p.people[1].id = p.people[0].id.clone(),
            |p| p.thresholds.retain(|class, _| *class == Class::Triage),
            |p| p.vaults.values_mut().for_each(|v| v.truncate(1)),
            |p| p.log_key.push('A'),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut policy = world.policy.clone();
            change(&mut policy);
            let signed = world.sign_policy(&policy);
            assert!(Policy::open(&signed, &world.root).is_err(), "change {i}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        let world = World::new();
        let mut json = serde_json::to_value(&world.policy).unwrap();
        json["scope"] = "narrow".into();
        let signed = Envelope::sign_document(envelope::POLICY, &json, &world.root_key).unwrap();
        assert!(Policy::open(&signed, &world.root).is_err());
    }

    #[test]
    fn an_update_only_grows() {
        let world = World::new();
        let old = &world.policy;
        let mut new = old.clone();
        assert!(new.check_update(old, &world.root).is_err());
        new.version += 1;
        assert!(new.check_update(old, &world.root).is_ok());
        assert!(old.check_update(&new, &world.root).is_err());
        new.deployment = "other".parse().unwrap();
        assert!(new.check_update(old, &world.root).is_err());
    }
}
