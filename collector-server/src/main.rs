//! `fieldseal-server`: the commands, read here and done by the library.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use collector_server::{
    app,
    config::{Config, LogFormat},
    init,
};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Receives sealed evidence over mTLS and keeps it, as ciphertext.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make keys, certificates, settings, index and evidence folder in a new folder.
    Init {
        /// The folder; it must be empty or missing.
        #[arg(long)]
        dir: PathBuf,
        /// A DNS name or address that agents will use; may be given often.
        #[arg(long = "name", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
        names: Vec<String>,
        /// Where the server will listen.
        #[arg(long, default_value = "0.0.0.0:8443")]
        listen: SocketAddr,
    },
    /// Serve the folder until SIGTERM or Ctrl-C.
    Serve {
        /// The folder that `init` made.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Check the settings and the TLS files without serving.
    CheckConfig {
        /// The folder that `init` made.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { dir, names, listen } => init::init(&dir, &names, listen).await,
        Command::CheckConfig { dir } => {
            Config::load(&dir)?;
            app::tls(&dir).map(drop)
        }
        Command::Serve { dir } => {
            let config = Config::load(&dir)?;
            log(config.log_format);
            let bind = |at: SocketAddr| async move {
                TcpListener::bind(at)
                    .await
                    .with_context(|| format!("{at} could not be bound."))
            };
            let (listener, metrics) = (
                bind(config.listen).await?,
                bind(config.metrics_listen).await?,
            );
            app::launch(&dir, &config, listener, metrics, asked_to_stop()).await
        }
    }
}

fn log(format: LogFormat) {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(std::io::stderr);
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

#[allow(clippy::print_stderr, reason = "the one place where errors are shown")]
fn say_error(text: &str) {
    eprintln!("fieldseal-server: {text}");
}
