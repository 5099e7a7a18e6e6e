//! Seals against OpenSSL, against the wrong certificates, and against every flipped byte.

use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

use super::*;
use crate::keys::SigningKey;

const CONTENT: &[u8] = b"0123 *fs/file\n";

/// A root, an issuing authority, and what they issue.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    issuing: CertifiedIssuer<'static, KeyPair>,
}

fn ca_params(name: &str, length: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

impl Authority {
    fn new() -> Self {
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(ca_params("Root", 1), key()).unwrap();
        let issuing = CertifiedIssuer::signed_by(ca_params("Issuing", 0), key(), &root).unwrap();
        Self { root, issuing }
    }

    fn issue(&self, key: &SigningKey, uri: &str, usage: ExtendedKeyUsagePurpose) -> Vec<Vec<u8>> {
        self.issue_in(key, uri, usage, (2020, 2040))
    }

    fn issue_in(
        &self,
        key: &SigningKey,
        uri: &str,
        usage: ExtendedKeyUsagePurpose,
        years: (i32, i32),
    ) -> Vec<Vec<u8>> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Agent");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let pair = KeyPair::from_pem(&key.to_pem().unwrap()).unwrap();
        let leaf = params.signed_by(&pair, &self.issuing).unwrap();
        vec![leaf.der().to_vec(), self.issuing.der().to_vec()]
    }

    fn trust(&self) -> Trust {
        Trust::from_pem(&self.root.pem()).unwrap()
    }
}

fn agent() -> AgentId {
    AgentId::from_bytes([7; 16])
}

fn now() -> Instant {
    Instant {
        seconds: 1_800_000_000,
        ns: 0,
    }
}

fn check_with(seal: &[u8], content: &[u8], trust: &Trust) -> SealReport {
    let (agent, at) = (Some(agent()), None);
    check(seal, content, Expected { trust, agent, at })
}

/// An authority, and a good seal by an agent that it certified.
fn sealed() -> (Authority, SigningKey, Vec<u8>) {
    let (authority, key) = (Authority::new(), SigningKey::generate().unwrap());
    let uri = agent_uri(agent(), SEAL_ROLE);
    let chain = authority.issue(&key, &uri, ExtendedKeyUsagePurpose::EmailProtection);
    let seal = sign(CONTENT, &key, &chain, now()).unwrap();
    (authority, key, seal)
}

fn openssl_verify(dir: &Path, root: &str, seal: &[u8], content: &[u8]) -> bool {
    std::fs::write(dir.join("root.crt"), root).unwrap();
    std::fs::write(dir.join("SHA256SUMS.p7s"), seal).unwrap();
    std::fs::write(dir.join("SHA256SUMS"), content).unwrap();
    let out = Command::new("openssl")
        .current_dir(dir)
        .args(["cms", "-verify", "-binary", "-inform", "DER"])
        .args(["-in", "SHA256SUMS.p7s", "-content", "SHA256SUMS"])
        .args(["-CAfile", "root.crt", "-no-CApath", "-no-CAstore"])
        .args(["-attime", &now().seconds.to_string(), "-out", "/dev/null"])
        .output()
        .unwrap();
    out.status.success()
}

#[test]
fn good_seal_names_its_agent() {
    let (authority, key, seal) = sealed();
    let report = check_with(&seal, CONTENT, &authority.trust());
    assert_eq!(report.faults, []);
    let signer = report.signer.unwrap();
    assert_eq!(signer.agent, Some(agent()));
    assert_eq!(signer.role.as_deref(), Some(SEAL_ROLE));
    assert_eq!(signer.key, Some(key.public()));
    assert_eq!(signer.signed_at, Some(now()));
    assert!(signer.is_known && signer.is_in_window);
}

#[test]
fn openssl_agrees_about_good_and_changed() {
    let (authority, _, seal) = sealed();
    let dir = tempfile::tempdir().unwrap();
    let root = authority.root.pem();
    assert!(openssl_verify(dir.path(), &root, &seal, CONTENT));
    assert!(!openssl_verify(dir.path(), &root, &seal, b"changed"));
    let faults = check_with(&seal, b"changed", &authority.trust()).faults;
    assert_eq!(faults, [SealFault::ContentChanged]);
}

