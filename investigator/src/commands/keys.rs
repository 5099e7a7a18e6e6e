//! `fieldseal keys`: makes a person's keys, or a vault's.

use std::io::{self, Write as _};

use evidence::instant::Instant;

use crate::{
    cli::{Keys, NewKeys},
    exit::Exit,
    keys::{self, NewPerson, passphrase},
};

/// Runs it.
///
/// # Errors
/// The keys can't be written, or there is no passphrase.
pub fn run(args: &Keys) -> anyhow::Result<Exit> {
    match args {
        Keys::New(args) => new(args),
        Keys::Vault { output } => {
            let recipient = keys::create_vault(output)?;
            writeln!(io::stdout(), "{recipient}")?;
            Ok(Exit::Done)
        }
    }
}

fn new(args: &NewKeys) -> anyhow::Result<Exit> {
    let passphrase = passphrase::for_new(args.no_passphrase)?;
    let new = NewPerson {
        id: args.id.clone(),
        name: args.name.clone(),
        roles: args.roles.iter().copied().collect(),
        agencies: args.agencies.iter().cloned().collect(),
    };
    let word = passphrase.as_ref().map(|p| p.as_str());
    let person = keys::create(&args.output, new, word, Instant::now().seconds)?;
    let folder = args.output.display();
    writeln!(
        io::stdout(),
        "The keys of {} lie in {folder}. Give {folder}/person.json to who makes the policy, and \
         compare with them the signing key's SHA-256:\n{}",
        person.id,
        person.signing_key.key_id()
    )?;
    Ok(Exit::Done)
}
