//! A collection by the real program, then cheated with: every way must be seen, and the genuine one must pass.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{Cursor, Read as _, Write as _},
    path::Path,
    process::Command,
};

use evidence::{
    digest::Digest,
    seal::Trust,
    verify::{Beside, Options, Verdict, collections, overall, verify_part},
};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

/// A part as its entries in order, so that one can be changed and all written again.
type Entries = Vec<(String, Vec<u8>)>;

struct Genuine {
    parts: Vec<Vec<u8>>,
    statements: Vec<Vec<u8>>,
    trust: Trust,
}

fn collect(folder: &Path) -> Genuine {
    let out = Command::new(env!("CARGO_BIN_EXE_fieldseal-agent"))
        .args([
            "collect",
            "--json",
            "--unencrypted",
            "--profile",
            "volatile",
        ])
        .arg("--output")
        .arg(folder)
        .output()
        .unwrap();
    assert!(matches!(out.status.code(), Some(0 | 2)), "{out:?}");
    let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let folder = Path::new(said["folder"].as_str().unwrap()).to_owned();
    let mut genuine = Genuine {
        parts: Vec::new(),
        statements: Vec::new(),
        trust: Trust::from_pem(&fs::read_to_string(folder.join("seal.crt")).unwrap()).unwrap(),
    };
    for number in 1.. {
        let Ok(part) = fs::read(folder.join(format!("part-{number:04}.zip"))) else {
            break;
        };
        genuine.parts.push(part);
        let beside = folder.join(format!("part-{number:04}.statement.json"));
        genuine.statements.push(fs::read(beside).unwrap());
    }
    genuine
}

/// Verifies parts as one collection; gives the verdict and the codes of all findings.
fn judge(genuine: &Genuine, parts: &[(Vec<u8>, Option<Vec<u8>>)]) -> (Verdict, String) {
    let options = Options {
        trust: genuine.trust.clone(),
        ..Options::default()
    };
    let reports = parts
        .iter()
        .map(|(bytes, statement)| {
            let beside = Beside {
                statement: statement.clone(),
                ..Beside::default()
            };
            verify_part("part", Cursor::new(bytes), &beside, &options)
        })
        .collect();
    let reports = collections(reports);
    let said: Vec<_> = reports
        .iter()
        .map(|r| format!("{:?}", r.all_findings()))
        .collect();
    (overall(&reports), said.join("\n"))
}

