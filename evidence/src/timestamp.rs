//! RFC 3161 time stamps: an outside authority's word that bytes existed at a time.
//!
//! Makes the query and checks the answer; sending one and fetching the other is
//! somebody else's work. The whole response is kept as it came, so that
//! `openssl ts -verify` can check it as well.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::{Int, OctetString};
use der::{Any, Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use spki::AlgorithmIdentifier;
use x509_tsp::{MessageImprint, TimeStampReq, TspVersion, TstInfo};

use crate::digest::Digest;
use crate::instant::Instant;
use crate::seal::certificate::{Chain, Purpose, follow_chain, instant, window_of};
use crate::seal::signed_data::{Broken, Signed, Unreadable};
use crate::seal::{Trust, Window};

/// The media type of a query.
pub const QUERY_TYPE: &str = "application/timestamp-query";
/// The media type of an answer.
pub const REPLY_TYPE: &str = "application/timestamp-reply";

/// The most bytes that an answer may have.
pub const MAX_BYTES: usize = 256 << 10;

/// id-ct-TSTInfo.
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// A query could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// No random numbers.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[source] getrandom::Error),
    /// The structure could not be written.
    #[error(
        "the time stamp's query could not be encoded. This is a fault of the program; please report it."
    )]
    Encoding,
}

/// One reason why a time stamp proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampFault {
    /// It can't be parsed.
    #[error("the time stamp can't be read ({0}). It was damaged or is none.")]
    Malformed(String),
    /// The authority refused.
    #[error("the authority granted no time stamp (status {0}). Ask it why, or ask another.")]
    NotGranted(u8),
    /// It is over something else.
    #[error("the time stamp is over something else. It was swapped.")]
    OtherContent,
    /// It answers another query.
    #[error("the time stamp answers another query. It may be an old one, sent again.")]
    OtherNonce,
    /// What the signer promised does not hold.
    #[error("the time stamp's signature does not hold ({0}). It was forged or damaged.")]
    BadSignature(&'static str),
    /// The certificate is not a time-stamping authority's.
    #[error(
        "the time stamp's signer is no time-stamping authority (no critical timeStamping alone). Its key was misused."
    )]
    NotAnAuthority,
    /// The chain claims a trusted root and does not hold.
    #[error(
        "the authority's certificate claims an issuer that did not issue it so ({0}). It was forged."
    )]
    BadChain(String),
    /// The certificate did not hold at the stamped time.
    #[error(
        "the authority's certificate did not hold at the stamped time. The time proves nothing."
    )]
    OutsideWindow,
}

/// A query and the nonce that its answer must repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What to send.
    pub der: Vec<u8>,
    /// The nonce, as [`Expected::nonce`] wants it.
    pub nonce: Vec<u8>,
}

/// A query for a time stamp over what `digest` is the SHA-256 of, certificates included.
///
/// # Errors
/// The system's random source does not answer.
pub fn query(digest: Digest) -> Result<Query, TimestampError> {
    let encoding = |_| TimestampError::Encoding;
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce).map_err(TimestampError::Random)?;
    // A positive integer of a fixed length.
    nonce[0] = nonce[0] & 0x3f | 0x40;
    let request = TimeStampReq {
        version: TspVersion::V1,
        message_imprint: MessageImprint {
            hash_algorithm: AlgorithmIdentifier {
                oid: ID_SHA_256,
                parameters: Some(Any::null()),
            },
            hashed_message: OctetString::new(digest.0).map_err(encoding)?,
        },
        req_policy: None,
        nonce: Some(Int::new(&nonce).map_err(encoding)?),
        cert_req: true,
        extensions: None,
    };
    Ok(Query {
        der: request.to_der().map_err(encoding)?,
        nonce: nonce.to_vec(),
    })
}

/// What a time stamp is held against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// SHA-256 of the bytes that were to be stamped.
    pub digest: Digest,
    /// The query's nonce, where it is still known.
    pub nonce: Option<&'a [u8]>,
    /// The authorities' roots that the reader trusts; none makes every authority unknown.
    pub trust: &'a Trust,
}

/// What a time stamp says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The stamped time.
    pub time: Instant,
    /// The authority's own serial number of the stamp.
    pub serial: Vec<u8>,
    /// The policy under which it was given.
    pub policy: String,
    /// The authority's certificate, in DER.
    pub certificate: Vec<u8>,
    /// The authority's name, as its certificate has it.
    pub authority: String,
    /// Whether the chain leads to a trusted root. `false` is no fault: the authority is unknown.
    pub is_known: bool,
    /// When the certificate, and every one up to a trusted root, holds.
    pub window: Window,
}

