//! What lies beside a part: statement, time stamp, receipts; and what follows from them for its signer.

use super::{
    custody::{self, Stored},
    order::{self, Authority},
    part::{Options, PartReport},
    signer,
    statement::{self, Stated},
    sums::SEAL,
    time::{self, Basis},
    verdict::Code,
};
use crate::{digest::Digest, instant::Instant, seal, statement::VerifiedStatement};

/// What lies beside a part and in its collection's folder, as bytes.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// `part-0001.statement.json`.
    pub statement: Option<Vec<u8>>,
    /// `part-0001.tsr`.
    pub stamp: Option<Vec<u8>>,
    /// `part-0001.receipt`.
    pub receipt: Option<Vec<u8>>,
    /// `enrolment.receipt`, and further ones where the seal key was renewed meanwhile.
    pub enrolments: Vec<Vec<u8>>,
    /// `revocation.receipt`.
    pub revocation: Option<Vec<u8>>,
}

/// Checks all of it; `sealed` is who made the seal inside, where the part was opened.
pub(super) fn check(
    beside: &Beside,
    options: &Options,
    authority: &Authority,
    sealed: Option<seal::Signer>,
    plain_bytes: Option<u64>,
    report: &mut PartReport,
) {
    let stated = check_statement(beside, options, plain_bytes, report);
    if let Some(stated) = &stated {
        let recipients = &stated.statement.wrapping.recipients;
        order::check_recipients(recipients, authority, &mut report.findings);
    }
    let signer = sealed.or_else(|| stated.as_ref().map(|s| s.signer.clone()));
    check_outside_times(beside, options, authority, stated.as_ref(), report);
    let claimed = signer.as_ref().and_then(|s| s.signed_at);
    let claimed = claimed.or(stated.as_ref().map(|s| s.statement.time));
    report.time = time::best(
        report.stamp.as_ref(),
        report.received,
        claimed,
        &mut report.findings,
    );
    if let Some(signer) = &signer {
        let at = report.time.map(|t| t.at);
        let unsound = [Code::SealInvalid, Code::SealChain, Code::SealIdentity];
        if !unsound.iter().any(|code| report.findings.has(*code)) {
            signer::say_standing(signer, at, &mut report.findings);
        }
        let ordered = authority.ordered.as_ref();
        if !signer.is_known && ordered.is_some_and(|o| o.policy_trusted) {
            let text = "Only an enrolled agent can act on an order of the deployment.";
            report.findings.add(Code::SealChain, SEAL, text);
        }
        check_custody(beside, authority, signer, at, report);
        if signer.is_known && report.record.as_ref().is_some_and(|r| r.order.is_none()) {
            let text = "It was collected locally, by an enrolled agent.";
            report.findings.add(Code::OrderAbsent, "", text);
        }
    }
    say_statement_absent(beside, signer.as_ref(), report);
    say_unchecked(options, authority, report);
}

fn check_statement(
    beside: &Beside,
    options: &Options,
    plain_bytes: Option<u64>,
    report: &mut PartReport,
) -> Option<VerifiedStatement> {
    let bytes = beside.statement.as_ref()?;
    let verified = statement::check(bytes, plain_bytes, &options.trust, report)?;
    if !report.opened {
        believe(&Stated::of(&verified), report);
    }
    Some(verified)
}

/// Without the contents, the statement says where the part belongs.
fn believe(stated: &Stated, report: &mut PartReport) {
    report.collection = Some(stated.collection);
    report.number = Some(stated.part);
    report.plain_sha256 = Some(stated.plain_sha256);
    report.previous_sha256 = Some(stated.previous_sha256);
    report.last = stated.last;
    report.signer = stated.signer.clone();
}