fn entries(part: &[u8]) -> Entries {
    let mut archive = ZipArchive::new(Cursor::new(part)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn written(entries: &Entries) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().unix_permissions(0o600);
        if let Some(folder) = name.strip_suffix('/') {
            zip.add_directory(folder, options.unix_permissions(0o700))
                .unwrap();
        } else {
            zip.start_file(name.as_str(), options).unwrap();
            zip.write_all(bytes).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

fn at<'a>(entries: &'a mut Entries, name: &str) -> &'a mut Vec<u8> {
    &mut entries.iter_mut().find(|e| e.0 == name).unwrap().1
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(bytes.to_vec())
        .unwrap()
        .replacen(from, to, 1)
        .into_bytes()
}

/// Where the files begin: before them stand folders, whose order means nothing.
fn first_file(entries: &Entries) -> usize {
    entries.iter().position(|e| !e.0.ends_with('/')).unwrap()
}

/// Makes SHA256SUMS agree with the entries again, as somebody without the key would.
fn sum_again(entries: &mut Entries) {
    let lines: String = entries
        .iter()
        .filter(|e| !e.0.ends_with('/') && !e.0.starts_with("SHA256SUMS"))
        .map(|(name, bytes)| format!("{}  {name}\n", Digest::of(bytes)))
        .collect();
    *at(entries, "SHA256SUMS") = lines.into_bytes();
}

/// One way to cheat with the entries of a part.
type Cheat = (&'static str, fn(&mut Entries));

const CHEATS: &[Cheat] = &[
    ("a record changed", |e| {
        at(e, "results/processes.jsonl").push(b'\n')
    }),
    ("a record file emptied", |e| {
        at(e, "results/processes.jsonl").clear()
    }),
    ("a gap withheld", |e| at(e, "gaps.jsonl").clear()),
    ("the index of files changed", |e| {
        at(e, "files.jsonl").push(b'\n')
    }),
    ("the log changed", |e| at(e, "log.jsonl").push(b'\n')),
    ("collection.json changed", |e| {
        at(e, "collection.json").push(b'\n')
    }),
    ("an order slipped in", |e| at(e, "order.json").push(b' ')),
    ("a policy slipped in", |e| at(e, "policy.json").push(b' ')),
    ("the sums changed", |e| at(e, "SHA256SUMS").push(b'\n')),
    ("the sums emptied", |e| at(e, "SHA256SUMS").clear()),
    ("the seal emptied", |e| at(e, "SHA256SUMS.p7s").clear()),
    ("a byte behind the seal", |e| {
        at(e, "SHA256SUMS.p7s").push(0)
    }),
    ("a bit of the signature", |e| {
        let seal = at(e, "SHA256SUMS.p7s");
        *seal.last_mut().unwrap() ^= 1;
    }),
    ("an entry removed", |e| {
        e.retain(|x| x.0 != "results/processes.jsonl")
    }),
    ("the gaps removed", |e| e.retain(|x| x.0 != "gaps.jsonl")),
    ("the sums removed", |e| e.retain(|x| x.0 != "SHA256SUMS")),
    ("the seal removed", |e| {
        e.retain(|x| x.0 != "SHA256SUMS.p7s")
    }),
    ("an entry added in front", |e| {
        e.insert(0, ("fs/$rootfs$/etc/evil".into(), vec![1]))
    }),
    ("an entry added behind the seal", |e| {
        e.push(("fs/$rootfs$/etc/evil".into(), vec![1]))
    }),
    ("a path upwards", |e| {
        e.insert(0, ("fs/../../evil".into(), vec![1]))
    }),
    ("an absolute path", |e| {
        e.insert(0, ("/evil".into(), vec![1]))
    }),
    ("a folder that no record lists", |e| {
        e.insert(0, ("fs/$rootfs$/opt/".into(), vec![]))
    }),
    ("an entry renamed", |e| {
        let place = first_file(e);
        e[place].0.push('x');
    }),
    ("entries reordered", |e| {
        let place = first_file(e);
        e.swap(place, place + 1);
    }),
    ("a record changed and the sums made again", |e| {
        at(e, "results/processes.jsonl").clear();
        sum_again(e);
    }),
    ("an entry removed and the sums made again", |e| {
        e.retain(|x| x.0 != "results/processes.jsonl");
        sum_again(e);
    }),
    ("called the last and the sums made again", |e| {
        let record = replaced(at(e, "collection.json"), "\"last\":false", "\"last\":true");
        let record = replaced(&record, "\"case\"", "\"CASE\"");
        *at(e, "collection.json") = record;
        sum_again(e);
    }),
];

#[test]
fn the_genuine_collection_passes_and_every_cheat_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let genuine = collect(folder.path());
    let as_made: Vec<_> = genuine
        .parts
        .iter()
        .cloned()
        .zip(genuine.statements.iter().cloned().map(Some))
        .collect();
    let (verdict, said) = judge(&genuine, &as_made);
    assert_ne!(verdict, Verdict::NotGenuine, "as made: {said}");

    // The same entries in a ZIP of another make are as good, so that what follows is seen for what it is.
    let first = entries(&genuine.parts[0]);
    let alone = |part: Vec<u8>| judge(&genuine, &[(part, None)]);
    let (verdict, said) = alone(written(&first));
    assert_ne!(verdict, Verdict::NotGenuine, "written again: {said}");
    for (name, cheat) in CHEATS {
        let mut changed = first.clone();
        cheat(&mut changed);
        let (verdict, said) = alone(written(&changed));
        assert_eq!(verdict, Verdict::NotGenuine, "{name}: {said}");
    }
}

#[test]
fn bytes_and_statements_cannot_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let genuine = collect(folder.path());
    let part = &genuine.parts[0];
    let statement = Some(genuine.statements[0].clone());
    let mut flipped_statement = genuine.statements[0].clone();
    let middle = flipped_statement.len() / 2;
    flipped_statement[middle] ^= 1;
    let other = tempfile::tempdir().unwrap();
    let another = collect(other.path());

    let mut cases = vec![
        (
            "appended",
            [part.as_slice(), b"x"].concat(),
            statement.clone(),
        ),
        (
            "prefixed",
            [b"x", part.as_slice()].concat(),
            statement.clone(),
        ),
        (
            "cut short",
            part[..part.len() - 1].to_vec(),
            statement.clone(),
        ),
        (
            "cut in half",
            part[..part.len() / 2].to_vec(),
            statement.clone(),
        ),
        ("emptied", Vec::new(), statement.clone()),
        ("statement changed", part.clone(), Some(flipped_statement)),
        (
            "statement of another",
            part.clone(),
            Some(another.statements[0].clone()),
        ),
        (
            "part of another",
            another.parts[0].clone(),
            statement.clone(),
        ),
    ];
    for step in 0..40 {
        let mut flipped = part.clone();
        let place = part.len() * step / 40;
        flipped[place] ^= 0x40;
        cases.push(("a bit flipped", flipped, statement.clone()));
    }
    for (name, bytes, statement) in cases {
        let (verdict, said) = judge(&genuine, &[(bytes, statement)]);
        assert_eq!(verdict, Verdict::NotGenuine, "{name}: {said}");
    }
}
