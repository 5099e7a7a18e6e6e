//! Private keys are never collected: what looks like one by its name is looked into, and left where it lies.

use std::path::{Path, PathBuf};

use super::{
    read_small,
    stat::{Kind, Stat},
};
use crate::platform::names::OsStrExt as _;

/// Why a private key has no contents in the archive.
pub const PRIVATE_KEY: &str = "a private key is never taken";
/// Keys come behind their certificates in one file; a longer file is searched no further.
const HEAD_BYTES: u64 = 64 * 1024;

/// Whether the file at `path` holds a private key. Only files that a key's name or folder suggests are opened.
pub fn is_private_key(root: &Path, path: &Path, stat: &Stat) -> bool {
    if stat.kind != Kind::File || !is_suspect(path) {
        return false;
    }
    match read_small(root, path, HEAD_BYTES) {
        Ok(bytes) => holds_key(&bytes),
        // Then nobody reads it; the sink says why.
        Err(_) => false,
    }
}

fn is_suspect(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes().to_ascii_lowercase();
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(&bytes));
    let in_folder = |name: &str| {
        path.parent()
            .is_some_and(|p| p.components().any(|c| c.as_os_str() == name))
    };
    let name = path.file_name().unwrap_or_default().as_bytes();
    let has = |text: &[u8]| name.windows(text.len()).any(|w| w == text);
    [".ssh", "ssh", "private", "ssl", "tls", "pki", "keys"]
        .iter()
        .any(|f| in_folder(f))
        || [
            &b"key"[..],
            b".pem",
            b"id_",
            b"identity",
            b".ppk",
            b".p8",
            b"_rsa",
        ]
        .iter()
        .any(|t| has(t))
}

/// Whether the head of a file holds a private key in one of the forms in use.
pub fn holds_key(bytes: &[u8]) -> bool {
    let has = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
    let is_text_key = has(b"PRIVATE KEY-----")
        || has(b"PuTTY-User-Key-File")
        || has(b"SSH PRIVATE KEY FILE FORMAT")
        || has(b"AGE-SECRET-KEY-1");
    // PKCS#8 and PKCS#1 in DER: SEQUENCE, INTEGER 0.
    let is_der_key = matches!(
        bytes,
        [0x30, 0x82, _, _, 0x02, 0x01, 0x00, ..]
            | [0x30, _, 0x02, 0x01, 0x00 | 0x01, 0x30 | 0x04, ..]
    );
    is_text_key || is_der_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_contents() {
        assert!(holds_key(
            b"-----BEGIN CERTIFICATE-----\n..\n-----BEGIN EC PRIVATE KEY-----\n"
        ));
        assert!(holds_key(b"-----BEGIN OPENSSH PRIVATE KEY-----"));
        assert!(!holds_key(b"ssh-ed25519 AAAA bob@host"));
        assert!(!holds_key(b""));
    }

    #[test]
    fn only_suspects_are_opened() {
        for path in [
            "/root/.ssh/work",
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssl/private/x",
            "/srv/Server.PEM",
        ] {
            assert!(is_suspect(Path::new(path)), "{path}");
        }
        assert!(!is_suspect(Path::new("/etc/passwd")));
    }
}
