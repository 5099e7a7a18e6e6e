//! Fetching from a script that cuts, restarts and lies.

use std::{
    cell::{Cell, RefCell},
    sync::OnceLock,
};

use evidence::{
    ids::AgentId,
    keys::SigningKey,
    statement::{Measured, Statement, Wrapping},
};

use super::*;
use crate::testing::at;

const PART: &[u8] = b"the ciphertext of a part";

/// How the server answers one question for the part.
#[derive(Clone, Copy)]
enum Answer {
    /// All from the byte asked for.
    Rest,
    /// So many bytes of it, then the connection breaks.
    Cut(usize),
    /// From the start, whatever was asked for.
    Anew,
    /// Other bytes of the same length.
    Lie,
    /// Nothing at all.
    Gone,
}

struct Script {
    statement: Vec<u8>,
    answers: RefCell<Vec<Answer>>,
    asked: RefCell<Vec<u64>>,
    beside: Cell<u32>,
}

/// Bytes, then a broken connection.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            n => Ok(n),
        }
    }
}

impl Source for Script {
    fn part(&self, _: CollectionId, _: &PartRow, from: u64) -> Result<Download, RemoteError> {
        self.asked.borrow_mut().push(from);
        let rest = &PART[usize::try_from(from).unwrap()..];
        let answer = self.answers.borrow_mut().pop().expect("asked too often");
        let body: Box<dyn Read> = match answer {
            Answer::Rest => Box::new(rest),
            Answer::Cut(most) => Box::new(Broken(&rest[..most])),
            Answer::Anew => {
                return Ok(Download {
                    from: 0,
                    body: Box::new(PART),
                });
            }
            Answer::Lie => Box::new(&[b'x'; 24][..rest.len()]),
            Answer::Gone => {
                return Err(RemoteError::Unreachable {
                    server: "https://h:1".into(),
                    source: Box::new(ureq::Error::ConnectionFailed),
                });
            }
        };
        Ok(Download { from, body })
    }

    fn beside(&self, _: CollectionId, _: &PartRow, which: Beside) -> Result<Vec<u8>, RemoteError> {
        self.beside.set(self.beside.get() + 1);
        Ok(match which {
            Beside::Statement => self.statement.clone(),
            Beside::Receipt => b"receipt".to_vec(),
            Beside::Tsr => b"stamp".to_vec(),
        })
    }
}

fn measured() -> Measured {
    Measured {
        sha256: Digest::of(PART),
        size_bytes: PART.len() as u64,
    }
}

fn statement(part: u32, kind: &str) -> Vec<u8> {
    let statement = Statement {
        v: 1,
        collection: CollectionId::from_bytes([1; 16]),
        agent: AgentId::from_bytes([1; 16]),
        part,
        last: true,
        plain: measured(),
        ciphertext: (kind == wrap::AGE).then(measured),
        previous: None,
        order: None,
        wrapping: Wrapping {
            kind: kind.into(),
            recipients: Vec::new(),
        },
        certificates: Vec::new(),
        time: at(1),
    };
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    let key = KEY.get_or_init(|| SigningKey::generate().unwrap());
    statement.sign(key).unwrap().to_json().unwrap()
}

fn script(answers: &[Answer]) -> Script {
    Script {
        statement: statement(1, wrap::AGE),
        answers: RefCell::new(answers.iter().rev().copied().collect()),
        asked: RefCell::default(),
        beside: Cell::new(0),
    }
}

fn row() -> CollectionRow {
    CollectionRow {
        collection: CollectionId::from_bytes([1; 16]),
        agent: AgentId::from_bytes([1; 16]),
        hostname: "web-1".into(),
        order: None,
        case: None,
        complete: true,
        parts: vec![PartRow {
            part: 1,
            stored_sha256: Digest::of(PART),
            size_bytes: PART.len() as u64,
            received: at(2),
            last: true,
            has_tsr: true,
            quarantined: false,
        }],
        enrolment: "enrolment".into(),
        revocation: None,
        held: false,
        expired: None,
    }
}

fn run(script: &Script, output: &Path) -> anyhow::Result<Vec<Fetched>> {
    let mut all = Vec::new();
    collection(script, &row(), output, &mut |_, fetched| {
        all.push(fetched);
        Ok(())
    })?;
    Ok(all)
}

fn names(output: &Path) -> Vec<String> {
    let folder = output.join(CollectionId::from_bytes([1; 16]).to_string());
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_collection_comes_with_all_that_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let script = script(&[Answer::Rest]);
    assert_eq!(run(&script, dir.path()).unwrap(), [Fetched::New]);
    let whole = [
        "enrolment.receipt",
        "part-0001.receipt",
        "part-0001.statement.json",
        "part-0001.tsr",
        "part-0001.zip.age",
    ];
    assert_eq!(names(dir.path()), whole);
    assert_eq!(run(&script, dir.path()).unwrap(), [Fetched::Kept]);
}

