//! P-256 keys: for seals, statements, orders and policy.
//!
//! P-256 because PIV cards, TPMs and HSMs can hold it. A key is named by the
//! SHA-256 of its public half (SPKI, DER); names of people and chains of
//! certificates are somebody else's business.

use std::fmt;

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey as Secret, VerifyingKey};
use pkcs8::pkcs5::pbes2;
use pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
    LineEnding, PrivateKeyInfo,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::digest::Digest;

/// Names a key: SHA-256 over the DER of its SubjectPublicKeyInfo.
pub type KeyId = Digest;

/// Rounds of PBKDF2-HMAC-SHA256 that protect a key under a passphrase.
///
/// OWASP's figure of 2023. Not scrypt: OpenSSL refuses the memory that a good
/// setting of it asks for.
const PBKDF2_ROUNDS: u32 = 600_000;

/// What can go wrong with a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No P-256 private key in PKCS#8.
    #[error(
        "this is not a P-256 private key in PKCS#8. Give the PEM file that was written when the key was made."
    )]
    NotAPrivateKey,
    /// No P-256 public key.
    #[error("this is not a P-256 public key. Give a SubjectPublicKeyInfo as PEM or DER.")]
    NotAPublicKey,
    /// The passphrase does not open the key.
    #[error(
        "the passphrase does not open the key. Type it again, or check that this is the right key file."
    )]
    WrongPassphrase,
    /// The signature does not belong to message and key.
    #[error(
        "the signature does not fit the message and the key. Do not trust what it was to vouch for."
    )]
    BadSignature,
    /// A key could not be written.
    #[error("the key could not be encoded. This is a fault of the program; please report it.")]
    Encoding,
    /// No random numbers.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[source] getrandom::Error),
}

/// A private key that signs; wiped from memory when dropped.
#[derive(Clone)]
pub struct SigningKey(Secret);

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// The system's random source does not answer.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            getrandom::fill(bytes.as_mut()).map_err(KeyError::Random)?;
            // Zero and what lies past the group's order are no keys (once in 2^32).
            if let Ok(key) = Secret::from_slice(bytes.as_ref()) {
                return Ok(Self(key));
            }
        }
    }

    /// Reads PKCS#8 DER.
    ///
    /// # Errors
    /// It is not a P-256 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = Secret::from_pkcs8_der(der).map_err(|_| KeyError::NotAPrivateKey)?;
        Ok(Self(key))
    }

    /// Reads PKCS#8 PEM that no passphrase protects.
    ///
    /// # Errors
    /// It is not a P-256 key, or a passphrase protects it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = Secret::from_pkcs8_pem(pem).map_err(|_| KeyError::NotAPrivateKey)?;
        Ok(Self(key))
    }

    /// Reads PKCS#8 PEM under a passphrase.
    ///
    /// # Errors
    /// It is not such a key, or the passphrase is wrong.
    pub fn from_encrypted_pem(pem: &str, passphrase: &str) -> Result<Self, KeyError> {
        if !is_encrypted_pem(pem) {
            return Err(KeyError::NotAPrivateKey);
        }
        let key = Secret::from_pkcs8_encrypted_pem(pem, passphrase)
            .map_err(|_| KeyError::WrongPassphrase)?;
        Ok(Self(key))
    }

    /// PKCS#8 DER, unprotected.
    ///
    /// # Errors
    /// The encoder fails, which it does not.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let der = self.0.to_pkcs8_der().map_err(|_| KeyError::Encoding)?;
        Ok(der.to_bytes())
    }

    /// PKCS#8 PEM, unprotected: whoever writes it to a file sees to its mode.
    ///
    /// # Errors
    /// The encoder fails, which it does not.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| KeyError::Encoding)
    }

    /// PKCS#8 PEM under a passphrase (PBES2: PBKDF2-HMAC-SHA256, AES-256-CBC), as OpenSSL reads it.
    ///
    /// # Errors
    /// The system's random source does not answer.
    pub fn to_encrypted_pem(&self, passphrase: &str) -> Result<Zeroizing<String>, KeyError> {
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        getrandom::fill(&mut salt).map_err(KeyError::Random)?;
        getrandom::fill(&mut iv).map_err(KeyError::Random)?;
        let how = pbes2::Parameters::pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, &iv)
            .map_err(|_| KeyError::Encoding)?;
        let plain = self.to_pkcs8_der()?;
        PrivateKeyInfo::try_from(plain.as_slice())
            .and_then(|info| info.encrypt_with_params(how, passphrase))
            .map_err(|_| KeyError::Encoding)?
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(|_| KeyError::Encoding)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// Signs `message` with ECDSA and SHA-256; the signature is DER.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.0.sign(message);
        signature.as_bytes().to_vec()
    }

    /// The key as the CMS builder wants it.
    pub(crate) fn inner(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().key_id())
    }
}

