//! Events reach real receivers: syslog over UDP, TCP and TLS, webhooks over HTTPS, also after both sides were away.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use evidence::{custody::event::Action, digest::Digest, ids::OrderId};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::TLS13,
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    app, ca,
    config::Config,
    siem::{self, Format, Siem},
    testing::{Deployment, Running},
    tests::evidence::upload,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What a receiver got.
type Got = mpsc::UnboundedReceiver<String>;

async fn next(got: &mut Got) -> String {
    let text = timeout(Duration::from_secs(20), got.recv()).await;
    text.expect("an event is missing").unwrap()
}

/// A receiver's certificate for localhost, which is its own authority.
fn tls(d: &Deployment) -> TlsAcceptor {
    let key = ca::new_key().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(d.path().join("siem-ca.pem"), certificate.pem()).unwrap();
    let der = CertificateDer::from_pem_slice(certificate.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Events of one server, sent while this lives.
struct Sending(Vec<JoinHandle<()>>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn start<'d>(d: &'d Deployment, siem: Siem) -> (Running<'d>, Sending) {
    let config = Config {
        siem: Some(siem),
        ..d.config()
    };
    app::check(&d.path(), &config).unwrap();
    let s = d.start_with(config).await;
    let sending = Sending(siem::start(&s.server, &d.folder()).unwrap());
    (s, sending)
}

fn syslog(scheme: &str, port: u16, format: Format) -> Siem {
    Siem {
        syslog: Some(format!("{scheme}://localhost:{port}")),
        format,
        ca_file: (scheme == "tls").then(|| PathBuf::from("siem-ca.pem")),
        ..Siem::default()
    }
}

/// Messages with their octets counted.
async fn read_framed(stream: impl AsyncRead + Unpin, to: mpsc::UnboundedSender<String>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut count = 0;
        loop {
            match stream.read_u8().await {
                Ok(b' ') => break,
                Ok(digit) => count = count * 10 + usize::from(digit - b'0'),
                Err(_) => return,
            }
        }
        let mut line = vec![0; count];
        stream.read_exact(&mut line).await.unwrap();
        to.send(String::from_utf8(line).unwrap()).unwrap();
    }
}

async fn listen(tls: Option<TlsAcceptor>) -> (u16, Got) {
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, got) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &tls {
                Some(tls) => {
                    let stream = tls.accept(stream).await.unwrap();
                    tokio::spawn(read_framed(stream, to.clone()));
                }
                None => drop(tokio::spawn(read_framed(stream, to.clone()))),
            }
        }
    });
    (port, got)
}

#[tokio::test]
async fn leaves_and_refusals_are_told_by_syslog_over_tcp_and_over_tls() {
    for is_tls in [false, true] {
        let d = Deployment::new().await;
        let acceptor = is_tls.then(|| tls(&d));
        let (port, mut got) = listen(acceptor).await;
        let scheme = if is_tls { "tls" } else { "tcp" };
        let (s, _sending) = start(&d, syslog(scheme, port, Format::Cef)).await;
        let agent = s.enrol("lab").await;
        assert_eq!(s.get(Some(&agent.tls), "/v1/hosts").await.status, 403);
        let mut lines = Vec::new();
        for _ in 0..3 {
            lines.push(next(&mut got).await);
        }
        lines.sort_by_key(|line| line.contains("request.refused"));
        assert!(lines[0].contains("|custody.policy_published|"), "{lines:?}");
        let host = format!(" agent={} ", agent.id);
        assert!(
            lines[1].contains("externalId=leaf-1") && lines[1].contains(&host),
            "{lines:?}"
        );
        let refused = "method=GET route=/v1/hosts status=403 tlsKey=";
        assert!(
            lines[2].contains(&host) && lines[2].contains(refused),
            "{lines:?}"
        );
        for line in lines {
            assert!(line.starts_with("<10") && line.contains(" localhost fieldseal-server - "));
            assert!(!line.contains("web-1"), "a host's name in {line}");
        }
    }
}

#[tokio::test]
async fn json_by_datagram() {
    let d = Deployment::new().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let siem = Siem {
        syslog: Some(format!("udp://127.0.0.1:{port}")),
        ..syslog("udp", port, Format::Json)
    };
    let (_s, _sending) = start(&d, siem).await;
    let mut line = vec![0; 4_096];
    let received = timeout(Duration::from_secs(20), socket.recv(&mut line)).await;
    let line = String::from_utf8(line[..received.unwrap().unwrap()].to_vec()).unwrap();
    let (_, json) = line.split_once(" - {").unwrap();
    let event: Value = serde_json::from_str(&format!("{{{json}")).unwrap();
    assert_eq!(
        (&event["event"], &event["version"]),
        (&"custody.policy_published".into(), &1.into())
    );
}

