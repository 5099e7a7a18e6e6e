//! What lies beside a part: statement, time stamp, receipts; and what follows from them for its signer.

use super::{
    custody::{self, Stored},
    order::{self, Authority},
    part::{Options, PartReport},
    signer,
    statement::{self, Stated},
    sums::SEAL,
    time::{self, Basis},
    verdict::{Code, Verdict},
};
use crate::{count, digest::Digest, instant::Instant, seal, statement::VerifiedStatement};

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
    pub enrolments: Vec<Paper>,
    /// `revocation.receipt`, and further ones: all revocations of the agent that are known.
    pub revocations: Vec<Paper>,
}

/// One of several receipts of a kind, by the name under which reasons speak of it.
#[derive(Debug, Clone)]
pub struct Paper {
    /// The file's name.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
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
    check_stamp(beside, options, report);
    check_receipt(beside, authority, stated.as_ref(), report);
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
        let can_be_known = !options.trust.is_empty();
        if !signer.is_known && can_be_known && ordered.is_some_and(|o| o.policy_trusted) {
            let text = "Only an enrolled agent can act on an order of the deployment.";
            report.findings.add(Code::SealChain, SEAL, text);
        }
        check_enrolment(beside, options, authority, signer, report);
        check_revocations(beside, authority, signer, at, report);
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

/// The time stamp: somebody else than the signer has seen the statement.
fn check_stamp(beside: &Beside, options: &Options, report: &mut PartReport) {
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
}

/// The receipt: the custody log holds the part. What was made on an order went to a server.
fn check_receipt(
    beside: &Beside,
    authority: &Authority,
    stated: Option<&VerifiedStatement>,
    report: &mut PartReport,
) {
    let sha256 = stored_sha256(stated, report);
    let text = match &beside.receipt {
        None => "No receipt lies beside the part.",
        Some(_) if authority.policies.is_empty() => {
            "No policy that counts names the log's key, by which the receipt holds."
        }
        Some(_) if sha256.is_none() => {
            "Without the statement nothing ties the receipt to what lies here."
        }
        Some(receipt) => {
            let stored = Stored {
                collection: report.collection,
                number: report.number,
                agent: report.signer.as_ref().and_then(|s| s.agent),
                sha256,
                statement_sha256: stated.map(|s| s.digest),
            };
            let findings = &mut report.findings;
            let found = custody::check_received(receipt, stored, &authority.policies, findings);
            (report.received, report.logged) = found.unzip();
            return;
        }
    };
    if is_ordered(stated, report) && (beside.receipt.is_none() || has_no_other_reason(report)) {
        report.findings.add(Code::ReceiptAbsent, "", text);
    } else {
        report
            .not_checked
            .push(format!("the custody receipt: {text}"));
    }
}

/// Whether a receipt that can't be checked must be told as missing: a part that stays closed tells no policy
/// and has its reservation, and where the policy does not hold, that is the reason to give.
fn has_no_other_reason(report: &PartReport) -> bool {
    report.opened && report.findings.verdict() != Verdict::NotGenuine
}

fn is_ordered(stated: Option<&VerifiedStatement>, report: &PartReport) -> bool {
    let record = report.record.as_ref();
    record.is_some_and(|r| r.order.is_some() || r.order_sha256.is_some())
        || stated.is_some_and(|s| s.statement.order.is_some())
}

/// Of the file that was sent: the ciphertext, here or as stated, or the ZIP that was never encrypted.
fn stored_sha256(stated: Option<&VerifiedStatement>, report: &PartReport) -> Option<Digest> {
    let said = stated.map(|s| s.statement.stored().sha256);
    let is_plain = report.record.as_ref().is_some_and(|r| r.unencrypted);
    let plain = report.plain_sha256.filter(|_| is_plain);
    report.cipher_sha256.or(said).or(plain)
}

/// Enrolment of whoever sealed: an issuing authority in wrong hands can make certificates, but no
/// leaf of the custody log unseen. A key that is trusted by itself has no issuer to doubt.
fn check_enrolment(
    beside: &Beside,
    options: &Options,
    authority: &Authority,
    signer: &seal::Signer,
    report: &mut PartReport,
) {
    let is_issued = signer.is_known && !options.trust.names(signer.fingerprint);
    let text = match (beside.enrolments.is_empty(), authority.policies.is_empty()) {
        (true, _) => "No enrolment.receipt lies in the collection's folder.",
        (false, true) => "No policy that counts names the log's key, by which its receipt holds.",
        (false, false) => {
            let host = report.record.as_ref().and_then(|r| r.host);
            let (papers, findings) = (&beside.enrolments, &mut report.findings);
            report.enrolled =
                custody::check_enrolments(papers, signer, host, &authority.policies, findings);
            return;
        }
    };
    if is_issued && (beside.enrolments.is_empty() || has_no_other_reason(report)) {
        report.findings.add(Code::EnrolmentAbsent, "", text);
    } else if !beside.enrolments.is_empty() {
        let text = "the agent's enrolment: no policy that counts names the log's key";
        report.not_checked.push(text.into());
    }
}

/// Revocation of whoever sealed: of several, the earliest moment counts.
fn check_revocations(
    beside: &Beside,
    authority: &Authority,
    signer: &seal::Signer,
    at: Option<Instant>,
    report: &mut PartReport,
) {
    if beside.revocations.is_empty() {
        let text = "whether the agent was revoked: no revocation lies here; the server knows";
        report.not_checked.push(text.into());
        return;
    }
    if authority.policies.is_empty() {
        let text = "the agent's revocation: no policy that counts names the log's key";
        report.not_checked.push(text.into());
        return;
    }
    let findings = &mut report.findings;
    let papers = beside.revocations.iter();
    let from = papers
        .filter_map(|p| custody::invalid_from(p, signer.agent, &authority.policies, findings))
        .min();
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
    let more = report.across.left_out;
    if more > 0 {
        let what = count::of(more, "further name or piece", "further names or pieces");
        say(&format!(
            "{what} of files, whether other parts hold what belongs to them: too many to follow"
        ));
    }
    if !report.across.pieces.is_empty() {
        say(
            "digests of whole files that are stored in pieces: each piece was checked; `fieldseal open` joins them and checks the whole",
        );
    }
}
