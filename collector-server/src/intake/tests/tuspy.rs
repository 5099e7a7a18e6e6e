//! A stranger's client, PyPI's tuspy, uploads over mTLS.
//!
//! It needs python3 with venv, and PyPI (or pip's own cache and index settings):
//! without them this test fails rather than passing unseen.

use std::{fs, path::Path, process::Command};

use super::fixture::{Fixture, Part};

const SCRIPT: &str = r#"
import sys
from tusclient.client import TusClient
port, crt, key, path, collection, sha256 = sys.argv[1:]
client = TusClient(f"https://localhost:{port}/v1/uploads", client_cert=(crt, key))
meta = {"collection": collection, "part": "1", "sha256": sha256, "statement": "{}"}
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

fn install(venv: &Path) -> std::path::PathBuf {
    run(Command::new("python3").args(["-m", "venv"]).arg(venv));
    let python = venv.join("bin/python");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "tuspy==1.1.0",
    ];
    run(Command::new(&python).args(pip));
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn tuspy_creates_sends_and_resumes() {
    let f = Fixture::start().await;
    let dir = f.deployment.dir.path().to_owned();
    let part = Part::new(250_000);
    fs::write(dir.join("part"), &part.bytes).unwrap();
    let (crt, key) = f.deployment.write("agent", &f.identity);
    let args = [
        f.port.to_string(),
        crt.display().to_string(),
        key.display().to_string(),
        dir.join("part").display().to_string(),
        part.collection.to_string(),
        part.digest.to_string(),
    ];
    let client = tokio::task::spawn_blocking(move || {
        let python = install(&dir.join("venv"));
        run(Command::new(python)
            .args(["-c", SCRIPT])
            .args(args)
            .env("REQUESTS_CA_BUNDLE", dir.join("root.crt")));
    });
    client.await.unwrap();
    assert_eq!(f.parts(&part).await, [(1, part.digest, 250_000)]);
    assert_eq!(f.blob(part.digest).await, part.bytes);
}
