//! Receipts, enrolment, revocation and time stamps: forged, or of something else.

use std::path::Path;

use ed25519_dalek::SigningKey as LogSecret;
use evidence::custody::{event::Action, note::LogSigner};

use super::{
    super::{
        Case, Files, Given, at, authority,
        deployment::{AGENT, Deployment, OTHER_AGENT},
        draft::Draft,
        log,
    },
    encryption,
    genuine::{with_receipts, with_stamp},
};

/// The genuine folder with another file in one place.
fn with(world: &Deployment, name: &str, bytes: Vec<u8>) -> Files {
    let mut files = with_receipts(world);
    files.insert(name.to_owned(), bytes);
    files
}

fn own_leaf(world: &Deployment, part: u32) -> Action {
    let files = with_receipts(world);
    authority::received(
        part,
        &files["part-0001.zip"],
        &files["part-0001.statement.json"],
    )
}

pub(super) fn cases(world: &Deployment, stamps: &Path) -> Vec<Case> {
    let mut cases = stripped(world);
    cases.extend(receipts(world));
    cases.extend(enrolments(world));
    cases.extend(revocations(world));
    cases.extend(stamped(world, stamps));
    cases
}

/// Genuine evidence from which somebody took what proves it.
fn stripped(world: &Deployment) -> Vec<Case> {
    let without = |gone: &[&str]| {
        let mut files = with_receipts(world);
        files.retain(|name, _| !gone.contains(&name.as_str()));
        files
    };
    let (receipt, enrolment) = ("part-0001.receipt", "enrolment.receipt");
    let mut local = Draft::local().folder(&world.agent);
    local.insert(enrolment.into(), with_receipts(world)[enrolment].clone());
    let mut untied = {
        let mut draft = Draft::ordered(world);
        draft.record["unencrypted"] = false.into();
        draft.folder(&world.agent)
    };
    log::receipts(world, &mut untied);
    let statement = untied.remove("part-0001.statement.json").unwrap();
    let leaf = authority::received(1, b"the ciphertext", &statement);
    let untied_receipt = authority::receipt(&world.log, leaf, at(60), &world.time_key());
    untied.insert(receipt.into(), untied_receipt);
    let case = |name, about, files, codes: &[&'static str]| {
        Case::reserved(name, about, files, codes).bare()
    };
    vec![
        case(
            "custody-stripped",
            "A part on an order with its statement alone: receipt and enrolment are gone.",
            without(&[receipt, enrolment]),
            &["receipt-absent", "enrolment-absent"],
        )
        .notes(&["signer-time"]),
        case(
            "receipt-stripped",
            "The receipt of the part is gone.",
            without(&[receipt]),
            &["receipt-absent"],
        ),
        case(
            "receipt-untied",
            "The opened copy of an encrypted part with its receipt, and no statement that ties the two.",
            untied,
            &["receipt-absent", "statement-absent"],
        ),
        case(
            "enrolment-stripped",
            "The receipt of the agent's enrolment is gone.",
            without(&[enrolment]),
            &["enrolment-absent"],
        ),
        case(
            "enrolment-without-policy",
            "A local collection with an enrolment's receipt, and no policy by which that would hold.",
            local.clone(),
            &["enrolment-absent"],
        ),
        case(
            "minted-without-order",
            "A seal certificate minted by an issuing authority in wrong hands, on a collection that claims to be local.",
            Draft::local().folder(&world.minted()),
            &["enrolment-absent"],
        ),
        Case::genuine(
            "genuine-local-enrolled",
            "A local collection of an enrolled agent, with its enrolment and a policy from outside.",
            local,
        )
        .bare()
        .given(&[Given::Trust, Given::Policy])
        .notes(&["order-absent"]),
    ]
}

