//! The functions under test: each takes bytes of a stranger and must neither panic, nor hang, nor contradict itself.

use std::{
    collections::BTreeSet,
    io::{self, Cursor},
    sync::LazyLock,
};

use evidence::{
    archive::{self, Limits, StreamZip},
    custody::{checkpoint::Checkpoint, event::Event, note::LogKey, receipt::Receipt},
    envelope::{self, Envelope},
    names,
    seal::{self, Expected, Trust},
    statement, timestamp,
    verify::{Beside, Options, Paper, verify_part},
};
use protocol::{
    messages,
    order::Order,
    order_check::{Situation, check},
    policy::{Class, Policy},
    profile::Profile,
    root::Root,
    version,
};

use crate::genuine;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by the names of their binaries.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive", archive),
    ("part", part),
    ("records", records),
    ("seal", seal),
    ("beside", beside),
    ("envelope", envelope),
    ("statement", statement),
    ("root", root),
    ("policy", policy),
    ("order", order),
    ("profile", profile),
    ("receipt", receipt),
    ("note", note),
    ("event", event),
    ("messages", messages),
    ("names", names),
];

/// What a reader spends here: little, so that a bomb is told by time.
const LIMITS: Limits = Limits {
    plain_bytes: 1 << 20,
    entries: 1000,
    record_file_bytes: 1 << 18,
    directory_bytes: 1 << 18,
    faults: 100,
};

/// The strict reader of archives.
pub fn archive(bytes: &[u8]) {
    let mut shown = 0;
    let report = archive::read(Cursor::new(bytes), &LIMITS, |_, content| {
        shown += io::copy(content, &mut io::sink())?;
        Ok(())
    });
    assert!(shown <= LIMITS.plain_bytes, "{shown} bytes were shown");
    let Ok(report) = report else { return };
    assert!(report.faults.len() <= LIMITS.faults + 1);
    if report.faults.is_empty() {
        let mut names: Vec<_> = report.entries.iter().map(|entry| &entry.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(
            names.len(),
            report.entries.len(),
            "a name twice without a fault"
        );
    }
}

/// The whole check of a part.
pub fn part(bytes: &[u8]) {
    // Made once: signing costs more than most checks.
    static BESIDE: LazyLock<Beside> = LazyLock::new(|| Beside {
        statement: Some(genuine::statement()),
        receipt: Some(genuine::receipt()),
        ..Beside::default()
    });
    let options = Options {
        limits: LIMITS,
        ..Options::default()
    };
    verify_part("part-0001.zip", Cursor::new(bytes), &BESIDE, &options);
}

/// The whole check of a part whose form is right, with one entry replaced by the bytes: the first one says which.
pub fn records(bytes: &[u8]) {
    const NAMES: [&str; 9] = [
        "results/processes.jsonl",
        "files.jsonl",
        "gaps.jsonl",
        "log.jsonl",
        "order.json",
        "policy.json",
        "collection.json",
        archive::SUMS,
        archive::SEAL,
    ];
    let Some((which, content)) = bytes.split_first() else {
        return;
    };
    let replaced = NAMES[usize::from(*which) % NAMES.len()];
    let mut zip = StreamZip::new(Vec::new(), genuine::NOW);
    let copied = archive::read(
        Cursor::new(genuine::PART.as_slice()),
        &LIMITS,
        |entry, old| {
            let outcome = if entry.name == replaced {
                zip.entry(&entry.name, content)
            } else {
                zip.entry(&entry.name, old)
            };
            outcome.map(drop).map_err(io::Error::other)
        },
    );
    assert!(copied.is_ok_and(|report| report.faults.is_empty()));
    if let Ok(bent) = zip.finish() {
        part(&bent);
    }
}

/// What lies beside a part: the bytes in every place at once.
pub fn beside(bytes: &[u8]) {
    let paper = || Paper {
        name: "receipt".to_owned(),
        bytes: bytes.to_vec(),
    };
    let beside = Beside {
        statement: Some(bytes.to_vec()),
        stamp: Some(bytes.to_vec()),
        receipt: Some(bytes.to_vec()),
        enrolments: vec![paper()],
        revocations: vec![paper()],
    };
    let options = Options {
        limits: LIMITS,
        policies: vec![bytes.to_vec()],
        ..Options::default()
    };
    let part = Cursor::new(genuine::PART.as_slice());
    verify_part("part-0001.zip", part, &beside, &options);
}

/// The seal (CMS), a certificate by itself, and a time stamp.
pub fn seal(bytes: &[u8]) {
    let trust = Trust::default();
    let expected = Expected {
        trust: &trust,
        agent: Some(genuine::AGENT),
        at: None,
    };
    seal::check(bytes, genuine::CONTENT, expected);
    seal::check_certificates(&[bytes.to_vec()], expected, genuine::NOW);
    let stamped = timestamp::Expected {
        digest: evidence::digest::Digest::of(genuine::CONTENT),
        nonce: None,
        trust: &trust,
    };
    timestamp::check(bytes, stamped);
}

/// An envelope reads back as it was written.
pub fn envelope(bytes: &[u8]) {
    let Ok(read) = Envelope::parse(bytes) else {
        return;
    };
    read.verify(&[genuine::key(1).public()]);
    let Ok(json) = read.to_json() else { return };
    let again = Envelope::parse(&json).expect("what was written can be read");
    assert_eq!(again.digest(), read.digest());
    assert_eq!(again.payload_type(), read.payload_type());
    assert_eq!(again.signatures().len(), read.signatures().len());
}

/// A statement, as a whole and as a payload under a good signature.
pub fn statement(bytes: &[u8]) {
    let trust = Trust::default();
    let expected = Expected {
        trust: &trust,
        agent: None,
        at: None,
    };
    let _ = statement::verify(bytes, expected);
    let _ = statement::verify(&signed(envelope::STATEMENT, bytes, 7), expected);
}

fn signed(kind: &str, payload: &[u8], by: u8) -> Vec<u8> {
    genuine::json_of(&Envelope::sign(kind, payload.to_vec(), &genuine::key(by)))
}

/// A root under a good signature.
pub fn root(payload: &[u8]) {
    let envelope = Envelope::sign(envelope::ROOT, payload.to_vec(), &genuine::key(1));
    if let Ok(root) = Root::open(&envelope) {
        let _ = root.open_next(&envelope);
        assert!(root.threshold > 0 && root.threshold <= root.keys.len());
    }
}

/// A policy under a good signature: what is taken is sound.
pub fn policy(payload: &[u8]) {
    let envelope = Envelope::sign(envelope::POLICY, payload.to_vec(), &genuine::key(1));
    let world = &*genuine::DEPLOYMENT;
    if let Ok(policy) = Policy::open(&envelope, &world.root) {
        policy.log_key().expect("it was looked at when opened");
        policy.validate().expect("it was looked at when opened");
        let _ = policy.check_update(&world.policy, &world.root);
    }
}

/// An order under a good signature; what is accepted is meant for the agent, and in time.
pub fn order(payload: &[u8]) {
    let envelope = Envelope::sign(envelope::ORDER, payload.to_vec(), &genuine::key(2));
    let _ = Order::read(&envelope);
    let world = &*genuine::DEPLOYMENT;
    let none = BTreeSet::new();
    let situation = Situation {
        policy: &world.policy,
        root: &world.root,
        subject: &world.subject,
        kit: None,
        now: genuine::NOW,
        highest_signed: None,
        used: &none,
        cancelled: &none,
        class_of: &|_| Some(Class::Triage),
    };
    if let Ok(accepted) = check(&envelope, Some(&world.proof), &situation) {
        assert!(accepted.order.expires >= genuine::NOW);
        assert!(
            accepted
                .order
                .targets
                .include(&world.subject, Some(&world.proof))
        );
    }
}

/// A profile; what is taken goes through an order's parameters.
pub fn profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(profile) = Profile::parse(text) {
        let applied = protocol::profile::Parameters::default().apply(profile.clone());
        assert!(applied.is_ok_and(|applied| applied == profile));
    }
}

