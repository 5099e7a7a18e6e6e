//! Who is at the other end of a connection, by its certificate alone.
//!
//! Whether the policy knows the key, and what its holder may do, is asked at each request.

use std::{net::IpAddr, time::Duration};

use evidence::{digest::Digest, ids::AgentId, seal::parse_agent_uri};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

/// How long after its end a certificate may still ask for the next one.
const RENEWABLE_S: u64 = 365 * 86_400;

/// What the certificate lets its holder be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// No certificate: enrolment and public facts only.
    Anonymous,
    /// A key that nothing of ours certifies; the policy may know whose it is.
    Key,
    /// This agent's courier.
    Agent(AgentId),
    /// The same with a certificate that ended less than a year ago: it may renew and nothing else.
    EndedAgent(AgentId),
}

/// Where the connection comes from; no header is believed about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin(pub IpAddr);

/// The client of one connection; stands in every request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// What the certificate says.
    pub role: Role,
    /// SHA-256 of the SubjectPublicKeyInfo, of which the handshake has proven possession.
    pub key: Option<Digest>,
}

impl Peer {
    /// Somebody without a certificate.
    pub const ANONYMOUS: Self = Self {
        role: Role::Anonymous,
        key: None,
    };

    /// Reads the identity from the chain of a handshake whose signature holds.
    pub fn of(
        chain: Option<&[CertificateDer<'_>]>,
        anchor: &TrustAnchor<'_>,
        now: UnixTime,
    ) -> Self {
        let Some((leaf, others)) = chain.and_then(<[_]>::split_first) else {
            return Self::ANONYMOUS;
        };
        let Ok(certificate) = EndEntityCert::try_from(leaf) else {
            return Self::ANONYMOUS;
        };
        let agent = agent_of(&certificate);
        let ended = |agent| match holds(&certificate, others, anchor, now) {
            Some(false) => Role::Agent(agent),
            Some(true) => Role::EndedAgent(agent),
            None => Role::Key,
        };
        Self {
            role: agent.map_or(Role::Key, ended),
            key: Some(Digest::of(&certificate.subject_public_key_info())),
        }
    }
}

/// Whether the certificate leads to the anchor as a client's: now (`false`), or within the last year (`true`).
fn holds(
    certificate: &EndEntityCert<'_>,
    others: &[CertificateDer<'_>],
    anchor: &TrustAnchor<'_>,
    now: UnixTime,
) -> Option<bool> {
    let at = |time| {
        let anchors = std::slice::from_ref(anchor);
        let usage = KeyUsage::client_auth();
        certificate
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                anchors,
                others,
                time,
                usage,
                None,
                None,
            )
            .map(drop)
    };
    let not_after = match at(now) {
        Ok(()) => return Some(false),
        Err(webpki::Error::CertExpired { not_after, .. }) => not_after.as_secs(),
        Err(_) => return None,
    };
    // The chain is judged as it was when the certificate ended.
    let recent = now.as_secs().saturating_sub(not_after) < RENEWABLE_S;
    let then = UnixTime::since_unix_epoch(Duration::from_secs(not_after));
    (recent && at(then).is_ok()).then_some(true)
}

/// The agent, if the certificate has one URI and that is an agent's TLS name.
fn agent_of(certificate: &EndEntityCert<'_>) -> Option<AgentId> {
    let mut names = certificate.valid_uri_names();
    let only = names.next()?;
    if names.next().is_some() {
        return None;
    }
    match parse_agent_uri(only)? {
        (agent, "tls") => Some(agent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use evidence::keys::SigningKey;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::ca::{self, Authority};

    const AT: i64 = 1_700_000_000;
    const DAY_S: i64 = 86_400;

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    struct World {
        root: Authority,
        issuing: Authority,
        csr: String,
        agent: AgentId,
    }

    impl World {
        fn new() -> Self {
            let key = SigningKey::generate().unwrap();
            let root = Authority::new_root("Root", &key, AT).unwrap();
            let issuing = root.new_issuing("Issuing", AT).unwrap();
            Self {
                root,
                issuing,
                csr: ca::request(&ca::new_key().unwrap()).unwrap(),
                agent: AgentId::random().unwrap(),
            }
        }

        fn role(&self, leaf_pem: &str, now_s: i64) -> Role {
            let root = der(self.root.certificate_pem());
            let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
            let chain = [der(leaf_pem), der(self.issuing.certificate_pem())];
            let now = Duration::from_secs(now_s.unsigned_abs());
            Peer::of(Some(&chain), &anchor, UnixTime::since_unix_epoch(now)).role
        }
    }

    #[test]
    fn names_an_agent_by_its_tls_certificate_and_by_no_other() {
        let w = World::new();
        let tls = w.issuing.sign_agent_tls(w.agent, &w.csr, AT).unwrap();
        assert_eq!(w.role(&tls, AT), Role::Agent(w.agent));
        let seal = w.issuing.sign_agent_seal(w.agent, &w.csr, AT).unwrap();
        assert_eq!(w.role(&seal, AT), Role::Key);
        let names = ["localhost".to_owned()];
        let server = w.issuing.sign_server_tls(&names, &w.csr, AT).unwrap();
        assert_eq!(w.role(&server, AT), Role::Key);
        let other = World::new();
        let forged = other.issuing.sign_agent_tls(w.agent, &w.csr, AT).unwrap();
        assert_eq!(w.role(&forged, AT), Role::Key);
        let root = der(w.root.certificate_pem());
        let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
        let garbage = [CertificateDer::from(vec![0x30, 0x82, 0xff])];
        for chain in [None, Some(&garbage[..]), Some(&[])] {
            assert_eq!(Peer::of(chain, &anchor, UnixTime::now()), Peer::ANONYMOUS);
        }
    }

    #[test]
    fn an_ended_certificate_may_renew_for_a_year() {
        let w = World::new();
        let tls = w.issuing.sign_agent_tls(w.agent, &w.csr, AT).unwrap();
        let end = AT + ca::TLS_DAYS * DAY_S;
        assert_eq!(w.role(&tls, end - 1), Role::Agent(w.agent));
        assert_eq!(w.role(&tls, end + 1), Role::EndedAgent(w.agent));
        assert_eq!(w.role(&tls, end + 364 * DAY_S), Role::EndedAgent(w.agent));
        assert_eq!(w.role(&tls, end + 366 * DAY_S), Role::Key);
        assert_eq!(w.role(&tls, AT - DAY_S), Role::Key);
    }
}
