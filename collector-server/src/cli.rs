//! The command line as typed: parsed here, used in `main.rs`, no I/O.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use protocol::name::Name;

use crate::folder::Folder;

/// Lets hosts in, hands orders on, keeps sealed evidence as ciphertext, and logs what was done.
///
/// Exit codes: 0 done, 1 failed, 64 usage.
#[derive(Debug, Parser)]
#[command(name = "fieldseal-server", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The server's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a deployment: root key, policy, certificates, settings, index and evidence folder.
    Init(InitArgs),
    /// Serve the folder until SIGTERM or Ctrl-C.
    ///
    /// Exit codes: 0 told to stop, 1 failed, 64 usage, 78 it can't serve and starting it again would not help: `init` has not
    /// made the folder, settings, keys or documents are not fit for use (`check-config` says so too), custody log, index or
    /// policy are not those that were in use.
    Serve(DirArgs),
    /// Make a deployment token: with it, hosts enrol.
    Token(TokenArgs),
    /// Make a deployment file: a token with server, root, limits and proxy, by which hosts enrol by themselves.
    ///
    /// It is dropped beside any package as /etc/fieldseal/deployment.json. Who has it can enrol hosts within the token's
    /// limits, and reads the proxy's password.
    Deployment(DeploymentArgs),
    /// Say how the deployment stands, also while it is served.
    Status {
        /// Where.
        #[command(flatten)]
        at: DirArgs,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Take in what a kit gathered: from a stick, or from a folder that somebody brought here.
    ///
    /// Works beside the server while it runs, which then does it, and without it. The receipts are written back to the
    /// stick. What is not believed is set apart in the server's folder, with its reasons.
    ///
    /// Exit codes: 0 all is taken in, or was before; 1 failed, or there was nothing; 2 something was set apart, or is not
    /// whole; 64 usage.
    Import(ImportArgs),
    /// Check the settings, keys and documents without serving.
    CheckConfig(DirArgs),
    /// Say that this machine's clock is right, after it has leapt and the server lets nothing expire for that.
    ///
    /// Look at another clock first. The server takes it into account when it next looks for what is due.
    ConfirmClock {
        /// Where.
        #[command(flatten)]
        at: DirArgs,
        /// The date that the other clock shows (UTC), as in 2026-11-28; another one than this machine's is refused.
        #[arg(long, value_name = "DATE")]
        today: String,
    },
}

/// Which deployment.
#[derive(Debug, Clone, Args)]
pub struct DirArgs {
    /// The folder that `init` made.
    #[arg(value_name = "DIR", required_unless_present = "named")]
    pub dir: Option<PathBuf>,
    /// The same, by name.
    #[arg(long = "dir", value_name = "DIR", conflicts_with = "dir", id = "named")]
    pub named: Option<PathBuf>,
}

impl DirArgs {
    /// The folder. Clap saw to it that one of the two is there.
    pub fn path(self) -> PathBuf {
        self.dir.or(self.named).unwrap_or_default()
    }
}

/// What `init` was told.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where.
    #[command(flatten)]
    pub at: DirArgs,
    /// A DNS name or address that agents will use; may be given often.
    #[arg(long = "name", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
    pub names: Vec<String>,
    /// The deployment's name.
    #[arg(long)]
    pub deployment: Name,
    /// The agency to which `--vault` recipients without a name of their own belong.
    #[arg(long)]
    pub agency: Name,
    /// A person's file, as `fieldseal keys new` writes it; may be given often.
    #[arg(long = "person", required = true, value_name = "FILE")]
    pub people: Vec<PathBuf>,
    /// Whom evidence is encrypted to: `age1...` or AGENCY=age1...; at least two for each agency.
    #[arg(long = "vault", required = true, value_name = "RECIPIENT")]
    pub vaults: Vec<String>,
    /// How many people must sign an order for state and settings of the system.
    #[arg(long, default_value_t = 1)]
    pub threshold_triage: usize,
    /// How many people must sign an order for whole files, logs and histories.
    #[arg(long, default_value_t = 1)]
    pub threshold_files: usize,
    /// Where the server will listen.
    #[arg(long, default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
}

/// What `import` was told.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The stick: its folder, the one called `evidence`, or one collection's.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The server's folder.
    #[arg(long)]
    pub dir: PathBuf,
    /// Who brings it, for the record.
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// The stick's serial number, for the record.
    #[arg(long, value_name = "SERIAL")]
    pub medium: Option<String>,
    /// Remove the ciphertext from the stick, of collections alone that are wholly durable here.
    #[arg(long)]
    pub wipe: bool,
    /// For scripts.
    #[arg(long)]
    pub json: bool,
}

/// What `token` was told.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The admin's signing key, PEM; its passphrase in FIELDSEAL_PASSPHRASE where it has one.
    #[arg(long)]
    pub key: PathBuf,
    /// The admin's id in the policy.
    #[arg(long = "as", value_name = "ID")]
    pub issuer: Name,
    /// The agency that the hosts will belong to.
    #[arg(long)]
    pub agency: Name,
    /// A label that the hosts will carry; may be given often.
    #[arg(long = "label")]
    pub labels: Vec<Name>,
    /// How many hosts may use it.
    #[arg(long)]
    pub uses: u64,
    /// For how many days.
    #[arg(long)]
    pub days: u32,
    /// From where alone it may be used, by the address that the server sees: 192.0.2.0/24, 2001:db8::/32; may be given often.
    #[arg(long = "network", value_name = "CIDR")]
    pub networks: Vec<IpNet>,
    /// Hold each host for approval: `fieldseal hosts pending` lists them, `hosts approve` lets one in.
    #[arg(long)]
    pub held: bool,
    /// The server's folder, for its policy.
    #[arg(long, required_unless_present = "policy", conflicts_with = "policy")]
    pub dir: Option<PathBuf>,
    /// The policy's file, away from the server.
    #[arg(long)]
    pub policy: Option<PathBuf>,
    /// Where to write it; standard output unless given.
    #[arg(long, short)]
    pub output: Option<PathBuf>,
}

impl TokenArgs {
    /// The policy's file.
    pub fn policy_path(&self) -> PathBuf {
        match (&self.policy, &self.dir) {
            (Some(path), _) => path.clone(),
            (None, dir) => Folder::new(dir.as_deref().unwrap_or(Path::new("."))).policy(),
        }
    }
}

/// What `deployment` was told: what `token` takes, and what goes with it.
#[derive(Debug, Args)]
pub struct DeploymentArgs {
    /// The server, as the hosts reach it: `https://HOST[:PORT]`.
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// An HTTP proxy between hosts and server: `http://[USER:PASSWORD@]HOST:PORT`.
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// A file with what any run may cost on these hosts, as TOML: cpu_percent, io_bytes_per_second, memory_bytes,
    /// size_bytes, files, wall_seconds. The stricter of this and an order's holds.
    #[arg(long, value_name = "FILE")]
    pub limits: Option<PathBuf>,
    /// The trust folder with root.json and root.crt; where the policy lies, unless given.
    #[arg(long, value_name = "DIR")]
    pub trust: Option<PathBuf>,
    /// The token.
    #[command(flatten)]
    pub token: TokenArgs,
}

impl DeploymentArgs {
    /// The trust folder.
    pub fn trust_path(&self) -> PathBuf {
        let beside = self.token.policy_path();
        let beside = || beside.parent().map(Path::to_path_buf);
        self.trust.clone().or_else(beside).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
