//! The running server: opens its folder, repairs it, serves until told to stop.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use evidence::instant::Instant;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{self, MissedTickBehavior},
};
use zeroize::Zeroizing;

use crate::{
    certificate,
    config::Config,
    expiry,
    folder::Folder,
    intake::{drop as drop_folder, stamp},
    lapse, metrics,
    refusal::chain,
    router::router,
    serve::{self, Shown, serve},
    siem,
    state::Server,
    store::{index::Change, log_pieces},
    trust::{Anchors, Documents, Keys, intake_key},
};

const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Whoever follows an order hears so soon that its time is up.
const LAPSE_EVERY: Duration = Duration::from_secs(3);
const WRITE_SEEN_EVERY: Duration = Duration::from_secs(15);

/// Serves the folder `dir` on these listeners until `stop` ends.
///
/// # Errors
/// The folder is not one that `init` made, or can't be repaired.
pub async fn launch(
    dir: &Path,
    config: &Config,
    listener: TcpListener,
    metrics_listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let server = Server::open(dir, config).await?;
    let folder = Folder::new(dir);
    let shown = certificate::load(&folder, &server.issuing, &config.names, Instant::now())?;
    let shown = Arc::new(shown);
    let tls = Arc::new(serve::server_config(shown.clone())?);

    let (ending, ended) = watch::channel(());
    let tasks = Tasks::start(&server, folder, shown)?;
    let asked = axum::serve(metrics_listener, metrics::router(server.clone()))
        .with_graceful_shutdown(wait_for(ended));
    let mut asked = tokio::spawn(asked.into_future());
    tracing::info!(listen = %listener.local_addr()?, "serving");
    let stop = async {
        stop.await;
        // Whoever waits for news is answered now, so that nobody holds the end up.
        server.stopping.send_replace(true);
    };
    let (anchor, urls) = (server.anchors.anchor.clone(), router(server.clone()));
    serve(listener, tls, anchor, urls, config.limits(), stop).await;
    drop(tasks);
    drop(ending);
    // A scraper that holds its connection open does not hold the server.
    let _ = time::timeout(Duration::from_secs(2), &mut asked).await;
    asked.abort();
    server.write_seen().await?;
    server.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn wait_for(mut ended: watch::Receiver<()>) {
    // The sender says nothing; it is dropped at the end.
    let _ = ended.changed().await;
}

/// Checks what `serve` needs, without serving.
///
/// # Errors
/// A document, key, certificate or file of `[siem]` is missing or does not belong to the others.
pub fn check(dir: &Path, config: &Config) -> anyhow::Result<()> {
    if let Some(siem) = &config.siem {
        siem.check_files(dir)?;
    }
    let folder = Folder::new(dir);
    let documents = Documents::load(&folder)?;
    Anchors::load(&folder)?;
    Keys::load(&folder, &documents.policy)?;
    // The server makes one where there is none.
    if folder.intake_key().exists() {
        intake_key(&folder)?;
    }
    let pem = std::fs::read_to_string(folder.server_pem())
        .map(Zeroizing::new)
        .with_context(|| format!("{} can't be read.", folder.server_pem().display()))?;
    serve::server_config(Arc::new(Shown::new(&pem)?))?;
    Ok(())
}

/// What goes on beside the requests; ended when dropped.
struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    fn start(server: &Arc<Server>, folder: Folder, shown: Arc<Shown>) -> anyhow::Result<Self> {
        let mut tasks = siem::start(server, &folder)?;
        tasks.extend([
            tokio::spawn(sweep(server.clone())),
            tokio::spawn(write_seen(server.clone())),
            tokio::spawn(drop_folder::run(server.clone())),
            tokio::spawn(expire(server.clone())),
            tokio::spawn(lapse(server.clone())),
            tokio::spawn(renew(server.clone(), folder.clone(), shown)),
        ]);
        match server.config.tsa.clone() {
            Some(tsa) => {
                let stamping = stamp::run(server.clone(), tsa, folder.stamp_fault());
                tasks.push(tokio::spawn(stamping));
            }
            None => stamp::take_down(&folder.stamp_fault()),
        }
        Ok(Self(tasks))
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

fn every(period: Duration) -> time::Interval {
    let mut ticks = time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn sweep(server: Arc<Server>) {
    let mut ticks = every(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        match server.uploads.sweep().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "expired uploads dropped"),
            Err(error) => tracing::error!(
                error = chain(&error),
                "expired uploads could not be dropped"
            ),
        }
        finish_hosts(&server).await;
        let old = log_pieces::Change::Sweep {
            now: Instant::now(),
        };
        if let Err(error) = server.change(Change::LogPiece(old)).await {
            tracing::error!(
                error = chain(&error),
                "old pieces of live logs could not be dropped"
            );
        }
    }
}

/// Brings to its end what was cut off of hosts' way in and is asked for by nobody again.
async fn finish_hosts(server: &Server) {
    if let Err(error) = server.finish_enrolments().await {
        tracing::error!(
            error = chain(&error),
            "enrolments that were cut off could not be finished"
        );
    }
    if let Err(error) = server.finish_admissions().await {
        tracing::error!(
            error = chain(&error),
            "admins' words on hosts could not be logged"
        );
    }
}

async fn expire(server: Arc<Server>) {
    let mut ticks = every(Duration::from_secs(server.config.expiry_every_s.into()));
    loop {
        ticks.tick().await;
        if let Err(error) = expiry::run(&server, Instant::now()).await {
            tracing::error!(error = chain(&error), "what is due could not expire");
        }
    }
}

async fn lapse(server: Arc<Server>) {
    let mut ticks = every(LAPSE_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = lapse::run(&server, Instant::now()).await {
            tracing::error!(
                error = chain(&error),
                "it could not be noted that the time of orders is up"
            );
        }
    }
}

async fn write_seen(server: Arc<Server>) {
    let mut ticks = every(WRITE_SEEN_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = server.write_seen().await {
            tracing::error!(
                error = chain(&error),
                "when agents asked could not be written down"
            );
        }
    }
}

async fn renew(server: Arc<Server>, folder: Folder, shown: Arc<Shown>) {
    let mut ticks = every(certificate::LOOK_EVERY);
    loop {
        ticks.tick().await;
        let (now, names) = (Instant::now(), &server.config.names);
        if let Err(error) = certificate::renew(&folder, &server.issuing, names, now, &shown) {
            tracing::error!(
                error = format!("{error:#}"),
                "the server's certificate could not be renewed"
            );
        }
    }
}
