//! Signed notes (C2SP `signed-note`) with Ed25519 keys, and the text form of those keys.
//!
//! A note is text, an empty line, and signature lines. This module signs and checks
//! the text; what the text says is `checkpoint`'s matter.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// The longest note that is read.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;
/// The most signature lines that are read: the log's and its witnesses'.
const MAX_SIGNATURES: usize = 32;
/// C2SP's number for Ed25519.
const ED25519: u8 = 1;

/// A note or its key is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It breaks the format.
    #[error("this is not a signed note: {0}. Fetch it again; it was cut or changed.")]
    Malformed(&'static str),
    /// The wanted key did not sign it.
    #[error(
        "{0} has not signed this note. It belongs to another log, or the key is the wrong one."
    )]
    NotSigned(String),
    /// The wanted key's signature is false.
    #[error("the signature of {0} is false. The note was changed or forged.")]
    Forged(String),
    /// The key's text is no key.
    #[error("this is not a log's public key: {0}. It reads NAME+HASH+BASE64.")]
    NotAKey(&'static str),
}

/// A log's public key with the log's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    key: VerifyingKey,
}

impl LogKey {
    /// The key of the log called `name`.
    ///
    /// # Errors
    /// The name is empty or has spaces, `+` or control characters.
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::NotAKey("its name is not allowed"));
        }
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }

    /// The log's name, which is also its checkpoints' origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short key hash of C2SP: SHA-256(name, 0x0A, 0x01, key), first 4 bytes.
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// Reads `NAME+HASH+BASE64`.
    ///
    /// # Errors
    /// The text is no such key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::NotAKey;
        let mut fields = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong("it has not three fields"));
        };
        let bytes = BASE64
            .decode(key.as_bytes())
            .map_err(|_| wrong("the key is not base64"))?;
        let Some((&ED25519, key)) = bytes.split_first() else {
            return Err(wrong("it is not an Ed25519 key"));
        };
        let key: &[u8; 32] = key
            .try_into()
            .map_err(|_| wrong("the key has not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| wrong("the key is no curve point"))?;
        let key = Self::new(name, key)?;
        if HEXLOWER.encode(&key.id()) != hash {
            return Err(wrong("the hash does not belong to the key"));
        }
        Ok(key)
    }

    /// Checks that this key has signed `note`, and returns the signed text.
    ///
    /// # Errors
    /// It is no note, the key has not signed it, or the signature is false.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let (text, signatures) = split(note)?;
        let mut found = false;
        for line in signatures {
            let (name, id, signature) = line?;
            if name != self.name || id != self.id() {
                continue; // a witness's, or a key that we don't know
            }
            let forged = || NoteError::Forged(self.name.clone());
            let signature: [u8; 64] = signature.try_into().map_err(|_| forged())?;
            let signature = ed25519_dalek::Signature::from_bytes(&signature);
            self.key
                .verify_strict(text.as_bytes(), &signature)
                .map_err(|_| forged())?;
            found = true;
        }
        if found {
            Ok(text)
        } else {
            Err(NoteError::NotSigned(self.name.clone()))
        }
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend(self.key.as_bytes());
        let id = HEXLOWER.encode(&self.id());
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(&bytes))
    }
}

/// A log's private key with the log's name.
pub struct LogSigner {
    public: LogKey,
    key: SigningKey,
}

impl LogSigner {
    /// The signer of the log called `name`.
    ///
    /// # Errors
    /// The name is not allowed.
    pub fn new(name: &str, key: SigningKey) -> Result<Self, NoteError> {
        Ok(Self {
            public: LogKey::new(name, key.verifying_key())?,
            key,
        })
    }

    /// The public half.
    pub fn public(&self) -> &LogKey {
        &self.public
    }

    /// The signed note over `text`, which ends in a newline.
    ///
    /// # Errors
    /// The text can't be a note's: it doesn't end in a newline or has control characters.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        check_text(text)?;
        let mut bytes = self.public.id().to_vec();
        bytes.extend(self.key.sign(text.as_bytes()).to_bytes());
        let name = &self.public.name;
        Ok(format!(
            "{text}\n\u{2014} {name} {}\n",
            BASE64.encode(&bytes)
        ))
    }
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSigner({})", self.public)
    }
}

fn is_name(name: &str) -> bool {
    let fine = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    !name.is_empty() && name.len() <= 255 && name.chars().all(fine)
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("the text does not end in a newline"));
    }
    if text.chars().any(|c| c.is_ascii_control() && c != '\n') {
        return Err(NoteError::Malformed("control characters"));
    }
    Ok(())
}

/// The name, key hash and signature of one line.
type SignatureLine<'n> = (&'n str, [u8; 4], Vec<u8>);

/// The signed text, with its final newline, and its signature lines.
fn split(
    note: &str,
) -> Result<
    (
        &str,
        impl Iterator<Item = Result<SignatureLine<'_>, NoteError>>,
    ),
    NoteError,
> {
    if note.len() > MAX_NOTE_BYTES {
        return Err(NoteError::Malformed("too long"));
    }
    check_text(note)?;
    // The last empty line: the text itself may have others.
    let end = note
        .rfind("\n\n")
        .ok_or(NoteError::Malformed("no empty line before signatures"))?;
    let (text, lines) = (&note[..=end], &note[end + 2..]);
    let lines = lines
        .strip_suffix('\n')
        .ok_or(NoteError::Malformed("no signature lines"))?;
    if lines.split('\n').count() > MAX_SIGNATURES {
        return Err(NoteError::Malformed("too many signatures"));
    }
    Ok((text, lines.split('\n').map(signature_line)))
}

fn signature_line(line: &str) -> Result<SignatureLine<'_>, NoteError> {
    let wrong = || NoteError::Malformed("a signature line breaks the format");
    let rest = line.strip_prefix("\u{2014} ").ok_or_else(wrong)?;
    let (name, text) = rest.split_once(' ').ok_or_else(wrong)?;
    if !is_name(name) {
        return Err(wrong());
    }
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| wrong())?;
    let (id, signature) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
    if signature.is_empty() {
        return Err(wrong());
    }
    Ok((name, *id, signature.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::fixtures::signer;

    #[test]
    fn the_specifications_example_opens() {
        // From C2SP signed-note.md and golang.org/x/mod/sumdb/note.
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let note = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n\n\
            \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let key = LogKey::parse(key).unwrap();
        assert!(key.open(note).unwrap().starts_with("If you think"));
        assert_eq!(
            key.to_string(),
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        );
    }

    #[test]
    fn a_note_cut_or_changed_anywhere_does_not_open() {
        let signer = signer();
        let note = signer.sign("one\n\ntwo\n").unwrap();
        assert_eq!(signer.public().open(&note), Ok("one\n\ntwo\n"));
        for (at, _) in note.char_indices() {
            assert!(signer.public().open(&note[..at]).is_err(), "cut at {at}");
        }
        for (at, c) in note.char_indices().filter(|(_, c)| c.is_ascii()) {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(signer.public().open(&changed).is_err(), "{c:?} at {at}");
        }
    }

    #[test]
    fn another_log_of_the_same_name_is_told_apart() {
        let other = LogSigner::new(signer().public().name(), SigningKey::from_bytes(&[8; 32]));
        let note = other.unwrap().sign("text\n").unwrap();
        assert!(matches!(
            signer().public().open(&note),
            Err(NoteError::NotSigned(_))
        ));
    }
}
