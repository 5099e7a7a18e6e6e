//! The committed vectors: one folder a way to cheat, and what a verifier must say of each.
//!
//! `tests/vectors/index.json` names them; README.md there says how to use them. They are made
//! again by `cargo test -p fieldseal-evidence --test vectors -- --ignored`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test has no callers")]

mod forge;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    process::Command,
};

use evidence::{
    archive::FaultCode,
    envelope::{self, Envelope},
    seal::Trust,
    verify::{Beside, Code, Options, Root, collections, verify_part},
};
use forge::{
    Files, Given,
    authority::signed_policy,
    certificate::pem,
    deployment::{Deployment, STRANGERS_VAULT, VAULT},
    draft::Draft,
    judge::{self, Said, judge, options},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    name: String,
    about: String,
    given: BTreeSet<String>,
    exit_code: u8,
    codes: Vec<String>,
    notes: Vec<String>,
    faults: Vec<String>,
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn index() -> Vec<Entry> {
    serde_json::from_slice(&fs::read(home().join("index.json")).unwrap()).unwrap()
}

fn files(name: &str) -> Files {
    let folder = fs::read_dir(home().join(name)).unwrap();
    folder
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

fn given(names: &BTreeSet<String>) -> Vec<Given> {
    const ALL: [Given; 5] = [
        Given::Trust,
        Given::Identity,
        Given::OtherIdentity,
        Given::StampTrust,
        Given::Policy,
    ];
    let chosen: Vec<_> = ALL
        .into_iter()
        .filter(|g| names.contains(g.name()))
        .collect();
    assert_eq!(chosen.len(), names.len(), "{names:?}");
    chosen
}

/// Every difference between what was said and what the index demands.
fn difference(entry: &Entry, said: &Said) -> Option<String> {
    let missing: Vec<_> = entry
        .notes
        .iter()
        .filter(|n| !said.notes.contains(n))
        .collect();
    let same = said.exit == entry.exit_code
        && said.codes == entry.codes
        && said.faults == entry.faults
        && missing.is_empty();
    (!same).then(|| {
        format!(
            "{}: {}\n  wanted {} {:?} {:?} {:?}\n  said   {} {:?} {:?} {:?}\n",
            entry.name,
            entry.about,
            entry.exit_code,
            entry.codes,
            entry.faults,
            entry.notes,
            said.exit,
            said.codes,
            said.faults,
            said.notes
        )
    })
}

#[test]
fn every_vector_gets_its_verdict_with_every_reason_and_no_other() {
    let world = Deployment::new();
    let stamp_root = fs::read_to_string(home().join("trust/tsa.crt")).unwrap();
    let wrong: String = index()
        .iter()
        .filter_map(|entry| {
            let options = options(&world, &given(&entry.given), &stamp_root);
            let (said, _) = judge(&files(&entry.name), &options);
            difference(entry, &said)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_index_is_what_the_generator_says_and_the_folders_are_all_in_it() {
    let cases = forge::cases::all(&home().join("stamps"));
    let generated: Vec<_> = cases.iter().map(forge::Case::entry).collect();
    let committed: Vec<serde_json::Value> =
        serde_json::from_slice(&fs::read(home().join("index.json")).unwrap()).unwrap();
    assert_eq!(generated, committed, "make the vectors again");
    let named: BTreeSet<_> = cases.iter().map(|c| c.name.to_owned()).collect();
    assert_eq!(named.len(), cases.len(), "a name stands twice");
    let folders: BTreeSet<_> = fs::read_dir(home())
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .filter(|name| name != "trust" && name != "stamps")
        .collect();
    assert_eq!(folders, named);
    assert!(cases.iter().filter(|c| c.exit == 1).count() >= 50);
}

#[test]
fn signatures_and_archives_come_out_the_same_each_time() {
    // Encryption is random, and so are the stamps: all else must be as committed.
    for case in forge::cases::all(&home().join("stamps")) {
        let committed = files(case.name);
        assert_eq!(
            case.files.keys().collect::<Vec<_>>(),
            committed.keys().collect::<Vec<_>>(),
            "{}",
            case.name
        );
        if committed.keys().any(|name| name.ends_with(".age")) {
            continue;
        }
        // Deflate may come out otherwise with another library or writer, and with it what names the ZIP's digest.
        let is_deflated = case.name == "genuine-streamed";
        for (name, bytes) in &case.files {
            let hangs_on_it = name.starts_with("part-") && !name.ends_with(".tsr");
            let same = *bytes == committed[name] || is_deflated && hangs_on_it;
            assert!(same, "{}/{name} is made otherwise today", case.name);
        }
    }
}

#[test]
fn a_root_document_alone_leaves_the_signer_unknown_and_is_no_reason_against_him() {
    let world = Deployment::new();
    let key = world.root.key.public().to_pem().unwrap();
    let document = serde_json::json!({
        "v": 1, "version": 1, "deployment": "lab", "keys": [key], "threshold": 1,
    });
    let root = Envelope::sign_document(envelope::ROOT, &document, &world.root.key).unwrap();
    let options = Options {
        roots: vec![Root::open(&root.to_json().unwrap()).unwrap()],
        ..Options::default()
    };
    let (said, _) = judge(&files("genuine-receipts"), &options);
    assert_eq!(
        (said.exit, said.codes),
        (2, vec!["signer-unknown".to_owned()])
    );
}

#[test]
fn a_seal_key_that_is_trusted_by_itself_gives_no_orders() {
    let world = Deployment::new();
    let own = world.for_run();
    let mut draft = Draft::ordered(&world);
    draft.put_policy(&world, &own.key);
    let mut made = draft.folder(&own);
    forge::log::receipts(&world, &mut made);
    let options = Options {
        trust: Trust::from_der(&own.chain[0]).unwrap(),
        ..Options::default()
    };
    let (said, _) = judge(&made, &options);
    assert_eq!(
        (said.exit, said.codes),
        (1, vec!["policy-untrusted".to_owned()])
    );
    let (local, _) = judge(&Draft::local().folder(&own), &options);
    assert_eq!((local.exit, local.codes), (0, Vec::new()));
}

#[test]
fn what_is_proven_of_a_part_is_proven_of_its_opened_copy_elsewhere() {
    let world = Deployment::new();
    let options = options(&world, &[Given::Trust, Given::Identity], "");
    let all = files("genuine-encrypted-beside");
    let check =
        |name: &str, beside: &Beside| verify_part(name, Cursor::new(&all[name]), beside, &options);
    let beside = judge::beside(&all, "part-0001.zip");
    let (cipher, plain) = ("part-0001.zip.age", "part-0001.zip");
    for parts in [
        vec![check(cipher, &beside), check(plain, &Beside::default())],
        vec![check(plain, &Beside::default()), check(cipher, &beside)],
    ] {
        let reports = collections(parts);
        let found = reports[0].all_findings();
        let codes: Vec<_> = found.iter().map(|(_, f)| f.code).collect();
        assert!(!codes.contains(&Code::ReceiptAbsent), "{codes:?}");
        assert!(!codes.contains(&Code::EnrolmentAbsent), "{codes:?}");
    }
    let lonely = collections(vec![check(plain, &Beside::default())]);
    let found = lonely[0].all_findings();
    assert!(found.iter().any(|(_, f)| f.code == Code::ReceiptAbsent));
}

/// Codes that no vector provokes, and why.
const UNPROVOKED: &[(&str, &str)] = &[("unreadable", "a medium that fails is no file to commit")];

#[test]
fn every_code_has_a_vector() {
    let index = index();
    let provoked: BTreeSet<_> = index
        .iter()
        .flat_map(|e| e.codes.iter().chain(&e.notes))
        .collect();
    let missing: Vec<_> = evidence::verify::Code::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !provoked.contains(&(*code).to_owned()))
        .filter(|code| !UNPROVOKED.iter().any(|(name, _)| name == code))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
    let faults: BTreeSet<_> = index.iter().flat_map(|e| &e.faults).collect();
    let missing: Vec<_> = FaultCode::ALL
        .iter()
        .map(|code| code.code())
        .filter(|code| !faults.contains(&(*code).to_owned()))
        .collect();
    // These need thousands of faults, or a damaged deflate stream, which `archive`'s own tests have.
    assert_eq!(missing, ["zip-deflate", "zip-more-faults"]);
}

#[test]
#[ignore = "writes tests/vectors anew"]
fn write() {
    let (home, world) = (home(), Deployment::new());
    let trust = home.join("trust");
    fs::create_dir_all(&trust).unwrap();
    fs::write(trust.join("root.crt"), pem(&world.root.der)).unwrap();
    fs::write(trust.join("vault.txt"), format!("{VAULT}\n")).unwrap();
    fs::write(
        trust.join("other-vault.txt"),
        format!("{STRANGERS_VAULT}\n"),
    )
    .unwrap();
    let policy = signed_policy(&world, &world.root.key).to_json().unwrap();
    fs::write(trust.join("policy.json"), policy).unwrap();
    if !home.join("stamps/genuine.tsr").exists() || !trust.join("tsa.crt").exists() {
        write_stamps(&home);
    }
    let cases = forge::cases::all(&home.join("stamps"));
    let mut entries: Vec<_> = Vec::new();
    for case in &cases {
        let folder = home.join(case.name);
        let _gone = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in &case.files {
            fs::write(folder.join(name), bytes).unwrap();
        }
        entries.push(case.entry());
    }
    let mut index = serde_json::to_vec_pretty(&entries).unwrap();
    index.push(b'\n');
    fs::write(home.join("index.json"), index).unwrap();
}

/// Time stamps by a real `openssl ts`, over the genuine statement and over another.
fn write_stamps(home: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let run = |command: &str| {
        let out = Command::new("openssl")
            .current_dir(dir.path())
            .args(command.split_whitespace())
            .output()
            .unwrap();
        assert!(out.status.success(), "{command}: {out:?}");
    };
    let conf = "[tsa]\ndefault_tsa = ours\n[ours]\nserial = serial\nsigner_digest = sha256\n\
        default_policy = 1.2.3.4\ndigests = sha256\ness_cert_id_alg = sha256\n\
        [ext]\nextendedKeyUsage = critical,timeStamping\nbasicConstraints = critical,CA:false\n";
    fs::write(dir.path().join("conf"), conf).unwrap();
    fs::write(dir.path().join("serial"), "01\n").unwrap();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!(
        "req -x509 {new} -keyout root.key -out root.crt -subj /CN=TSA-root -days 9000"
    ));
    run(&format!(
        "req {new} -keyout tsa.key -out tsa.csr -subj /CN=TSA"
    ));
    run(
        "x509 -req -in tsa.csr -CA root.crt -CAkey root.key -CAcreateserial -days 8000 -out tsa.crt -extfile conf -extensions ext",
    );
    let cases = forge::cases::all(&home.join("stamps"));
    let genuine = cases.iter().find(|c| c.name == "genuine-receipts").unwrap();
    let over: BTreeMap<_, _> = BTreeMap::from([
        ("genuine", genuine.files["part-0001.statement.json"].clone()),
        ("other", b"another statement".to_vec()),
    ]);
    fs::create_dir_all(home.join("stamps")).unwrap();
    for (name, bytes) in over {
        fs::write(dir.path().join("data"), bytes).unwrap();
        run("ts -query -data data -sha256 -cert -out query");
        run("ts -reply -config conf -queryfile query -signer tsa.crt -inkey tsa.key -out reply");
        fs::copy(
            dir.path().join("reply"),
            home.join(format!("stamps/{name}.tsr")),
        )
        .unwrap();
    }
    fs::copy(dir.path().join("root.crt"), home.join("trust/tsa.crt")).unwrap();
}
