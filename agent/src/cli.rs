//! The command line as typed: parsed here, judged in `config.rs`, no I/O.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Gathers what a breach leaves behind on this host, seals it, and hands it on.
#[derive(Debug, Parser)]
#[command(name = "fieldseal-agent", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The agent's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what this agent can gather.
    Artifacts {
        /// Print JSON, one array.
        #[arg(long)]
        json: bool,
    },
    /// Collect from this host into a folder, without any server.
    Collect(CollectArgs),
    /// The half of `collect` that owns the output folder (started by `collect` itself).
    #[command(hide = true)]
    SpoolHalf {
        /// The folder to write into.
        #[arg(long, value_name = "DIR")]
        output: PathBuf,
    },
}

/// What `collect` was told.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 complete, 2 complete with gaps (gaps.jsonl says which), 1 failed, 64 usage.
The collection is sealed by a key made for this run; compare the fingerprint that is printed.")]
pub struct CollectArgs {
    /// The profile: a built-in name, or a file that ends in .yaml.
    #[arg(long, value_name = "NAME|FILE")]
    pub profile: String,
    /// A folder or file to walk, for artifacts that walk; may be given again.
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The folder that the collection's own folder is made in.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Encrypt to this age recipient (age1...); may be given again.
    #[arg(
        long = "recipient",
        value_name = "AGE",
        required_unless_present = "unencrypted",
        conflicts_with = "unencrypted"
    )]
    pub recipients: Vec<String>,
    /// Leave the evidence readable by whoever holds the folder.
    #[arg(long)]
    pub unencrypted: bool,
    /// The case that this belongs to, as it shall stand in the archive.
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// Run at the usual priority instead of giving way to everything else on the host.
    #[arg(long)]
    pub foreground: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn encryption_is_a_choice_that_must_be_made() {
        let base = ["a", "collect", "--profile", "triage", "--output", "/o"];
        assert!(Cli::try_parse_from(base).is_err());
        assert!(Cli::try_parse_from(base.iter().chain(&["--unencrypted"])).is_ok());
        let both = ["--unencrypted", "--recipient", "age1x"];
        assert!(Cli::try_parse_from(base.iter().chain(&both)).is_err());
    }
}