/// What a response says and every reason not to believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampReport {
    /// The stamp; `None` when it can't be read.
    pub stamp: Option<Stamp>,
    /// Every fault found.
    pub faults: Vec<TimestampFault>,
}

impl StampReport {
    /// Whether nothing speaks against the stamp; the authority may still be unknown.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Checks a whole response (`.tsr`) and reports every fault rather than the first.
pub fn check(response: &[u8], expected: Expected<'_>) -> StampReport {
    let (signed, info) = match open(response) {
        Ok(opened) => opened,
        Err(fault) => {
            return StampReport {
                stamp: None,
                faults: vec![fault],
            };
        }
    };
    let time = instant(info.gen_time.to_unix_duration());
    let mut faults = content_faults(&info, expected);
    let content = signed.content().unwrap_or_default();
    faults.extend(signed.broken(content).into_iter().map(broken_fault));
    if !Purpose::TimeStamp.is_named_by(&signed.certificate) {
        faults.push(TimestampFault::NotAnAuthority);
    }
    let (is_known, window) = match follow_chain(
        &signed.certificate_der,
        &signed.others,
        expected.trust,
        Purpose::TimeStamp,
        time,
    ) {
        Chain::Trusted { window } => (true, window),
        Chain::Unknown => (false, window_of(&signed.certificate)),
        Chain::Broken(why) => {
            faults.push(TimestampFault::BadChain(why));
            (false, window_of(&signed.certificate))
        }
    };
    if !window.contains(time) {
        faults.push(TimestampFault::OutsideWindow);
    }
    let stamp = Stamp {
        time,
        serial: info.serial_number.as_bytes().to_vec(),
        policy: info.policy.to_string(),
        authority: signed.certificate.tbs_certificate.subject.to_string(),
        certificate: signed.certificate_der,
        is_known,
        window,
    };
    StampReport {
        stamp: Some(stamp),
        faults,
    }
}

fn open(response: &[u8]) -> Result<(Signed, TstInfo), TimestampFault> {
    if response.len() > MAX_BYTES {
        let text = format!("it has more than {MAX_BYTES} bytes");
        return Err(TimestampFault::Malformed(text));
    }
    let token = token(response)?;
    let signed = Signed::parse(&token).map_err(unreadable_fault)?;
    let content = signed
        .content()
        .filter(|_| signed.content_type() == TST_INFO)
        .ok_or_else(|| TimestampFault::Malformed("it holds no TSTInfo".to_owned()))?;
    let info = TstInfo::from_der(content).map_err(der_fault)?;
    Ok((signed, info))
}

/// The token inside a response whose status is "granted" (0) or "granted with mods" (1).
fn token(response: &[u8]) -> Result<Vec<u8>, TimestampFault> {
    // Read by hand: an authority's free texts in the status are not worth a refusal.
    let body = Any::from_der(response).map_err(der_fault)?;
    if body.tag() != Tag::Sequence {
        return Err(TimestampFault::Malformed("it is no response".to_owned()));
    }
    let mut reader = SliceReader::new(body.value()).map_err(der_fault)?;
    let status: Any = reader.decode().map_err(der_fault)?;
    let mut inside = SliceReader::new(status.value()).map_err(der_fault)?;
    let code: u8 = inside.decode().map_err(der_fault)?;
    if code > 1 {
        return Err(TimestampFault::NotGranted(code));
    }
    let token: Any = reader.decode().map_err(der_fault)?;
    reader.finish(()).map_err(der_fault)?;
    token.to_der().map_err(der_fault)
}

fn content_faults(info: &TstInfo, expected: Expected<'_>) -> Vec<TimestampFault> {
    let mut faults = Vec::new();
    let imprint = &info.message_imprint;
    let same = imprint.hash_algorithm.oid == ID_SHA_256
        && imprint.hashed_message.as_bytes() == expected.digest.0;
    if !same {
        faults.push(TimestampFault::OtherContent);
    }
    let found = info.nonce.as_ref().map(Int::as_bytes);
    if expected.nonce.is_some_and(|wanted| found != Some(wanted)) {
        faults.push(TimestampFault::OtherNonce);
    }
    faults
}

fn der_fault(error: der::Error) -> TimestampFault {
    TimestampFault::Malformed(error.to_string())
}

fn unreadable_fault(why: Unreadable) -> TimestampFault {
    TimestampFault::Malformed(match why {
        Unreadable::Malformed(text) => text,
        Unreadable::SignerCount(count) => format!("it has {count} signers"),
        Unreadable::NoCertificate => "it does not hold the authority's certificate".to_owned(),
        Unreadable::NoSignedAttributes => "it has no signed attributes".to_owned(),
    })
}

fn broken_fault(what: Broken) -> TimestampFault {
    TimestampFault::BadSignature(match what {
        Broken::Attributes => "an attribute stands twice",
        Broken::ContentType => "another content type",
        Broken::MessageDigest => "the content has changed",
        Broken::Certificate => "the certificate was swapped",
        Broken::Signature => "the signature is wrong",
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    const CONFIG: &str = "
[tsa]
default_tsa = ours
[ours]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
[ext]
extendedKeyUsage = critical,timeStamping
basicConstraints = critical,CA:false
";

    fn openssl(dir: &Path, command: &str) -> bool {
        let out = Command::new("openssl")
            .current_dir(dir)
            .args(command.split_whitespace())
            .output()
            .unwrap();
        out.status.success()
    }

    /// A root and an authority under it, made by OpenSSL in `dir`.
    fn make_authority(dir: &Path) {
        std::fs::write(dir.join("conf"), CONFIG).unwrap();
        std::fs::write(dir.join("serial"), "01\n").unwrap();
        let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for command in [
            format!("req -x509 {new} -keyout root.key -out root.crt -subj /CN=R -days 9"),
            format!("req {new} -keyout tsa.key -out tsa.csr -subj /CN=TSA"),
            "x509 -req -in tsa.csr -CA root.crt -CAkey root.key -CAcreateserial -days 5 \
             -out tsa.crt -extfile conf -extensions ext"
                .to_owned(),
        ] {
            assert!(openssl(dir, &command), "{command}");
        }
    }

    fn reply(dir: &Path, query: &Query) -> Vec<u8> {
        std::fs::write(dir.join("query"), &query.der).unwrap();
        let command =
            "ts -reply -config conf -queryfile query -signer tsa.crt -inkey tsa.key -out reply.tsr";
        assert!(openssl(dir, command));
        std::fs::read(dir.join("reply.tsr")).unwrap()
    }

    fn trust(dir: &Path) -> Trust {
        Trust::from_pem(&std::fs::read_to_string(dir.join("root.crt")).unwrap()).unwrap()
    }

    #[test]
    fn local_authority_stamps_and_we_and_openssl_agree() {
        let dir = tempfile::tempdir().unwrap();
        make_authority(dir.path());
        let digest = Digest::of(b"statement");
        let query = query(digest).unwrap();
        let response = reply(dir.path(), &query);
        let (trust, nobody) = (trust(dir.path()), Trust::none());
        let expected = Expected {
            digest,
            nonce: Some(&query.nonce),
            trust: &trust,
        };
        let report = check(&response, expected);
        assert_eq!(report.faults, []);
        let stamp = report.stamp.unwrap();
        assert!(stamp.is_known);
        assert_eq!(
            (stamp.authority.as_str(), stamp.policy.as_str()),
            ("CN=TSA", "1.2.3.4")
        );
        assert!((stamp.time.seconds - Instant::now().seconds).abs() < 60);
        std::fs::write(dir.path().join("data"), b"statement").unwrap();
        let command = "ts -verify -data data -in reply.tsr -CAfile root.crt";
        assert!(openssl(dir.path(), command));
        let unknown = check(
            &response,
            Expected {
                trust: &nobody,
                ..expected
            },
        );
        assert!(unknown.is_sound() && !unknown.stamp.unwrap().is_known);
        let other = Expected {
            digest: Digest::of(b"else"),
            nonce: Some(b"else"),
            ..expected
        };
        assert_eq!(
            check(&response, other).faults,
            [TimestampFault::OtherContent, TimestampFault::OtherNonce]
        );
        for at in 0..response.len() {
            let mut changed = response.clone();
            changed[at] ^= 1;
            let report = check(&changed, expected);
            let known = report.stamp.as_ref().is_some_and(|one| one.is_known);
            let time = report.stamp.as_ref().map(|one| one.time);
            // The status and the wrapping around the token are not signed.
            assert!(
                !report.is_sound() || !known || time == Some(stamp.time),
                "byte {at}"
            );
        }
    }

    #[test]
    fn refusal_and_rubbish_are_told() {
        let trust = Trust::none();
        let expected = Expected {
            digest: Digest::of(b""),
            nonce: None,
            trust: &trust,
        };
        let refused = [0x30, 5, 0x30, 3, 2, 1, 2];
        assert_eq!(
            check(&refused, expected).faults,
            [TimestampFault::NotGranted(2)]
        );
        for rubbish in [
            &b""[..],
            &[0x30, 0],
            &[0x30, 5, 0x30, 3, 2, 1, 0],
            &[0xff; 40],
        ] {
            let report = check(rubbish, expected);
            assert!(matches!(report.faults[..], [TimestampFault::Malformed(_)]));
        }
    }
}