/// A receipt: none but the log's own is believed.
pub fn receipt(bytes: &[u8]) {
    let Ok(receipt) = Receipt::parse(bytes) else {
        return;
    };
    if let Ok(proven) = receipt.verify(genuine::log_signer().public()) {
        assert_eq!(
            proven.leaf,
            genuine::event(),
            "a leaf that was never logged"
        );
    }
    let json = receipt.to_json().expect("a receipt can be written");
    assert!(Receipt::parse(&json).is_ok());
}

/// Keys of logs, and checkpoints.
pub fn note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(key) = LogKey::parse(text) {
        let again = LogKey::parse(&key.to_string());
        assert!(again.is_ok_and(|again| again.id() == key.id()));
    }
    if let Ok(checkpoint) = Checkpoint::verify(text, genuine::log_signer().public()) {
        assert_eq!(checkpoint.size, 1, "a checkpoint that was never signed");
    }
}

/// A leaf of the custody log, as a whole and as a payload under a good signature.
pub fn event(bytes: &[u8]) {
    let _ = Event::read(bytes);
    let _ = Event::read(&signed(envelope::CUSTODY, bytes, 2));
}

/// What agents, servers and investigators say to each other.
pub fn messages(bytes: &[u8]) {
    let _ = version::read_message::<messages::AgentOrders>(bytes, "orders");
    let _ = version::read_message::<messages::AgentReport>(bytes, "report");
    let _ = version::read_message::<messages::SubmitOrder>(bytes, "order");
    let _ = version::read_message::<messages::SubmitEvent>(bytes, "event");
    let _ = version::read_message::<messages::Collections>(bytes, "collections");
    let _ = version::read_message::<protocol::enrolment::EnrolRequest>(bytes, "enrolment");
    let _ = version::read_message::<protocol::enrolment::EnrolResponse>(bytes, "enrolment");
}

/// Any path gives a name that may stand in an archive, and its bytes come back.
pub fn names(bytes: &[u8]) {
    let entry = names::unix_entry(bytes);
    if bytes.starts_with(b"/") && bytes.iter().any(|byte| *byte != b'/') {
        names::check(&entry).expect("an entry's name keeps the rules");
    }
    let escaped = names::escape(bytes);
    assert_eq!(names::unescape(&escaped).as_deref(), Some(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (names::check(text), names::unescape(text));
    }
}
