//! Legal holds: signed here, lifted here, and believed only when somebody who may has signed them.

use anyhow::{Context as _, ensure};
use evidence::{
    custody::receipt::Proven,
    digest::Digest,
    envelope::{self, Envelope},
    ids::HoldId,
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    hold::{Covers, Hold, HoldLift, HoldRow, Holds, LiftHold, MAY_HOLD, PlaceHold},
    name::Name,
    policy::{Policy, Role},
    version::VERSION,
};

use crate::{exit::misuse, session::Session};

/// A hold as the server shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What it says.
    pub hold: Hold,
    /// Digest of its payload.
    pub sha256: Digest,
    /// Whether somebody who may has signed it, and its lifting where there is one, by the policies known here.
    pub is_signed: bool,
    /// What the server says of it.
    pub row: HoldRow,
}

impl Shown {
    /// Whether it keeps anything now.
    pub fn is_in_force(&self) -> bool {
        self.row.lift.is_none()
    }
}

/// Reads every hold; one of these policies must know its signer.
///
/// # Errors
/// One does not read.
pub fn read(answer: Holds, policies: &[Policy]) -> anyhow::Result<Vec<Shown>> {
    let shown = |row: HoldRow| {
        let envelope = Envelope::parse(row.hold.as_bytes())?;
        let (hold, sha256) = (Hold::read(&envelope)?, envelope.digest());
        let placed = policies.iter().any(|p| Hold::open(&envelope, p).is_ok());
        let lifted = match &row.lift {
            None => true,
            Some(lift) => {
                let lift = Envelope::parse(lift.as_bytes())?;
                let mut opened = policies
                    .iter()
                    .map(|p| HoldLift::open(&lift, p, &hold, sha256));
                opened.any(|lift| lift.is_ok())
            }
        };
        Ok(Shown {
            hold,
            sha256,
            is_signed: placed && lifted,
            row,
        })
    };
    answer.holds.into_iter().map(shown).collect()
}

/// The hold to be signed.
///
/// # Errors
/// The person may place none for the agency, or has several and names none.
pub fn draft(
    session: &Session,
    covers: Covers,
    agency: Option<&Name>,
    reason: &str,
) -> anyhow::Result<Hold> {
    let me = &session.me;
    let mut own = me.agencies.iter();
    let agency = match (agency, own.next(), own.next()) {
        (Some(agency), ..) => agency,
        (None, Some(one), None) => one,
        _ => {
            return Err(misuse(
                "You act for several agencies. Name one with --agency.",
            ));
        }
    };
    ensure!(
        MAY_HOLD.iter().any(|role| me.may(*role, agency)),
        "The policy does not name {} as investigator, approver or admin for {agency}. Ask one of them to place the hold.",
        me.id
    );
    Ok(Hold {
        v: VERSION,
        id: HoldId::random().context("The system gives no random numbers.")?,
        deployment: session.believed.policy.deployment.clone(),
        agency: agency.clone(),
        covers,
        by: me.id.clone(),
        time: Instant::now(),
        reason: reason.to_owned(),
    })
}

/// Signs `hold` and hands it in; it counts once the server has it.
///
/// # Errors
/// The server does not take it, or its receipt proves nothing.
pub fn place(session: &Session, hold: &Hold, key: &SigningKey) -> anyhow::Result<Proven> {
    let signed = Envelope::sign_document(envelope::HOLD, hold, key)?;
    let sent = PlaceHold {
        v: VERSION,
        hold: String::from_utf8(signed.to_json()?)?,
    };
    session.prove_logged(&session.remote.place_hold(&sent)?.receipt)
}

/// The lifting of a hold, to be signed.
///
/// # Errors
/// The person is no admin of its agency, or has placed it.
pub fn draft_lift(session: &Session, shown: &Shown, reason: &str) -> anyhow::Result<HoldLift> {
    let (me, hold) = (&session.me, &shown.hold);
    ensure!(
        me.may(Role::Admin, &hold.agency),
        "The policy does not name {} as admin for {}. Ask one to lift the hold.",
        me.id,
        hold.agency
    );
    ensure!(
        hold.by != me.id,
        "You have placed this hold yourself. Ask another admin of {} to lift it.",
        hold.agency
    );
    Ok(HoldLift {
        v: VERSION,
        deployment: hold.deployment.clone(),
        hold: hold.id,
        hold_sha256: shown.sha256,
        by: me.id.clone(),
        time: Instant::now(),
        reason: reason.to_owned(),
    })
}

/// Signs the lifting and hands it in.
///
/// # Errors
/// The server does not take it, or its receipt proves nothing.
pub fn lift(session: &Session, lift: &HoldLift, key: &SigningKey) -> anyhow::Result<Proven> {
    let signed = Envelope::sign_document(envelope::HOLD_LIFT, lift, key)?;
    let sent = LiftHold {
        v: VERSION,
        lift: String::from_utf8(signed.to_json()?)?,
    };
    session.prove_logged(&session.remote.lift_hold(lift.hold, &sent)?.receipt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at};

    #[test]
    fn a_hold_is_believed_when_it_and_its_lifting_are_signed_by_two_who_may() {
        let world = World::new();
        let hold = Hold {
            v: VERSION,
            id: HoldId::from_bytes([1; 16]),
            deployment: world.policy.deployment.clone(),
            agency: "lab".parse().unwrap(),
            covers: Covers::Case {
                case: "2026-1".into(),
            },
            by: "ann".parse().unwrap(),
            time: at(1),
            reason: "4 Gs 12/26".into(),
        };
        let text = |envelope: Envelope| String::from_utf8(envelope.to_json().unwrap()).unwrap();
        let signed = |key| Envelope::sign_document(envelope::HOLD, &hold, key).unwrap();
        let lifted = |key| {
            let lift = HoldLift {
                v: VERSION,
                deployment: hold.deployment.clone(),
                hold: hold.id,
                hold_sha256: signed(&world.ann).digest(),
                by: "eve".parse().unwrap(),
                time: at(2),
                reason: "closed".into(),
            };
            text(Envelope::sign_document(envelope::HOLD_LIFT, &lift, key).unwrap())
        };
        let believed = |key, lift: Option<String>| {
            let row = HoldRow {
                hold: text(signed(key)),
                placed: at(1),
                receipt: "{}".into(),
                lifted: lift.as_ref().map(|_| at(2)),
                lift,
                collections: 0,
            };
            let holds = vec![row];
            let shown = read(
                Holds { v: VERSION, holds },
                std::slice::from_ref(&world.policy),
            )
            .unwrap();
            (shown[0].is_signed, shown[0].is_in_force())
        };
        assert_eq!(believed(&world.ann, None), (true, true));
        assert_eq!(believed(&world.eve, None), (false, true));
        assert_eq!(
            believed(&world.ann, Some(lifted(&world.eve))),
            (true, false)
        );
        assert_eq!(
            believed(&world.ann, Some(lifted(&world.ann))),
            (false, false)
        );
    }
}
