//! Who is at the other end of a connection, by its certificate alone.

use evidence::{digest::Digest, ids::AgentId};
use rustls::pki_types::CertificateDer;

/// What the certificate lets its holder be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// No certificate: enrolment and public facts only.
    Anonymous,
    /// A certificate of ours that names no agent.
    Unnamed,
    /// This agent's courier.
    Agent(AgentId),
}

/// The client of one connection; stands in every request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// What the certificate says.
    pub role: Role,
    /// SHA-256 of the certificate's DER, none without a certificate.
    pub certificate: Option<Digest>,
}

impl Peer {
    /// Reads the identity from a chain that the handshake has verified already.
    pub fn of(chain: Option<&[CertificateDer<'_>]>) -> Self {
        let Some(leaf) = chain.and_then(|c| c.first()) else {
            return Self {
                role: Role::Anonymous,
                certificate: None,
            };
        };
        let role = agent_of(leaf).map_or(Role::Unnamed, Role::Agent);
        Self {
            role,
            certificate: Some(Digest::of(leaf)),
        }
    }
}

/// The agent, if the certificate has one URI and that is an agent's TLS name.
fn agent_of(leaf: &CertificateDer<'_>) -> Option<AgentId> {
    let certificate = webpki::EndEntityCert::try_from(leaf).ok()?;
    let mut names = certificate.valid_uri_names();
    let only = names.next()?;
    if names.next().is_some() {
        return None;
    }
    only.strip_prefix("fieldseal:agent:")?
        .strip_suffix(":tls")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::ca::{self, Authority};

    #[test]
    fn names_an_agent_by_its_tls_certificate_and_by_no_other() {
        let root = Authority::new_root("Root", 1_700_000_000).unwrap();
        let agent = AgentId::random().unwrap();
        let csr = ca::request(&ca::new_key().unwrap()).unwrap();
        let role = |pem: String| {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            Peer::of(Some(&[der])).role
        };
        let at = 1_700_000_000;
        assert_eq!(
            role(root.sign_agent_tls(agent, &csr, at).unwrap()),
            Role::Agent(agent)
        );
        assert_eq!(
            role(root.sign_agent_seal(agent, &csr, at).unwrap()),
            Role::Unnamed
        );
        let names = ["localhost".to_owned()];
        assert_eq!(
            role(root.sign_server_tls(&names, &csr, at).unwrap()),
            Role::Unnamed
        );
        assert_eq!(Peer::of(None).role, Role::Anonymous);
        let garbage = [CertificateDer::from(vec![0x30, 0x82, 0xff])];
        assert_eq!(Peer::of(Some(&garbage)).role, Role::Unnamed);
    }
}
