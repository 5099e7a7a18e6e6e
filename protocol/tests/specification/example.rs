//! The worked example of PROTOCOL.md: made by the code, so that it can't rot, and read back as it is printed.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use data_encoding::{BASE64, HEXLOWER};
use evidence::{
    custody::leaf_hash,
    digest::Digest,
    envelope::{self, Envelope},
    ids::AgentId,
    instant::Instant,
};
use protocol::{
    enrolment::Token,
    messages::HandedOrder,
    order::{Order, RefusalNotice},
    order_check::{Refusal, Situation, check},
    policy::{Class, Policy},
    profile,
    root::Root,
    target::{Subject, TargetList, TargetProof},
    time::{ClockOffset, SignedTime},
};
use serde::Serialize;

use crate::{
    document::{self, EXAMPLE},
    samples::{ORDER, agents, at, name, order, policy, root, signed_time, token},
};

/// The keys of the example, for tests alone: each private scalar is one byte repeated.
pub(crate) mod keys {
    use evidence::keys::SigningKey;

    /// PKCS#8 of a P-256 key up to its 32 bytes.
    const HEAD: &[u8] = &[
        0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a,
        0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
    ];

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_pkcs8_der(&[HEAD, &[byte; 32]].concat()).unwrap()
    }

    macro_rules! keys {
        ($($name:ident $byte:literal,)*) => {
            $(pub(crate) fn $name() -> SigningKey {
                key($byte)
            })*
        };
    }

    keys! {
        root 0x01,
        time 0x02,
        ann 0x03,
        bob 0x04,
        eve 0x05,
        seal 0x06,
    }
}

/// The agent that is asked.
const AGENT: AgentId = AgentId::from_bytes([2; 16]);

fn subject() -> Subject {
    Subject {
        id: AGENT,
        agency: name("lab"),
        labels: token().labels,
        os: name("linux"),
        arch: name("x86_64"),
    }
}

/// What the agent of the example knows: two artifacts.
fn class_of(artifact: &str) -> Option<Class> {
    match artifact {
        "processes" => Some(Class::Triage),
        "logs" => Some(Class::Files),
        _ => None,
    }
}

/// What the agent holds when it is handed an order.
struct Host {
    policy: Policy,
    now: Instant,
    is_used: bool,
    proof: Option<TargetProof>,
}

impl Host {
    fn new() -> Self {
        Self {
            policy: policy(),
            now: at(0),
            is_used: false,
            proof: TargetList::new(agents()).prove(&AGENT),
        }
    }

    fn judge(&self, envelope: &Envelope) -> Result<Vec<String>, Refusal> {
        let used = self.is_used.then_some(ORDER).into_iter().collect();
        let situation = Situation {
            policy: &self.policy,
            root: &root(),
            subject: &subject(),
            now: self.now,
            highest_signed: Some(signed_time().time),
            used: &used,
            cancelled: &BTreeSet::new(),
            class_of: &class_of,
        };
        let accepted = check(envelope, self.proof.as_ref(), &situation)?;
        Ok(accepted.signers.iter().map(ToString::to_string).collect())
    }
}

fn signed(order: &Order) -> Envelope {
    Envelope::sign_document(envelope::ORDER, order, &keys::ann()).unwrap()
}

fn json(envelope: &Envelope) -> String {
    String::from_utf8(envelope.to_json().unwrap()).unwrap()
}

