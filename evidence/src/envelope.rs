//! DSSE envelopes: bytes, what they are, and who signed them.
//!
//! The signature covers the payload's bytes as they are (with their type), so
//! that no canonical JSON is needed anywhere. Whether a signer may say what the
//! payload says is the caller's question. Specification: secure-systems-lab/dsse.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::keys::{KeyId, PublicKey, SigningKey};

/// The most signatures that an envelope may carry: checking each costs time.
pub const MAX_SIGNATURES: usize = 16;

/// The most bytes that an envelope may have unless its reader says otherwise.
pub const MAX_BYTES: usize = 4 << 20;

/// The payload type of a kind of document, as in `application/vnd.fieldseal.order+json`.
pub fn payload_type(kind: &str) -> String {
    format!("application/vnd.fieldseal.{kind}+json")
}

/// The payload type of a [statement](crate::statement).
pub const STATEMENT: &str = "application/vnd.fieldseal.statement+json";
/// The payload type of an order.
pub const ORDER: &str = "application/vnd.fieldseal.order+json";
/// The payload type of a policy.
pub const POLICY: &str = "application/vnd.fieldseal.policy+json";
/// The payload type of a root document.
pub const ROOT: &str = "application/vnd.fieldseal.root+json";
/// The payload type of a custody leaf.
pub const CUSTODY: &str = "application/vnd.fieldseal.custody+json";
/// The payload type of a deployment token.
pub const TOKEN: &str = "application/vnd.fieldseal.token+json";
/// The payload type of a deployment file.
pub const DEPLOYMENT: &str = "application/vnd.fieldseal.deployment+json";
/// The payload type of an admin's word on a host that waits to enrol.
pub const ADMISSION: &str = "application/vnd.fieldseal.admission+json";
/// The payload type of a refusal.
pub const REFUSAL: &str = "application/vnd.fieldseal.refusal+json";
/// The payload type of a request for a new seal certificate.
pub const SEAL_REQUEST: &str = "application/vnd.fieldseal.seal-request+json";
/// The payload type of a request for an identity of one's own.
pub const FORK: &str = "application/vnd.fieldseal.fork+json";
/// The payload type of a signed time.
pub const TIME: &str = "application/vnd.fieldseal.time+json";
/// The payload type of a cancellation.
pub const CANCEL: &str = "application/vnd.fieldseal.cancel+json";
/// The payload type of a retention rule.
pub const RETENTION: &str = "application/vnd.fieldseal.retention+json";
/// The payload type of a legal hold.
pub const HOLD: &str = "application/vnd.fieldseal.hold+json";
/// The payload type of the lifting of a legal hold.
pub const HOLD_LIFT: &str = "application/vnd.fieldseal.hold-lift+json";
/// The payload type of a piece of a running collection's log.
pub const LOG_PIECE: &str = "application/vnd.fieldseal.log-piece+json";
/// What a kit is.
pub const KIT: &str = "application/vnd.fieldseal.kit+json";
/// One use of a kit.
pub const KIT_USE: &str = "application/vnd.fieldseal.kit-use+json";

/// What can be wrong with an envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Larger than the reader's limit.
    #[error(
        "the signed document has {size_bytes} bytes, and at most {limit_bytes} are read. Get it again from its source."
    )]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// Not the JSON of an envelope, or of the wanted document.
    #[error("the signed document is malformed. Get it again from its source.")]
    Json(#[source] serde_json::Error),
    /// A field is not base64.
    #[error("the signed document's {0} is not base64. Get it again from its source.")]
    Base64(&'static str),
    /// No signature, or too many.
    #[error(
        "the signed document has {0} signatures; 1 to {MAX_SIGNATURES} are allowed. Get it again from its source."
    )]
    Signatures(usize),
    /// Another kind of document.
    #[error("the signed document is {found:?} where {wanted:?} is wanted. Give the right file.")]
    WrongType {
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
}

/// One signature and the key that it claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// The key's id as claimed: a hint, which proves nothing.
    pub key_id: String,
    /// ECDSA over the pre-authentication encoding, DER.
    pub signature: Vec<u8>,
}

