//! A stranger's client, PyPI's tuspy, uploads a part over mTLS.
//!
//! It needs python3 with venv, and PyPI (or pip's own cache and index settings):
//! without them this test fails rather than passing unseen.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::testing::Deployment;

const SCRIPT: &str = r#"
import sys
from tusclient.client import TusClient
port, crt, key, path, statement, collection, sha256 = sys.argv[1:]
client = TusClient(f"https://localhost:{port}/v1/parts", client_cert=(crt, key))
meta = {"collection": collection, "part": "1", "sha256": sha256, "statement": open(statement).read()}
first = client.uploader(path, chunk_size=40_000, metadata=meta, upload_checksum=True)
first.upload_chunk()
again = client.uploader(path, url=first.url, chunk_size=70_000, upload_checksum=True)
assert again.offset == 40_000, again.offset
again.upload()
"#;

fn run(command: &mut Command) {
    let out = command.output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    assert!(
        out.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&text)
    );
}

fn install(venv: &Path) -> PathBuf {
    run(Command::new("python3").args(["-m", "venv"]).arg(venv));
    let python = venv.join("bin/python");
    let quiet = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    run(Command::new(&python).args(quiet).arg("tuspy==1.1.0"));
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn tuspy_creates_sends_and_resumes() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let dir = tempfile::tempdir().unwrap();
    let part = agent.part(250_000);
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::write(at("part"), &part.bytes).unwrap();
    fs::write(at("statement"), &part.statement).unwrap();
    let (crt, key) = d.write("agent", &agent.tls);
    let args = [
        s.port.to_string(),
        crt.display().to_string(),
        key.display().to_string(),
        at("part"),
        at("statement"),
        part.said.collection.to_string(),
        part.digest().to_string(),
    ];
    let (venv, root) = (at("venv"), d.folder().root_certificate());
    let client = tokio::task::spawn_blocking(move || {
        let python = install(Path::new(&venv));
        run(Command::new(python)
            .args(["-c", SCRIPT])
            .args(args)
            .env("REQUESTS_CA_BUNDLE", root));
    });
    client.await.unwrap();
    let whole = s.get_as("ann", &part.url()).await;
    assert_eq!(whole.body, part.bytes);
}
