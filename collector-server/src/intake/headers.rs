//! What the headers of an upload say; every one is hostile until parsed here.

use std::str::FromStr;

use axum::http::HeaderMap;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::Digest as _;

use crate::{refusal::Refusal, store::uploads::Promise};

/// Bytes of Upload-Metadata, the statement and its certificates included: some 8 KiB as it is made.
const MAX_METADATA: usize = 96 * 1024;

/// Refuses other versions of tus.
pub(super) fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match text(headers, "tus-resumable") {
        Some("1.0.0") => Ok(()),
        _ => Err(Refusal::Version),
    }
}

/// A header that is a plain decimal number; no sign, no space.
pub(super) fn number(headers: &HeaderMap, name: &'static str) -> Result<u64, Refusal> {
    let value = text(headers, name).ok_or(Refusal::Header(name))?;
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal::Header(name));
    }
    value.parse().map_err(|_| Refusal::Header(name))
}

/// The header's only value, if it is visible ASCII.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    let only = all.next()?;
    if all.next().is_some() {
        return None;
    }
    only.to_str().ok()
}

/// What Upload-Length and Upload-Metadata promise: `collection`, `part`,
/// `sha256` and `statement`, each once; other keys are ignored, as tus allows.
pub(super) fn promise(headers: &HeaderMap) -> Result<Promise, Refusal> {
    const NAME: &str = "Upload-Metadata";
    let metadata = text(headers, "upload-metadata").ok_or(Refusal::Header(NAME))?;
    if metadata.len() > MAX_METADATA {
        return Err(Refusal::Header(NAME));
    }
    let statement = field(metadata, "statement")?;
    let promise = Promise {
        collection: parsed(metadata, "collection")?,
        part: parsed(metadata, "part")?,
        sha256: parsed(metadata, "sha256")?,
        statement,
        length_bytes: number(headers, "upload-length")?,
    };
    if promise.part == 0 || promise.length_bytes == 0 || promise.statement.is_empty() {
        return Err(Refusal::Header(NAME));
    }
    Ok(promise)
}

fn parsed<T: FromStr>(metadata: &str, key: &str) -> Result<T, Refusal> {
    let bytes = field(metadata, key)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Refusal::Header("Upload-Metadata"))?;
    text.parse().map_err(|_| Refusal::Header("Upload-Metadata"))
}

fn field(metadata: &str, key: &str) -> Result<Vec<u8>, Refusal> {
    let bad = || Refusal::Header("Upload-Metadata");
    let mut found = metadata
        .split(',')
        .filter_map(|pair| pair.trim().split_once(' '))
        .filter(|(name, _)| *name == key);
    let (_, value) = found.next().ok_or_else(bad)?;
    if found.next().is_some() {
        return Err(bad());
    }
    STANDARD.decode(value).map_err(|_| bad())
}

/// A running checksum of one request's body, with what it must come to.
pub(super) enum Checksum {
    /// SHA-256, ours.
    Sha256(sha2::Sha256, Vec<u8>),
    /// SHA-1, which tus obliges every server to know. A check of transport, not of trust.
    Sha1(sha1::Sha1, Vec<u8>),
}

impl Checksum {
    /// From Upload-Checksum; none where the header is missing.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        const NAME: &str = "Upload-Checksum";
        if !headers.contains_key("upload-checksum") {
            return Ok(None);
        }
        let bad = || Refusal::Header(NAME);
        let value = text(headers, "upload-checksum").ok_or_else(bad)?;
        let (algorithm, sum) = value.split_once(' ').ok_or_else(bad)?;
        let sum = STANDARD.decode(sum).map_err(|_| bad())?;
        match (algorithm, sum.len()) {
            ("sha256", 32) => Ok(Some(Self::Sha256(sha2::Sha256::new(), sum))),
            ("sha1", 20) => Ok(Some(Self::Sha1(sha1::Sha1::new(), sum))),
            _ => Err(bad()),
        }
    }

    /// Takes more of the body.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash, _) => hash.update(bytes),
            Self::Sha1(hash, _) => hash.update(bytes),
        }
    }

    /// Whether the body was what it should be.
    pub(super) fn matches(self) -> bool {
        match self {
            Self::Sha256(hash, sum) => hash.finalize()[..] == sum[..],
            Self::Sha1(hash, sum) => hash.finalize()[..] == sum[..],
        }
    }
}
