//! Events for whoever watches the deployment: leaves of the custody log, refusals and alarms, by syslog and webhook.
//!
//! Leaves are sent in their order from a cursor on the disk, each until it was taken: none is left out, and after a
//! crash some come a second time, under the same id. Refusals and alarms are told once, and how many there were where
//! they come faster than they can be told.

mod record;
mod settings;
mod syslog;
mod webhook;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::JoinHandle,
};

use self::{syslog::Syslog, webhook::Webhook};
use crate::{folder::Folder, keyfile, state::Server};

pub use record::{Record, Severity};
pub use settings::{Address, Format, Siem, Transport};

/// Refusals and alarms that wait at most, while a receiver is away.
const WAITING: usize = 1_024;
/// Leaves that are sent before the cursor is written down.
const PAGE: u64 = 64;
const PAGE_BYTES: usize = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where the rest of the server says what is no leaf.
pub struct Bulletin(broadcast::Sender<Record>);

impl Default for Bulletin {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Bulletin {
    /// Tells whoever listens; nobody waits for it.
    pub fn tell(&self, kind: &str, severity: Severity, data: Value) {
        if self.0.receiver_count() > 0 {
            let _ = self.0.send(Record::now(kind, severity, data));
        }
    }
}

/// A receiver.
enum Sink {
    Syslog(Box<Syslog>),
    Webhook(Box<Webhook>),
}

impl Sink {
    fn name(&self) -> &'static str {
        match self {
            Self::Syslog(_) => "syslog",
            Self::Webhook(_) => "webhook",
        }
    }

    async fn send(&mut self, record: &Record) -> anyhow::Result<()> {
        match self {
            Self::Syslog(syslog) => syslog.send(record).await,
            Self::Webhook(webhook) => webhook.send(record).await,
        }
    }

    /// Sends until it was taken.
    async fn deliver(&mut self, record: &Record) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.send(record).await {
            let again_s = pause.as_secs_f32();
            let (sink, error) = (self.name(), format!("{error:#}"));
            tracing::warn!(sink, error, again_s, "an event could not be sent");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Starts to send to every receiver that the settings name.
///
/// # Errors
/// A file that the settings name can't be used.
pub fn start(server: &Arc<Server>, folder: &Folder) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let Some(siem) = &server.config.siem else {
        return Ok(Vec::new());
    };
    let mut sinks = Vec::new();
    let dir = folder.path();
    let authorities = siem.authorities(dir)?;
    if let Some(address) = &siem.syslog {
        let address: Address = address
            .parse()
            .ok()
            .context("`siem.syslog` is no address.")?;
        let hostname = server.config.names.first().map_or("-", String::as_str);
        let tls = settings::tls(&authorities)?;
        let syslog = Syslog::new(address, siem.format, hostname, tls);
        sinks.push(Sink::Syslog(Box::new(syslog)));
    }
    if let Some(url) = &siem.webhook {
        let deployment = server.documents().policy.deployment.to_string();
        let webhook = Webhook::new(url, siem.secret(dir)?, &authorities, &deployment);
        sinks.push(Sink::Webhook(Box::new(webhook)));
    }
    let mut tasks = Vec::new();
    for sink in sinks {
        let cursor = Cursor::open(folder.siem_cursor(sink.name()))?;
        // From here on, so that nothing is missed until the task runs.
        let told = server.bulletin.0.subscribe();
        tasks.push(tokio::spawn(run(server.clone(), sink, cursor, told)));
    }
    Ok(tasks)
}

async fn run(
    server: Arc<Server>,
    mut sink: Sink,
    mut cursor: Cursor,
    mut told: broadcast::Receiver<Record>,
) {
    let mut grown = server.custody.grown();
    loop {
        grown.mark_unchanged();
        if let Err(error) = send_leaves(&server, &mut sink, &mut cursor).await {
            let error = format!("{error:#}");
            tracing::error!(sink = sink.name(), error, "events stand still");
            tokio::time::sleep(LONGEST_PAUSE).await;
            continue;
        }
        tokio::select! {
            _ = grown.changed() => {}
            told = told.recv() => match told {
                Ok(record) => sink.deliver(&record).await,
                Err(RecvError::Lagged(count)) => {
                    let count = json!({"count": count});
                    let lost = Record::now("alarm.events_not_told", Severity::Warning, count);
                    sink.deliver(&lost).await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Sends the leaves from the cursor to the end of the log.
async fn send_leaves(server: &Server, sink: &mut Sink, cursor: &mut Cursor) -> anyhow::Result<()> {
    loop {
        let leaves = server.custody.leaves(cursor.next, PAGE, PAGE_BYTES).await?;
        if leaves.is_empty() {
            return Ok(());
        }
        for leaf in leaves {
            let leaf = BASE64.decode(leaf.as_bytes())?;
            sink.deliver(&Record::leaf(cursor.next, &leaf)).await;
            cursor.next += 1;
        }
        cursor.write()?;
    }
}

/// The next leaf to be sent, on the disk.
struct Cursor {
    path: PathBuf,
    next: u64,
}

impl Cursor {
    fn open(path: PathBuf) -> anyhow::Result<Self> {
        let next = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().with_context(|| {
                let path = path.display();
                format!("{path} holds no number. Remove it, and all events are sent again.")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { path, next })
    }

    fn write(&self) -> std::io::Result<()> {
        keyfile::replace(&self.path, format!("{}\n", self.next).as_bytes(), 0o600)
    }
}
