//! Listens on this machine alone, says where, and serves until it is told to end.

use std::{
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::{app::App, desk::Desk, gate::Gate, jobs::Jobs, router};
use crate::{home::Home, inert::inert_html, private};

/// How the console is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port; 0 for one that is free.
    pub port: u16,
    /// Whether a browser is opened.
    pub browser: bool,
    /// Whether the address is printed as JSON.
    pub json: bool,
    /// The folder for fetched evidence.
    pub evidence: PathBuf,
}

/// Serves until a signal, or until the page's own button ends it.
///
/// # Errors
/// There is no contact with the server, or the port can't be had.
pub fn run(options: &Options, home: Home) -> anyhow::Result<()> {
    // First of all, so that what is wrong is told here and not in a page.
    let desk = Desk::open(home)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("The console's threads can't be started. Try again.")?;
    let outcome = runtime.block_on(serve(options, desk));
    // A thread that waits for the server is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

async fn serve(options: &Options, desk: Desk) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
        .await
        .with_context(|| format!("Port {} can't be had. Choose another --port.", options.port))?;
    let gate = Gate::new(listener.local_addr()?.port())?;
    let url = gate.entrance().context("The console has no address.")?;
    let doorstep = options
        .browser
        .then(|| desk.home().folder().join("console.html"));
    let jobs = Jobs::new(options.evidence.clone());
    let app = Arc::new(App::new(gate, desk, jobs, doorstep.clone()));
    announce(options, &url)?;
    if let Some(path) = &doorstep {
        open_browser(path, &url);
    }
    let service = axum::serve(listener, router::router(Arc::clone(&app)));
    tokio::select! {
        ended = service => ended.context("The console can't go on serving. Start it again.")?,
        () = app.end.notified() => tokio::time::sleep(Duration::from_millis(200)).await,
        told = told_to_end() => told?,
    }
    app.entered();
    Ok(())
}

fn announce(options: &Options, url: &Zeroizing<String>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", json!({ "url": url.as_str() }))?;
    } else {
        writeln!(
            out,
            "The console is at\n\n    {}\n\nThe address counts once. Ctrl-C ends the console.",
            url.as_str()
        )?;
    }
    Ok(out.flush()?)
}

/// Opens a file of this person's alone that leads to the address: on a command line others could read the token.
fn open_browser(path: &Path, url: &str) {
    let shown = inert_html(url);
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Fieldseal</title>\
         <meta name=\"referrer\" content=\"no-referrer\"><meta http-equiv=\"refresh\" content=\"0;url={shown}\">\
         <p><a href=\"{shown}\">Open the console</a></p></html>"
    );
    let opened = private::replace(path, page.as_bytes()).and_then(|()| open::that_detached(path));
    if opened.is_err() {
        // The address stands above.
        let _unprintable = writeln!(
            std::io::stderr(),
            "No browser could be opened. Open the address yourself."
        );
    }
}

#[cfg(unix)]
async fn told_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = term.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
    }
}

#[cfg(not(unix))]
async fn told_to_end() -> anyhow::Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
}
