//! The statement beside a part against the part: digests, sizes, place in the chain, and signer.

use super::{
    part::PartReport,
    signer::{self, Signer, Trust},
    verdict::{Code, Findings},
};
use crate::{
    digest::Digest,
    ids::CollectionId,
    seal::Expected,
    statement::{self, Measured, Statement, StatementError, VerifiedStatement},
    wrap,
};

const SUBJECT: &str = "statement";

/// What a statement says that an unopened part can't say itself.
#[derive(Debug)]
pub(super) struct Stated {
    pub(super) collection: CollectionId,
    pub(super) part: u32,
    pub(super) last: Option<bool>,
    pub(super) plain_sha256: Digest,
    pub(super) previous_sha256: Option<Digest>,
    pub(super) signer: Option<Signer>,
}

impl Stated {
    pub(super) fn of(verified: &VerifiedStatement) -> Self {
        let said = &verified.statement;
        Self {
            collection: said.collection,
            part: said.part,
            last: Some(said.last),
            plain_sha256: said.plain.sha256,
            previous_sha256: said.previous.map(|p| p.plain),
            signer: Some(signer::shown(&verified.signer)),
        }
    }
}

/// Checks the statement; it is given back where it can be believed.
pub(super) fn check(
    bytes: &[u8],
    plain_bytes: Option<u64>,
    trust: &Trust,
    report: &mut PartReport,
) -> Option<VerifiedStatement> {
    let expected = Expected {
        trust,
        agent: report.record.as_ref().and_then(|r| r.agent),
        at: None,
    };
    let verified = match statement::verify(bytes, expected) {
        Ok(verified) => verified,
        Err(error) => {
            let code = match error {
                StatementError::UnknownVersion(_) => Code::VersionUnknown,
                _ => Code::StatementInvalid,
            };
            report.findings.add(code, SUBJECT, in_words(error));
            return None;
        }
    };
    check_bytes(&verified.statement, plain_bytes, report);
    check_recipients(&verified.statement, report);
    check_place(&verified.statement, report);
    let certificate = verified.signer.fingerprint;
    if let Some(seal) = &report.signer
        && seal.certificate_sha256 != certificate
    {
        let text = "It is signed by another certificate than the seal's.";
        report.findings.add(Code::StatementMismatch, SUBJECT, text);
    }
    Some(verified)
}

/// The error, and each fault of the certificate in words.
fn in_words(error: StatementError) -> String {
    let StatementError::BadCertificate(faults) = error else {
        return error.to_string();
    };
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    format!(
        "its certificate is not the agent's for seals: {}",
        faults.join(" ")
    )
}

/// The bytes that lie here are the bytes that it speaks of.
fn check_bytes(said: &Statement, plain_bytes: Option<u64>, report: &mut PartReport) {
    if let (Some(sha256), Some(size_bytes)) = (report.plain_sha256, plain_bytes) {
        let found = Measured { sha256, size_bytes };
        compare("ZIP", said.plain, found, &mut report.findings);
    }
    let kind = said.wrapping.kind.as_str();
    if !matches!(
        (kind, said.ciphertext),
        (wrap::AGE, Some(_)) | (wrap::NONE, None)
    ) {
        let text =
            format!("It names the wrapping {kind:?}, which does not fit, or is not known here.");
        report.findings.add(Code::StatementMismatch, SUBJECT, text);
    }
    let Some(sha256) = report.cipher_sha256 else {
        return;
    };
    let size_bytes = report.size_bytes;
    match said.ciphertext {
        Some(cipher) => {
            let found = Measured { sha256, size_bytes };
            compare("encrypted file", cipher, found, &mut report.findings);
        }
        None => {
            let text = "It speaks of a part that is not encrypted.";
            report.findings.add(Code::StatementMismatch, SUBJECT, text);
        }
    }
}

fn compare(what: &str, said: Measured, found: Measured, findings: &mut Findings) {
    if said == found {
        return;
    }
    let text = format!(
        "It speaks of the {what} {} of {} bytes; here is {} of {} bytes.",
        said.sha256, said.size_bytes, found.sha256, found.size_bytes
    );
    findings.add(Code::StatementMismatch, SUBJECT, text);
}

/// The part is encrypted to as many as the statement lists: which key a stanza is for, only its holder can see.
fn check_recipients(said: &Statement, report: &mut PartReport) {
    if !report.encrypted || said.ciphertext.is_none() {
        return;
    }
    let findings = &mut report.findings;
    let Some(stanzas) = &report.stanzas else {
        let text = "The head of the encrypted file can't be read.";
        findings.add(Code::StatementMismatch, SUBJECT, text);
        return;
    };
    for kind in &stanzas.others {
        let text = format!("The file is encrypted to a key of the type {kind:?} as well.");
        findings.add(Code::RecipientForeign, SUBJECT, text);
    }
    let (listed, found) = (said.wrapping.recipients.len(), stanzas.x25519);
    let text = format!("It lists {listed} recipients; the file is encrypted to {found}.");
    if found > listed {
        findings.add(Code::RecipientForeign, SUBJECT, text);
    } else if found < listed {
        findings.add(Code::StatementMismatch, SUBJECT, text);
    }
}

/// It places the part where collection.json does.
fn check_place(said: &Statement, report: &mut PartReport) {
    let Some(record) = &report.record else { return };
    for (what, same) in [
        ("collection", said.collection == record.collection),
        ("agent", record.agent.is_none_or(|a| a == said.agent)),
        ("part number", said.part == record.part),
        ("last part", said.last == record.last),
        ("order", said.order == record.order_sha256),
        (
            "part before",
            said.previous.map(|p| p.plain) == record.previous_sha256,
        ),
    ] {
        if !same {
            let text = format!("It names another {what} than collection.json does.");
            report.findings.add(Code::StatementMismatch, SUBJECT, text);
        }
    }
}
