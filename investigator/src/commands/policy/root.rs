//! `fieldseal policy root-key` and `root-draft`: new keys for those who sign policies.

use std::io::{self, Write as _};

use anyhow::Context as _;
use evidence::keys::{PublicKey, SigningKey};

use crate::{
    cli::{RootDraft, RootKey},
    exit::Exit,
    home::Home,
    keys::{self, passphrase},
    policy::{changes, document, edit},
    session::Session,
};

/// Runs `root-key`.
///
/// # Errors
/// There is no passphrase, or the file can't be written.
pub(super) fn key(args: &RootKey) -> anyhow::Result<Exit> {
    let key = match &args.from {
        Some(path) => keys::read_signing_key(path, &|| passphrase::of_file(path))?,
        None => SigningKey::generate()?,
    };
    let passphrase = passphrase::for_new(args.no_passphrase)?;
    let word = passphrase.as_ref().map(|p| p.as_str());
    let public = keys::root::write(&args.output, &key, word)?;
    writeln!(
        io::stdout(),
        "{} is the root key {}; keep it off every network, and a copy on other media elsewhere. {} is its public half.",
        args.output.display(),
        key.public().key_id(),
        public.display()
    )?;
    Ok(Exit::Done)
}

/// Runs `root-draft`.
///
/// # Errors
/// The server can't be reached, or what comes of it is no root.
pub(super) fn draft(
    args: &RootDraft,
    home: impl FnOnce() -> anyhow::Result<Home>,
) -> anyhow::Result<Exit> {
    let old = match &args.from {
        Some(path) => {
            let mut roots = document::roots(&[path])?;
            roots.pop().context("There is no root.")?.0
        }
        None => Session::open(home()?)?.believed.root,
    };
    let keys = args.add.iter().map(|path| document::public_key(path));
    let keys: Vec<PublicKey> = keys.collect::<anyhow::Result<_>>()?;
    let new = edit::next_root(&old, &keys, &args.remove, args.threshold)?;
    document::write_draft(&args.output, &new)?;
    let mut say = io::stderr();
    for line in changes::of_root(&old, &new) {
        writeln!(say, "  {line}")?;
    }
    writeln!(
        io::stdout(),
        "{} is the draft of root {}. {} keys of the old root and {} of the new one must sign it: fieldseal policy sign",
        args.output.display(),
        new.version,
        old.threshold,
        new.threshold
    )?;
    Ok(Exit::Done)
}
