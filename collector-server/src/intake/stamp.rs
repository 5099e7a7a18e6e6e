//! Time stamps for what was kept: an outside authority is asked until it has answered.
//!
//! The whole RFC 3161 response over the statement's bytes is stored beside the part. Whether
//! the authority is one that a court trusts is for whoever verifies.

use std::{io::Read as _, sync::Arc, time::Duration};

use evidence::{
    digest::Digest,
    seal::Trust,
    timestamp::{self, Expected, MAX_BYTES, QUERY_TYPE},
};
use tokio::{task::spawn_blocking, time::timeout};
use ureq::Agent;

use crate::{
    config::Tsa,
    state::Server,
    store::{index::Change, parts},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
const ANSWER: Duration = Duration::from_secs(30);

/// Stamps every part that has none, from now until it is dropped.
pub async fn run(server: Arc<Server>, tsa: Tsa) {
    let config = Agent::config_builder()
        .timeout_global(Some(ANSWER))
        .max_redirects(0)
        .build();
    let agent: Agent = config.into();
    let mut pause = FIRST_PAUSE;
    loop {
        match stamp_oldest(&server, &agent, &tsa.url).await {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => {
                // A part that came meanwhile has left its notice.
                let _ = timeout(LONGEST_PAUSE, server.unstamped.notified()).await;
            }
            Err(error) => {
                tracing::warn!(%error, again_s = pause.as_secs(), "no time stamp was had");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Stamps one part; says whether there was one.
async fn stamp_oldest(server: &Server, agent: &Agent, url: &str) -> Result<bool, String> {
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
fn ask(agent: &Agent, url: &str, digest: Digest) -> Result<Vec<u8>, String> {
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
        return Err("The authority's answer is too long. Check `tsa.url`.".into());
    }
    let trust = Trust::none();
    let expected = Expected {
        digest,
        nonce: Some(&query.nonce),
        trust: &trust,
    };
    match timestamp::check(&tsr, expected).faults.first() {
        None => Ok(tsr),
        Some(fault) => Err(format!("The authority's answer does not hold: {fault}")),
    }
}
