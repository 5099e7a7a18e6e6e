//! What the person at the host is asked before anything is read: who, where, which stick, what time it is.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use evidence::{field::Field, ids::KitId, instant::Instant};
use zeroize::Zeroizing;

use crate::{cli::KitArgs, platform::terminal};

/// No answer is longer.
const ANSWER_BYTES_MAX: usize = 1024;

/// An answer is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there to be asked.
    #[error("{0} is not given, and nobody is at the terminal to be asked. Give {1}.")]
    Missing(&'static str, &'static str),
    /// It is too long.
    #[error("the {0} is longer than 1,024 bytes. Shorten it.")]
    TooLong(&'static str),
    /// It is no time.
    #[error("{0:?} is no time. Write it as in 2026-11-24T10:00:00Z, in UTC.")]
    NoTime(String),
    /// The terminal failed.
    #[error("the terminal can't be read")]
    Terminal(#[from] io::Error),
}

/// Takes what the options say, and asks for what they leave out.
///
/// # Errors
/// An answer is missing or wrong.
pub fn field(args: &KitArgs, kit: KitId) -> Result<Field, AskError> {
    let needed = |given: &Option<String>, what, option, question| -> Result<String, AskError> {
        let answer = match given {
            Some(text) => Some(text.clone()),
            None => ask(question)?,
        };
        let answer = answer.filter(|text| !text.trim().is_empty());
        checked(answer.ok_or(AskError::Missing(what, option))?, what)
    };
    let operator = needed(&args.operator, "who collects", "--operator", "Your name")?;
    let location = needed(
        &args.location,
        "the place",
        "--location",
        "Where is this host",
    )?;
    let optional = |given: &Option<String>, question| match given {
        Some(text) => Ok(Some(text.clone())),
        None => ask(question),
    };
    let medium = optional(
        &args.medium,
        "Serial number of the stick (Enter: not known)",
    )?;
    let time = optional(
        &args.time,
        "What time is it by your own clock, in UTC, as in 2026-11-24T10:00:00Z (Enter: not known)",
    )?;
    let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    Ok(Field {
        kit,
        operator,
        location,
        medium: said(medium)
            .map(|text| checked(text, "serial number"))
            .transpose()?,
        operator_time: said(time).map(read_time).transpose()?,
        remark: said(args.remark.clone())
            .map(|text| checked(text, "remark"))
            .transpose()?,
    })
}

/// The passphrase of the kit's key: from the environment, else from the person.
///
/// # Errors
/// Nobody is there, or the terminal failed.
pub fn passphrase() -> Result<Zeroizing<String>, AskError> {
    const NAME: &str = "FIELDSEAL_KIT_PASSPHRASE";
    if let Ok(word) = std::env::var(NAME) {
        return Ok(Zeroizing::new(word));
    }
    if !io::stdin().is_terminal() {
        return Err(AskError::Missing("the kit's passphrase", NAME));
    }
    question("Passphrase of the kit")?;
    let word = terminal::secret_line()?.unwrap_or_default();
    let _ = writeln!(io::stderr());
    Ok(Zeroizing::new(word))
}

/// Asks, where somebody is there; none where nobody is.
fn ask(text: &str) -> Result<Option<String>, AskError> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    question(text)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(Some(line.trim().to_owned()))
}

fn question(text: &str) -> io::Result<()> {
    let mut out = io::stderr();
    write!(out, "{text}: ")?;
    out.flush()
}

fn checked(text: String, what: &'static str) -> Result<String, AskError> {
    match text.len() {
        ..=ANSWER_BYTES_MAX => Ok(text.trim().to_owned()),
        _ => Err(AskError::TooLong(what)),
    }
}

fn read_time(text: String) -> Result<Instant, AskError> {
    Instant::parse(text.trim()).ok_or(AskError::NoTime(text))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(more: &[&str]) -> KitArgs {
        let base = ["fieldseal-agent", "kit", "--kit", "/k"];
        let Command::Kit(args) = Cli::try_parse_from(base.iter().chain(more))
            .unwrap()
            .command
        else {
            panic!("another command");
        };
        args
    }

    #[test]
    fn what_the_options_say_is_sealed_and_what_is_wrong_is_refused() {
        let kit = KitId::from_bytes([1; 16]);
        let whole = [
            "--operator",
            "Olga",
            "--location",
            "Room 1",
            "--time",
            "2026-11-24T10:00:00Z",
        ];
        let field = field(&args(&whole), kit).unwrap();
        assert_eq!((field.operator.as_str(), field.medium), ("Olga", None));
        assert!(field.operator_time.is_some());
        let wrong = ["--operator", "O", "--location", "R", "--time", "noon"];
        assert!(matches!(
            super::field(&args(&wrong), kit),
            Err(AskError::NoTime(_))
        ));
        let long = "x".repeat(2000);
        let long = ["--operator", &long, "--location", "R"];
        assert!(matches!(
            super::field(&args(&long), kit),
            Err(AskError::TooLong(_))
        ));
    }
}
