//! `fieldseal-server`: the commands, read here and done by the library.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use collector_server::{
    app,
    config::{Config, LogFormat},
    expiry,
    folder::Folder,
    init, keyfile,
    status::Status,
    token,
};
use evidence::{instant::Instant, wrap::Recipient};
use protocol::{name::Name, person, policy::Class};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Lets hosts in, hands orders on, keeps sealed evidence as ciphertext, and logs what was done.
///
/// Exit codes: 0 done, 1 failed, 64 usage.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a deployment: root key, policy, certificates, settings, index and evidence folder.
    Init(InitArgs),
    /// Serve the folder until SIGTERM or Ctrl-C.
    Serve(DirArgs),
    /// Make a deployment token: with it, hosts enrol.
    Token(TokenArgs),
    /// Say how the deployment stands, also while it is served.
    Status {
        #[command(flatten)]
        at: DirArgs,
        /// For scripts.
        #[arg(long)]
        json: bool,
    },
    /// Check the settings, keys and documents without serving.
    CheckConfig(DirArgs),
    /// Say that this machine's clock is right, after it has leapt and the server lets nothing expire for that.
    ///
    /// Look at another clock first. The server takes it into account when it next looks for what is due.
    ConfirmClock {
        #[command(flatten)]
        at: DirArgs,
        /// The date that the other clock shows (UTC), as in 2026-11-28; another one than this machine's is refused.
        #[arg(long, value_name = "DATE")]
        today: String,
    },
}

#[derive(Args)]
struct DirArgs {
    /// The folder that `init` made.
    #[arg(value_name = "DIR", required_unless_present = "named")]
    dir: Option<PathBuf>,
    /// The same, by name.
    #[arg(long = "dir", value_name = "DIR", conflicts_with = "dir", id = "named")]
    named: Option<PathBuf>,
}

impl DirArgs {
    /// Clap saw to it that one of the two is there.
    fn path(self) -> PathBuf {
        self.dir.or(self.named).unwrap_or_default()
    }
}

#[derive(Args)]
struct InitArgs {
    #[command(flatten)]
    at: DirArgs,
    /// A DNS name or address that agents will use; may be given often.
    #[arg(long = "name", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
    names: Vec<String>,
    /// The deployment's name.
    #[arg(long)]
    deployment: Name,
    /// The agency to which `--vault` recipients without a name of their own belong.
    #[arg(long)]
    agency: Name,
    /// A person's file, as `fieldseal keys new` writes it; may be given often.
    #[arg(long = "person", required = true, value_name = "FILE")]
    people: Vec<PathBuf>,
    /// Whom evidence is encrypted to: `age1...` or AGENCY=age1...; at least two for each agency.
    #[arg(long = "vault", required = true, value_name = "RECIPIENT")]
    vaults: Vec<String>,
    /// How many people must sign an order for state and settings of the system.
    #[arg(long, default_value_t = 1)]
    threshold_triage: usize,
    /// How many people must sign an order for whole files, logs and histories.
    #[arg(long, default_value_t = 1)]
    threshold_files: usize,
    /// Where the server will listen.
    #[arg(long, default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
}

