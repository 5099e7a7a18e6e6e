//! A root, and certificates under it.

use evidence::{ids::AgentId, instant::Instant};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};

use crate::courier::tls::{self, Identity};

/// A deployment's root.
pub(in crate::courier) struct Pki {
    pub(in crate::courier) root_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub(in crate::courier) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::from_ca_cert_pem(&root_pem, key).unwrap();
        Self { root_pem, issuer }
    }

    /// A server of this machine.
    pub(in crate::courier) fn server(&self) -> Identity {
        let key_pem = tls::new_key().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::from_pem(&key_pem).unwrap();
        let chain_pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { key_pem, chain_pem }
    }

    /// A certificate of `agent` in `role` for a request, good from now for `days`, or begun long ago.
    pub(in crate::courier) fn sign(
        &self,
        agent: AgentId,
        role: &str,
        csr_pem: &str,
        is_fresh: bool,
    ) -> String {
        let mut params = CertificateParams::default();
        let uri = format!("fieldseal:agent:{agent}:{role}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let year = 1970 + i32::try_from(Instant::now().seconds / 31_556_952).unwrap();
        params.not_before = date_time_ymd(if is_fresh { year - 1 } else { year - 20 }, 1, 1);
        params.not_after = date_time_ymd(if is_fresh { year + 20 } else { year + 2 }, 1, 1);
        let request = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        let made = params.signed_by(&request.public_key, &self.issuer).unwrap();
        made.pem()
    }

    /// Key and certificate of `agent`.
    pub(in crate::courier) fn agent(&self, agent: AgentId, is_fresh: bool) -> Identity {
        let key_pem = tls::new_key().unwrap();
        let csr = tls::request(&key_pem).unwrap();
        let chain_pem = self.sign(agent, "tls", &csr, is_fresh);
        Identity { key_pem, chain_pem }
    }
}
