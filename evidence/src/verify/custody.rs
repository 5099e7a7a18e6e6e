//! The receipts of the custody log that lie beside a part and beside its collection.
//!
//! Each proves that the log holds a leaf; what the leaf says is held against the part here.

use serde::Serialize;

use super::{
    authority::Policy,
    beside::Paper,
    verdict::{Code, Findings},
};
use crate::{
    custody::{
        event::{Action, Event},
        receipt::{Proven, Receipt},
    },
    digest::Digest,
    envelope::Envelope,
    ids::{AgentId, CollectionId, HostId},
    instant::Instant,
    seal::Signer,
};

/// Where the custody log holds a leaf, and the checkpoint of the log that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logged {
    /// The leaf's place, from 0.
    pub index: u64,
    /// The log's name.
    pub origin: String,
    /// How many leaves the log had.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Digest,
}

impl Logged {
    fn of(proven: &Proven) -> Self {
        Self {
            index: proven.index,
            origin: proven.checkpoint.origin.clone(),
            size: proven.checkpoint.size,
            root: proven.checkpoint.root,
        }
    }
}

/// That a collection without any network was brought in by hand, as the custody log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// When.
    pub at: Instant,
    /// Digest of what the server keeps of it: who brought it, and from where.
    pub handed_in_sha256: Digest,
    /// Where the log says so.
    pub logged: Logged,
}

/// What `imported.receipt` proves of the collection.
pub(super) fn imported(
    json: &[u8],
    of: Option<CollectionId>,
    policies: &[Policy],
) -> Result<Imported, String> {
    let (event, logged) = proven(json, By::Server, policies)?;
    match event.action {
        Action::Imported {
            collection,
            handed_in_sha256,
        } if of == Some(collection) => Ok(Imported {
            at: event.time,
            handed_in_sha256,
            logged,
        }),
        Action::Imported { .. } => Err("It is for another collection.".to_owned()),
        _ => Err("It is of another event.".to_owned()),
    }
}

/// Who must have signed a leaf.
#[derive(Debug, Clone, Copy)]
enum By {
    Server,
    Admin,
}

