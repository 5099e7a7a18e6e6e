//! A root key's file, and its public half beside it, for whoever drafts a root document.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use evidence::keys::SigningKey;

use crate::private;

/// Writes `key` into a new file, under `passphrase` where there is one, and its public half into `FILE.pub`.
///
/// # Errors
/// One of them is there already, or can't be written.
pub fn write(path: &Path, key: &SigningKey, passphrase: Option<&str>) -> anyhow::Result<PathBuf> {
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    ensure!(
        !public.exists(),
        "{} is there already. Name a new file.",
        public.display()
    );
    let pem = match passphrase {
        Some(passphrase) => key.to_encrypted_pem(passphrase)?,
        None => key.to_pem()?,
    };
    let write = |path: &Path, text: &str| {
        private::create(path, text.as_bytes()).with_context(|| {
            let shown = path.display();
            format!("{shown} can't be written. Name a new file in a folder that exists.")
        })
    };
    write(path, &pem)?;
    write(&public, &key.public().to_pem()?)?;
    Ok(public)
}

#[cfg(test)]
mod tests {
    use evidence::keys::{PublicKey, is_encrypted_pem};

    use super::*;

    #[test]
    fn a_root_key_and_its_public_half_are_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("root.key"), SigningKey::generate().unwrap());
        let public = write(&path, &key, Some("open sesame")).unwrap();
        let pem = std::fs::read_to_string(&path).unwrap();
        assert!(is_encrypted_pem(&pem));
        let text = std::fs::read_to_string(public).unwrap();
        assert_eq!(PublicKey::from_pem(&text).unwrap(), key.public());
        assert!(write(&path, &key, None).is_err(), "a key is kept");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), pem);
    }
}
