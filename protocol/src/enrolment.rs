//! Enrolment: a deployment token signed by an admin, two CSRs in one request, and what comes back.
//!
//! Labels and agency are the token's, not the server's word: else a stolen server could
//! aim an order elsewhere.

use std::{collections::BTreeSet, net::IpAddr};

use evidence::{
    envelope::{self, Envelope},
    ids::{AgentId, HostId},
    instant::Instant,
    keys::{PublicKey, SigningKey},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    error::DocumentError,
    name::Name,
    policy::{Policy, Role},
    target::Subject,
    version,
};

const KIND: &str = "deployment token";

/// What an admin gives to those who install agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The document's format.
    pub v: u64,
    /// 128 random bits in hex, by which uses are counted.
    pub id: String,
    /// The deployment.
    pub deployment: Name,
    /// The agency that the hosts belong to.
    pub agency: Name,
    /// The labels that they carry.
    pub labels: BTreeSet<Name>,
    /// How many hosts may use it; the server counts.
    pub uses: u64,
    /// From then on it is of no use.
    pub expires: Instant,
    /// The admin.
    pub issuer: Name,
    /// From where alone it may be used, by the address that the server sees; from anywhere where empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub networks: BTreeSet<IpNet>,
    /// Whether each host that shows it waits until an admin lets it in.
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Token {
    /// Reads a token that its issuer, an admin for its agency, has signed, and that has not ended.
    ///
    /// # Errors
    /// It is malformed, forged, foreign or expired.
    pub fn open(envelope: &Envelope, policy: &Policy, now: Instant) -> Result<Self, DocumentError> {
        let token = Self::open_certified(envelope, policy)?;
        if now >= token.expires {
            return Err(DocumentError::ended(KIND, token.expires));
        }
        Ok(token)
    }

    /// Reads a token without believing it: for who shows one.
    ///
    /// # Errors
    /// It is malformed or of an unknown version.
    pub fn read(envelope: &Envelope) -> Result<Self, DocumentError> {
        version::read(envelope, envelope::TOKEN, KIND)
    }

    /// Reads a token for what it certified of an agent that used it in time: its agency and labels.
    ///
    /// # Errors
    /// It is malformed, forged or foreign.
    pub fn open_certified(envelope: &Envelope, policy: &Policy) -> Result<Self, DocumentError> {
        let token = Self::read(envelope)?;
        let by_admin = policy
            .signers(envelope)
            .into_iter()
            .any(|p| p.id == token.issuer && p.may(Role::Admin, &token.agency));
        if !by_admin {
            return Err(DocumentError::NotAuthorised(KIND));
        }
        if token.deployment != policy.deployment {
            let what = "deployment";
            return Err(DocumentError::Foreign { kind: KIND, what });
        }
        let id = data_encoding::HEXLOWER.decode(token.id.as_bytes());
        if id.map_or(true, |bytes| bytes.len() != 16) {
            return Err(DocumentError::invalid(
                KIND,
                "its id is not 128 bits in hex",
            ));
        }
        Ok(token)
    }

    /// Whether it may be used from this address.
    pub fn admits(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&from))
    }

    /// What an agent that used this token knows of itself.
    pub fn subject(&self, id: AgentId, os: Name, arch: Name) -> Subject {
        Subject {
            id,
            agency: self.agency.clone(),
            labels: self.labels.clone(),
            os,
            arch,
        }
    }
}

/// What the host says of itself; nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFacts {
    /// The host, by an id that outlives the agent.
    pub id: HostId,
    /// Its name.
    pub hostname: String,
    /// `linux`, `windows`.
    pub os: Name,
    /// `x86_64`, `aarch64`.
    pub arch: Name,
    /// The system and its version, for people.
    pub system: String,
    /// The agent's version.
    pub agent_version: String,
}

/// Asks for two certificates, bound to one new agent id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The message's format.
    pub v: u64,
    /// The token's envelope, as JSON text.
    pub token: String,
    /// The courier's request for a TLS certificate, PEM; empty in a question.
    pub tls_csr: String,
    /// The reader's request for a seal certificate, PEM; empty in a question.
    pub seal_csr: String,
    /// The host.
    pub host: HostFacts,
}

impl EnrolRequest {
    /// Whether it only asks if its token would be taken from there: no key is to be certified, and nothing is kept.
    pub fn is_question(&self) -> bool {
        self.tls_csr.is_empty() && self.seal_csr.is_empty()
    }
}