/// The leaf that a receipt proves, under any of the policies.
fn proven(json: &[u8], by: By, policies: &[Policy]) -> Result<(Event, Logged), String> {
    let receipt = Receipt::parse(json).map_err(|e| e.to_string())?;
    let mut why = "No policy names the log's key.".to_owned();
    for policy in policies {
        let Some(key) = policy.log_key() else {
            continue;
        };
        match receipt.verify(&key) {
            Ok(proven) => {
                let event = signed(&proven.leaf, by, policies)?;
                return Ok((event, Logged::of(&proven)));
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

fn signed(leaf: &[u8], by: By, policies: &[Policy]) -> Result<Event, String> {
    let (envelope, event) = Event::read(leaf).map_err(|e| e.to_string())?;
    let holds = |policy: &Policy, envelope: &Envelope| match by {
        By::Server => policy.is_by_server(envelope),
        By::Admin => policy.is_by_admin(envelope),
    };
    if policies.iter().any(|policy| holds(policy, &envelope)) {
        return Ok(event);
    }
    Err(match by {
        By::Server => "Its leaf is not signed by the server.".to_owned(),
        By::Admin => "Its leaf is not signed by an admin of the policy.".to_owned(),
    })
}

/// The part as it lies here, for the receipt that should speak of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) collection: Option<CollectionId>,
    pub(super) number: Option<u32>,
    pub(super) agent: Option<AgentId>,
    /// Digest of the file as the server stored it; `None` where only the plain copy lies here.
    pub(super) sha256: Option<Digest>,
    /// Digest of the statement's payload, where one lies beside the part.
    pub(super) statement_sha256: Option<Digest>,
}

/// Checks `part-NNNN.receipt`; gives when the server received the part, and where its log says so.
pub(super) fn check_received(
    json: &[u8],
    stored: Stored,
    policies: &[Policy],
    findings: &mut Findings,
) -> Option<(Instant, Logged)> {
    const SUBJECT: &str = "receipt";
    let (event, logged) = match proven(json, By::Server, policies) {
        Ok(found) => found,
        Err(why) => {
            findings.add(Code::ReceiptInvalid, SUBJECT, why);
            return None;
        }
    };
    let Action::Received {
        part,
        agent,
        statement_sha256,
        ..
    } = event.action
    else {
        findings.add(Code::ReceiptInvalid, SUBJECT, "It is of another event.");
        return None;
    };
    let mut same_all = true;
    for (what, same) in [
        (
            "collection",
            stored.collection.is_none_or(|c| c == part.collection),
        ),
        ("part number", stored.number.is_none_or(|n| n == part.part)),
        (
            "file",
            stored.sha256.is_none_or(|d| d == part.stored_sha256),
        ),
        ("agent", stored.agent.is_none_or(|a| a == agent)),
        (
            "statement",
            stored
                .statement_sha256
                .is_none_or(|d| d == statement_sha256),
        ),
    ] {
        if !same {
            let text = format!("It is for another {what}.");
            findings.add(Code::ReceiptInvalid, SUBJECT, text);
            same_all = false;
        }
    }
    same_all.then_some((event.time, logged))
}

/// The key that an enrolment's receipt certifies.
struct Certified {
    agent: AgentId,
    key: Option<Digest>,
    /// Only the first enrolment names the host.
    host: Option<HostId>,
}

fn certified(json: &[u8], policies: &[Policy]) -> Result<Certified, String> {
    match proven(json, By::Server, policies)?.0.action {
        Action::Enrolled {
            agent,
            seal_key,
            host,
            ..
        } => Ok(Certified {
            agent,
            key: Some(seal_key),
            host: Some(host),
        }),
        Action::KitCertified {
            agent, seal_key, ..
        } => Ok(Certified {
            agent,
            key: Some(seal_key),
            host: None,
        }),
        Action::Renewed {
            agent, seal_key, ..
        } => Ok(Certified {
            agent,
            key: seal_key,
            host: None,
        }),
        _ => Err("It is of another event.".to_owned()),
    }
}

/// Checks every receipt of enrolment: one of them must name the key that sealed, and none may be forged.
/// Gives whether one does.
pub(super) fn check_enrolments(
    papers: &[Paper],
    signer: &Signer,
    host: Option<HostId>,
    policies: &[Policy],
    findings: &mut Findings,
) -> bool {
    let own = signer.key.map(|k| k.key_id());
    let (mut fits, mut other) = (false, None);
    for paper in papers {
        let name = paper.name.as_str();
        match certified(&paper.bytes, policies) {
            Err(why) => findings.add(Code::EnrolmentInvalid, name, why),
            Ok(one) if Some(one.agent) == signer.agent && own.is_some() && one.key == own => {
                fits = true;
                if let (Some(enrolled), Some(claimed)) = (one.host, host)
                    && enrolled != claimed
                {
                    let text = format!(
                        "The log certifies the key for host {enrolled}; collection.json names {claimed}."
                    );
                    findings.add(Code::EnrolmentMismatch, name, text);
                }
            }
            Ok(one) => other = Some((name, one)),
        }
    }
    if let Some((name, Certified { agent, key, .. })) = other.filter(|_| !fits) {
        let key = key.map_or_else(|| "no seal key".to_owned(), |k| format!("the seal key {k}"));
        let text = format!("The log certifies {key} for agent {agent}.");
        findings.add(Code::EnrolmentMismatch, name, text);
    }
    fits
}

/// From when on seals of `agent` count no more, as a receipt of revocation proves.
pub(super) fn invalid_from(
    paper: &Paper,
    agent: Option<AgentId>,
    policies: &[Policy],
    findings: &mut Findings,
) -> Option<Instant> {
    let name = paper.name.as_str();
    let found = proven(&paper.bytes, By::Admin, policies);
    let event = match found.map(|(event, _)| event) {
        Ok(event) => event,
        Err(why) => {
            findings.add(Code::RevocationInvalid, name, why);
            return None;
        }
    };
    match event.action.revokes() {
        Some((revoked, invalid_from)) if Some(revoked) == agent => Some(invalid_from),
        Some(_) => {
            findings.add(Code::RevocationInvalid, name, "It is of another agent.");
            None
        }
        None => {
            findings.add(Code::RevocationInvalid, name, "It is of another event.");
            None
        }
    }
}