/// One request of a webhook: head and body.
async fn receive(stream: impl AsyncRead + Unpin) -> Option<(String, String)> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// Takes webhooks over TLS, and answers the first `failing` with 503.
async fn receiver(tls: TlsAcceptor, mut failing: u32) -> (u16, Got, JoinHandle<()>) {
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, got) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = tls.accept(stream).await else {
                continue;
            };
            let Some((head, body)) = receive(&mut stream).await else {
                continue;
            };
            let answer = match failing {
                0 => "204 No Content",
                _ => "503 Service Unavailable",
            };
            if failing == 0 {
                to.send(format!("{head}{body}")).unwrap();
            }
            failing = failing.saturating_sub(1);
            let answer =
                format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, got, task)
}

fn webhook(d: &Deployment, port: u16) -> Siem {
    fs::write(d.path().join("webhook.secret"), format!("{SECRET}\n")).unwrap();
    Siem {
        webhook: Some(format!("https://localhost:{port}/hook")),
        webhook_secret_file: Some("webhook.secret".into()),
        ca_file: Some("siem-ca.pem".into()),
        ..Siem::default()
    }
}

/// The event of a request whose signature holds.
fn event(request: &str) -> Value {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("post /hook "), "{head}");
    assert!(
        head.contains("content-type: application/cloudevents+json"),
        "{head}"
    );
    let signature = head
        .lines()
        .find_map(|l| l.strip_prefix("fieldseal-signature: t="))
        .unwrap();
    let (at, tag) = signature.split_once(",v1=").unwrap();
    // By another's tool than the one that signed.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("signed");
    fs::write(&file, format!("{at}.{body}")).unwrap();
    let out = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8(out.stdout).unwrap();
    assert!(told.trim().ends_with(tag), "{told} {tag}");
    let event: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&event["specversion"], &event["source"]),
        (&"1.0".into(), &"urn:fieldseal:test".into())
    );
    event
}

async fn leaf(s: &Running<'_>, number: u8) {
    let action = Action::Halted {
        order: OrderId::from_bytes([number; 16]),
        order_sha256: Digest::of(&[number]),
    };
    s.server.custody.log(action).await.unwrap();
}

#[tokio::test]
async fn every_leaf_is_posted_in_its_order_whoever_was_away_meanwhile() {
    let d = Deployment::new().await;
    let acceptor = tls(&d);
    // The receiver fails at first.
    let (port, mut got, task) = receiver(acceptor.clone(), 2).await;
    let (s, sending) = start(&d, webhook(&d, port)).await;
    let agent = s.enrol("lab").await;
    upload(&s, &agent, &agent.part(10)).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let event = event(&next(&mut got).await);
        ids.push((event["id"].clone(), event["type"].clone()));
    }
    let expected = [
        ("leaf-0", "fieldseal.custody.policy_published"),
        ("leaf-1", "fieldseal.custody.enrolled"),
        ("leaf-2", "fieldseal.custody.received"),
    ];
    let expected: Vec<(Value, Value)> = expected.map(|(i, t)| (i.into(), t.into())).into();
    assert_eq!(ids, expected);
    let cursor = d.folder().siem_cursor("webhook");
    timeout(Duration::from_secs(20), async {
        while fs::read_to_string(&cursor).unwrap_or_default() != "3\n" {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    // Nobody sends, and the receiver is gone; then both come back.
    drop(sending);
    task.abort();
    leaf(&s, 1).await;
    s.stop().await;
    let (port, mut got, _task) = receiver(acceptor, 0).await;
    let (s, _sending) = start(&d, webhook(&d, port)).await;
    leaf(&s, 2).await;
    for id in ["leaf-3", "leaf-4"] {
        assert_eq!(event(&next(&mut got).await)["id"], id);
    }
    assert!(got.try_recv().is_err(), "nothing is told twice");
}

#[tokio::test]
async fn check_config_names_what_is_missing() {
    let d = Deployment::new().await;
    let _ = tls(&d);
    let siem = webhook(&d, 1);
    let check = |siem: &Siem| {
        let config = Config {
            siem: Some(siem.clone()),
            ..d.config()
        };
        app::check(&d.path(), &config).map_err(|e| format!("{e:#}"))
    };
    check(&siem).unwrap();
    fs::write(d.path().join("webhook.secret"), "short\n").unwrap();
    assert!(check(&siem).unwrap_err().contains("too short"));
    fs::remove_file(d.path().join("webhook.secret")).unwrap();
    assert!(
        check(&siem)
            .unwrap_err()
            .contains("webhook.secret could not be read")
    );
    fs::write(d.path().join("siem-ca.pem"), "none").unwrap();
    assert!(check(&siem).unwrap_err().contains("holds no certificates"));
}
