//! The command line as typed. It is parsed here and resolved in the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The investigator's tool: check and open sealed evidence.
#[derive(Debug, Parser)]
#[command(name = "fieldseal", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One verb each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check evidence: whether it is what was sealed, by whom, and whether it is complete.
    ///
    /// Exit codes: 0 genuine and complete; 2 genuine, but with gaps, parts missing, contents
    /// unread or the signer unknown; 1 not genuine; 64 usage.
    Verify(Verify),
    /// Decrypt parts, each into part-0001.zip, and optionally extract them.
    Open(Open),
}

/// `fieldseal verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Parts (.zip or .zip.age), or folders that hold them.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// The root certificate that seals must lead to (PEM). Without it the signer is unknown.
    #[arg(long, value_name = "ROOT.crt")]
    pub trust: Option<PathBuf>,
    /// A root document (root.json): the policy then needs the threshold of its keys. May be given once a version.
    #[arg(long, value_name = "ROOT.json")]
    pub root: Vec<PathBuf>,
    /// A policy from outside (policy.json), signed by the trusted root: knows the log's key for parts that stay closed.
    #[arg(long, value_name = "POLICY.json")]
    pub policy: Vec<PathBuf>,
    /// The root certificate of the time-stamping authority (PEM). Without it no time rests on a stamp.
    #[arg(long, value_name = "TSA.crt")]
    pub tsa_trust: Option<PathBuf>,
    /// A file with age identities (AGE-SECRET-KEY-...) that open encrypted parts.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write an acquisition report: HTML if the name ends in .html, else text.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `fieldseal open`.
#[derive(Debug, Args)]
pub struct Open {
    /// Encrypted parts (.zip.age), or folders that hold them.
    #[arg(required = true)]
    pub parts: Vec<PathBuf>,
    /// A file with age identities (AGE-SECRET-KEY-...).
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// The folder for the opened parts.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Also extract each part, into a folder of its own below this one.
    #[arg(long, value_name = "DIR")]
    pub extract: Option<PathBuf>,
}
