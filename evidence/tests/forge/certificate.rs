//! X.509 certificates from fixed keys, the same bytes each time.

use std::{str::FromStr as _, time::Duration};

use const_oid::ObjectIdentifier;
use der::{
    Decode as _, Encode as _,
    asn1::{GeneralizedTime, Ia5String, OctetString, UtcTime},
    flagset::FlagSet,
};
use evidence::{digest::Digest, keys::SigningKey};
use p256::ecdsa::DerSignature;
use pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    Certificate,
    builder::{Builder as _, CertificateBuilder, Profile},
    ext::pkix::{
        AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
        SubjectAltName, SubjectKeyIdentifier, name::GeneralName,
    },
    name::Name,
    serial_number::SerialNumber,
    time::{Time, Validity},
};

use super::{DAY, at};

/// emailProtection.
pub(crate) const SEAL: &str = "1.3.6.1.5.5.7.3.4";
/// clientAuth.
pub(crate) const CLIENT: &str = "1.3.6.1.5.5.7.3.2";
/// serverAuth.
pub(crate) const SERVER: &str = "1.3.6.1.5.5.7.3.1";

/// The key made of 32 equal bytes.
pub(crate) fn key(seed: u8) -> SigningKey {
    let secret = p256::SecretKey::from_slice(&[seed; 32]).unwrap();
    SigningKey::from_pkcs8_der(secret.to_pkcs8_der().unwrap().as_bytes()).unwrap()
}

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Holder {
    /// The key.
    pub(crate) key: SigningKey,
    /// The certificate.
    pub(crate) der: Vec<u8>,
}

/// What a certificate says.
pub(crate) struct Says<'a> {
    /// The common name.
    pub(crate) name: &'a str,
    /// How many authorities may follow; `None` for no authority.
    pub(crate) ca: Option<u8>,
    /// The extended usage.
    pub(crate) usage: Option<&'a str>,
    /// The URI.
    pub(crate) uri: Option<String>,
    /// From when to when, in days around the moment.
    pub(crate) days: (i64, i64),
}

/// A certificate for the key of `seed`, by `issuer` or by itself.
pub(crate) fn certify(seed: u8, says: &Says<'_>, issuer: Option<&Holder>) -> Holder {
    let own = key(seed);
    let signer = issuer.map_or(&own, |i| &i.key);
    let secret = p256::ecdsa::SigningKey::from_pkcs8_der(&signer.to_pkcs8_der().unwrap()).unwrap();
    let subject = Name::from_str(&format!("CN={}", says.name)).unwrap();
    let issuer_name = issuer.map_or_else(
        || subject.clone(),
        |i| {
            Certificate::from_der(&i.der)
                .unwrap()
                .tbs_certificate
                .subject
        },
    );
    let spki = own.public().to_spki_der();
    let mut builder = CertificateBuilder::new(
        Profile::Manual {
            issuer: Some(issuer_name),
        },
        SerialNumber::new(&[0x40, seed, 7]).unwrap(),
        Validity {
            not_before: time(says.days.0),
            not_after: time(says.days.1),
        },
        subject,
        SubjectPublicKeyInfoOwned::from_der(&spki).unwrap(),
        &secret,
    )
    .unwrap();
    extend(&mut builder, says, &spki, signer);
    let certificate = builder.build::<DerSignature>().unwrap();
    Holder {
        der: certificate.to_der().unwrap(),
        key: own,
    }
}

fn extend(
    builder: &mut CertificateBuilder<'_, p256::ecdsa::SigningKey>,
    says: &Says<'_>,
    spki: &[u8],
    signer: &SigningKey,
) {
    let key_hash = |spki: &[u8]| OctetString::new(&Digest::of(spki).0[..20]).unwrap();
    let usage: FlagSet<KeyUsages> = match says.ca {
        Some(_) => KeyUsages::KeyCertSign | KeyUsages::CRLSign,
        None => KeyUsages::DigitalSignature.into(),
    };
    builder
        .add_extension(&BasicConstraints {
            ca: says.ca.is_some(),
            path_len_constraint: says.ca,
        })
        .unwrap();
    builder.add_extension(&KeyUsage(usage)).unwrap();
    builder
        .add_extension(&SubjectKeyIdentifier(key_hash(spki)))
        .unwrap();
    builder
        .add_extension(&AuthorityKeyIdentifier {
            key_identifier: Some(key_hash(&signer.public().to_spki_der())),
            ..AuthorityKeyIdentifier::default()
        })
        .unwrap();
    if let Some(usage) = says.usage {
        let usage = ObjectIdentifier::new(usage).unwrap();
        builder
            .add_extension(&ExtendedKeyUsage(vec![usage]))
            .unwrap();
    }
    if let Some(uri) = &says.uri {
        let uri = GeneralName::UniformResourceIdentifier(Ia5String::new(uri).unwrap());
        builder.add_extension(&SubjectAltName(vec![uri])).unwrap();
    }
}

fn time(days: i64) -> Time {
    let seconds = at(days * DAY).seconds.unsigned_abs();
    let since = Duration::from_secs(seconds);
    UtcTime::from_unix_duration(since).map_or_else(
        |_| Time::GeneralTime(GeneralizedTime::from_unix_duration(since).unwrap()),
        Time::UtcTime,
    )
}

/// PEM of a certificate.
pub(crate) fn pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).unwrap());
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