fn receipts(world: &Deployment) -> Vec<Case> {
    let server = world.time_key();
    let receipt = |action, by| authority::receipt(&world.log, action, at(60), by);
    let name = "part-0001.receipt";
    let good = String::from_utf8(with_receipts(world)[name].clone()).unwrap();
    // The log's name, another key.
    let thief = LogSigner::new("lab.example/custody", LogSecret::from_bytes(&[8; 32])).unwrap();
    let forged = authority::receipt(&thief, own_leaf(world, 1), at(60), &server);
    let note = |json: &str| {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        value["checkpoint"].as_str().unwrap().to_owned()
    };
    let mut sized: serde_json::Value = serde_json::from_str(&good).unwrap();
    sized["checkpoint"] = note(&good).replacen("\n3\n", "\n4\n", 1).into();
    let mut moved: serde_json::Value = serde_json::from_str(&good).unwrap();
    moved["index"] = 0.into();
    let other_bytes = {
        let files = with_receipts(world);
        authority::received(1, b"other", &files["part-0001.statement.json"])
    };
    let json = |value: &serde_json::Value| serde_json::to_vec(value).unwrap();
    let case = |name_, about, bytes| {
        Case::forged(name_, about, with(world, name, bytes), &["receipt-invalid"])
    };
    vec![
        case(
            "receipt-of-another-part",
            "The receipt is for part 2.",
            receipt(own_leaf(world, 2), &server),
        ),
        case(
            "receipt-of-other-bytes",
            "The receipt is for another file under this part's number.",
            receipt(other_bytes, &server),
        ),
        case(
            "receipt-of-another-event",
            "The receipt is of the enrolment.",
            receipt(
                authority::enrolled(AGENT, world.agent.key.public().key_id()),
                &server,
            ),
        ),
        case(
            "receipt-forged-checkpoint",
            "The checkpoint is signed by another key under the log's name.",
            forged,
        ),
        case(
            "receipt-changed-checkpoint",
            "The checkpoint's size is changed.",
            json(&sized),
        ),
        case(
            "receipt-moved",
            "The receipt claims another place in the log.",
            json(&moved),
        ),
        case(
            "receipt-not-by-server",
            "The leaf in the log is signed by Ann and not by the server.",
            receipt(own_leaf(world, 1), &world.ann()),
        ),
        case(
            "receipt-garbage",
            "The receipt is no JSON.",
            b"received\n".to_vec(),
        ),
        closed(world, "genuine-closed-receipt", true),
        closed(world, "receipt-closed-other", false),
    ]
}

/// An encrypted part that stays closed, with a policy from outside and a receipt.
fn closed(world: &Deployment, name: &'static str, genuine: bool) -> Case {
    let sealed = encryption::sealed(world);
    let mut files = encryption::files(world, &sealed);
    let stored = if genuine {
        &sealed.cipher
    } else {
        &sealed.plain
    };
    let leaf = authority::received(1, stored, &files["part-0001.statement.json"]);
    let receipt = authority::receipt(&world.log, leaf, at(60), &world.time_key());
    files.insert("part-0001.receipt".into(), receipt);
    let given = [Given::Trust, Given::Policy];
    if genuine {
        let about =
            "A part that stays closed: statement and receipt are checked without the vault's key.";
        return Case::reserved(name, about, files, &["content-unread"])
            .given(&given)
            .notes(&["receipt-time"]);
    }
    let about = "A part that stays closed, with a receipt for another file.";
    Case::forged(name, about, files, &["content-unread", "receipt-invalid"]).given(&given)
}

fn enrolments(world: &Deployment) -> Vec<Case> {
    let (server, own) = (world.time_key(), world.agent.key.public().key_id());
    let name = "enrolment.receipt";
    let receipt = |action, by| authority::receipt(&world.log, action, at(-900_000), by);
    let minted = {
        let mut files = Draft::ordered(world).folder(&world.minted());
        files.insert(
            name.into(),
            receipt(authority::enrolled(AGENT, own), &server),
        );
        files
    };
    let renewed = {
        let key = world.minted().key.public().key_id();
        let action = Action::Renewed {
            agent: AGENT,
            seal_key: Some(key),
            tls_key: None,
        };
        let mut files = minted.clone();
        files.insert("enrolment-2.receipt".into(), receipt(action, &server));
        files
    };
    let forged = {
        let mut files = with_receipts(world);
        let leaf = authority::enrolled(AGENT, world.minted().key.public().key_id());
        let more = authority::receipt(&world.log, leaf, at(-900_000), &world.stranger());
        files.insert("enrolment-2.receipt".into(), more);
        files
    };
    let moved = {
        let mut draft = Draft::ordered(world);
        draft.record["host"] = serde_json::json!(evidence::ids::HostId::from_bytes([9; 16]));
        draft.folder(&world.agent)
    };
    let mismatch = ["enrolment-mismatch"];
    vec![
        Case::forged(
            "enrolment-other-key",
            "The seal's certificate is issued by the deployment, and the custody log knows another key for the agent.",
            minted,
            &mismatch,
        ),
        Case::genuine(
            "genuine-renewed",
            "The seal key was renewed, and the custody log says so.",
            renewed,
        ),
        Case::forged(
            "enrolment-other-agent",
            "The enrolment is another agent's.",
            with(
                world,
                name,
                receipt(authority::enrolled(OTHER_AGENT, own), &server),
            ),
            &mismatch,
        ),
        Case::forged(
            "enrolment-forged-beside",
            "Beside the genuine enrolment lies a second one, whose leaf a stranger signed.",
            forged,
            &["enrolment-invalid"],
        ),
        Case::forged(
            "enrolment-other-host",
            "The agent seals for another host than the one that it was enrolled on.",
            moved,
            &mismatch,
        ),
        Case::forged(
            "enrolment-not-by-server",
            "The enrolment's leaf is signed by a stranger.",
            with(
                world,
                name,
                receipt(authority::enrolled(AGENT, own), &world.stranger()),
            ),
            &["enrolment-invalid"],
        ),
    ]
}

