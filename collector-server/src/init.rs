//! `init`: everything a new deployment's server needs, in an empty folder.
//!
//! Layout: `server.toml`, `trust/` (root and issuing authority, the server's
//! TLS pair), `index.sqlite`, `evidence/{staging,blobs}`.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context as _, bail};
use evidence::instant::Instant;

use crate::{
    ca::{self, Authority},
    config::{self, Config},
    keyfile,
    store::index::Index,
};

/// Makes the server's folder; refuses one that holds anything.
///
/// `names` are the DNS names and addresses that agents will use.
///
/// # Errors
/// The folder is not empty, or can't be written.
pub async fn init(dir: &Path, names: &[String], listen: SocketAddr) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("{} can't be made.", dir.display()))?;
    if fs::read_dir(dir)?.next().is_some() {
        bail!("{} is not empty. Give a new folder.", dir.display());
    }
    private(dir)?;
    let trust = dir.join("trust");
    for folder in [
        &trust,
        &dir.join("evidence/staging"),
        &dir.join("evidence/blobs"),
    ] {
        fs::create_dir_all(folder)?;
    }
    certificates(&trust, names)?;
    Index::open(&dir.join("index.sqlite")).await?;
    // Last, so that a folder with settings is a whole one.
    let config = Config {
        listen,
        ..Config::default()
    };
    let text = toml::to_string(&config)?;
    keyfile::create(&dir.join(config::FILE), text.as_bytes(), 0o644)?;
    Ok(())
}

fn certificates(trust: &Path, names: &[String]) -> anyhow::Result<()> {
    let now_s = Instant::now().seconds;
    let root = Authority::new_root("Fieldseal root", now_s)?;
    let issuing = root.new_issuing("Fieldseal issuing authority", now_s)?;
    let key = ca::new_key()?;
    let leaf = issuing.sign_server_tls(names, &ca::request(&key)?, now_s)?;
    root.save(trust, "root")?;
    issuing.save(trust, "issuing")?;
    ca::save_pair(trust, "server", &(leaf + issuing.certificate_pem()), &key)?;
    Ok(())
}

#[cfg(unix)]
fn private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}
