//! The loop against honest, silent and wrong clients on loopback.

use axum::{Extension, routing::get};
use evidence::ids::AgentId;
use rustls::version::{TLS12, TLS13};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;
use crate::testing::{Deployment, Identity};

struct Running {
    port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(deployment: &Deployment, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let who = |Extension(peer): Extension<Peer>| async move { format!("{:?}", peer.role) };
    let slow = || async {
        sleep(Duration::from_millis(300)).await;
        "done"
    };
    let router = Router::new()
        .route("/who", get(who))
        .route("/slow", get(slow));
    let (stop, stopped) = oneshot::channel();
    let stopped = async { drop(stopped.await) };
    let task = tokio::spawn(serve(
        listener,
        deployment.server(),
        router,
        limits,
        stopped,
    ));
    Running { port, stop, task }
}

async fn ask(
    d: &Deployment,
    port: u16,
    who: Option<&Identity>,
    path: &str,
) -> std::io::Result<String> {
    let mut stream = d.connect(port, who, &TLS13).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn each_request_knows_its_peer() {
    let d = Deployment::new();
    let server = start(&d, Limits::default()).await;
    let id = AgentId::random().unwrap();
    let answer = ask(&d, server.port, Some(&d.agent(id)), "/who")
        .await
        .unwrap();
    assert!(answer.ends_with(&format!("Agent({id})")), "{answer}");
    let answer = ask(&d, server.port, None, "/who").await.unwrap();
    assert!(answer.ends_with("Anonymous"), "{answer}");
}

#[tokio::test]
async fn refuses_foreign_roots_seal_certificates_and_old_tls() {
    let (d, other) = (Deployment::new(), Deployment::new());
    let server = start(&d, Limits::default()).await;
    let id = AgentId::random().unwrap();
    assert!(
        ask(&d, server.port, Some(&other.agent(id)), "/who")
            .await
            .is_err()
    );
    assert!(
        ask(&d, server.port, Some(&d.seal(id)), "/who")
            .await
            .is_err()
    );
    assert!(d.connect(server.port, None, &TLS12).await.is_err());
}

#[tokio::test]
async fn prefers_the_post_quantum_exchange() {
    let d = Deployment::new();
    let server = start(&d, Limits::default()).await;
    let stream = d.connect(server.port, None, &TLS13).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out() {
    let d = Deployment::new();
    let limits = Limits {
        handshakes: 2,
        handshake_ms: 200,
        ..Limits::default()
    };
    let server = start(&d, limits).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(
            TcpStream::connect(("127.0.0.1", server.port))
                .await
                .unwrap(),
        );
    }
    let answer = timeout(Duration::from_secs(20), ask(&d, server.port, None, "/who")).await;
    assert!(answer.unwrap().unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_open_request_is_answered_before_the_end() {
    let d = Deployment::new();
    let server = start(&d, Limits::default()).await;
    let mut stream = d.connect(server.port, None, &TLS13).await.unwrap();
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // The second connection is answered only after the first's bytes were sent.
    ask(&d, server.port, None, "/who").await.unwrap();
    server.stop.send(()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    server.task.await.unwrap();
    assert!(
        TcpStream::connect(("127.0.0.1", server.port))
            .await
            .is_err()
    );
}
