//! The log of a collection that runs, in small pieces: what each piece says of itself, what is in it, and the messages
//! that carry it.
//!
//! A piece is best effort: the archive's own log.jsonl and gaps.jsonl have every line. Each is encrypted to the order's
//! recipients and signed by the seal key over its place, so that a missing, swapped or foreign one shows.

use evidence::{
    digest::Digest,
    envelope::{self, Envelope, EnvelopeError},
    gap::Gap,
    ids::{AgentId, CollectionId},
    instant::Instant,
    keys::{PublicKey, SigningKey},
    records::LogLine,
};
use serde::{Deserialize, Serialize};

use crate::{error::DocumentError, version};

/// No piece has more bytes, encrypted.
pub const MAX_PIECE_BYTES: usize = 32 * 1024;
/// No line of a piece has more bytes.
pub const MAX_LINE_BYTES: usize = 8 * 1024;
/// No frame of the stream of pieces is longer.
pub const MAX_LOG_FRAME_BYTES: usize = 128 * 1024;

/// What a piece says of itself, signed by the agent's seal key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPiece {
    /// The document's format.
    pub v: u64,
    /// The collection that runs.
    pub collection: CollectionId,
    /// Who runs it.
    pub agent: AgentId,
    /// The digest of the order's payload.
    pub order_digest: Digest,
    /// 1, and one more each time that the collection was taken up again: pieces are counted anew then.
    pub attempt: u32,
    /// Its number, from 1.
    pub piece: u32,
    /// Whether the attempt says no more.
    pub last: bool,
    /// The digest of the document of the piece before, in the same attempt.
    pub previous: Option<Digest>,
    /// SHA-256 of the encrypted content.
    pub sha256: Digest,
    /// How long that is.
    pub size_bytes: u64,
    /// When, by the host's clock.
    pub time: Instant,
}

impl LogPiece {
    /// The document in its envelope.
    ///
    /// # Errors
    /// It can't be written as JSON, which it can.
    pub fn sign(&self, key: &SigningKey) -> Result<Envelope, EnvelopeError> {
        Envelope::sign_document(envelope::LOG_PIECE, self, key)
    }

    /// Reads a piece's document that the agent's seal key has signed.
    ///
    /// # Errors
    /// It is malformed or signed by another key.
    pub fn open(envelope: &Envelope, seal_key: &PublicKey) -> Result<Self, DocumentError> {
        if envelope.verify(&[*seal_key]).is_empty() {
            return Err(DocumentError::NotAuthorised("log piece"));
        }
        version::read(envelope, envelope::LOG_PIECE, "log piece")
    }

    /// Whether `content` is what the document speaks of.
    pub fn fits(&self, content: &[u8]) -> bool {
        self.size_bytes == content.len() as u64 && self.sha256 == Digest::of(content)
    }
}

/// One line of a piece's content, which is JSON, one object a line. Unknown fields and kinds are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// A line of log.jsonl.
    Log(LogLine),
    /// A line of gaps.jsonl.
    Gap(Gap),
    /// So many lines had no room here; the archive has them.
    LeftOut {
        /// How many.
        count: u64,
    },
    /// A line of a later agent.
    #[serde(other)]
    Unknown,
}

/// `POST /v1/agent/log`: one piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendLogPiece {
    /// The message's format.
    pub v: u64,
    /// The envelope of a [`LogPiece`].
    pub piece: String,
    /// The encrypted content, base64.
    pub content: String,
}

/// `GET /v1/orders/ORDER/log`: one piece in the stream, as one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogFrame {
    /// The message's format.
    pub v: u64,
    /// Where the stream goes on after this piece.
    pub cursor: u64,
    /// Who sent it.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// The envelope of a [`LogPiece`], as it was sent.
    pub piece: String,
    /// The encrypted content, base64.
    pub content: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece() -> LogPiece {
        LogPiece {
            v: 1,
            collection: CollectionId::from_bytes([1; 16]),
            agent: AgentId::from_bytes([2; 16]),
            order_digest: Digest::of(b"order"),
            attempt: 1,
            piece: 1,
            last: false,
            previous: None,
            sha256: Digest::of(b"content"),
            size_bytes: 7,
            time: Instant { seconds: 1, ns: 0 },
        }
    }

    #[test]
    fn only_the_seal_key_signs_and_only_the_content_fits() {
        let (key, other) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let signed = piece().sign(&key).unwrap();
        assert_eq!(LogPiece::open(&signed, &key.public()).unwrap(), piece());
        assert!(LogPiece::open(&signed, &other.public()).is_err());
        assert!(piece().fits(b"content"));
        assert!(!piece().fits(b"contenT") && !piece().fits(b"content "));
    }

    #[test]
    fn lines_of_later_agents_are_passed_over() {
        let later = r#"{"line":"dream","of":"sheep"}"#;
        assert_eq!(serde_json::from_str::<Line>(later).unwrap(), Line::Unknown);
        let more = r#"{"line":"left_out","count":3,"bytes":9}"#;
        let read = serde_json::from_str::<Line>(more).unwrap();
        assert_eq!(read, Line::LeftOut { count: 3 });
    }
}
