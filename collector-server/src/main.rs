//! `fieldseal-server`: the commands, read here and done by the library.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use collector_server::{
    app,
    cli::{Cli, Command, DeploymentArgs, ImportArgs, InitArgs, TokenArgs},
    config::{Config, LogFormat},
    deployment, expiry,
    folder::Folder,
    hand_in::{HandIn, hand_in},
    init, keyfile,
    status::Status,
    token, unfit,
};
use evidence::{instant::Instant, keys::SigningKey, wrap::Recipient};
use protocol::{
    name::Name,
    person,
    policy::{Class, Policy},
};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

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
        Ok(code) => code,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn start(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Import(args) => return import(args).await,
        Command::Init(args) => {
            let dir = args.at.clone().path();
            init::init(&dir, &plan(args)?).await?;
            let program = env::args().next();
            let program = program.as_deref().unwrap_or("fieldseal-server");
            say(&init::next_steps(program, &dir))
        }
        Command::Serve(at) => return serve(&at.path()).await,
        Command::Token(args) => make_token(&args),
        Command::Deployment(args) => make_deployment(&args),
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
    };
    done.map(|()| ExitCode::SUCCESS)
}

async fn import(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.dir)?;
    let what = HandIn {
        path: args.path,
        by: args.by,
        medium: args.medium,
        wipe: args.wipe,
    };
    let report = hand_in(&args.dir, &config, &what).await?;
    match args.json {
        true => say(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        false => say(&report.text())?,
    }
    Ok(ExitCode::from(report.exit_code()))
}

async fn serve(dir: &Path) -> anyhow::Result<ExitCode> {
    let config = match unfit::settings(dir) {
        Err(error) if unfit::settings_stay(&error) => return Ok(say_unfit(&error)),
        other => other?,
    };
    log(config.log_format);
    let bind = |at: SocketAddr| async move {
        TcpListener::bind(at)
            .await
            .with_context(|| format!("{at} could not be bound. Stop the server that runs there, or change the address in server.toml."))
    };
    let listener = bind(config.listen).await?;
    let metrics = bind(config.metrics_listen).await?;
    match app::launch(dir, &config, listener, metrics, asked_to_stop()).await {
        Err(error) if unfit::folder_stays(&error) => Ok(say_unfit(&error)),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

/// Says why the server can't serve, to whoever must mend it before it is started again.
fn say_unfit(error: &anyhow::Error) -> ExitCode {
    say_error(error);
    ExitCode::from(unfit::EXIT)
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
    let (plan, key, policy) = token_plan(args)?;
    let token = token::make(&plan, &key, &policy, Instant::now())?;
    write_or_say(args.output.as_deref(), &token)
}

fn make_deployment(args: &DeploymentArgs) -> anyhow::Result<()> {
    let (token, key, policy) = token_plan(&args.token)?;
    let (server, proxy) = (args.server.clone(), args.proxy.clone());
    let limits = args.limits.as_deref();
    let plan = deployment::Plan::new(server, proxy, limits, &args.trust_path())?;
    let file = deployment::make(&plan, &token, &key, &policy, Instant::now())?;
    write_or_say(args.token.output.as_deref(), &file)
}

fn token_plan(args: &TokenArgs) -> anyhow::Result<(token::Plan, SigningKey, Policy)> {
    let policy = token::read_policy(&args.policy_path())?;
    let passphrase = env::var(token::PASSPHRASE).ok();
    let key = token::read_key(&args.key, passphrase.as_deref())?;
    let plan = token::Plan {
        issuer: args.issuer.clone(),
        agency: args.agency.clone(),
        labels: args.labels.iter().cloned().collect(),
        uses: args.uses,
        days: args.days,
        networks: args.networks.iter().copied().collect(),
        held: args.held,
    };
    Ok((plan, key, policy))
}

fn write_or_say(output: Option<&Path>, json: &str) -> anyhow::Result<()> {
    let line = format!("{json}\n");
    match output {
        Some(path) => keyfile::create(path, line.as_bytes(), 0o600)
            .with_context(|| format!("{} could not be written.", path.display())),
        None => say(&line),
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
