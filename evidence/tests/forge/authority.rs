//! The deployment's documents: policy, order, custody leaves and receipts.

use evidence::{
    custody::{
        checkpoint::Checkpoint,
        event::{Action, Event, StoredPart},
        leaf_hash,
        note::LogSigner,
        receipt::Receipt,
        tree::Tree,
    },
    digest::Digest,
    envelope::{self, Envelope},
    ids::AgentId,
    instant::Instant,
    keys::SigningKey,
    wrap::Identity,
};
use serde_json::{Value, json};

use super::{
    DAY, at,
    deployment::{AGENT, COLLECTION, Deployment, HOST, ORDER, SECOND_VAULT, VAULT},
};

/// The profile's text.
pub(crate) const PROFILE: &str = "v: 1\nname: tiny\nartifacts:\n  - name: processes\n";

/// The vault's first recipient.
pub(crate) fn recipient() -> String {
    VAULT.parse::<Identity>().unwrap().recipient().to_string()
}

/// The policy's document.
pub(crate) fn policy(world: &Deployment) -> Value {
    let person = |id: &str, role: &str, key: SigningKey| {
        json!({
            "id": id, "name": format!("{} of the lab", id.to_uppercase()), "roles": [role],
            "agencies": ["lab"], "signing_key": key.public().to_pem().unwrap(),
            "tls_key": Digest::of(id.as_bytes()), "recipient": SECOND_VAULT,
        })
    };
    json!({
        "v": 1, "version": 1, "root_version": 1, "deployment": "lab", "expires": at(300 * DAY),
        "people": [person("ann", "investigator", world.ann()), person("eve", "admin", world.eve())],
        "thresholds": {"triage": 1, "files": 1},
        "vaults": {"lab": [recipient(), SECOND_VAULT]},
        "log_key": world.log.public().to_string(),
        "time_keys": [world.time_key().public().to_pem().unwrap()],
    })
}

/// The policy, signed.
pub(crate) fn signed_policy(world: &Deployment, by: &SigningKey) -> Envelope {
    Envelope::sign_document(envelope::POLICY, &policy(world), by).unwrap()
}

/// The order's document.
pub(crate) fn order() -> Value {
    json!({
        "v": 1, "id": ORDER, "deployment": "lab", "policy_version": 1, "profile": PROFILE,
        "profile_digest": Digest::of(PROFILE.as_bytes()),
        "parameters": {"paths": [], "limits": {}},
        "targets": {"root": Digest::of(b"targets"), "count": 1, "expression": "*", "open": false},
        "not_before": at(-600), "expires": at(DAY), "nonce": "0a".repeat(16), "case": "2026-1",
        "requester": "ann", "reason": "An alarm on this host.",
        "recipients": [recipient(), SECOND_VAULT], "predecessor": null,
    })
}

/// An order, signed.
pub(crate) fn signed_order(order: &Value, by: &SigningKey) -> Envelope {
    Envelope::sign_document(envelope::ORDER, order, by).unwrap()
}

/// The receipt of a leaf, between two others, in the log of `log`.
pub(crate) fn receipt(log: &LogSigner, action: Action, time: Instant, by: &SigningKey) -> Vec<u8> {
    let leaf = Event::sign(action, time, by).unwrap().to_json().unwrap();
    receipt_of(log, &leaf).to_json().unwrap()
}

fn receipt_of(log: &LogSigner, leaf: &[u8]) -> Receipt {
    let mut tree = Tree::default();
    for one in [b"before".as_slice(), leaf, b"after"] {
        tree.push(leaf_hash(one));
    }
    let note = Checkpoint::sign(log, 3, tree.root()).unwrap();
    Receipt::new(&tree, leaf, 1, 3, note).unwrap()
}

/// The leaf of a part that was received.
pub(crate) fn received(part: u32, stored: &[u8], statement: &[u8]) -> Action {
    let statement_sha256 = Envelope::parse(statement).unwrap().digest();
    Action::Received {
        part: StoredPart {
            collection: COLLECTION,
            part,
            stored_sha256: Digest::of(stored),
        },
        agent: AGENT,
        size_bytes: stored.len() as u64,
        statement_sha256,
    }
}

/// The leaf of an enrolment.
pub(crate) fn enrolled(agent: AgentId, seal_key: Digest) -> Action {
    Action::Enrolled {
        agent,
        host: HOST,
        token_sha256: Digest::of(b"token"),
        seal_key,
        tls_key: Digest::of(b"tls"),
        forked_from: None,
    }
}