#[test]
fn every_revocation_is_kept_and_none_takes_the_place_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let fetch = |leaf: &str, checkpoint: &str| {
        let receipt = serde_json::json!({"v": 1, "leaf_b64": leaf, "checkpoint": checkpoint});
        let row = CollectionRow {
            revocation: Some(receipt.to_string()),
            ..row()
        };
        collection(&script(&[Answer::Rest]), &row, dir.path(), &mut |_, _| {
            Ok(())
        })
        .unwrap();
    };
    let held = || {
        let names = names(dir.path()).into_iter();
        let held: Vec<_> = names.filter(|n| n.starts_with("revocation")).collect();
        held
    };
    fetch("later", "1");
    fetch("later", "2");
    assert_eq!(
        held(),
        ["revocation.receipt"],
        "the same leaf says nothing new"
    );
    fetch("earlier", "3");
    fetch("later", "4");
    assert_eq!(held(), ["revocation-2.receipt", "revocation.receipt"]);
    assert!(!names(dir.path()).contains(&"enrolment-2.receipt".to_owned()));
}

#[test]
fn a_plain_part_is_named_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = script(&[Answer::Rest]);
    script.statement = statement(1, wrap::NONE);
    run(&script, dir.path()).unwrap();
    assert!(names(dir.path()).contains(&"part-0001.zip".to_owned()));
}

#[test]
fn goes_on_where_the_connection_broke() {
    let dir = tempfile::tempdir().unwrap();
    let script = script(&[Answer::Cut(5), Answer::Gone, Answer::Cut(3), Answer::Rest]);
    run(&script, dir.path()).unwrap();
    assert_eq!(*script.asked.borrow(), [0, 5, 5, 8]);
}

#[test]
fn starts_anew_where_the_server_does() {
    let dir = tempfile::tempdir().unwrap();
    let script = script(&[Answer::Cut(5), Answer::Anew]);
    run(&script, dir.path()).unwrap();
    assert!(names(dir.path()).contains(&"part-0001.zip.age".to_owned()));
}

#[test]
fn a_second_run_goes_on_where_the_first_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut answers = vec![Answer::Cut(7)];
    answers.extend([Answer::Gone; 20]);
    let first = script(&answers);
    assert!(run(&first, dir.path()).is_err());
    assert!(!names(dir.path()).contains(&"part-0001.zip.age".to_owned()));
    let second = script(&[Answer::Rest]);
    run(&second, dir.path()).unwrap();
    assert_eq!(*second.asked.borrow(), [7]);
}

#[test]
fn other_bytes_never_get_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let lying = script(&[Answer::Lie]);
    let error = run(&lying, dir.path()).unwrap_err();
    assert!(format!("{error:#}").contains("digest"), "{error:#}");
    assert!(
        !names(dir.path())
            .iter()
            .any(|n| n.contains("zip") || n.contains("unfinished"))
    );
    assert!(run(&script(&[Answer::Rest]), dir.path()).is_ok());
}

#[test]
fn a_statement_of_another_part_is_refused_before_the_part_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = script(&[]);
    script.statement = statement(2, wrap::AGE);
    assert!(run(&script, dir.path()).is_err());
    assert!(script.asked.borrow().is_empty());
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    run(&script(&[Answer::Rest]), dir.path()).unwrap();
    let folder = dir
        .path()
        .join(CollectionId::from_bytes([1; 16]).to_string());
    for name in ["part-0001.zip.age", "part-0001.statement.json"] {
        let held = fs::read(folder.join(name)).unwrap();
        fs::write(folder.join(name), b"mine").unwrap();
        assert!(run(&script(&[Answer::Rest]), dir.path()).is_err(), "{name}");
        assert_eq!(fs::read(folder.join(name)).unwrap(), b"mine");
        fs::write(folder.join(name), held).unwrap();
    }
}

#[test]
fn of_what_has_expired_all_that_proves_it_is_fetched_and_nothing_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let expired = protocol::retention::Expired {
        time: at(9),
        agency: "lab".parse().unwrap(),
        case: None,
        version: 1,
        rule_sha256: Digest::of(b"rule"),
        receipts: vec!["{}".into()],
    };
    let row = CollectionRow {
        expired: Some(expired),
        ..row()
    };
    let script = script(&[]);
    let mut all = Vec::new();
    collection(&script, &row, dir.path(), &mut |_, fetched| {
        all.push(fetched);
        Ok(())
    })
    .unwrap();
    assert_eq!(all, [Fetched::Expired]);
    assert!(script.asked.borrow().is_empty());
    let names = names(dir.path());
    assert!(names.contains(&"expiry.receipt".to_owned()), "{names:?}");
    assert!(names.contains(&"part-0001.receipt".to_owned()));
    assert!(!names.iter().any(|name| name.ends_with(".age")));
}
