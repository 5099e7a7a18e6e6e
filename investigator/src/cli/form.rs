//! `fieldseal form`: the chain-of-custody form, filled in.

use std::path::PathBuf;

use clap::Args;

use super::Grounds;

/// `fieldseal form`.
#[derive(Debug, Args)]
pub struct Form {
    /// Parts (.zip or .zip.age), or folders that hold them; each collection gets a form of its own.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// On what it rests.
    #[command(flatten)]
    pub grounds: Grounds,
    /// The new file: a page for the printer if the name ends in .html, else text.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}
