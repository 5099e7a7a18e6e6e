//! The command line as typed: parsed here, judged in `config.rs`, no I/O.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Gathers what a breach leaves behind on this host, seals it, and hands it on.
#[derive(Debug, Parser)]
#[command(name = "fieldseal-agent", version, max_term_width = 100)]
#[command(after_help = "\
Exit codes of every command: 0 done and complete, 1 failed, 2 done with gaps, 64 usage; further ones stand where they are.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The agent's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what this agent can gather.
    #[command(after_help = "Exit codes: 0 listed, 1 failed, 64 usage.")]
    Artifacts {
        /// Print JSON, one array.
        #[arg(long)]
        json: bool,
        /// Print the reference of all artifacts, their records and files, in Markdown.
        #[arg(long, conflicts_with = "json")]
        reference: bool,
    },
    /// Collect from this host into a folder, without any server.
    Collect(CollectArgs),
    /// Collect from this host with a kit: on its signed order, into its own folder, without any network.
    Kit(KitArgs),
    /// Enrol this host at a server, with a deployment token from its administrator.
    Enrol(EnrolArgs),
    /// Run the agent: enrol by a deployment file where that is not done yet, obey signed orders, deliver what they gather.
    Run(RunArgs),
    /// Show whom this host is enrolled with, what runs and what waits.
    Status(StatusArgs),
    /// Find out why this host does not reach its server, and what to do.
    Doctor(DoctorArgs),
    /// The half of `enrol` that makes the seal key (started by `enrol` itself).
    #[command(hide = true)]
    EnrolHalf {
        /// The reader's own folder.
        #[arg(long, value_name = "DIR")]
        folder: PathBuf,
        /// The trust folder.
        #[arg(long, value_name = "DIR", requires = "token")]
        trust: Option<PathBuf>,
        /// The token's file.
        #[arg(long, value_name = "FILE", requires = "trust")]
        token: Option<PathBuf>,
        /// The deployment file, in the place of both.
        #[arg(long, value_name = "FILE", required_unless_present = "trust")]
        deployment: Option<PathBuf>,
    },
    /// One half of `run` (started by `run` itself).
    #[command(hide = true)]
    Half {
        /// Which.
        half: Half,
        /// What to do without all walls.
        #[arg(long, default_value = "required")]
        sandbox: Sandbox,
        /// The agent's folder.
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
        /// The deployment file.
        #[arg(long, value_name = "FILE")]
        deployment: Option<PathBuf>,
    },
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
Exit codes: 0 complete, 2 ended with gaps (gaps.jsonl says which), 1 failed, 3 cut off without its last part
(the parts that are there are sound), 64 usage.
Ctrl-C or SIGTERM seals what was read and ends it with gaps; a second one ends it at once.
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
    /// Collect from a dead disk or an image whose tree is mounted here, read-only, instead of from this host.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
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

/// What `kit` was told; what is left out is asked at the terminal.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 complete, 2 ended with gaps, 1 failed (an altered kit among others), 3 cut off without its last part
(the parts that are there are sound), 64 usage.
The answers are sealed into the evidence. A kit's passphrase is asked for, or taken from FIELDSEAL_KIT_PASSPHRASE.")]
pub struct KitArgs {
    /// The kit's folder.
    #[arg(long, value_name = "DIR")]
    pub kit: PathBuf,
    /// Who collects.
    #[arg(long, value_name = "NAME")]
    pub operator: Option<String>,
    /// Where this host is.
    #[arg(long, value_name = "PLACE")]
    pub location: Option<String>,
    /// The serial number of the stick.
    #[arg(long, value_name = "SERIAL")]
    pub medium: Option<String>,
    /// What time it is by a clock other than the host's, in UTC: 2026-11-24T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// What else shall stand in the record.
    #[arg(long, value_name = "TEXT")]
    pub remark: Option<String>,
    /// Collect from a dead disk or an image whose tree is mounted here, read-only, instead of from this host.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Check the kit and whether its order is for this host now, and collect nothing.
    #[arg(long)]
    pub check: bool,
    /// Run at the usual priority instead of giving way to everything else on the host.
    #[arg(long)]
    pub foreground: bool,
    /// Print the outcome as JSON.
    #[arg(long, conflicts_with = "check")]
    pub json: bool,
}

