//! `fieldseal policy` as typed: who may do what, and which keys may say so.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use evidence::{digest::Digest, wrap::Recipient};
use protocol::{name::Name, policy::Class};

use crate::span::Span;

/// `fieldseal policy`. KEYS.md has the procedures.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show the policy in force: who may do what, until when, and whom evidence is encrypted to.
    Show(ShowPolicy),
    /// Write a draft of the next policy, to be signed by the root keys (admins).
    Draft(DraftPolicy),
    /// Show a draft in words, check it, and sign it with root keys; works without any network.
    ///
    /// Run it again on the signed file to add the signature of another root key. Without --key nothing is signed.
    /// Exit codes: 0 signed by enough (or shown); 2 signed, and more root keys must sign; 1 failed; 64 usage.
    Sign(SignPolicy),
    /// Bring a signed policy, and the root that it needs, into force at the server (admins).
    Publish(PublishPolicy),
    /// Make a root key, or put an existing one under a passphrase; FILE.pub gets its public half.
    RootKey(RootKey),
    /// Write a draft of the next root document, to be signed by root keys old and new.
    RootDraft(RootDraft),
}

/// `fieldseal policy show`.
#[derive(Debug, Args)]
pub struct ShowPolicy {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Keep the signed documents in this new folder: policy.json, and root-1.json and those that follow it.
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
}

/// `fieldseal policy draft`.
#[derive(Debug, Args)]
pub struct DraftPolicy {
    /// The new file for the draft: JSON, which may be edited by hand.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Begin with this policy, or this draft, and not with what the server shows.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// How long it holds, from now on.
    #[arg(long, value_name = "TIME", default_value = "365d")]
    pub expires: Span,
    /// The new root that will sign it, where another comes into force with it.
    #[arg(long, value_name = "ROOT.json")]
    pub root: Option<PathBuf>,
    /// Add a person, by the file person.json of their keys; may be given again.
    #[arg(long, value_name = "PERSON.json")]
    pub add: Vec<PathBuf>,
    /// Give a person the keys of this file; roles and agencies stay. May be given again.
    #[arg(long, value_name = "PERSON.json")]
    pub replace: Vec<PathBuf>,
    /// Remove a person; may be given again.
    #[arg(long, value_name = "ID")]
    pub remove: Vec<Name>,
    /// How many people must sign orders of a class: triage=N or files=N; may be given again.
    #[arg(long = "threshold", value_name = "CLASS=N", value_parser = threshold)]
    pub thresholds: Vec<(Class, usize)>,
    /// Add a recipient to an agency's vault; may be given again.
    #[arg(long = "vault", value_name = "AGENCY=age1...", value_parser = vault)]
    pub vaults: Vec<(Name, Recipient)>,
    /// Remove a recipient from an agency's vault; may be given again.
    #[arg(long = "remove-vault", value_name = "AGENCY=age1...", value_parser = vault)]
    pub remove_vaults: Vec<(Name, Recipient)>,
}

/// `fieldseal policy sign`.
#[derive(Debug, Args)]
pub struct SignPolicy {
    /// The draft, or the file that other root keys have signed.
    #[arg(value_name = "DRAFT")]
    pub draft: PathBuf,
    /// A root key; may be given again. FIELDSEAL_PASSPHRASE opens it where no terminal can ask.
    #[arg(long, value_name = "FILE", requires = "output")]
    pub key: Vec<PathBuf>,
    /// The new file for what is signed; DRAFT itself where that is signed already.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub output: Option<PathBuf>,
    /// The root documents of the deployment, as `policy show --save` keeps them: they say which keys must sign.
    #[arg(long, value_name = "ROOT.json", num_args = 1..)]
    pub root: Vec<PathBuf>,
    /// The policy in force: what changes is said, and that it may take its place is checked.
    #[arg(long, value_name = "POLICY.json")]
    pub against: Option<PathBuf>,
    /// The server has new keys of its own (time, custody log): let them change.
    #[arg(long)]
    pub new_server_keys: bool,
}

/// `fieldseal policy publish`.
#[derive(Debug, Args)]
pub struct PublishPolicy {
    /// The signed policy.
    #[arg(value_name = "POLICY.json")]
    pub policy: PathBuf,
    /// A new root that comes into force with it; may be given again.
    #[arg(long, value_name = "ROOT.json")]
    pub root: Vec<PathBuf>,
}

/// `fieldseal policy root-key`.
#[derive(Debug, Args)]
pub struct RootKey {
    /// The new file for the key; FILE.pub gets the public half.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write this key anew, instead of making one.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Leave the key without a passphrase.
    #[arg(long)]
    pub no_passphrase: bool,
}

/// `fieldseal policy root-draft`.
#[derive(Debug, Args)]
pub struct RootDraft {
    /// The new file for the draft.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Begin with this root document, and not with what the server shows.
    #[arg(long, value_name = "ROOT.json")]
    pub from: Option<PathBuf>,
    /// Add a root key, by its public half; may be given again.
    #[arg(long, value_name = "FILE.pub")]
    pub add: Vec<PathBuf>,
    /// Remove a root key, by the SHA-256 that `policy show` names it by; may be given again.
    #[arg(long, value_name = "SHA256")]
    pub remove: Vec<Digest>,
    /// How many root keys must sign from then on.
    #[arg(long, value_name = "N")]
    pub threshold: Option<usize>,
}

fn threshold(text: &str) -> Result<(Class, usize), String> {
    let wrong = || "write triage=N or files=N".to_owned();
    let (class, number) = text.split_once('=').ok_or_else(wrong)?;
    let class = serde_json::from_value(serde_json::Value::String(class.to_owned()));
    match (class, number.parse()) {
        (Ok(class), Ok(number)) => Ok((class, number)),
        _ => Err(wrong()),
    }
}

fn vault(text: &str) -> Result<(Name, Recipient), String> {
    let (agency, recipient) = text.split_once('=').ok_or("write AGENCY=age1...")?;
    let agency = agency
        .parse()
        .map_err(|e: protocol::name::NotAName| e.to_string())?;
    let recipient = recipient.parse::<Recipient>().map_err(|e| e.to_string())?;
    Ok((agency, recipient))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_and_vaults_are_named_with_what_they_are_for() {
        assert_eq!(threshold("files=2"), Ok((Class::Files, 2)));
        for wrong in ["files", "files=", "files=-1", "all=2", "=2"] {
            assert!(threshold(wrong).is_err(), "{wrong}");
        }
        let recipient = evidence::wrap::Identity::generate().recipient();
        assert!(vault(&format!("lab={recipient}")).is_ok());
        assert!(vault(&recipient.to_string()).is_err());
        assert!(vault("lab=age1").is_err());
    }
}
