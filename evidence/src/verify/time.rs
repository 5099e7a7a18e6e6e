//! When a part was sealed, and on whose word that rests: a time stamp, the server, or the signer alone.

use serde::Serialize;

use super::verdict::{Code, Findings};
use crate::{
    digest::Digest,
    instant::Instant,
    records::Clock,
    seal::Trust,
    timestamp::{self, Expected},
};

/// So far two clocks may be apart before it is told.
const APART_S: i64 = 60;

/// On whose word a time rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A time-stamping authority whose root was given.
    Stamp,
    /// The server's receipt in the custody log.
    Receipt,
    /// The signer's own clock.
    Claim,
}

impl Basis {
    /// In words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Stamp => "by the time stamp of an outside authority",
            Self::Receipt => "by the server's receipt in the custody log",
            Self::Claim => "by the host's own clock alone",
        }
    }
}

/// The best time known: the part was sealed then, or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SealTime {
    /// When.
    pub at: Instant,
    /// By whose word.
    pub basis: Basis,
}

/// A time stamp that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stamp {
    /// The stamped time.
    pub at: Instant,
    /// The authority's name in its certificate; hostile text.
    pub authority: String,
    /// Whether the authority leads to a root that was given.
    pub anchored: bool,
}

/// Checks the time stamp over the statement file's bytes.
pub(super) fn check_stamp(
    response: &[u8],
    statement: &[u8],
    trust: &Trust,
    findings: &mut Findings,
) -> Option<Stamp> {
    const SUBJECT: &str = "time stamp";
    let expected = Expected {
        digest: Digest::of(statement),
        nonce: None,
        trust,
    };
    let report = timestamp::check(response, expected);
    for fault in &report.faults {
        findings.add(Code::StampInvalid, SUBJECT, fault);
    }
    let stamp = report.stamp.filter(|_| report.faults.is_empty())?;
    if !stamp.is_known {
        let text = format!(
            "{} leads to no root that was given with --tsa-trust, so no time rests on it.",
            stamp.authority
        );
        findings.add(Code::StampUnanchored, SUBJECT, text);
    }
    Some(Stamp {
        at: stamp.time,
        authority: stamp.authority,
        anchored: stamp.is_known,
    })
}

/// The best of the three times, and a note that says which.
pub(super) fn best(
    stamp: Option<&Stamp>,
    received: Option<Instant>,
    claimed: Option<Instant>,
    findings: &mut Findings,
) -> Option<SealTime> {
    let stamp = stamp.filter(|s| s.anchored).map(|s| s.at);
    let (at, basis, code) = match (stamp, received, claimed) {
        (Some(at), _, _) => (at, Basis::Stamp, Code::StampTime),
        (None, Some(at), _) => (at, Basis::Receipt, Code::ReceiptTime),
        (None, None, Some(at)) => (at, Basis::Claim, Code::SignerTime),
        (None, None, None) => return None,
    };
    let text = at
        .to_rfc3339()
        .unwrap_or_else(|| "a year beyond 9999".into());
    findings.add(code, "", format!("Sealed at {text} or before."));
    if basis != Basis::Claim
        && let Some(claim) = claimed
        && claim.seconds > at.seconds.saturating_add(APART_S)
    {
        let text = "The host's clock claims a later time than the outside one.";
        findings.add(Code::ClockWrong, "", text);
    }
    Some(SealTime { at, basis })
}

/// Tells a host's clock that was far from the server's.
pub(super) fn check_clock(clock: Option<Clock>, findings: &mut Findings) {
    let Some(clock) = clock else { return };
    let apart_ms = clock
        .offset_ms
        .unsigned_abs()
        .saturating_sub(clock.bound_ms);
    if apart_ms > APART_S.unsigned_abs() * 1000 {
        let direction = if clock.offset_ms > 0 {
            "ahead of"
        } else {
            "behind"
        };
        let text = format!(
            "It was {} s {direction} the server's signed time.",
            clock.offset_ms.unsigned_abs() / 1000
        );
        findings.add(Code::ClockWrong, "collection.json", text);
    }
}
