//! Time stamps for what was kept: an outside authority is asked until it has answered.
//!
//! The whole RFC 3161 response over the statement's bytes is stored beside the part. Whether
//! the authority is one that a court trusts is for whoever verifies.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use evidence::{
    digest::Digest,
    seal::Trust,
    timestamp::{self, Expected, MAX_BYTES, QUERY_TYPE, TimestampFault},
};
use tokio::{task::spawn_blocking, time::timeout};
use ureq::Agent;

use crate::{
    config::Tsa,
    keyfile,
    siem::Severity,
    state::Server,
    store::{index::Change, parts},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// So often an authority is asked whose certificate no verifier would take.
const UNTIL_MENDED: Duration = Duration::from_secs(3_600);
const ANSWER: Duration = Duration::from_secs(30);

/// No stamp was had.
#[derive(Debug)]
enum Missed {
    /// The next answer may be better.
    Once(String),
    /// Every answer will be like this one until somebody mends the authority.
    ForGood(String),
}

impl From<String> for Missed {
    fn from(text: String) -> Self {
        Self::Once(text)
    }
}

/// What people are told of an authority that can't be used: a line in the log, once, and a file for `status`.
struct Notice {
    path: PathBuf,
    told: Option<String>,
}

impl Notice {
    fn put_up(&mut self, text: String) {
        if self.told.as_ref() == Some(&text) {
            return;
        }
        tracing::error!(error = text, "no part gets a time stamp");
        if let Err(error) = keyfile::replace(&self.path, text.as_bytes(), 0o644) {
            tracing::error!(%error, "status can't be told of it");
        }
        self.told = Some(text);
    }

    fn take_down(&mut self) {
        self.told = None;
        take_down(&self.path);
    }
}

/// Takes the notice down, where one is up.
pub fn take_down(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(%error, "the notice for status can't be removed");
        }
        _ => {}
    }
}

/// Stamps every part that has none, from now until it is dropped; `notice` is the file that says why it can't.
pub async fn run(server: Arc<Server>, tsa: Tsa, notice: PathBuf) {
    let config = Agent::config_builder()
        .timeout_global(Some(ANSWER))
        .max_redirects(0)
        .build();
    let agent: Agent = config.into();
    let mut notice = Notice {
        path: notice,
        told: None,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        match stamp_oldest(&server, &agent, &tsa.url).await {
            Ok(true) => {
                pause = FIRST_PAUSE;
                notice.take_down();
            }
            Ok(false) => {
                // A part that came meanwhile has left its notice.
                let _ = timeout(LONGEST_PAUSE, server.unstamped.notified()).await;
            }
            Err(Missed::Once(error)) => {
                tracing::warn!(%error, again_s = pause.as_secs(), "no time stamp was had");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(Missed::ForGood(text)) => {
                let none = serde_json::json!({});
                server
                    .bulletin
                    .tell("alarm.no_time_stamps", Severity::Warning, none);
                notice.put_up(text);
                tokio::time::sleep(UNTIL_MENDED).await;
            }
        }
    }
}

/// Stamps one part; says whether there was one.
async fn stamp_oldest(server: &Server, agent: &Agent, url: &str) -> Result<bool, Missed> {
    let found = server.index.unstamped().await.map_err(|e| e.to_string())?;
    let Some((part, statement)) = found else {
        return Ok(false);
    };
    let (agent, url) = (agent.clone(), url.to_owned());
    let asked = spawn_blocking(move || ask(&agent, &url, Digest::of(&statement))).await;
    let tsr = asked.map_err(|e| e.to_string())??;
    let change = parts::Change::Stamp { part, tsr };
    let done = server.index.change(Change::Part(change)).await;
    done.map_err(|e| e.to_string())?;
    Ok(true)
}

/// Asks the authority for a stamp over `digest`, and takes only an answer to this question.
fn ask(agent: &Agent, url: &str, digest: Digest) -> Result<Vec<u8>, Missed> {
    let query = timestamp::query(digest).map_err(|e| e.to_string())?;
    let mut answer = agent
        .post(url)
        .content_type(QUERY_TYPE)
        .send(&query.der[..])
        .map_err(|e| format!("The authority could not be asked ({e}). Check `tsa.url`."))?;
    let mut tsr = Vec::new();
    let reader = answer.body_mut().as_reader();
    reader
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut tsr)
        .map_err(|e| format!("The authority's answer was cut ({e}). It is asked again."))?;
    if tsr.len() > MAX_BYTES {
        let why = "The authority's answer is too long. Check `tsa.url`.";
        return Err(Missed::Once(why.into()));
    }
    let trust = Trust::none();
    let expected = Expected {
        digest,
        nonce: Some(&query.nonce),
        trust: &trust,
    };
    judge(&timestamp::check(&tsr, expected).faults).map(|()| tsr)
}

/// Whether an answer with these faults is kept, and if not, whether another one could be.
fn judge(faults: &[TimestampFault]) -> Result<(), Missed> {
    let lies_with_its_certificate = |fault: &&TimestampFault| {
        matches!(
            fault,
            TimestampFault::NotAnAuthority
                | TimestampFault::BadChain(_)
                | TimestampFault::OutsideWindow
        )
    };
    if let Some(fault) = faults.iter().find(lies_with_its_certificate) {
        let why = match fault {
            TimestampFault::BadChain(why) => {
                format!("its certificate can't be followed to an issuer: {why}")
            }
            TimestampFault::OutsideWindow => "its certificate has ended or not begun".to_owned(),
            _ => "its certificate is not for time stamps alone (a critical extended key usage timeStamping, and CA:FALSE)".to_owned(),
        };
        return Err(Missed::ForGood(format!(
            "The time-stamping authority at `tsa.url` can't be used: {why}. Have its certificate replaced, or name another authority; it is asked again once an hour."
        )));
    }
    match faults.first() {
        None => Ok(()),
        Some(fault) => Err(Missed::Once(format!(
            "The authority's answer does not hold: {fault}"
        ))),
    }
}
