//! A stranger's tester, PyPI's schemathesis, makes requests out of the OpenAPI document, with each role's certificate.
//!
//! No answer may be a failure of the server's, and each must be one that the document names. It needs python3 with
//! venv, and PyPI (or pip's own cache and index settings): without them this test fails rather than passing unseen.
//! The short form takes under a minute; the long one, to be run by hand:
//! `cargo test -p fieldseal-server --lib -- --ignored schemathesis_at_length --nocapture`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use evidence::ids::CollectionId;
use serde_json::{Value, json};

use crate::{
    config::Config,
    handlers::openapi::DOCUMENT,
    testing::{Deployment, Identity, Running},
    tests::{evidence::upload, orders::ordered},
};

const VERSION: &str = "schemathesis==4.32.5";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance";

/// What it does not know by itself: how the body of an upload is written.
const HOOKS: &str = r#"
import json
import schemathesis

@schemathesis.serializer("application/offset+octet-stream")
def octets(context, value):
    return value if isinstance(value, bytes) else json.dumps(value, default=str).encode()
"#;

/// How thorough.
struct Depth {
    phases: &'static str,
    examples: u32,
    seconds: u32,
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&[&out.stdout[..], &out.stderr].concat()).into_owned()
}

fn install(venv: &Path) -> PathBuf {
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(venv));
    assert!(made.status.success(), "{}", text(&made));
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let got = run(Command::new(venv.join("bin/python")).args(pip).arg(VERSION));
    assert!(got.status.success(), "{}", text(&got));
    venv.join("bin/schemathesis")
}

/// The document with this world's things as examples, so that not every guess is about nothing.
fn document(places: &[(&str, Value)]) -> Value {
    let mut document: Value = serde_json::from_slice(DOCUMENT).unwrap();
    for operation in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in operation.as_object_mut().unwrap().values_mut() {
            for parameter in operation["parameters"].as_array_mut().unwrap() {
                let found = places.iter().find(|(name, _)| parameter["name"] == *name);
                if let (Some((_, value)), true) = (found, parameter["in"] == "path") {
                    parameter["example"] = value.clone();
                }
                if parameter["name"] == "wait_ms" {
                    parameter["schema"]["maximum"] = json!(100); // The time is short.
                }
            }
        }
    }
    document
}

async fn walk(depth: Depth) {
    let d = Deployment::new().await;
    // So many requests in so short a time that the rates would answer most of them.
    let many = 6_000_000;
    let s: Running<'_> = d
        .start_with(Config {
            max_requests_per_minute_per_agent: many,
            max_requests_per_minute_per_person: many,
            max_requests_per_minute_per_address: many,
            ..d.config()
        })
        .await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = ordered(&s, &agent).await;
    let collection = CollectionId::random().unwrap();
    let part = agent.part_of(collection, 5_000, None, true, Some(envelope.digest()));
    upload(&s, &agent, &part).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("openapi.json");
    let places = [
        ("order", json!(order.id)),
        ("collection", json!(collection)),
        ("part", json!(1)),
        ("sha256", json!(part.digest())),
    ];
    fs::write(&file, document(&places).to_string()).unwrap();
    fs::write(dir.path().join("hooks.py"), HOOKS).unwrap();
    let (stranger, _) = Identity::by_itself();
    let person = |id: &'static str| (id, d.person(id).tls.clone());
    let callers: Vec<_> = [("agent", agent.tls.clone()), ("stranger", stranger)]
        .into_iter()
        .chain(["ann", "bob", "aud", "eve"].map(person))
        .map(|(name, identity)| (name, d.write(name, &identity)))
        .collect();
    let (root, port, venv) = (
        d.folder().root_certificate(),
        s.port,
        dir.path().join("venv"),
    );
    let work = dir.path().to_owned();
    let all = tokio::task::spawn_blocking(move || {
        let program = install(&venv);
        let each = depth.seconds / callers.len() as u32;
        // One after the other: the machine's processors are what is short.
        let ask = |(name, (crt, key)): (&'static str, (PathBuf, PathBuf))| {
            let mut command = Command::new(&program);
            command.current_dir(&work).arg("run").arg(&file);
            command
                .env("SCHEMATHESIS_HOOKS", "hooks")
                .env("PYTHONPATH", &work);
            command
                .arg("--url")
                .arg(format!("https://localhost:{port}"));
            command.arg("--tls-verify").arg(&root);
            command
                .arg("--request-cert")
                .arg(crt)
                .arg("--request-cert-key")
                .arg(key);
            command.args(["--checks", CHECKS, "--phases", depth.phases, "--no-color"]);
            command.args(["--max-examples", &depth.examples.to_string()]);
            command.args(["--max-time", &each.to_string(), "--request-timeout", "70"]);
            command.args(["--no-shrink", "--continue-on-failure", "--warnings", "off"]);
            (name, run(&mut command))
        };
        callers.into_iter().map(ask).collect::<Vec<_>>()
    });
    for (name, out) in all.await.unwrap() {
        assert!(out.status.success(), "{name}: {}", text(&out));
    }
    let told = s.metrics().await;
    assert!(!told.contains("status=\"500\""), "{told}");
    assert_eq!(s.get(None, "/v1/trust").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_the_document_does_not_name() {
    walk(Depth {
        phases: "examples,fuzzing",
        examples: 3,
        seconds: 30,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour"]
async fn schemathesis_at_length() {
    walk(Depth {
        phases: "examples,coverage,fuzzing,stateful",
        examples: 200,
        seconds: 900,
    })
    .await;
}