fn payload(envelope: &Envelope) -> &str {
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

fn example() -> String {
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
        &serde_json::to_string(&crate::samples::time_request()).unwrap(),
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

/// A change to order or host, in words, and the order as it is then signed and judged.
fn cases() -> Vec<(&'static str, Host, Envelope)> {
    let good = signed(&order());
    let host = Host::new;
    let changed = |change: fn(&mut Order)| {
        let mut order = order();
        change(&mut order);
        signed(&order)
    };
    let mut twice = good.clone();
    twice.add_signature(&keys::ann());
    let forged = Envelope::sign_document(envelope::ORDER, &order(), &keys::bob()).unwrap();
    let later = Host {
        now: at(86_400),
        ..host()
    };
    let mut newer = policy();
    newer.version = 4;
    vec![
        ("Bob alone has signed", host(), forged),
        (
            "the host has policy 4",
            Host {
                policy: newer,
                ..host()
            },
            good.clone(),
        ),
        (
            "the proof is left out",
            Host {
                proof: None,
                ..host()
            },
            good.clone(),
        ),
        ("the host's clock is a day later", later, good.clone()),
        (
            "the order was used",
            Host {
                is_used: true,
                ..host()
            },
            good,
        ),
        (
            "the profile has a line more than its digest",
            host(),
            changed(|o| o.profile.push_str("# more\n")),
        ),
        ("Ann has signed twice", host(), twice),
        (
            "the profile names `logs`, of class `files`",
            host(),
            changed(|o| {
                o.profile = o.profile.replace("processes", "logs");
                o.profile_digest = profile::digest(&o.profile);
            }),
        ),
        (
            "one recipient of the vault is left out",
            host(),
            changed(|o| drop(o.recipients.pop())),
        ),
    ]
}

fn check_chapter(out: &mut String) {
    let (good, host) = (signed(&order()), Host::new());
    assert_eq!(host.judge(&good).unwrap(), ["ann"]);
    let proof = host.proof.as_ref().unwrap();
    let held = policy();
    writeln!(out, "\n### 11.4 How the agent judges it\n").unwrap();
    writeln!(
        out,
        "The agent is `{AGENT}`, agency `lab`, label `web`. It holds the root and policy of 11.2 and the highest signed time {}. It knows the \
         artifacts `processes` (class `triage`) and `logs` (class `files`). Its clock says {}.\n",
        signed_time().time.to_rfc3339().unwrap(),
        host.now.to_rfc3339().unwrap(),
    )
    .unwrap();
    let (root, order) = (root(), order());
    let steps = [
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
    ];
    for (number, step) in steps.iter().enumerate() {
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
    let notice = RefusalNotice {
        v: 1,
        order_digest: good.digest(),
        handed_digest: handed.digest(),
        order: Some(ORDER),
        agent: AGENT,
        time: at(1),
        refusal: Host {
            proof: None,
            ..Host::new()
        }
        .judge(&good)
        .unwrap_err(),
    };
    let signed = Envelope::sign_document(envelope::REFUSAL, &notice, &keys::seal()).unwrap();
    assert_eq!(
        RefusalNotice::open(&signed, &keys::seal().public()).unwrap(),
        notice
    );
    document(out, "The notice", &signed);
    writeln!(
        out,
        "\nThe server takes it (204) and shows it with the host. It settles nothing, since its `handed_digest` is not the server's: the order is handed over again."
    )
    .unwrap();
}

#[test]
fn the_worked_example_is_what_the_code_makes() {
    let text = document::text();
    let (_, found) = text.split_once(EXAMPLE).unwrap();
    assert!(
        found == example(),
        "make it again: cargo test -p fieldseal-protocol --test specification -- --ignored"
    );
}

#[test]
fn the_worked_example_holds_as_it_is_printed() {
    let text = document::text();
    let (_, chapter) = text.split_once(EXAMPLE).unwrap();
    let after = |title: &str| {
        let (_, rest) = chapter.split_once(&format!("\n{title}:\n\n")).unwrap();
        let lines = rest.lines().map_while(|line| line.strip_prefix("    "));
        lines.collect::<Vec<_>>()
    };
    let envelope = Envelope::parse(after("The order's envelope")[0].as_bytes()).unwrap();
    assert_eq!(payload(&envelope), after("The order, the payload")[0]);
    let proof = after("The root, which the order signs, and the second host's proof")[1];
    let host = Host {
        proof: serde_json::from_str(proof).unwrap(),
        ..Host::new()
    };
    assert_eq!(host.judge(&envelope).unwrap(), ["ann"]);
    let digests = after("`handed_digest` as the server has it, and as the agent has it");
    let [with, without] = [host.proof, None].map(|proof| HandedOrder {
        order: json(&envelope),
        proof,
    });
    assert_eq!(
        digests,
        [with.digest().to_string(), without.digest().to_string()]
    );
    let notice = after("The notice, the payload")[0];
    let notice: RefusalNotice = serde_json::from_str(notice).unwrap();
    assert_eq!(notice.handed_digest, without.digest());
    assert_eq!(notice.order_digest, envelope.digest());
}

#[test]
#[ignore = "writes the worked example into PROTOCOL.md"]
fn write() {
    let text = document::text();
    let (before, _) = text.split_once(EXAMPLE).unwrap();
    fs::write(document::path(), format!("{before}{EXAMPLE}{}", example())).unwrap();
}