/// Time stamp and receipt: others than the signer who have seen the part.
fn check_outside_times(
    beside: &Beside,
    options: &Options,
    authority: &Authority,
    stated: Option<&VerifiedStatement>,
    report: &mut PartReport,
) {
    match (&beside.stamp, &beside.statement) {
        (Some(stamp), Some(statement)) => {
            let findings = &mut report.findings;
            report.stamp = time::check_stamp(stamp, statement, &options.stamp_trust, findings);
        }
        (Some(_), None) => {
            let text = "the time stamp: the statement that it is over is missing";
            report.not_checked.push(text.into());
        }
        (None, _) => report
            .not_checked
            .push("a time stamp: none lies beside the part".into()),
    }
    let Some(receipt) = &beside.receipt else {
        let text = "a custody receipt: none lies beside the part";
        report.not_checked.push(text.into());
        return;
    };
    if authority.policies.is_empty() {
        let text = "the custody receipt: no policy that counts names the log's key";
        report.not_checked.push(text.into());
        return;
    }
    let stored = Stored {
        collection: report.collection,
        number: report.number,
        agent: report.signer.as_ref().and_then(|s| s.agent),
        sha256: stored_sha256(stated, report),
        statement_sha256: stated.map(|s| s.digest),
    };
    report.received =
        custody::check_received(receipt, stored, &authority.policies, &mut report.findings);
}

/// Of the file that was sent: the ciphertext, here or as stated.
fn stored_sha256(stated: Option<&VerifiedStatement>, report: &PartReport) -> Option<Digest> {
    let said = || stated.map(|s| s.statement.stored().sha256);
    report.cipher_sha256.or_else(said)
}

/// Enrolment and revocation of whoever sealed.
fn check_custody(
    beside: &Beside,
    authority: &Authority,
    signer: &seal::Signer,
    at: Option<Instant>,
    report: &mut PartReport,
) {
    if authority.policies.is_empty() {
        if !beside.enrolments.is_empty() || beside.revocation.is_some() {
            let text =
                "the agent's enrolment and revocation: no policy that counts names the log's key";
            report.not_checked.push(text.into());
        }
        return;
    }
    let (policies, findings) = (&authority.policies, &mut report.findings);
    if !beside.enrolments.is_empty() {
        custody::check_enrolment(&beside.enrolments, signer, policies, findings);
    } else if signer.is_known {
        let text = "No enrolment.receipt lies in the collection's folder.";
        findings.add(Code::EnrolmentAbsent, "", text);
    }
    let Some(revocation) = &beside.revocation else {
        let text = "whether the agent was revoked: no revocation lies here; the server knows";
        report.not_checked.push(text.into());
        return;
    };
    let from = custody::invalid_from(revocation, signer.agent, policies, findings);
    let (Some(from), Some(at)) = (from, at) else {
        return;
    };
    let shown = from.to_rfc3339().unwrap_or_default();
    if at >= from {
        let text = format!("The agent's seals count no more from {shown} on.");
        findings.add(Code::SealRevoked, "", text);
    } else if report.time.is_some_and(|t| t.basis == Basis::Claim) {
        // Whoever holds the revoked key writes any date that he likes, and leaves the receipt out.
        let text =
            format!("From {shown} on; neither a time stamp nor a receipt says when it was sealed.");
        findings.add(Code::RevokedUndated, "", text);
    } else {
        let text = format!("From {shown} on; this seal was made before.");
        findings.add(Code::RevokedLater, "", text);
    }
}

/// A statement belongs beside every part of an enrolled agent, and beside every encrypted one.
fn say_statement_absent(beside: &Beside, signer: Option<&seal::Signer>, report: &mut PartReport) {
    if beside.statement.is_some() {
        return;
    }
    if report.encrypted || signer.is_some_and(|s| s.is_known) {
        let text = "It should lie beside the part as part-NNNN.statement.json.";
        let file = report.file.clone();
        report.findings.add(Code::StatementAbsent, file, text);
    } else {
        let text = "the statement: none lies beside the part";
        report.not_checked.push(text.into());
    }
}

/// What no check here looks at; said in every verdict, so that it promises no more than was done.
fn say_unchecked(options: &Options, authority: &Authority, report: &mut PartReport) {
    let mut say = |text: &str| report.not_checked.push(text.into());
    if options.trust.is_empty() && options.roots.is_empty() {
        say("who stands behind seal, policy and order: no root was given with --trust");
    }
    if authority.ordered.is_some() {
        say("whether the order was meant for this host: the agent checks that before it begins");
    }
    if !report.across.pieces.is_empty() {
        say(
            "digests of whole files that are stored in pieces: each piece was checked; `fieldseal open` joins them and checks the whole",
        );
    }
}
