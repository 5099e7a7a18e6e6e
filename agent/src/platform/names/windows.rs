//! The same calls as on Unix, over the standard library's own encoding of names.

use std::ffi::{OsStr, OsString};

/// A borrowed name and its bytes.
pub trait OsStrExt {
    /// The name with these bytes; what is no UTF-8 names nothing here, and becomes the replacement character.
    fn from_bytes(bytes: &[u8]) -> &Self;
    /// Its bytes, WTF-8.
    fn as_bytes(&self) -> &[u8];
}

impl OsStrExt for OsStr {
    fn from_bytes(bytes: &[u8]) -> &Self {
        Self::new(std::str::from_utf8(bytes).unwrap_or("\u{FFFD}"))
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_encoded_bytes()
    }
}

/// An owned name and its bytes.
pub trait OsStringExt {
    /// The name with these bytes, as [`OsStrExt::from_bytes`].
    fn from_vec(bytes: Vec<u8>) -> Self;
    /// Its bytes, WTF-8.
    fn into_vec(self) -> Vec<u8>;
}

impl OsStringExt for OsString {
    fn from_vec(bytes: Vec<u8>) -> Self {
        OsStr::from_bytes(&bytes).to_owned()
    }

    fn into_vec(self) -> Vec<u8> {
        self.into_encoded_bytes()
    }
}
