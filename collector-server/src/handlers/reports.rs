//! Agents say how orders fare. A refusal counts only with the seal key's signature.

use axum::{Extension, extract::State, http::StatusCode, response::IntoResponse as _};
use evidence::{
    custody::event::Action,
    envelope::Envelope,
    ids::{AgentId, OrderId},
};
use protocol::{
    messages::{AgentReport, Report},
    order::RefusalNotice,
};

use super::{Answer, App, Message, enrolment::seal_keys};
use crate::{
    access::Caller,
    refusal::Refusal,
    state::Server,
    store::{
        index::Change,
        orders::{Change as OrderChange, Said},
    },
};

/// The longest text of an early end that is kept.
const MAX_WHY_CHARS: usize = 1_000;
/// The longest name of an artifact in a progress report.
const MAX_ARTIFACT_BYTES: usize = 64;

/// `POST /v1/agent/reports`.
pub(crate) async fn take(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<AgentReport>,
) -> Answer {
    let agent = caller.agent()?.id;
    let (order, said) = match sent.report {
        Report::Accepted { order, collection } => (order, Said::Accepted(collection)),
        Report::Refused { notice } => refused(&server, agent, notice).await?,
        Report::Progress {
            order,
            collection,
            progress,
        } => {
            if progress.artifact.len() > MAX_ARTIFACT_BYTES {
                return Err(Refusal::Malformed("no artifact has such a name".into()));
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
    };
    server.saw(agent);
    let change = OrderChange::Said { order, agent, said };
    server.change(Change::Order(change)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Checks a notice of refusal, logs it, and says which order it is about.
async fn refused(
    server: &Server,
    agent: AgentId,
    notice: String,
) -> Result<(OrderId, Said), Refusal> {
    let envelope = Envelope::parse(notice.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the notice: {e}")))?;
    let mut read = Err(Refusal::NotFound);
    for key in seal_keys(server, agent).await? {
        read = RefusalNotice::open(&envelope, &key).map_err(Refusal::from);
        if read.is_ok() {
            break;
        }
    }
    let said = read?;
    if said.agent != agent {
        return Err(Refusal::unacceptable(
            "the notice is another agent's. Send your own.",
        ));
    }
    let order = server.index.order_of(agent, said.order_digest).await?;
    let order = order.ok_or(Refusal::NotFound)?;
    server
        .custody
        .log(Action::Refused {
            agent,
            order_sha256: said.order_digest,
            notice_sha256: envelope.digest(),
        })
        .await?;
    Ok((order, Said::Refused(notice)))
}