/// A payload, its type, and signatures over both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEnvelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Puts `payload` into an envelope and signs it.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let mut envelope = Self {
            payload_type: payload_type.to_owned(),
            payload,
            signatures: Vec::new(),
        };
        envelope.add_signature(key);
        envelope
    }

    /// Writes `document` as JSON and signs it.
    ///
    /// # Errors
    /// The document can't be written as JSON.
    pub fn sign_document<T: Serialize>(
        payload_type: &str,
        document: &T,
        key: &SigningKey,
    ) -> Result<Self, EnvelopeError> {
        let payload = serde_json::to_vec(document).map_err(EnvelopeError::Json)?;
        Ok(Self::sign(payload_type, payload, key))
    }

    /// Adds the signature of one more key.
    pub fn add_signature(&mut self, key: &SigningKey) {
        self.signatures.push(EnvelopeSignature {
            key_id: key.public().key_id().to_string(),
            signature: key.sign(&pae(&self.payload_type, &self.payload)),
        });
    }

    /// Reads an envelope of at most [`MAX_BYTES`]; nothing is verified yet.
    ///
    /// # Errors
    /// It is too large or malformed.
    pub fn parse(json: &[u8]) -> Result<Self, EnvelopeError> {
        Self::parse_within(json, MAX_BYTES)
    }

    /// Reads an envelope of at most `limit_bytes`; nothing is verified yet.
    ///
    /// # Errors
    /// It is too large or malformed.
    pub fn parse_within(json: &[u8], limit_bytes: usize) -> Result<Self, EnvelopeError> {
        if json.len() > limit_bytes {
            return Err(EnvelopeError::TooLarge {
                size_bytes: json.len(),
                limit_bytes,
            });
        }
        let wire: WireEnvelope = serde_json::from_slice(json).map_err(EnvelopeError::Json)?;
        if wire.signatures.is_empty() || wire.signatures.len() > MAX_SIGNATURES {
            return Err(EnvelopeError::Signatures(wire.signatures.len()));
        }
        let decode = |text: &str, what| {
            STANDARD
                .decode(text)
                .map_err(|_| EnvelopeError::Base64(what))
        };
        let mut signatures = Vec::with_capacity(wire.signatures.len());
        for one in wire.signatures {
            signatures.push(EnvelopeSignature {
                signature: decode(&one.sig, "signature")?,
                key_id: one.keyid,
            });
        }
        Ok(Self {
            payload: decode(&wire.payload, "payload")?,
            payload_type: wire.payload_type,
            signatures,
        })
    }

    /// The envelope as JSON.
    ///
    /// # Errors
    /// The encoder fails, which it does not.
    pub fn to_json(&self) -> Result<Vec<u8>, EnvelopeError> {
        let signatures = self.signatures.iter().map(|one| WireSignature {
            keyid: one.key_id.clone(),
            sig: STANDARD.encode(&one.signature),
        });
        serde_json::to_vec(&WireEnvelope {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: signatures.collect(),
        })
        .map_err(EnvelopeError::Json)
    }

    /// What the payload claims to be.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload, whether or not its signatures hold.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures, unverified.
    pub fn signatures(&self) -> &[EnvelopeSignature] {
        &self.signatures
    }

    /// The document's digest: SHA-256 of the payload's bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// Which of the trusted keys signed, each named once however often it signed.
    ///
    /// An empty answer means: nobody whom you trust.
    pub fn verify(&self, trusted: &[PublicKey]) -> Vec<KeyId> {
        let message = pae(&self.payload_type, &self.payload);
        let mut signers = Vec::new();
        for key in trusted {
            let (id, text) = (key.key_id(), key.key_id().to_string());
            let signed = self
                .signatures
                .iter()
                .any(|one| one.key_id == text && key.verify(&message, &one.signature).is_ok());
            if signed && !signers.contains(&id) {
                signers.push(id);
            }
        }
        signers
    }

    /// The payload as a document of the wanted type, duplicate keys refused at any depth.
    ///
    /// This does not look at the signatures.
    ///
    /// # Errors
    /// It is of another type, malformed, or names a key twice.
    pub fn document<T: DeserializeOwned>(&self, payload_type: &str) -> Result<T, EnvelopeError> {
        if self.payload_type != payload_type {
            return Err(EnvelopeError::WrongType {
                found: self.payload_type.chars().take(100).collect(),
                wanted: payload_type.to_owned(),
            });
        }
        parse_strict(&self.payload).map_err(EnvelopeError::Json)
    }
}

