//! Time stamps by a real `openssl ts` behind a small HTTP handler on loopback.

use std::{fs, path::Path, process::Command, sync::Arc};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use protocol::messages::Collections;
use tokio::{net::TcpListener, sync::Mutex};

use crate::{
    config::Tsa, intake::stamp, status::Status, testing::Deployment, tests::evidence::upload,
};

const CONFIG: &str = "
[tsa]
default_tsa = one
[one]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[ext]
extendedKeyUsage = critical,timeStamping
";

fn openssl(dir: &Path, args: &[&str]) -> bool {
    let out = Command::new("openssl").args(args).current_dir(dir).output();
    out.unwrap().status.success()
}

fn authority(dir: &Path, is_ca: bool) {
    fs::write(dir.join("ts.cnf"), CONFIG).unwrap();
    fs::write(dir.join("serial"), "01\n").unwrap();
    let make = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=Test TSA",
        "-keyout",
        "tsa.key",
        "-out",
        "tsa.crt",
        "-days",
        "2",
        "-addext",
        "extendedKeyUsage=critical,timeStamping",
        "-addext",
        if is_ca {
            "basicConstraints=critical,CA:TRUE"
        } else {
            "basicConstraints=critical,CA:FALSE"
        },
    ];
    assert!(openssl(dir, &make));
}

/// Answers as `openssl ts -reply` does, but with garbage the first time.
async fn serve_authority(dir: &Path) -> String {
    let (dir, asked) = (dir.to_owned(), Arc::new(Mutex::new(0)));
    let answer = move |body: Bytes| {
        let (dir, asked) = (dir.clone(), asked.clone());
        async move {
            let mut asked = asked.lock().await;
            *asked += 1;
            if *asked == 1 {
                return (StatusCode::OK, b"garbage".to_vec());
            }
            fs::write(dir.join("q.tsq"), &body).unwrap();
            let reply = [
                "ts",
                "-reply",
                "-config",
                "ts.cnf",
                "-queryfile",
                "q.tsq",
                "-signer",
                "tsa.crt",
                "-inkey",
                "tsa.key",
                "-out",
                "r.tsr",
            ];
            assert!(openssl(&dir, &reply));
            (StatusCode::OK, fs::read(dir.join("r.tsr")).unwrap())
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer));
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_is_fetched_until_it_holds_and_openssl_verifies_it() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), false);
    let url = serve_authority(dir.path()).await;
    let d = Deployment::new().await;
    let s = d.start().await;
    let notice = d.folder().stamp_fault();
    let stamping = tokio::spawn(stamp::run(s.server.clone(), Tsa { url }, notice));
    let agent = s.enrol("lab").await;
    let part = agent.part(100);
    upload(&s, &agent, &part).await;
    let path = format!("{}/tsr", part.url());
    let tsr = loop {
        let answer = s.get_as("ann", &path).await;
        match answer.status {
            404 => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            _ => break answer,
        }
    };
    assert_eq!(tsr.status, 200);
    fs::write(dir.path().join("part.tsr"), &tsr.body).unwrap();
    fs::write(dir.path().join("statement.json"), &part.statement).unwrap();
    let verify = [
        "ts",
        "-verify",
        "-in",
        "part.tsr",
        "-data",
        "statement.json",
        "-CAfile",
        "tsa.crt",
    ];
    assert!(openssl(dir.path(), &verify));
    let found: Collections = s.get_as("ann", "/v1/collections").await.message();
    assert!(found.collections[0].parts[0].has_tsr);
    stamping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_no_verifier_takes_is_told_of_once_and_asked_no_more() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), true);
    let url = serve_authority(dir.path()).await;
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = agent.part(100);
    upload(&s, &agent, &part).await;
    let notice = d.folder().stamp_fault();
    let tsa = Tsa { url };
    let stamping = tokio::spawn(stamp::run(s.server.clone(), tsa, notice.clone()));
    while !notice.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let status = Status::of(&d.path()).await.unwrap();
    let fault = status.stamp_fault.clone().unwrap();
    assert!(
        fault.contains("certificate") && fault.contains("once an hour"),
        "{fault}"
    );
    assert!(status.text().contains(&fault));
    let path = format!("{}/tsr", part.url());
    assert_eq!(s.get_as("ann", &path).await.status, 404);
    stamping.abort();
    // Once the authority is mended, nothing is said any more.
    authority(dir.path(), false);
    let url = serve_authority(dir.path()).await;
    let stamping = tokio::spawn(stamp::run(s.server.clone(), Tsa { url }, notice.clone()));
    while notice.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(s.get_as("ann", &path).await.status, 200);
    stamping.abort();
}