fn revocations(world: &Deployment) -> Vec<Case> {
    let revoked = |seconds, agent, by: &evidence::keys::SigningKey| {
        let action = Action::Revoked {
            agent,
            invalid_from: at(seconds),
        };
        let receipt = authority::receipt(&world.log, action, at(90_000), by);
        with(world, "revocation.receipt", receipt)
    };
    let (eve, ann) = (world.eve(), world.ann());
    let two = |first, second| {
        let mut files = revoked(first, AGENT, &eve);
        let more = revoked(second, AGENT, &eve)["revocation.receipt"].clone();
        files.insert("revocation-2.receipt".into(), more);
        files
    };
    let mut undated = revoked(80_000, AGENT, &eve);
    undated.remove("part-0001.receipt");
    vec![
        Case::forged(
            "seal-after-revocation",
            "The agent was revoked before it sealed.",
            revoked(-100, AGENT, &eve),
            &["seal-revoked"],
        ),
        Case::forged(
            "seal-received-after-revocation",
            "The host claims to have sealed before the revocation; the server received the part after it.",
            revoked(45, AGENT, &eve),
            &["seal-revoked"],
        ),
        Case::genuine(
            "genuine-revoked-later",
            "The agent was revoked after it had sealed.",
            revoked(80_000, AGENT, &eve),
        )
        .notes(&["revoked-later"]),
        Case::reserved(
            "revoked-later-undated",
            "The agent was revoked after the time that its own key claims, and no receipt says when the part came.",
            undated,
            &["receipt-absent", "revoked-undated"],
        )
        .bare(),
        Case::forged(
            "revocation-earlier",
            "Two revocations lie there: by the first the seal would be older, by the second it is not.",
            two(80_000, -100),
            &["seal-revoked"],
        ),
        Case::forged(
            "revocation-later-beside",
            "A later revocation lies there besides: it takes nothing back.",
            two(-100, 80_000),
            &["seal-revoked"],
        ),
        Case::reserved(
            "revocation-by-investigator",
            "The revocation is not signed by an admin.",
            revoked(-100, AGENT, &ann),
            &["revocation-invalid"],
        ),
        Case::reserved(
            "revocation-of-another",
            "The revocation is of another agent.",
            revoked(-100, OTHER_AGENT, &eve),
            &["revocation-invalid"],
        ),
    ]
}

fn stamped(world: &Deployment, stamps: &Path) -> Vec<Case> {
    let both = [Given::Trust, Given::StampTrust];
    let read = |name: &str| std::fs::read(stamps.join(name)).unwrap_or_default();
    let mut other = with_stamp(world, stamps);
    other.insert("part-0001.tsr".into(), read("other.tsr"));
    let mut flipped = with_stamp(world, stamps);
    let bytes = flipped.get_mut("part-0001.tsr").unwrap();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let mut garbage = with_stamp(world, stamps);
    garbage.insert("part-0001.tsr".into(), b"now\n".to_vec());
    vec![
        Case::forged(
            "stamp-of-another",
            "The time stamp is over another statement.",
            other,
            &["stamp-invalid"],
        )
        .given(&both),
        Case::forged(
            "stamp-bit",
            "A bit of the time stamp's signature is flipped.",
            flipped,
            &["stamp-invalid"],
        )
        .given(&both),
        Case::forged(
            "stamp-garbage",
            "The time stamp is something else.",
            garbage,
            &["stamp-invalid"],
        )
        .given(&both),
    ]
}
