//! `fieldseal setup`: pins the deployment's root and remembers server and keys.

use std::io::{self, Write as _};

use anyhow::Context as _;
use evidence::{envelope::Envelope, seal};
use protocol::root::Root;

use super::files;
use crate::{cli::Setup, exit::Exit, home::Home, keys::Keys, remote};

/// No root file is longer.
const ROOT_BYTES: u64 = 1 << 20;

/// Runs it. Nothing is asked of the server yet.
///
/// # Errors
/// The address, the root or the keys can't be used, or the folder is another deployment's.
pub fn run(args: &Setup, home: &Home) -> anyhow::Result<Exit> {
    let server = remote::check_address(&args.server)?;
    let read = |name: &str| {
        let path = args.trust.join(name);
        files::read(&path, ROOT_BYTES).with_context(|| {
            format!(
                "{} is not there. Get the deployment's trust folder.",
                path.display()
            )
        })
    };
    let (certificate, document) = (read("root.crt")?, read("root.json")?);
    seal::certificates_from_pem(&String::from_utf8_lossy(&certificate))
        .context("root.crt is no certificate. Get the deployment's trust folder again.")?;
    let envelope = Envelope::parse(&document)?;
    let root = Root::open(&envelope)
        .context("root.json is not valid. Get the deployment's trust folder again.")?;
    let keys = Keys::load(&args.keys)?;
    home.set_up(server.clone(), &certificate, &document, &args.keys)?;
    writeln!(
        io::stdout(),
        "{} works with {} at {server}. Compare the root's SHA-256 with an admin of it:\n{}",
        keys.person.id,
        root.deployment,
        envelope.digest()
    )?;
    Ok(Exit::Done)
}