#[test]
fn openssl_takes_a_seal_made_for_one_run() {
    let key = SigningKey::generate().unwrap();
    let der = self_signed_seal(&key, agent(), now()).unwrap();
    let seal = sign(CONTENT, &key, std::slice::from_ref(&der), now()).unwrap();
    let report = check_with(&seal, CONTENT, &Authority::new().trust());
    assert_eq!(report.faults, []);
    assert!(!report.signer.unwrap().is_known);
    use der::{Decode as _, EncodePem as _};
    let pem = x509_cert::Certificate::from_der(&der)
        .unwrap()
        .to_pem(pkcs8::LineEnding::LF)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert!(openssl_verify(dir.path(), &pem, &seal, CONTENT));
}

#[test]
fn other_certificates_are_refused_as_seals() {
    let (authority, key) = (Authority::new(), SigningKey::generate().unwrap());
    let other = AgentId::from_bytes([8; 16]);
    let email = || ExtendedKeyUsagePurpose::EmailProtection;
    let cases = [
        (
            agent_uri(agent(), "tls"),
            ExtendedKeyUsagePurpose::ClientAuth,
            "role",
        ),
        (
            "fieldseal:server".to_owned(),
            ExtendedKeyUsagePurpose::ServerAuth,
            "no agent",
        ),
        (agent_uri(agent(), "tls"), email(), "role"),
        (agent_uri(other, SEAL_ROLE), email(), "by agent"),
    ];
    for (uri, usage, word) in cases {
        let chain = authority.issue(&key, &uri, usage);
        let seal = sign(CONTENT, &key, &chain, now()).unwrap();
        let faults = check_with(&seal, CONTENT, &authority.trust()).faults;
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(texts.iter().any(|text| text.contains(word)), "{texts:?}");
    }
}

#[test]
fn foreign_root_is_unknown_and_ended_certificate_is_told() {
    let (authority, key, seal) = sealed();
    let report = check_with(&seal, CONTENT, &Authority::new().trust());
    // The names of the two roots are the same, and the signature is not.
    assert!(!report.signer.unwrap().is_known);
    let report = check_with(&seal, CONTENT, &Trust::none());
    assert_eq!(report.faults, []);
    assert!(!report.signer.unwrap().is_known);
    let uri = agent_uri(agent(), SEAL_ROLE);
    let usage = ExtendedKeyUsagePurpose::EmailProtection;
    let chain = authority.issue_in(&key, &uri, usage, (2010, 2012));
    let seal = sign(CONTENT, &key, &chain, now()).unwrap();
    let report = check_with(&seal, CONTENT, &authority.trust());
    assert_eq!(report.faults, []);
    let signer = report.signer.unwrap();
    assert!(signer.is_known && !signer.is_in_window);
}

#[test]
fn certificate_of_another_key_cannot_be_used() {
    let (authority, key, _) = sealed();
    let uri = agent_uri(agent(), SEAL_ROLE);
    let chain = authority.issue(&key, &uri, ExtendedKeyUsagePurpose::EmailProtection);
    let other = SigningKey::generate().unwrap();
    assert!(matches!(
        sign(CONTENT, &other, &chain, now()),
        Err(SealError::OtherKey)
    ));
    assert!(sign(CONTENT, &other, &[], now()).is_err());
}

#[test]
fn no_changed_byte_passes_and_none_panics() {
    let (authority, _, seal) = sealed();
    let trust = authority.trust();
    for at in 0..seal.len() {
        for bit in [0x01, 0x80] {
            let mut changed = seal.clone();
            changed[at] ^= bit;
            let report = check_with(&changed, CONTENT, &trust);
            let known = report.signer.as_ref().is_some_and(|one| one.is_known);
            // Only the certificates beside the signer's are not signed by it.
            assert!(!report.is_sound() || !known, "byte {at}");
        }
        assert!(!check_with(&seal[..at], CONTENT, &trust).is_sound());
    }
    let longer = [seal.as_slice(), b"\0"].concat();
    assert!(!check_with(&longer, CONTENT, &trust).is_sound());
}

#[test]
fn pem_files_give_their_certificates() {
    let (authority, ..) = sealed();
    let both = format!(
        "# ours\n{}{}",
        authority.root.pem(),
        authority.issuing.pem()
    );
    assert_eq!(certificates_from_pem(&both).unwrap().len(), 2);
    assert!(certificates_from_pem("nothing").is_err());
    assert!(Trust::from_der(b"nothing").is_err());
}