/// Whether a passphrase is needed to read this PEM.
pub fn is_encrypted_pem(pem: &str) -> bool {
    pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

/// A public key that checks signatures. In documents it is SPKI as PEM.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// It is not a P-256 key.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_der(der).map_err(|_| KeyError::NotAPublicKey)?;
        Ok(Self(key))
    }

    /// Reads a SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// It is not a P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(pem).map_err(|_| KeyError::NotAPublicKey)?;
        Ok(Self(key))
    }

    /// The SubjectPublicKeyInfo in DER, the point uncompressed: one key, one encoding, one id.
    pub fn to_spki_der(&self) -> Vec<u8> {
        // Fixed bytes and the point, so that there is no error to pass on.
        const HEAD: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let mut der = HEAD.to_vec();
        der.extend_from_slice(self.0.to_encoded_point(false).as_bytes());
        der
    }

    /// The SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// The encoder fails, which it does not.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|_| KeyError::Encoding)
    }

    /// The key's name.
    pub fn key_id(&self) -> KeyId {
        Digest::of(&self.to_spki_der())
    }

    /// Checks an ECDSA signature (DER) over the SHA-256 of `message`.
    ///
    /// # Errors
    /// The signature is not this key's over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let signature = DerSignature::try_from(signature).map_err(|_| KeyError::BadSignature)?;
        self.0
            .verify(message, &signature)
            .map_err(|_| KeyError::BadSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let pem = self.to_pem().map_err(serde::ser::Error::custom)?;
        to.serialize_str(&pem)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::from_pem(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn pem_comes_back_as_the_same_key() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        let public = PublicKey::from_pem(&key.public().to_pem().unwrap()).unwrap();
        assert_eq!(public.key_id(), key.public().key_id());
        let spki = key.public().0.to_public_key_der().unwrap();
        assert_eq!(spki.as_bytes(), key.public().to_spki_der());
    }

    #[test]
    fn signature_holds_for_one_message_and_one_key() {
        let key = SigningKey::generate().unwrap();
        let signature = key.sign(b"message");
        assert!(key.public().verify(b"message", &signature).is_ok());
        assert!(key.public().verify(b"massage", &signature).is_err());
        let other = SigningKey::generate().unwrap().public();
        assert!(other.verify(b"message", &signature).is_err());
        assert!(key.public().verify(b"message", b"").is_err());
    }

    #[test]
    fn wrong_passphrase_is_refused() {
        let key = SigningKey::generate().unwrap();
        let pem = key.to_encrypted_pem("right").unwrap();
        assert!(is_encrypted_pem(&pem));
        assert!(matches!(
            SigningKey::from_encrypted_pem(&pem, "wrong"),
            Err(KeyError::WrongPassphrase)
        ));
        assert!(SigningKey::from_encrypted_pem(&pem, "right").is_ok());
        assert!(SigningKey::from_pem(&pem).is_err());
    }

    #[test]
    fn openssl_reads_our_keys() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        for (name, pem) in [
            ("plain", key.to_pem().unwrap()),
            ("locked", key.to_encrypted_pem("secret").unwrap()),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, pem.as_bytes()).unwrap();
            let out = Command::new("openssl")
                .args(["pkey", "-passin", "pass:secret", "-pubout", "-in"])
                .arg(&path)
                .output()
                .unwrap();
            assert!(out.status.success(), "{name}: {out:?}");
            let public = PublicKey::from_pem(&String::from_utf8(out.stdout).unwrap()).unwrap();
            assert_eq!(public, key.public());
        }
    }
}
