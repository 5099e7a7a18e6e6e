//! What the investigator did with evidence, signed and handed to the custody log.

use anyhow::Context as _;
use evidence::{
    custody::event::{Action, Event, Outcome, StoredPart},
    instant::Instant,
    keys::SigningKey,
    verify::{Code, CollectionReport, PartReport, Verdict},
};
use protocol::policy::Role;

use crate::{exit::Exit, inert::inert, session::Session};

/// Signs `action`, hands it in with the reason whose digest it holds, if any, and checks that the log holds it.
///
/// # Errors
/// The server refuses it, or its receipt does not prove it.
pub fn hand_in(
    session: &Session,
    key: &SigningKey,
    (action, reason): (Action, Option<String>),
    now: Instant,
) -> anyhow::Result<u64> {
    let leaf = Event::sign(action, now, key)?.to_json()?;
    let text = String::from_utf8(leaf.clone()).context("The leaf is not text.")?;
    let logged = session.remote.submit_event(text, reason)?;
    let proven = session.prove_logged(&logged.receipt)?;
    anyhow::ensure!(
        proven.leaf == leaf,
        "The server gave a receipt for something else. Tell its operator."
    );
    Ok(proven.index)
}

/// What became of one part when what was found in it was recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The part's file; hostile text.
    pub file: String,
    /// The leaf, or why there is none.
    pub leaf: Result<u64, &'static str>,
}

impl Recorded {
    /// In a line, inert.
    pub fn in_words(&self) -> String {
        let name = inert(&self.file);
        match self.leaf {
            Ok(index) => format!("{name}: recorded as leaf {index} of the custody log"),
            Err(why) => format!("{name}: not recorded, since {why}"),
        }
    }
}

/// `verify --record`: says in the custody log what was found in each part that was read whole, and tells it part by part.
///
/// A part whose contents were not read is told and left out: nothing was found out about it.
/// The exit code is [`Exit::Partial`] where a part is left out, and [`Exit::Done`] otherwise.
///
/// # Errors
/// The person is no investigator, or the server can't be reached. A part that the server does
/// not have (a changed copy has another digest) is told and does not stop the rest.
pub fn record(
    session: &Session,
    unlock: impl FnOnce() -> anyhow::Result<SigningKey>,
    reports: &[CollectionReport],
    tell: &mut dyn FnMut(Recorded) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    session.demand(Role::Investigator)?;
    let key = unlock()?;
    let mut exit = Exit::Done;
    for part in reports.iter().flat_map(|r| &r.parts) {
        let leaf = record_part(session, &key, part)?;
        if leaf.is_err() {
            exit = Exit::Partial;
        }
        let file = part.file.clone();
        tell(Recorded { file, leaf })?;
    }
    Ok(exit)
}

fn record_part(
    session: &Session,
    key: &SigningKey,
    part: &PartReport,
) -> anyhow::Result<Result<u64, &'static str>> {
    let Some((stored, outcome)) = finding(part) else {
        return Ok(Err("its contents were not read"));
    };
    let action = Action::Verified {
        part: stored,
        outcome,
    };
    match hand_in(session, key, (action, None), Instant::now()) {
        Ok(index) => Ok(Ok(index)),
        Err(error) if is_unknown_part(&error) => Ok(Err("the server has no such part")),
        Err(error) => Err(error),
    }
}

fn is_unknown_part(error: &anyhow::Error) -> bool {
    let remote = error.downcast_ref::<crate::remote::RemoteError>();
    remote.and_then(crate::remote::RemoteError::status) == Some(404)
}

/// What was found in a part as it is stored; none where it was not read whole.
fn finding(part: &PartReport) -> Option<(StoredPart, Outcome)> {
    let unread = [Code::ContentUnread, Code::IdentityWrong, Code::Unreadable];
    if unread.iter().any(|&code| part.findings.has(code)) {
        return None;
    }
    let stored = StoredPart {
        collection: part.collection?,
        part: part.number?,
        // Opened and encrypted may lie side by side.
        stored_sha256: part.cipher_sha256.or(part.plain_sha256)?,
    };
    let outcome = match part.findings.verdict() {
        Verdict::GenuineComplete if part.counts.gaps == 0 => Outcome::Genuine,
        Verdict::GenuineComplete | Verdict::GenuineReserved => Outcome::GenuineWithGaps,
        Verdict::NotGenuine => Outcome::NotGenuine,
    };
    Some((stored, outcome))
}

#[cfg(test)]
mod tests {
    use evidence::{digest::Digest, ids::CollectionId};

    use super::*;

    fn part() -> PartReport {
        let mut part = PartReport::default();
        part.encrypted = true;
        part.opened = true;
        part.collection = Some(CollectionId::from_bytes([1; 16]));
        part.number = Some(2);
        part.cipher_sha256 = Some(Digest::of(b"cipher"));
        part.plain_sha256 = Some(Digest::of(b"plain"));
        part
    }

    #[test]
    fn a_part_is_recorded_by_what_the_server_stores() {
        let (stored, outcome) = finding(&part()).unwrap();
        assert_eq!(stored.stored_sha256, Digest::of(b"cipher"));
        assert_eq!((stored.part, outcome), (2, Outcome::Genuine));
        let mut plain = part();
        (plain.encrypted, plain.cipher_sha256) = (false, None);
        assert_eq!(
            finding(&plain).unwrap().0.stored_sha256,
            Digest::of(b"plain")
        );
    }

    #[test]
    fn gaps_and_faults_are_said_and_the_unread_is_not() {
        let with = |code: Code| {
            let mut part = part();
            part.findings.add(code, "", "");
            finding(&part).map(|(_, outcome)| outcome)
        };
        assert_eq!(with(Code::SignerUnknown), Some(Outcome::GenuineWithGaps));
        assert_eq!(with(Code::SealInvalid), Some(Outcome::NotGenuine));
        assert_eq!(with(Code::ContentUnread), None);
        assert_eq!(with(Code::IdentityWrong), None);
        let mut gaps = part();
        gaps.counts.gaps = 1;
        assert_eq!(finding(&gaps).unwrap().1, Outcome::GenuineWithGaps);
    }
}