/// What an enrolled agent is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolResponse {
    /// The message's format.
    pub v: u64,
    /// The new agent.
    pub agent: AgentId,
    /// TLS certificate and issuing chain, PEM.
    pub tls_chain: String,
    /// Seal certificate and issuing chain, PEM.
    pub seal_chain: String,
    /// The policy's envelope, as JSON text.
    pub policy: String,
    /// The custody receipt of the enrolment, as JSON text.
    pub receipt: String,
}

/// Asks for new certificates before the old ones end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The message's format.
    pub v: u64,
    /// A request for a TLS certificate, PEM.
    pub tls_csr: Option<String>,
    /// The envelope of a [`SealRequest`], signed by the present seal key, as JSON text.
    pub seal_csr: Option<String>,
}

/// What a reader signs to have a new seal certificate: the document in [`RenewRequest::seal_csr`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealRequest {
    /// The document's format.
    pub v: u64,
    /// The agent.
    pub agent: AgentId,
    /// A request for a seal certificate, PEM.
    pub csr: String,
}

impl SealRequest {
    /// Signs a request for `csr` with the present seal key.
    ///
    /// # Errors
    /// It can't be written as JSON, which it can.
    pub fn sign(agent: AgentId, csr: &str, key: &SigningKey) -> Result<Envelope, DocumentError> {
        let request = Self {
            v: version::VERSION,
            agent,
            csr: csr.to_owned(),
        };
        let signed = Envelope::sign_document(envelope::SEAL_REQUEST, &request, key);
        Ok(signed?)
    }

    /// Reads a request of `agent` that its present seal key has signed.
    ///
    /// # Errors
    /// It is malformed, another agent's, or signed by another key.
    pub fn open(
        envelope: &Envelope,
        agent: AgentId,
        present: &[PublicKey],
    ) -> Result<Self, DocumentError> {
        const KIND: &str = "request for a seal certificate";
        if envelope.verify(present).is_empty() {
            return Err(DocumentError::NotAuthorised(KIND));
        }
        let request: Self = version::read(envelope, envelope::SEAL_REQUEST, KIND)?;
        if request.agent != agent {
            let what = "agent";
            return Err(DocumentError::Foreign { kind: KIND, what });
        }
        Ok(request)
    }
}

/// What a reader signs with the seal key of a cloned identity to have one of its own: the document in
/// [`ForkRequest::fork`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The document's format.
    pub v: u64,
    /// The cloned identity.
    pub agent: AgentId,
    /// The new host id.
    pub host: HostId,
    /// A request for a certificate of the new seal key, PEM.
    pub csr: String,
}

impl Fork {
    const KIND: &str = "request for an identity of one's own";

    /// Signs it with the present seal key.
    ///
    /// # Errors
    /// It can't be written as JSON, which it can.
    pub fn sign(&self, present: &SigningKey) -> Result<Envelope, DocumentError> {
        Ok(Envelope::sign_document(envelope::FORK, self, present)?)
    }

    /// Reads a request of `agent` that a seal key of its own has signed.
    ///
    /// # Errors
    /// It is malformed, another agent's, or signed by another key.
    pub fn open(
        envelope: &Envelope,
        agent: AgentId,
        present: &[PublicKey],
    ) -> Result<Self, DocumentError> {
        if envelope.verify(present).is_empty() {
            return Err(DocumentError::NotAuthorised(Self::KIND));
        }
        let fork: Self = version::read(envelope, envelope::FORK, Self::KIND)?;
        match fork.agent == agent {
            true => Ok(fork),
            false => Err(DocumentError::Foreign {
                kind: Self::KIND,
                what: "agent",
            }),
        }
    }
}

/// Asks for an identity of one's own in the place of a cloned one; an [`EnrolResponse`] answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// The message's format.
    pub v: u64,
    /// The courier's request for a certificate of its new TLS key, PEM.
    pub tls_csr: String,
    /// The envelope of a [`Fork`], as JSON text.
    pub fork: String,
    /// The host, under its new id.
    pub host: HostFacts,
}

