//! The passphrase of a signing key: from the environment, or asked for on a terminal without showing it.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use zeroize::Zeroizing;

/// Holds the passphrase where no terminal can ask.
pub const VARIABLE: &str = "FIELDSEAL_PASSPHRASE";

/// Fewer characters protect nothing.
const FEWEST_CHARS: usize = 8;

/// The passphrase for a new key; `None` where none is wanted.
///
/// # Errors
/// There is no way to ask, or the answers differ.
pub fn for_new(unprotected: bool) -> anyhow::Result<Option<Zeroizing<String>>> {
    if unprotected {
        return Ok(None);
    }
    if let Some(given) = from_environment() {
        return Ok(Some(given));
    }
    let none =
        || format!("There is no passphrase for the key. Set {VARIABLE}, or say --no-passphrase.");
    new("Passphrase for the key: ").with_context(none).map(Some)
}

/// Asked for twice, and long enough.
fn new(question: &str) -> anyhow::Result<Zeroizing<String>> {
    let first = ask(question)?;
    ensure!(
        first.chars().count() >= FEWEST_CHARS,
        "The passphrase is too short. Give at least {FEWEST_CHARS} characters."
    );
    let second = ask("The same again: ")?;
    ensure!(*first == *second, "The passphrases differ. Try again.");
    Ok(first)
}

/// The passphrase for a kit's key, which goes to the person at the host by another way than the kit.
///
/// # Errors
/// There is no way to ask, or the answers differ.
pub fn for_kit() -> anyhow::Result<Zeroizing<String>> {
    const NAME: &str = "FIELDSEAL_KIT_PASSPHRASE";
    if let Ok(given) = std::env::var(NAME) {
        return Ok(Zeroizing::new(given));
    }
    let none = || format!("There is no passphrase for the kit. Set {NAME}.");
    new("Passphrase for the kit: ").with_context(none)
}

/// The passphrase that opens a key.
///
/// # Errors
/// There is no way to ask.
pub fn to_open() -> anyhow::Result<Zeroizing<String>> {
    if let Some(given) = from_environment() {
        return Ok(given);
    }
    ask("Passphrase of your signing key: ").with_context(|| {
        format!("The signing key is under a passphrase. Run this on a terminal, or set {VARIABLE}.")
    })
}

/// The passphrase that opens the key in a file: one of several, so that it is named.
///
/// # Errors
/// There is no way to ask.
pub fn of_file(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    if let Some(given) = from_environment() {
        return Ok(given);
    }
    let shown = path.display();
    ask(&format!("Passphrase of {shown}: ")).with_context(|| {
        format!("{shown} is under a passphrase. Run this on a terminal, or set {VARIABLE}.")
    })
}

fn from_environment() -> Option<Zeroizing<String>> {
    let given = std::env::var(VARIABLE).ok()?;
    (!given.is_empty()).then(|| Zeroizing::new(given))
}

fn ask(question: &str) -> anyhow::Result<Zeroizing<String>> {
    let terminal = console::Term::stderr();
    if !terminal.is_term() {
        bail!("There is no terminal to ask on.");
    }
    terminal.write_str(question)?;
    let answer = terminal.read_secure_line();
    Ok(Zeroizing::new(answer.context("The answer can't be read.")?))
}
