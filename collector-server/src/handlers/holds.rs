//! Legal holds: placed by who may order or approve, lifted by another person, an admin.

use axum::{
    Extension,
    extract::{Path, State},
};
use evidence::{envelope::Envelope, ids::HoldId, instant::Instant};
use protocol::{
    error::DocumentError,
    hold::{Hold, HoldLift, Holds, LiftHold, MAY_HOLD, PlaceHold},
    messages::Logged,
    version::VERSION,
};

use super::{Answer, App, Message, json};
use crate::{access::Caller, refusal::Refusal};

/// `POST /v1/holds`.
pub(crate) async fn place(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<PlaceHold>,
) -> Answer {
    let asker = caller.person()?;
    let envelope = Envelope::parse(sent.hold.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the hold: {e}")))?;
    let said = Hold::read(&envelope)?;
    let may = MAY_HOLD
        .iter()
        .any(|role| asker.person.may(*role, &said.agency));
    if said.by != asker.person.id || !may || envelope.signatures().len() != 1 {
        return Err(Refusal::Denied(
            "The hold is not your own, or you may place none for its agency. Sign one for an agency of yours, with your own key alone.",
        ));
    }
    let hold = Hold::open(&envelope, &server.documents().policy)?;
    let receipt = server
        .place_hold(hold, &envelope, sent.hold, Instant::now())
        .await?;
    tracing::info!(hold = %said.id, by = %said.by, "a legal hold was placed");
    json(&Logged {
        v: VERSION,
        receipt,
    })
}

/// `POST /v1/holds/{hold}/lift`.
pub(crate) async fn lift(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Message(sent): Message<LiftHold>,
) -> Answer {
    let asker = caller.person()?;
    let id: HoldId = id.parse().map_err(|_| Refusal::NotFound)?;
    let held = server.index.hold(id, &asker.scope).await?;
    let (held, _) = held.ok_or(Refusal::NotFound)?;
    let held = Envelope::parse(held.as_bytes()).map_err(Refusal::failed)?;
    let envelope = Envelope::parse(sent.lift.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the lifting: {e}")))?;
    let (hold, documents) = (Hold::read(&held)?, server.documents());
    let lift = match HoldLift::open(&envelope, &documents.policy, &hold, held.digest()) {
        Ok(lift) if lift.by == asker.person.id && envelope.signatures().len() == 1 => lift,
        Ok(_) | Err(DocumentError::NotAuthorised(_)) => {
            return Err(Refusal::Denied(
                "A hold is lifted by an admin of its agency who has not placed it, with their own key alone. Ask another admin.",
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let receipt = server
        .lift_hold(&hold, &envelope, sent.lift, Instant::now())
        .await?;
    tracing::warn!(hold = %id, by = %lift.by, "a legal hold was lifted");
    json(&Logged {
        v: VERSION,
        receipt,
    })
}

/// `GET /v1/holds`.
pub(crate) async fn list(State(server): App, Extension(caller): Extension<Caller>) -> Answer {
    let scope = caller.person()?.scope;
    let holds = server.index.holds(&scope).await?;
    json(&Holds { v: VERSION, holds })
}