/// What `enrol` was told.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 enrolled, 1 failed (nothing is kept but new keys, with which it is asked again), 64 usage.
What enrols this host pins whom its agent will ever believe: take it from the server's administrator, not
from the network. An agent that finds a deployment file at its start needs no `enrol`.")]
pub struct EnrolArgs {
    /// The server: `https://HOST[:PORT]`.
    #[arg(long, value_name = "URL", required_unless_present = "deployment")]
    pub server: Option<String>,
    /// The deployment's trust folder, with root.crt and root.json.
    #[arg(long, value_name = "DIR", required_unless_present = "deployment")]
    pub trust: Option<PathBuf>,
    /// The file with the deployment token.
    #[arg(long, value_name = "FILE", required_unless_present = "deployment")]
    pub token: Option<PathBuf>,
    /// A deployment file, in the place of all of these: `fieldseal-server deployment` makes it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "trust", "token", "proxy"])]
    pub deployment: Option<PathBuf>,
    /// The folder that the agent keeps its state in; made where it is missing.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// An HTTP proxy between this host and the server: `http://[USER:PASSWORD@]HOST:PORT`.
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// How long to go on trying while the server can't be reached, is too busy, or holds this host for approval; 0 is one try.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub wait: u64,
}

/// One of the agent's two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// Sees the host and has no network.
    Reader,
    /// Has the network and sees ciphertext only.
    Courier,
}

impl Half {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Courier => "courier",
        }
    }
}

/// What a half does where the walls around it can't all be put up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sandbox {
    /// It does not start.
    Required,
    /// It does not start without the others either: Landlock in full, locked memory.
    Full,
    /// It starts with those that can be put up, and says which are missing.
    Available,
}

impl Sandbox {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Full => "full",
            Self::Available => "available",
        }
    }
}

/// What `run` was told.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --half, three processes: the reader, the courier, and one that starts both anew when either ends.
SIGTERM ends all of them: what a collection has read is sealed, and it goes on at the next start.
With --half, one process that a service manager watches; both meet at --socket.
A host that is not enrolled and has a deployment file enrols by itself: it is tried until it is done, and said once an hour.
Exit codes: 0 told to stop, 1 failed (also while another agent holds the state), 64 usage, 78 it can't work here and
starting it again would not help: the host is not enrolled and has no deployment file, its state or settings are damaged
or of a newer version, or the sandbox can't be put up as --sandbox demands.")]
pub struct RunArgs {
    /// The folder that the agent keeps its state in.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// What to do where the walls around the halves (users of their own, capabilities, no_new_privs, seccomp) can't all be
    /// put up. Started by root, each half becomes the user that its folder below --state belongs to.
    #[arg(long, value_name = "WHICH", default_value = "required")]
    pub sandbox: Sandbox,
    /// Run one half alone.
    #[arg(long, value_name = "HALF", requires = "socket")]
    pub half: Option<Half>,
    /// Where the halves meet: the reader listens, the courier connects.
    #[arg(long, value_name = "PATH", requires = "half")]
    pub socket: Option<PathBuf>,
    /// The deployment file to enrol with, where this host is not enrolled; /etc/fieldseal/deployment.json unless given.
    #[arg(long, value_name = "FILE")]
    pub deployment: Option<PathBuf>,
}

/// What `status` was told.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 shown, 1 the state can't be read, 2 the host is not enrolled, 64 usage.")]
pub struct StatusArgs {
    /// The folder that the agent keeps its state in.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `doctor` was told.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 every step is well, 1 one is not (a host that is not enrolled is not well), 64 usage.
The steps: enrolment, name, route, proxy, server (TLS), clock, certificate, agent. On a host that is not enrolled: what was
brought to enrol it, name, route, proxy, server, clock, and whether the server would take its token, of which no use is
counted. Run it as root or as the courier's user.")]
pub struct DoctorArgs {
    /// The folder that the agent keeps its state in.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// The deployment file that a host which is not enrolled has [default: /etc/fieldseal/deployment.json].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "trust", "token", "proxy"])]
    pub deployment: Option<PathBuf>,
    /// The server, as `enrol` is told it.
    #[arg(long, value_name = "URL", requires = "trust")]
    pub server: Option<String>,
    /// The trust folder, as `enrol` is told it.
    #[arg(long, value_name = "DIR", requires_all = ["server", "token"])]
    pub trust: Option<PathBuf>,
    /// The token's file, as `enrol` is told it.
    #[arg(long, value_name = "FILE", requires = "trust")]
    pub token: Option<PathBuf>,
    /// The proxy, as `enrol` is told it.
    #[arg(long, value_name = "URL", requires = "server")]
    pub proxy: Option<String>,
    /// Print JSON, one array.
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
    fn a_half_alone_needs_a_place_to_meet_the_other() {
        let base = ["a", "run", "--state", "/s"];
        assert!(Cli::try_parse_from(base).is_ok());
        assert!(Cli::try_parse_from(base.iter().chain(&["--half", "reader"])).is_err());
        assert!(Cli::try_parse_from(base.iter().chain(&["--socket", "/l"])).is_err());
        let both = ["--half", "courier", "--socket", "/l"];
        assert!(Cli::try_parse_from(base.iter().chain(&both)).is_ok());
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
