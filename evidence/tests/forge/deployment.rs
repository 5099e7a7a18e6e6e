//! A tiny deployment: a root, an issuing authority, two agents, a server, three people, a custody log.

use ed25519_dalek::SigningKey as LogSecret;
use evidence::{
    custody::note::LogSigner,
    ids::{AgentId, CollectionId, HostId, OrderId},
    keys::SigningKey,
    seal::agent_uri,
};

use super::certificate::{CLIENT, Holder, SEAL, SERVER, Says, certify, key};

/// The vault's key, for tests alone.
pub(crate) const VAULT: &str =
    "AGE-SECRET-KEY-15SAC3VZKFAS2N36ULAQZV37CHA6KA04S55JNH5RYD79NRX6P6R0S2WXAV7";
/// The second recipient of the vault.
pub(crate) const SECOND_VAULT: &str =
    "age1s5phservkm497rmjq0va62mqrxgmwqvwhr0kry48gfudzu6975rqmq0c0p";
/// A key that opens nothing here.
pub(crate) const STRANGERS_VAULT: &str =
    "AGE-SECRET-KEY-1NTFM8T5KG8F7HFX8MCW8Y3D6RWXFY9CMFUD6EJVYFXN5TVKLYEFQE5CDMQ";

/// The agent that all is about.
pub(crate) const AGENT: AgentId = AgentId::from_bytes([1; 16]);
/// Another one.
pub(crate) const OTHER_AGENT: AgentId = AgentId::from_bytes([2; 16]);
/// Their host.
pub(crate) const HOST: HostId = HostId::from_bytes([3; 16]);
/// The collection.
pub(crate) const COLLECTION: CollectionId = CollectionId::from_bytes([4; 16]);
/// Its order.
pub(crate) const ORDER: OrderId = OrderId::from_bytes([5; 16]);

/// Who seals: a key and its certificate with what issued it.
#[derive(Clone)]
pub(crate) struct Sealer {
    /// The agent that evidence by it names.
    pub(crate) agent: AgentId,
    /// The key.
    pub(crate) key: SigningKey,
    /// The certificate, then its issuers.
    pub(crate) chain: Vec<Vec<u8>>,
}

/// All keys and certificates.
pub(crate) struct Deployment {
    /// The root: it signs certificates and the policy.
    pub(crate) root: Holder,
    /// The issuing authority.
    pub(crate) issuing: Holder,
    /// The agent's seal.
    pub(crate) agent: Sealer,
    /// Another agent's seal.
    pub(crate) other: Sealer,
    /// The custody log.
    pub(crate) log: LogSigner,
}

/// Somebody's authority.
fn authority(seed: u8, name: &str, depth: u8, issuer: Option<&Holder>) -> Holder {
    let says = Says {
        name,
        ca: Some(depth),
        usage: None,
        uri: None,
        days: (-30, 7300),
    };
    certify(seed, &says, issuer)
}

impl Deployment {
    /// The one deployment.
    pub(crate) fn new() -> Self {
        let root = authority(1, "Fieldseal root", 1, None);
        let issuing = authority(2, "Fieldseal issuing", 0, Some(&root));
        let seal = |seed, agent| sealer(seed, agent, "seal", SEAL, (-10, 1085), &issuing);
        let (agent, other) = (seal(11, AGENT), seal(21, OTHER_AGENT));
        let log = LogSigner::new("lab.example/custody", LogSecret::from_bytes(&[7; 32])).unwrap();
        Self {
            root,
            issuing,
            agent,
            other,
            log,
        }
    }

    /// The agent's TLS certificate, misused.
    pub(crate) fn tls(&self) -> Sealer {
        sealer(12, AGENT, "tls", CLIENT, (-10, 80), &self.issuing)
    }

    /// A seal certificate of the agent that ended before the moment.
    pub(crate) fn ended(&self) -> Sealer {
        sealer(13, AGENT, "seal", SEAL, (-20, -5), &self.issuing)
    }

    /// A second seal certificate for the agent, by an issuing authority in wrong hands.
    pub(crate) fn minted(&self) -> Sealer {
        sealer(14, AGENT, "seal", SEAL, (-10, 1085), &self.issuing)
    }

    /// The server's certificate, misused.
    pub(crate) fn server(&self) -> Sealer {
        let says = Says {
            name: "Fieldseal server",
            ca: None,
            usage: Some(SERVER),
            uri: None,
            days: (-10, 80),
        };
        let holder = certify(31, &says, Some(&self.issuing));
        Sealer {
            agent: AGENT,
            key: holder.key,
            chain: vec![holder.der, self.issuing.der.clone()],
        }
    }

    /// A seal of the agent's name under a stranger's root, whose authorities begin with `name`.
    pub(crate) fn foreign(&self, name: &str) -> Sealer {
        let root = authority(41, &format!("{name} root"), 1, None);
        let issuing = authority(42, &format!("{name} issuing"), 0, Some(&root));
        sealer(43, AGENT, "seal", SEAL, (-10, 1085), &issuing)
    }

    /// A key made for one run, as where there is no enrolment.
    pub(crate) fn for_run(&self) -> Sealer {
        let says = Says {
            name: "Fieldseal run",
            ca: None,
            usage: Some(SEAL),
            uri: Some(agent_uri(AGENT, "seal")),
            days: (-1, 1000),
        };
        let holder = certify(51, &says, None);
        Sealer {
            agent: AGENT,
            key: holder.key,
            chain: vec![holder.der],
        }
    }

    /// The server's key for times and custody leaves.
    pub(crate) fn time_key(&self) -> SigningKey {
        key(3)
    }

    /// Ann, who asks.
    pub(crate) fn ann(&self) -> SigningKey {
        key(5)
    }

    /// Eve, the admin.
    pub(crate) fn eve(&self) -> SigningKey {
        key(6)
    }

    /// Nobody of the policy.
    pub(crate) fn stranger(&self) -> SigningKey {
        key(9)
    }
}

fn sealer(
    seed: u8,
    agent: AgentId,
    role: &str,
    usage: &str,
    days: (i64, i64),
    issuing: &Holder,
) -> Sealer {
    let says = Says {
        name: "Fieldseal agent",
        ca: None,
        usage: Some(usage),
        uri: Some(agent_uri(agent, role)),
        days,
    };
    let holder = certify(seed, &says, Some(issuing));
    Sealer {
        agent,
        key: holder.key,
        chain: vec![holder.der, issuing.der.clone()],
    }
}
