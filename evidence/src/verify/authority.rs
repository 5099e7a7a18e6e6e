//! Whose word counts: the roots that a verifier is given, and the policies that these have signed.
//!
//! The documents belong to the protocol; here only the fields that a verdict rests on are read, and
//! fields that this version does not know are passed over.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::verdict::{Code, Findings};
use crate::{
    custody::note::LogKey,
    digest::Digest,
    envelope::{self, Envelope, EnvelopeError},
    instant::Instant,
    keys::PublicKey,
    seal::Trust,
};

/// The version of policies, orders and roots that is read here.
pub(super) const VERSION: u64 = 1;

/// A root document is not one to trust.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// It can't be read.
    #[error("the root document can't be read. Give the file root.json of the deployment.")]
    Malformed(#[from] EnvelopeError),
    /// A later version.
    #[error("the root document has the format {0}, which is not known here. Use a newer program.")]
    UnknownVersion(u64),
    /// Its own keys have not signed it.
    #[error(
        "the root document is signed by {found} of its keys, and it demands {needed}. Get it again from its source."
    )]
    BelowThreshold {
        /// Valid signatures.
        found: usize,
        /// Its threshold.
        needed: usize,
    },
}

/// A root document that its reader trusts: which keys, and how many of them, sign policies.
#[derive(Debug, Clone, Deserialize)]
pub struct Root {
    v: u64,
    version: u64,
    deployment: String,
    keys: Vec<PublicKey>,
    threshold: usize,
}

impl Root {
    /// Reads the root document that somebody names as trusted; it must be signed by its own threshold.
    ///
    /// # Errors
    /// It is malformed, of an unknown version, or signed by too few of its keys.
    pub fn open(json: &[u8]) -> Result<Self, RootError> {
        let envelope = Envelope::parse(json)?;
        let root: Self = envelope.document(envelope::ROOT)?;
        if root.v != VERSION {
            return Err(RootError::UnknownVersion(root.v));
        }
        let (found, needed) = (envelope.verify(&root.keys).len(), root.threshold.max(1));
        if found < needed {
            return Err(RootError::BelowThreshold { found, needed });
        }
        Ok(root)
    }
}

/// Somebody whom a policy knows.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) name: String,
    roles: Vec<String>,
    agencies: Vec<String>,
    pub(super) signing_key: PublicKey,
    recipient: String,
}

/// A policy, as far as a verdict needs it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Policy {
    v: u64,
    pub(super) version: u64,
    root_version: u64,
    pub(super) deployment: String,
    pub(super) expires: Instant,
    pub(super) people: Vec<Person>,
    pub(super) thresholds: BTreeMap<String, usize>,
    vaults: BTreeMap<String, Vec<String>>,
    log_key: String,
    time_keys: Vec<PublicKey>,
}

impl Policy {
    /// The custody log's key.
    pub(super) fn log_key(&self) -> Option<LogKey> {
        LogKey::parse(&self.log_key).ok()
    }

    /// Whether the server has signed.
    pub(super) fn is_by_server(&self, envelope: &Envelope) -> bool {
        !envelope.verify(&self.time_keys).is_empty()
    }

    /// Whether an admin has signed.
    pub(super) fn is_by_admin(&self, envelope: &Envelope) -> bool {
        let admins = self.people.iter().filter(|p| p.has_role("admin"));
        let keys: Vec<_> = admins.map(|p| p.signing_key).collect();
        !envelope.verify(&keys).is_empty()
    }

    /// Whether an order of `requester` may name `recipient`: as its own, or as one of its agencies' vaults'.
    pub(super) fn lets_encrypt(&self, requester: &Person, recipient: &str) -> bool {
        let vaults = requester.agencies.iter().filter_map(|a| self.vaults.get(a));
        requester.recipient == recipient || vaults.flatten().any(|one| one == recipient)
    }

    /// The agencies whose whole vault is among `recipients`: the host is of one of them.
    pub(super) fn agencies_of<'a>(
        &'a self,
        recipients: &'a [String],
    ) -> impl Iterator<Item = &'a str> {
        let whole = |vault: &[String]| {
            !vault.is_empty() && vault.iter().all(|one| recipients.contains(one))
        };
        let vaults = self.vaults.iter().filter(move |(_, v)| whole(v));
        vaults.map(|(agency, _)| agency.as_str())
    }

    pub(super) fn person(&self, key_id: Digest) -> Option<&Person> {
        self.people
            .iter()
            .find(|p| p.signing_key.key_id() == key_id)
    }
}

impl Person {
    fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|one| one == role)
    }

    /// Whether the person may act as `role` for `agency`.
    pub(super) fn may(&self, role: &str, agency: &str) -> bool {
        self.has_role(role) && self.agencies.iter().any(|one| one == agency)
    }
}

/// Whose signature makes a policy count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchors<'a> {
    pub(super) trust: &'a Trust,
    pub(super) roots: &'a [Root],
}

impl Anchors<'_> {
    fn is_empty(self) -> bool {
        self.trust.is_empty() && self.roots.is_empty()
    }

    /// Why the policy in `envelope` does not count; `None` where it does.
    fn fault(self, envelope: &Envelope, policy: &Policy) -> Option<String> {
        if self.roots.is_empty() {
            let signed = envelope.verify(&self.trust.keys());
            return signed
                .is_empty()
                .then(|| "The trusted root's key has not signed it.".to_owned());
        }
        let wanted = self.roots.iter().find(|r| r.version == policy.root_version);
        let Some(root) = wanted else {
            return Some(format!(
                "It is of version {} of the root, which was not given.",
                policy.root_version
            ));
        };
        if root.deployment != policy.deployment {
            return Some("It is of another deployment than the root's.".to_owned());
        }
        let (found, needed) = (envelope.verify(&root.keys).len(), root.threshold.max(1));
        (found < needed)
            .then(|| format!("{found} of the root's keys have signed it; {needed} must."))
    }
}

