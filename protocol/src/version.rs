//! Versions of documents: read first, so that an unknown one is named rather than misread.

use evidence::envelope::Envelope;
use serde::{Deserialize, de::DeserializeOwned};

use crate::error::DocumentError;

/// The version of every document of this crate.
pub const VERSION: u64 = 1;

/// No reason is told at greater length.
const WHY_CHARS: usize = 300;

#[derive(Deserialize)]
struct Head {
    v: u64,
}

/// Reads the envelope's document of `payload_type`: its `v` first, then strictly all of it.
///
/// Signatures are the caller's matter.
///
/// # Errors
/// Another type, an unknown version, an unknown or doubled field, or a missing one.
pub fn read<T: DeserializeOwned>(
    envelope: &Envelope,
    payload_type: &str,
    kind: &'static str,
) -> Result<T, DocumentError> {
    let Head { v } = envelope.document(payload_type)?;
    check(kind, v)?;
    Ok(envelope.document(payload_type)?)
}

/// Reads an unsigned message: its `v` first, then strictly all of it.
///
/// # Errors
/// As for [`read`].
pub fn read_message<T: DeserializeOwned>(
    json: &[u8],
    kind: &'static str,
) -> Result<T, DocumentError> {
    let unread = |error: serde_json::Error| DocumentError::Unread {
        kind,
        why: shown(&error.to_string()),
    };
    let Head { v } = evidence::envelope::parse_strict(json).map_err(unread)?;
    check(kind, v)?;
    evidence::envelope::parse_strict(json).map_err(unread)
}

/// It may quote the sender.
fn shown(why: &str) -> String {
    let plain = why.chars().filter(|c| !c.is_control());
    plain.take(WHY_CHARS).collect()
}

pub(crate) fn check(kind: &'static str, found: u64) -> Result<(), DocumentError> {
    if found == VERSION {
        return Ok(());
    }
    let known = VERSION;
    Err(DocumentError::UnknownVersion { kind, found, known })
}