/// The answer to a [`RenewRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewResponse {
    /// The message's format.
    pub v: u64,
    /// TLS certificate and issuing chain, PEM, where asked for.
    pub tls_chain: Option<String>,
    /// Seal certificate and issuing chain, PEM, where asked for.
    pub seal_chain: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{World, at};

    fn token() -> Token {
        Token {
            v: 1,
            id: "00".repeat(16),
            deployment: "lab".parse().unwrap(),
            agency: "lab".parse().unwrap(),
            labels: BTreeSet::new(),
            uses: 5,
            expires: at(1000),
            issuer: "eve".parse().unwrap(),
            networks: BTreeSet::new(),
            held: false,
        }
    }

    #[test]
    fn only_an_admins_token_counts_and_only_in_time() {
        let world = World::new();
        let sign = |t: &Token, key| Envelope::sign_document(envelope::TOKEN, t, key).unwrap();
        let good = sign(&token(), &world.eve);
        assert!(Token::open(&good, &world.policy, at(999)).is_ok());
        assert!(matches!(
            Token::open(&good, &world.policy, at(1000)),
            Err(DocumentError::Expired { .. })
        ));
        assert!(Token::open_certified(&good, &world.policy).is_ok());
        assert!(Token::open(&sign(&token(), &world.ann), &world.policy, at(1)).is_err());
        let mut by_ann = token();
        by_ann.issuer = "ann".parse().unwrap();
        assert!(Token::open(&sign(&by_ann, &world.ann), &world.policy, at(1)).is_err());
        let mut foreign = token();
        foreign.agency = "navy".parse().unwrap();
        assert!(Token::open(&sign(&foreign, &world.eve), &world.policy, at(1)).is_err());
    }

    #[test]
    fn a_token_is_for_its_networks() {
        let mut token = token();
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(token.admits(from("203.0.113.9")));
        token.networks = ["192.0.2.0/24", "2001:db8::/32"]
            .map(|network| network.parse().unwrap())
            .into();
        for (address, is_in) in [
            ("192.0.2.7", true),
            ("192.0.3.7", false),
            ("::ffff:192.0.2.7", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(token.admits(from(address)), is_in, "{address}");
        }
    }

    #[test]
    fn a_token_from_before_there_were_networks_still_reads() {
        let world = World::new();
        let mut json = serde_json::to_value(token()).unwrap();
        let fields = json.as_object_mut().unwrap();
        assert!(!fields.contains_key("networks") && !fields.contains_key("held"));
        let old = Envelope::sign(envelope::TOKEN, json.to_string().into(), &world.eve);
        assert_eq!(Token::open(&old, &world.policy, at(1)).unwrap(), token());
    }

    #[test]
    fn only_the_present_seal_key_asks_for_the_next() {
        let [present, other] = [(); 2].map(|()| SigningKey::generate().unwrap());
        let agent = AgentId::from_bytes([1; 16]);
        let asked = SealRequest::sign(agent, "csr", &present).unwrap();
        let keys = [present.public()];
        assert_eq!(SealRequest::open(&asked, agent, &keys).unwrap().csr, "csr");
        assert!(SealRequest::open(&asked, agent, &[other.public()]).is_err());
        let elsewhere = AgentId::from_bytes([2; 16]);
        assert!(SealRequest::open(&asked, elsewhere, &keys).is_err());
    }

    #[test]
    fn only_the_cloned_identitys_seal_key_asks_for_another() {
        let [present, other] = [(); 2].map(|()| SigningKey::generate().unwrap());
        let [agent, elsewhere] = [1, 2].map(|n| AgentId::from_bytes([n; 16]));
        let fork = Fork {
            v: 1,
            agent,
            host: HostId::from_bytes([3; 16]),
            csr: "csr".into(),
        };
        let asked = fork.sign(&present).unwrap();
        let keys = [present.public()];
        assert_eq!(Fork::open(&asked, agent, &keys).unwrap(), fork);
        assert!(Fork::open(&asked, agent, &[other.public()]).is_err());
        assert!(Fork::open(&asked, elsewhere, &keys).is_err());
        // A renewal of the same key is no such request, nor this one a renewal.
        let renewal = SealRequest::sign(agent, "csr", &present).unwrap();
        assert!(Fork::open(&renewal, agent, &keys).is_err());
        assert!(SealRequest::open(&asked, agent, &keys).is_err());
    }

    #[test]
    fn messages_refuse_unknown_fields_and_versions() {
        let json = br#"{"v":1,"tls_csr":null,"seal_csr":null}"#;
        assert!(version::read_message::<RenewRequest>(json, "renewal").is_ok());
        for bad in [
            &br#"{"v":2,"tls_csr":null,"seal_csr":null}"#[..],
            br#"{"v":1,"tls_csr":null,"seal_csr":null,"x":1}"#,
            br#"{"v":1,"v":1,"tls_csr":null,"seal_csr":null}"#,
            b"",
        ] {
            assert!(version::read_message::<RenewRequest>(bad, "renewal").is_err());
        }
    }
}
