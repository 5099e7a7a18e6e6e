//! The tool's folder: settings as the person made them, and what it remembers of the server.
//!
//! `fieldseal.toml`, `trust/` (the pinned root), `state/` (policies, checkpoint), `orders/` (what was signed here).

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::{commands::files, private};

/// The settings' file.
const SETTINGS: &str = "fieldseal.toml";
/// No settings file is longer.
const SETTINGS_BYTES: u64 = 64 * 1024;

/// What `fieldseal setup` wrote. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server's address: `https://HOST:PORT`.
    pub server: String,
    /// The deployment's root certificate (PEM): seals and the server must lead to it.
    pub root_certificate: PathBuf,
    /// The deployment's first root document: it signs policies.
    pub root_document: PathBuf,
    /// The folder of the person's keys.
    pub keys: PathBuf,
}

/// The tool's folder.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// The folder as told, or the usual one below the person's own.
    ///
    /// # Errors
    /// There is neither.
    pub fn locate(told: Option<&Path>, own: Option<OsString>) -> anyhow::Result<Self> {
        if let Some(told) = told {
            return Ok(Self(told.to_owned()));
        }
        match own {
            Some(own) if !own.is_empty() => Ok(Self(Path::new(&own).join(".config/fieldseal"))),
            _ => bail!("There is no home folder. Say where settings lie with --home DIR."),
        }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The settings.
    ///
    /// # Errors
    /// There are none, or they are wrong.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let path = self.0.join(SETTINGS);
        let shown = path.display();
        let bytes = files::read(&path, SETTINGS_BYTES)
            .with_context(|| format!("{shown} can't be read. Run `fieldseal setup` first."))?;
        let text = String::from_utf8(bytes).with_context(|| format!("{shown} is not text."))?;
        toml::from_str(&text)
            .with_context(|| format!("{shown} is not valid. Correct the line that is named."))
    }

    /// Pins the deployment and writes the settings; the trust files are copied here.
    ///
    /// # Errors
    /// The folder can't be written, or belongs to another deployment.
    pub fn set_up(
        &self,
        server: String,
        certificate: &[u8],
        document: &[u8],
        keys: &Path,
    ) -> anyhow::Result<()> {
        let trust = self.0.join("trust");
        private::create_folder(&trust)
            .with_context(|| format!("{} can't be made.", trust.display()))?;
        let trust = fs::canonicalize(&trust)?;
        let settings = Settings {
            server,
            root_certificate: pin(&trust.join("root.crt"), certificate)?,
            root_document: pin(&trust.join("root.json"), document)?,
            keys: fs::canonicalize(keys)?,
        };
        let path = self.0.join(SETTINGS);
        private::replace(&path, toml::to_string(&settings)?.as_bytes())
            .with_context(|| format!("{} can't be written.", path.display()))
    }

    /// What is remembered under `name`; `None` when nothing is.
    ///
    /// # Errors
    /// It is there and can't be read.
    pub fn recall(&self, name: &str, limit_bytes: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => files::read(&path, limit_bytes).map(Some),
        }
    }

    /// Remembers `bytes` under `name`, in place of what was there.
    ///
    /// # Errors
    /// It can't be written.
    pub fn remember(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        private::create_folder(folder)
            .and_then(|()| private::replace(&path, bytes))
            .with_context(|| format!("{} can't be written. Check its disk.", path.display()))
    }
}

/// Keeps `bytes` at `path` for good; something else there means another deployment.
fn pin(path: &Path, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    if path.exists() {
        let held = files::read(path, bytes.len() as u64 + 1);
        if held.is_ok_and(|held| held == bytes) {
            return Ok(path.to_owned());
        }
        bail!(
            "{} is of another deployment. Give each deployment a folder of its own with --home DIR.",
            path.display()
        );
    }
    private::replace(path, bytes)
        .with_context(|| format!("{} can't be written.", path.display()))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_and_unknown_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(&dir.path().join("home")), None).unwrap();
        assert!(home.settings().is_err());
        home.set_up("https://h:1".into(), b"c", b"d", dir.path())
            .unwrap();
        let settings = home.settings().unwrap();
        assert_eq!(settings.server, "https://h:1");
        assert_eq!(fs::read(&settings.root_document).unwrap(), b"d");
        let path = dir.path().join("home/fieldseal.toml");
        let text = fs::read_to_string(&path).unwrap() + "proxy = \"x\"\n";
        fs::write(&path, text).unwrap();
        assert!(home.settings().is_err());
    }

    #[test]
    fn a_pinned_root_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(dir.path()), None).unwrap();
        let set = |root: &[u8]| home.set_up("https://h:1".into(), b"c", root, dir.path());
        set(b"one").unwrap();
        set(b"one").unwrap();
        assert!(set(b"two").is_err());
        assert!(set(b"oneandmore").is_err());
    }

    #[test]
    fn the_usual_folder_is_below_the_persons_own() {
        let home = Home::locate(None, Some("/home/ann".into())).unwrap();
        assert_eq!(home.0, Path::new("/home/ann/.config/fieldseal"));
        assert!(Home::locate(None, None).is_err());
    }
}
