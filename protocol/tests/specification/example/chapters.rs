//! The chapters of the worked example, in their order.

use std::fmt::Write as _;

use data_encoding::{BASE64, HEXLOWER};
use evidence::{
    custody::leaf_hash,
    digest::Digest,
    envelope::{self, Envelope},
};
use protocol::{
    enrolment::Token,
    messages::HandedOrder,
    order::RefusalNotice,
    policy::{Class, Policy},
    profile,
    root::Root,
    time::{ClockOffset, SignedTime},
};
use serde::Serialize;

use super::{
    host::{AGENT, Host, cases, signed, subject},
    keys,
};
use crate::samples::{
    ORDER, agents, at, name, order, policy, root, signed_time, time_request, token,
};

/// The envelope's text.
pub(super) fn json(envelope: &Envelope) -> String {
    String::from_utf8(envelope.to_json().unwrap()).unwrap()
}

/// The payload's text.
pub(super) fn payload(envelope: &Envelope) -> &str {
    std::str::from_utf8(envelope.payload()).unwrap()
}

/// DSSE's encoding, made here once more.
fn pae(envelope: &Envelope) -> Vec<u8> {
    let (kind, payload) = (envelope.payload_type(), envelope.payload());
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// A signed document: its payload, what is signed, and the signature.
fn document(out: &mut String, what: &str, envelope: &Envelope) {
    let (pae, one) = (pae(envelope), &envelope.signatures()[0]);
    let head = String::from_utf8_lossy(&pae[..pae.len() - envelope.payload().len()]).into_owned();
    block(out, &format!("{what}, the payload"), payload(envelope));
    block(
        out,
        "Its digest, what stands before it in the signed bytes, their SHA-256, the signature and its `keyid`",
        &format!(
            "{}\n\"{head}\"\n{}\n{}\n{}",
            envelope.digest(),
            Digest::of(&pae),
            BASE64.encode(&one.signature),
            one.key_id
        ),
    );
}

fn block(out: &mut String, title: &str, text: &str) {
    writeln!(out, "\n{title}:\n").unwrap();
    for line in text.lines() {
        writeln!(out, "    {line}").unwrap();
    }
}

/// All of it.
pub(super) fn example() -> String {
    let mut out = String::from(
        "\nA test makes this chapter from the code. **These keys are for tests alone: anybody knows them.** A payload is one line \
         without a line's end. Signatures are deterministic (RFC 6979), so that they can be made again; a verifier takes any that holds.\n",
    );
    keys_chapter(&mut out);
    trust_chapter(&mut out);
    order_chapter(&mut out);
    check_chapter(&mut out);
    refusal_chapter(&mut out);
    out
}

fn keys_chapter(out: &mut String) {
    writeln!(
        out,
        "\n### 11.1 Keys\n\nThe private key is the byte, 32 times.\n"
    )
    .unwrap();
    writeln!(out, "| byte | whose | `keyid` |\n|---|---|---|").unwrap();
    for (byte, whose, key) in [
        (1, "the root", keys::root()),
        (2, "the server's time", keys::time()),
        (3, "Ann, investigator", keys::ann()),
        (4, "Bob, approver", keys::bob()),
        (5, "Eve, admin", keys::eve()),
        (6, "the agent's seal", keys::seal()),
    ] {
        writeln!(
            out,
            "| {byte:02x} | {whose} | `{}` |",
            key.public().key_id()
        )
        .unwrap();
    }
    let spki = keys::root().public().to_pem().unwrap();
    block(out, "The root's public key", &spki);
}

fn trust_chapter(out: &mut String) {
    writeln!(out, "\n### 11.2 Root, policy, token, time").unwrap();
    let signed = Envelope::sign_document(envelope::ROOT, &root(), &keys::root()).unwrap();
    assert_eq!(Root::open(&signed).unwrap(), root());
    document(out, "The root", &signed);
    let signed = Envelope::sign_document(envelope::POLICY, &policy(), &keys::root()).unwrap();
    assert_eq!(Policy::open(&signed, &root()).unwrap(), policy());
    document(out, "The policy", &signed);
    let signed = Envelope::sign_document(envelope::TOKEN, &token(), &keys::eve()).unwrap();
    let opened = Token::open(&signed, &policy(), at(0)).unwrap();
    assert_eq!(
        opened.subject(AGENT, name("linux"), name("x86_64")),
        subject()
    );
    document(
        out,
        "A token, by which the agent has its agency and label",
        &signed,
    );
    block(
        out,
        "The question for the time (`POST /v1/time`)",
        &serde_json::to_string(&time_request()).unwrap(),
    );
    let signed = Envelope::sign_document(envelope::TIME, &signed_time(), &keys::time()).unwrap();
    let time = SignedTime::open(&signed, &policy(), &[0x0b; 16]).unwrap();
    document(out, "The answer in its envelope", &signed);
    let waited = std::time::Duration::from_millis(500);
    let offset = ClockOffset::new(at(0), waited, time.time).unwrap();
    writeln!(
        out,
        "\nAsked at {} by the host's clock and answered half a second later, the server's clock is {} ms ahead, give or take {} ms.",
        at(0).to_rfc3339().unwrap(),
        offset.offset_ns / 1_000_000,
        offset.error_ns / 1_000_000
    )
    .unwrap();
}

fn order_chapter(out: &mut String) {
    writeln!(out, "\n### 11.3 An order").unwrap();
    let mut ids = agents().map(|id| id.to_string());
    ids.sort();
    let leaves = ids
        .iter()
        .map(|id| format!("{id}  {}", leaf_hash(id.as_bytes())));
    let leaves: Vec<_> = leaves.collect();
    block(
        out,
        "The hosts, sorted, each with its leaf hash",
        &leaves.join("\n"),
    );
    let (order, proof) = (order(), Host::new().proof.unwrap());
    block(
        out,
        "The root, which the order signs, and the second host's proof",
        &format!("{}\n{}", order.targets.root, line(&proof)),
    );
    block(out, "The profile", &order.profile);
    let yaml = profile::digest(&order.profile);
    block(out, "Its digest", &yaml.to_string());
    document(out, "The order", &signed(&order));
    block(out, "The order's envelope", &json(&signed(&order)));
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// The check, step by step, for the order that is obeyed.
fn steps(host: &Host) -> [String; 11] {
    let (root, order) = (root(), order());
    let (held, proof) = (policy(), host.proof.as_ref().unwrap());
    [
        "`v` is 1, and every field of the table is there.".to_owned(),
        format!(
            "`requester` is `{}`, a person of the policy, and the signature by that person's key holds.",
            order.requester
        ),
        format!(
            "Order, policy and root say `{}`; the order says policy {}, the policy has version {} and says root {}, the root has version {}; the nonce has 32 hex digits.",
            order.deployment, order.policy_version, held.version, held.root_version, root.version
        ),
        format!(
            "The leaf of `{AGENT}` at index {} of {} leads to `targets.root` by the proof.",
            proof.index, order.targets.count
        ),
        "Ann is `investigator` for `lab`.".to_owned(),
        "The later of clock and signed time is before the policy's end and the order's, and not before `not_before`.".to_owned(),
        format!("`{}` was neither cancelled nor used.", order.id),
        "The profile has the digest and reads.".to_owned(),
        "No `keyid` stands twice.".to_owned(),
        format!(
            "The widest class is `triage`, which needs {}; Ann counts 1.",
            held.thresholds[&Class::Triage]
        ),
        "The recipients are the vault of `lab`, all of it.".to_owned(),
    ]
}

fn check_chapter(out: &mut String) {
    let (good, host) = (signed(&order()), Host::new());
    assert_eq!(host.judge(&good).unwrap(), ["ann"]);
    writeln!(out, "\n### 11.4 How the agent judges it\n").unwrap();
    writeln!(
        out,
        "The agent is `{AGENT}`, agency `lab`, label `web`. It holds the root and policy of 11.2 and the highest signed time {}. It knows the \
         artifacts `processes` (class `triage`) and `logs` (class `files`). Its clock says {}.\n",
        signed_time().time.to_rfc3339().unwrap(),
        host.now.to_rfc3339().unwrap(),
    )
    .unwrap();
    for (number, step) in steps(&host).iter().enumerate() {
        writeln!(out, "{}. {step}", number + 1).unwrap();
    }
    writeln!(
        out,
        "\nThe order is obeyed. With one thing changed it is refused so:\n"
    )
    .unwrap();
    writeln!(out, "| changed | `refusal` |\n|---|---|").unwrap();
    for (what, host, envelope) in cases() {
        let refusal = host.judge(&envelope).unwrap_err();
        writeln!(out, "| {what} | `{}` |", line(&refusal)).unwrap();
    }
}

fn refusal_chapter(out: &mut String) {
    writeln!(out, "\n### 11.5 A refusal").unwrap();
    writeln!(
        out,
        "\nWhoever stands between server and agent has left the proof out, so the agent refuses. What the server handed over has one digest, what the agent was \
         handed has another:"
    )
    .unwrap();
    let (good, host) = (signed(&order()), Host::new());
    let sent = HandedOrder {
        order: json(&good),
        proof: host.proof.clone(),
    };
    let handed = HandedOrder {
        proof: None,
        ..sent.clone()
    };
    let proof = host.proof.as_ref().unwrap();
    let hashes: Vec<String> = proof.proof.iter().map(ToString::to_string).collect();
    let head = HEXLOWER.encode(b"fieldseal-handed-1\n");
    let length = HEXLOWER.encode(&(sent.order.len() as u64).to_le_bytes());
    let index = HEXLOWER.encode(&proof.index.to_le_bytes());
    block(
        out,
        "Both begin with these bytes (hex), after which the envelope's text comes",
        &format!("{head}{length}"),
    );
    block(
        out,
        "The server's goes on with index and proof (hex)",
        &format!("{index}{}", hashes.concat()),
    );
    let ours = [
        &HEXLOWER
            .decode(format!("{head}{length}").as_bytes())
            .unwrap(),
        sent.order.as_bytes(),
        &HEXLOWER
            .decode(format!("{index}{}", hashes.concat()).as_bytes())
            .unwrap(),
    ];
    assert_eq!(Digest::of(&ours.concat()), sent.digest());
    block(
        out,
        "`handed_digest` as the server has it, and as the agent has it",
        &format!("{}\n{}", sent.digest(), handed.digest()),
    );
    document(out, "The notice", &notice(&good, &handed));
    writeln!(
        out,
        "\nThe server takes it (204) and shows it with the host. It settles nothing, since its `handed_digest` is not the server's: the order is handed over again."
    )
    .unwrap();
}

/// The agent's notice about the copy that it was handed.
fn notice(order: &Envelope, handed: &HandedOrder) -> Envelope {
    let notice = RefusalNotice {
        v: 1,
        order_digest: order.digest(),
        handed_digest: handed.digest(),
        order: Some(ORDER),
        agent: AGENT,
        time: at(1),
        refusal: Host {
            proof: None,
            ..Host::new()
        }
        .judge(order)
        .unwrap_err(),
    };
    let signed = Envelope::sign_document(envelope::REFUSAL, &notice, &keys::seal()).unwrap();
    assert_eq!(
        RefusalNotice::open(&signed, &keys::seal().public()).unwrap(),
        notice
    );
    signed
}