#[derive(Args)]
struct TokenArgs {
    /// The admin's signing key, PEM; its passphrase in FIELDSEAL_PASSPHRASE where it has one.
    #[arg(long)]
    key: PathBuf,
    /// The admin's id in the policy.
    #[arg(long = "as", value_name = "ID")]
    issuer: Name,
    /// The agency that the hosts will belong to.
    #[arg(long)]
    agency: Name,
    /// A label that the hosts will carry; may be given often.
    #[arg(long = "label")]
    labels: Vec<Name>,
    /// How many hosts may use it.
    #[arg(long)]
    uses: u64,
    /// For how many days.
    #[arg(long)]
    days: u32,
    /// The server's folder, for its policy.
    #[arg(long, required_unless_present = "policy", conflicts_with = "policy")]
    dir: Option<PathBuf>,
    /// The policy's file, away from the server.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Where to write the token; standard output unless given.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no error.
            let code = if error.use_stderr() { 64 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match start(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn start(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => {
            let dir = args.at.dir.clone().or(args.at.named.clone());
            let dir = dir.unwrap_or_default();
            init::init(&dir, &plan(args)?).await?;
            let program = env::args().next();
            let program = program.as_deref().unwrap_or("fieldseal-server");
            say(&init::next_steps(program, &dir))
        }
        Command::Serve(at) => serve(&at.path()).await,
        Command::Token(args) => make_token(&args),
        Command::Status { at, json } => {
            let status = Status::of(&at.path()).await?;
            match json {
                true => say(&(serde_json::to_string_pretty(&status)? + "\n")),
                false => say(&status.text()),
            }
        }
        Command::CheckConfig(at) => {
            let dir = at.path();
            app::check(&dir, &Config::load(&dir)?)?;
            say("The settings, keys and documents are fit for use.\n")
        }
        Command::ConfirmClock { at, today } => {
            let confirmed = expiry::confirm(&Folder::new(&at.path()), &today, Instant::now())?;
            say(&format!(
                "It is {confirmed}. The server lets evidence expire again when it next looks for what is due.\n"
            ))
        }
    }
}

async fn serve(dir: &Path) -> anyhow::Result<()> {
    let config = Config::load(dir)?;
    log(config.log_format);
    let bind = |at: SocketAddr| async move {
        TcpListener::bind(at)
            .await
            .with_context(|| format!("{at} could not be bound. Stop the server that runs there, or change the address in server.toml."))
    };
    let listener = bind(config.listen).await?;
    let metrics = bind(config.metrics_listen).await?;
    app::launch(dir, &config, listener, metrics, asked_to_stop()).await
}

fn plan(args: InitArgs) -> anyhow::Result<init::Plan> {
    let mut people = Vec::new();
    for path in &args.people {
        let at = path.display();
        let json = fs::read(path)
            .with_context(|| format!("{at} could not be read. Give a person's file."))?;
        people.push(person::read(&json).with_context(|| {
            format!("{at} can't be used as a person's file. Give what `fieldseal keys new` wrote.")
        })?);
    }
    let mut vaults: BTreeMap<Name, Vec<Recipient>> = BTreeMap::new();
    for text in &args.vaults {
        let (agency, recipient) = match text.split_once('=') {
            Some((agency, recipient)) => (agency.parse()?, recipient),
            None => (args.agency.clone(), text.as_str()),
        };
        vaults.entry(agency).or_default().push(recipient.parse()?);
    }
    Ok(init::Plan {
        deployment: args.deployment,
        names: args.names,
        listen: args.listen,
        people,
        vaults,
        thresholds: BTreeMap::from([
            (Class::Triage, args.threshold_triage),
            (Class::Files, args.threshold_files),
        ]),
    })
}

fn make_token(args: &TokenArgs) -> anyhow::Result<()> {
    let policy = match (&args.policy, &args.dir) {
        (Some(path), _) => path.clone(),
        (None, dir) => Folder::new(dir.as_deref().unwrap_or(Path::new("."))).policy(),
    };
    let policy = token::read_policy(&policy)?;
    let passphrase = env::var(token::PASSPHRASE).ok();
    let key = token::read_key(&args.key, passphrase.as_deref())?;
    let plan = token::Plan {
        issuer: args.issuer.clone(),
        agency: args.agency.clone(),
        labels: args.labels.iter().cloned().collect(),
        uses: args.uses,
        days: args.days,
    };
    let token = token::make(&plan, &key, &policy, Instant::now())? + "\n";
    match &args.output {
        Some(path) => keyfile::create(path, token.as_bytes(), 0o600)
            .with_context(|| format!("{} could not be written.", path.display())),
        None => say(&token),
    }
}

fn log(format: LogFormat) {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(level)
        // Colours are for eyes: a file or the journal gets the text alone.
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

async fn asked_to_stop() {
    let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = ctrl_c => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    ctrl_c.await;
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

#[allow(clippy::print_stderr, reason = "the one place where errors are shown")]
fn say_error(error: &anyhow::Error) {
    eprintln!("fieldseal-server: {}", in_lines(error));
}

/// An error and its causes, a line each; a cause that the one above it has quoted is not told twice.
fn in_lines(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    let mut above = text.clone();
    for cause in error.chain().skip(1) {
        let said = cause.to_string();
        if !above.contains(&said) {
            text.push_str(&format!("\n  because: {said}"));
        }
        above = said;
    }
    text
}
