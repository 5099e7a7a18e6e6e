//! `fieldseal kit`: collections on hosts that no network reaches.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use evidence::ids::OrderId;
use protocol::name::Name;

use super::Scope;
use crate::span::Span;

/// What is done about kits.
#[derive(Debug, Subcommand)]
pub enum Kit {
    /// Build a kit: a folder, most often on a stick, that collects on a signed order without any network.
    ///
    /// Where the policy wants more than your signature, the order waits for approval, and the folder is written by
    /// --order once it is there. Until then, and no longer, the kit's key lies in the tool's folder.
    ///
    /// Exit codes: 0 the kit is written; 2 its order waits for approval; 1 failed; 64 usage.
    Build(Box<BuildKit>),
}

/// `fieldseal kit build`.
#[derive(Debug, Args)]
pub struct BuildKit {
    /// The folder to make the kit in: new, or empty of kits (a stick's root will do).
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Write the kit of this order, which waited for approval.
    #[arg(long, value_name = "ORDER", conflicts_with_all = ["profile", "paths", "agency", "hosts", "case", "reason"])]
    pub order: Option<OrderId>,
    /// What to gather: a built-in profile, or a YAML file.
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "order")]
    pub profile: Option<String>,
    /// A folder or file to walk in place of the profile's; may be given again.
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// Whose hosts it is for [default: your agency, where you have one alone].
    #[arg(long, value_name = "AGENCY")]
    pub agency: Option<Name>,
    /// A host, by its name or its machine id; may be given again [default: any host].
    #[arg(long = "host", value_name = "NAME|MACHINE-ID")]
    pub hosts: Vec<String>,
    /// How many collections are taken in.
    #[arg(long, value_name = "COLLECTIONS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub uses: u32,
    /// The case's reference.
    #[arg(long, value_name = "CASE", required_unless_present = "order")]
    pub case: Option<String>,
    /// Why; it is signed and stays in the record.
    #[arg(long, value_name = "TEXT", required_unless_present = "order")]
    pub reason: Option<String>,
    /// What may be gathered at all, and by what right.
    #[command(flatten)]
    pub scope: Scope,
    /// How long collections may be begun.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub expires: Span,
    /// An agent's program, one for each kind of host [default: those beside this program that were made for kits, as in
    /// fieldseal-agent-linux-x86_64, else fieldseal-agent].
    #[arg(long = "agent", value_name = "FILE")]
    pub agents: Vec<PathBuf>,
    /// Put the kit's key under a passphrase, asked for or taken from FIELDSEAL_KIT_PASSPHRASE.
    #[arg(long)]
    pub passphrase: bool,
    /// Print what came of it as JSON, an object a line.
    #[arg(long)]
    pub json: bool,
}
