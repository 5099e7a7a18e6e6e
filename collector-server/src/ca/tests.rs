//! What the authority signs, checked by `openssl` and by its refusals.

use std::process::Command;

use super::*;

fn root_key() -> SigningKey {
    SigningKey::generate().unwrap()
}

fn authorities(now_s: i64) -> (Authority, Authority) {
    let root = Authority::new_root("Root", &root_key(), now_s).unwrap();
    let issuing = root.new_issuing("Issuing", now_s).unwrap();
    (root, issuing)
}

fn now_s() -> i64 {
    evidence::instant::Instant::now().seconds
}

fn openssl(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("openssl")
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn openssl_accepts_the_chain_for_its_purpose_only() {
    let dir = tempfile::tempdir().unwrap();
    let (root, issuing) = authorities(now_s());
    let agent = AgentId::random().unwrap();
    let csr = request(&new_key().unwrap()).unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("root.crt", root.certificate_pem());
    write("issuing.crt", issuing.certificate_pem());
    write(
        "tls.crt",
        &issuing.sign_agent_tls(agent, &csr, now_s()).unwrap(),
    );
    write(
        "seal.crt",
        &issuing.sign_agent_seal(agent, &csr, now_s()).unwrap(),
    );
    let server = issuing.sign_server_tls(&["localhost".into(), "127.0.0.1".into()], &csr, now_s());
    write("server.crt", &server.unwrap());

    for (purpose, name) in [
        ("sslclient", "tls.crt"),
        ("smimesign", "seal.crt"),
        ("sslserver", "server.crt"),
    ] {
        let args = [
            "verify",
            "-x509_strict",
            "-no-CApath",
            "-no-CAstore",
            "-CAfile",
            "root.crt",
            "-untrusted",
            "issuing.crt",
            "-purpose",
            purpose,
            name,
        ];
        openssl(dir.path(), &args);
    }
    let wrong = Command::new("openssl")
        .args([
            "verify",
            "-CAfile",
            "root.crt",
            "-untrusted",
            "issuing.crt",
            "-purpose",
            "sslclient",
            "seal.crt",
        ])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(!wrong.status.success());
    let text = openssl(dir.path(), &["x509", "-in", "seal.crt", "-noout", "-text"]);
    assert!(
        text.contains(&format!("URI:fieldseal:agent:{agent}:seal")),
        "{text}"
    );
    assert!(text.contains("Authority Key Identifier"));
    let text = openssl(
        dir.path(),
        &["x509", "-in", "issuing.crt", "-noout", "-text"],
    );
    assert!(text.contains("pathlen:0"));
}

#[test]
fn takes_nothing_but_the_key_from_a_request() {
    let dir = tempfile::tempdir().unwrap();
    let (_, issuing) = authorities(now_s());
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "evil");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let csr = params
        .serialize_request(&new_key().unwrap())
        .unwrap()
        .pem()
        .unwrap();
    let made = issuing
        .sign_agent_tls(AgentId::random().unwrap(), &csr, now_s())
        .unwrap();
    fs::write(dir.path().join("c.crt"), made).unwrap();
    let text = openssl(dir.path(), &["x509", "-in", "c.crt", "-noout", "-text"]);
    assert!(!text.contains("evil"), "{text}");
    assert!(!text.contains("CA:TRUE") && !text.contains("Server Authentication"));
}

#[test]
fn refuses_other_curves_forged_and_garbage_requests() {
    let (_, issuing) = authorities(now_s());
    let agent = AgentId::random().unwrap();
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let good = request(&new_key().unwrap()).unwrap();
    let forged = forge(&good);
    for csr in [
        request(&p384).unwrap(),
        forged,
        String::new(),
        "-----BEGIN".into(),
        "A".repeat(1 << 20),
    ] {
        assert!(matches!(
            issuing.sign_agent_tls(agent, &csr, now_s()),
            Err(CaError::Request(_))
        ));
    }
}

/// The request with the last byte of its signature turned.
fn forge(csr_pem: &str) -> String {
    let body: String = csr_pem.lines().filter(|l| !l.starts_with('-')).collect();
    let mut der = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    *der.last_mut().unwrap() ^= 1;
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        data_encoding::BASE64.encode(&der)
    )
}

#[test]
fn an_authority_on_disk_signs_again_and_the_root_is_the_key_that_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let key = root_key();
    let root = Authority::new_root("Root", &key, now_s()).unwrap();
    let (crt, pem) = (dir.path().join("r.crt"), dir.path().join("r.key"));
    fs::write(&crt, root.certificate_pem()).unwrap();
    fs::write(&pem, root.key_pem()).unwrap();
    let again = Authority::load(&crt, &pem).unwrap();
    again.new_issuing("Issuing", now_s()).unwrap();
    let public = openssl(dir.path(), &["x509", "-in", "r.crt", "-noout", "-pubkey"]);
    assert_eq!(public, key.public().to_pem().unwrap());
    assert!(Authority::load(&crt, &dir.path().join("none")).is_err());
}

#[test]
fn a_clock_out_of_range_is_an_error() {
    assert!(matches!(
        Authority::new_root("Root", &root_key(), i64::MAX),
        Err(CaError::Clock)
    ));
    assert!(matches!(
        Authority::new_root("Root", &root_key(), -1),
        Err(CaError::Clock)
    ));
}
