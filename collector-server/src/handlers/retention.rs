//! How long evidence is kept: admins set rules, everybody of the agency reads them, and when what expires.

use axum::{Extension, extract::State};
use evidence::{envelope::Envelope, instant::Instant};
use protocol::{
    messages::Logged,
    policy::Role,
    retention::{Due, Retention, RetentionRule, SetRetention},
    version::VERSION,
};

use super::{Answer, App, Message, json};
use crate::{access::Caller, refusal::Refusal, store::retention::NewRule};

/// `POST /v1/retention`.
pub(crate) async fn set(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<SetRetention>,
) -> Answer {
    let asker = caller.person()?;
    let envelope = Envelope::parse(sent.rule.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the rule: {e}")))?;
    let said = RetentionRule::read(&envelope)?;
    if said.by != asker.person.id
        || !asker.person.may(Role::Admin, &said.agency)
        || envelope.signatures().len() != 1
    {
        return Err(Refusal::Denied(
            "The rule is not your own, or you are no admin of its agency. Sign one for an agency of yours, with your own key alone.",
        ));
    }
    let rule = RetentionRule::open(&envelope, &server.documents().policy)?;
    let new = NewRule {
        sha256: envelope.digest(),
        envelope: sent.rule,
        taken: Instant::now(),
        rule,
    };
    tracing::warn!(agency = %new.rule.agency, version = new.rule.version, by = %new.rule.by, "a retention rule was set");
    json(&Logged {
        v: VERSION,
        receipt: server.take_rule(new).await?,
    })
}

/// `GET /v1/retention`.
pub(crate) async fn list(State(server): App, Extension(caller): Extension<Caller>) -> Answer {
    let scope = caller.person()?.scope;
    let rules = server.index.rules(&scope, server.notice_ns()).await?;
    json(&Retention { v: VERSION, rules })
}

/// `GET /v1/retention/due`.
pub(crate) async fn due(State(server): App, Extension(caller): Extension<Caller>) -> Answer {
    let scope = caller.person()?.scope;
    let collections = server.index.due(&scope, server.notice_ns()).await?;
    json(&Due {
        v: VERSION,
        collections,
    })
}