/// Reads JSON and refuses a key that stands twice in one object, at any depth.
///
/// Two readers may take different ones of two equal keys, so neither is taken.
///
/// # Errors
/// It is not JSON of this shape, or a key stands twice.
pub fn parse_strict<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice::<NoDuplicates>(json)?;
    serde_json::from_slice(json)
}

/// DSSE's pre-authentication encoding: what is really signed.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

/// Any JSON whose objects name each key once.
struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NoDuplicatesVisitor)
    }
}

struct NoDuplicatesVisitor;

impl<'de> Visitor<'de> for NoDuplicatesVisitor {
    type Value = NoDuplicates;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_str<E>(self, _: &str) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_unit<E>(self) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NoDuplicates, A::Error> {
        while items.next_element::<NoDuplicates>()?.is_some() {}
        Ok(NoDuplicates)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<NoDuplicates, A::Error> {
        let mut seen = std::collections::HashSet::new();
        while let Some((key, NoDuplicates)) = entries.next_entry::<String, NoDuplicates>()? {
            if seen.contains(&key) {
                return Err(de::Error::custom("a key stands twice in one object"));
            }
            seen.insert(key);
        }
        Ok(NoDuplicates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (SigningKey, Envelope) {
        let key = SigningKey::generate().unwrap();
        let envelope = Envelope::sign(ORDER, br#"{"v":1}"#.to_vec(), &key);
        (key, envelope)
    }

    #[test]
    fn encodes_as_the_specification_does() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_key_counts_once() {
        let (key, mut envelope) = signed();
        let second = SigningKey::generate().unwrap();
        envelope.add_signature(&key);
        envelope.add_signature(&second);
        let envelope = Envelope::parse(&envelope.to_json().unwrap()).unwrap();
        let trusted = [key.public(), key.public(), second.public()];
        assert_eq!(
            envelope.verify(&trusted),
            [key.public().key_id(), second.public().key_id()]
        );
        assert!(
            envelope
                .verify(&[SigningKey::generate().unwrap().public()])
                .is_empty()
        );
    }

    #[test]
    fn changed_payload_or_type_has_no_signer() {
        let (key, envelope) = signed();
        let mut changed = envelope.clone();
        changed.payload[0] = b'[';
        assert!(changed.verify(&[key.public()]).is_empty());
        let mut retyped = envelope;
        retyped.payload_type = POLICY.to_owned();
        assert!(retyped.verify(&[key.public()]).is_empty());
    }

    #[test]
    fn refuses_what_is_not_strict() {
        let (_, envelope) = signed();
        let text = String::from_utf8(envelope.to_json().unwrap()).unwrap();
        let extra = text.replacen('{', r#"{"more":1,"#, 1);
        let twice = text.replacen('{', r#"{"payload":"e30=","#, 1);
        let trailing = format!("{text}x");
        for bad in [extra, twice, trailing, String::new()] {
            assert!(Envelope::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Envelope::parse_within(text.as_bytes(), 20).is_err());
        assert!(parse_strict::<serde_json::Value>(br#"{"a":{"b":1,"b":2}}"#).is_err());
        assert!(parse_strict::<serde_json::Value>(br#"{"a":{"b":1},"c":[null,1.5]}"#).is_ok());
    }

    #[test]
    fn another_kind_of_document_is_refused() {
        let (_, envelope) = signed();
        assert!(envelope.document::<serde_json::Value>(ORDER).is_ok());
        assert!(envelope.document::<serde_json::Value>(POLICY).is_err());
    }
}
