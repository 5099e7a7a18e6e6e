//! Agents say how orders fare. A refusal counts only with the seal key's signature.

use axum::{Extension, extract::State, http::StatusCode, response::IntoResponse as _};
use evidence::{
    custody::event::Action,
    envelope::Envelope,
    ids::{AgentId, OrderId},
    instant::Instant,
};
use protocol::{
    messages::{AgentReport, Report},
    order::RefusalNotice,
};

use serde_json::json;

use super::{Answer, App, Message, enrolment::seal_keys};
use crate::{
    access::Caller,
    refusal::Refusal,
    siem::Severity,
    state::Server,
    store::{
        index::Change,
        orders::{Change as OrderChange, Said},
    },
};

/// The longest text of an early end that is kept.
const MAX_WHY_CHARS: usize = 1_000;
/// The largest number that every reader of JSON takes for what it is.
const MAX_COUNT: u64 = 1 << 53;
/// The longest name of an artifact in a progress report.
const MAX_ARTIFACT_BYTES: usize = 64;

/// `POST /v1/agent/reports`.
pub(crate) async fn take(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<AgentReport>,
) -> Answer {
    let agent = caller.agent()?.id;
    server.saw(agent);
    let (order, said) = match sent.report {
        Report::Accepted { order, collection } => (order, Said::Accepted(collection)),
        Report::Refused { notice } => match refused(&server, agent, notice).await? {
            Some(news) => news,
            None => return Ok(StatusCode::NO_CONTENT.into_response()),
        },
        Report::Progress {
            order,
            collection,
            progress,
        } => {
            if progress.artifact.len() > MAX_ARTIFACT_BYTES {
                return Err(Refusal::Malformed("no artifact has such a name".into()));
            }
            let counts = [
                progress.records,
                progress.files,
                progress.file_bytes,
                progress.gaps,
            ];
            if counts.iter().any(|count| *count > MAX_COUNT) {
                return Err(Refusal::Malformed("nobody counts as far".into()));
            }
            (order, Said::Progress(collection, progress))
        }
        Report::Ended {
            order,
            collection,
            ended_early,
            ..
        } => {
            let why = ended_early.map(|why| why.chars().take(MAX_WHY_CHARS).collect());
            (order, Said::Ended(collection, why))
        }
        Report::Cancelled { order } => (order, Said::CancelHeld),
        Report::Held { order } => (order, Said::Held),
        Report::Capturing {
            order,
            collection,
            number,
        } => {
            let at = Instant::now();
            let capturing = Said::Capturing {
                collection,
                number,
                at,
            };
            (order, capturing)
        }
        Report::Over { order, why } => {
            (order, Said::Over(why.chars().take(MAX_WHY_CHARS).collect()))
        }
    };
    let change = OrderChange::Said { order, agent, said };
    server.change(Change::Order(change)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Checks a notice of refusal, and says which order it is about; none where it brings nothing new.
///
/// Only a refusal of the very copy that the agent is handed settles the order and is logged: whoever stands between
/// can have a crippled copy refused as well.
async fn refused(
    server: &Server,
    agent: AgentId,
    notice: String,
) -> Result<Option<(OrderId, Said)>, Refusal> {
    let envelope = Envelope::parse(notice.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the notice: {e}")))?;
    let said = read_notice(server, agent, &envelope).await?;
    let held = server.index.handed(agent, said.order_digest).await?;
    let held = held.ok_or(Refusal::NotFound)?;
    let is_ours = held.handed.digest() == said.handed_digest;
    if held.is_answered || !is_ours && held.has_refusal {
        return Ok(None);
    }
    if is_ours {
        let action = Action::Refused {
            agent,
            order_sha256: said.order_digest,
            notice_sha256: envelope.digest(),
        };
        server.custody.log(action).await?;
    } else {
        let what =
            json!({"agent": agent, "order": held.order, "handed_sha256": said.handed_digest});
        server
            .bulletin
            .tell("alarm.other_copy_of_an_order", Severity::Alert, what);
        tracing::warn!(%agent, order = %held.order, "an agent refuses another copy of an order than it was handed; the order goes on waiting");
    }
    let handed = said.handed_digest;
    Ok(Some((held.order, Said::Refused { notice, handed })))
}

/// The notice, signed by a seal key of the agent that sends it.
async fn read_notice(
    server: &Server,
    agent: AgentId,
    envelope: &Envelope,
) -> Result<RefusalNotice, Refusal> {
    let mut read = Err(Refusal::NotFound);
    for key in seal_keys(server, agent).await? {
        read = RefusalNotice::open(envelope, &key).map_err(Refusal::from);
        if read.is_ok() {
            break;
        }
    }
    let said = read?;
    match said.agent == agent {
        true => Ok(said),
        false => Err(Refusal::unacceptable(
            "the notice is another agent's. Send your own.",
        )),
    }
}