/// Reads policies that were given beside the evidence; only such as a trusted root has signed count.
pub(super) fn given(
    policies: &[Vec<u8>],
    anchors: Anchors<'_>,
    findings: &mut Findings,
) -> Vec<Policy> {
    let mut read = Vec::new();
    for json in policies {
        match open_policy(json, anchors) {
            Ok((policy, _)) => read.push(policy),
            Err(why) => findings.add(Code::PolicyUntrusted, "the policy that was given", why),
        }
    }
    read
}

/// The policy, and whether a trusted root stands behind it; without any root nobody can say.
pub(super) fn open_policy(json: &[u8], anchors: Anchors<'_>) -> Result<(Policy, bool), String> {
    let envelope = Envelope::parse(json).map_err(|e| e.to_string())?;
    let policy: Policy = envelope
        .document(envelope::POLICY)
        .map_err(|e| with_cause(&e))?;
    if policy.v != VERSION {
        return Err(format!("It has version {}, unknown here.", policy.v));
    }
    let keys: HashSet<_> = policy
        .people
        .iter()
        .map(|p| p.signing_key.key_id())
        .collect();
    // One key, one person, one name: else one hand could sign for two.
    if keys.len() < policy.people.len() {
        return Err("Two people in it have the same signing key.".to_owned());
    }
    let names: HashSet<_> = policy.people.iter().map(|p| &p.id).collect();
    if names.len() < policy.people.len() {
        return Err("Two people in it have the same id.".to_owned());
    }
    if anchors.is_empty() {
        return Ok((policy, false));
    }
    match anchors.fault(&envelope, &policy) {
        Some(why) => Err(why),
        None => Ok((policy, true)),
    }
}

pub(super) fn with_cause(error: &EnvelopeError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error} ({cause})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::SigningKey;

    fn keys<const N: usize>() -> [SigningKey; N] {
        [(); N].map(|()| SigningKey::generate().unwrap())
    }

    fn root(keys: &[&SigningKey], threshold: usize, by: &[&SigningKey]) -> Vec<u8> {
        let pems: Vec<_> = keys.iter().map(|k| k.public().to_pem().unwrap()).collect();
        let document = json!({
            "v": 1, "version": 1, "deployment": "lab", "keys": pems, "threshold": threshold,
        });
        signed(envelope::ROOT, &document, by)
    }

    fn signed(kind: &str, document: &serde_json::Value, by: &[&SigningKey]) -> Vec<u8> {
        let mut envelope = Envelope::sign_document(kind, document, by[0]).unwrap();
        by[1..].iter().for_each(|key| envelope.add_signature(key));
        envelope.to_json().unwrap()
    }

    fn policy(people: &[&SigningKey], by: &[&SigningKey]) -> Vec<u8> {
        let people: Vec<_> = people
            .iter()
            .map(|key| {
                json!({"id": key.public().key_id(), "name": "Ann", "roles": [], "recipient": "age1", "agencies": [],
                    "signing_key": key.public().to_pem().unwrap()})
            })
            .collect();
        let document = json!({
            "v": 1, "version": 1, "root_version": 1, "deployment": "lab", "people": people,
            "expires": Instant { seconds: 0, ns: 0 }, "thresholds": {}, "vaults": {}, "log_key": "",
            "time_keys": [],
        });
        signed(envelope::POLICY, &document, by)
    }

    #[test]
    fn a_root_document_counts_only_with_its_own_threshold() {
        let [a, b] = keys();
        assert!(Root::open(&root(&[&a, &b], 2, &[&a, &b])).is_ok());
        for few in [
            root(&[&a, &b], 2, &[&a]),
            root(&[&a, &b], 2, &[&a, &a]),
            root(&[&a], 0, &[&b]),
        ] {
            let error = Root::open(&few).unwrap_err();
            assert!(matches!(error, RootError::BelowThreshold { .. }), "{error}");
        }
        assert!(Root::open(b"{}").is_err());
    }

    #[test]
    fn a_policy_needs_the_threshold_of_the_root_that_it_names() {
        let [a, b, ann] = keys();
        let roots = [Root::open(&root(&[&a, &b], 2, &[&a, &b])).unwrap()];
        let trust = Trust::none();
        let anchors = Anchors {
            trust: &trust,
            roots: &roots,
        };
        let open = |by: &[&SigningKey]| open_policy(&policy(&[&ann], by), anchors);
        assert!(open(&[&a, &b]).unwrap().1);
        assert!(open(&[&a]).is_err());
        assert!(open(&[&a, &ann]).is_err());
        let mut other = roots.clone();
        other[0].version = 2;
        let anchors = Anchors {
            trust: &trust,
            roots: &other,
        };
        assert!(open_policy(&policy(&[&ann], &[&a, &b]), anchors).is_err());
    }

    #[test]
    fn one_key_is_one_person() {
        let [a, ann] = keys();
        let trust = Trust::none();
        let anchors = Anchors {
            trust: &trust,
            roots: &[],
        };
        assert!(open_policy(&policy(&[&ann], &[&a]), anchors).is_ok());
        assert!(open_policy(&policy(&[&ann, &ann], &[&a]), anchors).is_err());
    }
}
