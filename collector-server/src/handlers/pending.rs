//! Hosts that a token holds for approval: an admin of their agency lists them, lets them in or turns them away.

use axum::{Extension, extract::State};
use evidence::{envelope::Envelope, instant::Instant};
use protocol::{
    admission::{Admission, DecideHost, PendingHosts},
    messages::Logged,
    version::VERSION,
};

use super::{Answer, App, Message, json};
use crate::{access::Caller, refusal::Refusal};

/// `GET /v1/hosts/pending`.
pub(crate) async fn list(State(server): App, Extension(caller): Extension<Caller>) -> Answer {
    let scope = caller.person()?.scope;
    let hosts = server.index.pending(&scope, Instant::now()).await?;
    json(&PendingHosts { v: VERSION, hosts })
}

/// `POST /v1/hosts/pending`.
pub(crate) async fn decide(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<DecideHost>,
) -> Answer {
    let asker = caller.person()?;
    let envelope = Envelope::parse(sent.admission.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the admission: {e}")))?;
    let said = Admission::read(&envelope)?;
    let standing = server.index.standing(said.seal_key).await?;
    let standing = standing.filter(|s| asker.scope.holds(&s.host.agency));
    let host = standing.ok_or(Refusal::NotFound)?.host;
    if said.by != asker.person.id || envelope.signatures().len() != 1 {
        return Err(Refusal::Denied(
            "The word is not your own. Sign one with your own key alone.",
        ));
    }
    let word = Admission::open(&envelope, &server.documents().policy)?;
    if (&word.agency, word.host) != (&host.agency, host.host.id) {
        return Err(Refusal::unacceptable(
            "the word is for another agency or host than the one that waits with this key. List them again.",
        ));
    }
    let receipt = server.admit_by(&word, sent.admission).await?;
    tracing::info!(host = %word.host, by = %word.by, verdict = ?word.verdict, "a host that waited was decided on");
    json(&Logged {
        v: VERSION,
        receipt,
    })
}
