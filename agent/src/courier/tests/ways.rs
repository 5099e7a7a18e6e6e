//! Ways to the server: through a proxy, and none to a server that is not the deployment's.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{World, bytes};
use crate::courier::{
    http::{Access, Client, HttpError},
    status,
    testing::{Pki, Server, until},
};

/// A proxy that knows CONNECT alone; gives its port, and counts.
fn proxy() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let counted = counted.clone();
            thread::spawn(move || relay(client, &counted));
        }
    });
    (port, count)
}

fn relay(client: TcpStream, counted: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let mut is_allowed = false;
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).ok()?;
        // user:secret
        is_allowed |= line.to_lowercase().trim() == "proxy-authorization: basic dxnlcjpzzwnyzxq=";
    }
    let mut client_out = client.try_clone().ok()?;
    if !is_allowed {
        let refusal = b"HTTP/1.1 407 x\r\ncontent-length: 0\r\n\r\n";
        return client_out.write_all(refusal).ok();
    }
    counted.fetch_add(1, Ordering::SeqCst);
    let server = TcpStream::connect(target).ok()?;
    client_out.write_all(b"HTTP/1.1 200 x\r\n\r\n").ok()?;
    let mut server_in = server.try_clone().ok()?;
    thread::spawn(move || std::io::copy(&mut server_in, &mut client_out));
    std::io::copy(&mut reader, &mut &server).ok()?;
    server.shutdown(std::net::Shutdown::Both).ok()
}

#[test]
fn a_part_passes_a_proxy_that_wants_a_password_which_nobody_is_told() {
    let world = World::new();
    let (port, count) = proxy();
    world.set(|s| s.proxy = Some(format!("http://user:secret@127.0.0.1:{port}")));
    let mut courier = world.start();
    courier.begin();
    courier.seal(1, &bytes(1000));
    until("it is delivered", || !world.has("part-0001.zip.age"));
    courier.stop().unwrap();
    assert!(count.load(Ordering::SeqCst) > 0);
    let told = status::read(world.state.path()).unwrap().unwrap();
    assert!(told.proxy && !format!("{told:?}").contains("secret"));
}

fn ask(url: &str, root_pem: &str) -> Result<(), HttpError> {
    let access = Access {
        server: url,
        proxy: None,
        root_pem,
        identity: None,
    };
    let client = Client::new(access).unwrap();
    client.get("/v1/trust", 1000).map(|_| ())
}

#[test]
fn a_server_under_another_root_hears_nothing() {
    let (ours, theirs) = (Pki::new(), Arc::new(Pki::new()));
    let server = Server::start(&theirs);
    let refused = ask(&server.url(), &ours.root_pem);
    assert!(matches!(refused, Err(HttpError::Certificate { .. })));
    let told = refused.unwrap_err().chain();
    assert!(told.contains("not signed by the root given"), "{told}");
    assert!(server.with(|s| s.requests.is_empty()));
    // And an agent's certificate makes no server.
    let agent = ours.agent(evidence::ids::AgentId::from_bytes([1; 16]), true);
    let ours = Arc::new(ours);
    let posing = Server::start_as(&ours, &agent);
    assert!(ask(&posing.url(), &ours.root_pem).is_err());
    assert!(posing.with(|s| s.requests.is_empty()));
}

#[test]
fn an_older_tls_is_not_spoken() {
    let pki = Arc::new(Pki::new());
    let server = Server::start_with(&pki, &pki.server(), &[&rustls::version::TLS12]);
    assert!(ask(&server.url(), &pki.root_pem).is_err());
    assert!(server.with(|s| s.requests.is_empty()));
    let server = Server::start_with(&pki, &pki.server(), &[&rustls::version::TLS13]);
    ask(&server.url(), &pki.root_pem).unwrap();
}

#[test]
fn an_answer_past_the_ceiling_is_refused() {
    let world = World::new();
    let lie = crate::courier::testing::Act::Lie(vec![b' '; 2000]);
    world.server.fault("GET", "/v1/trust", lie);
    let refused = ask(&world.server.url(), &world.pki.root_pem);
    assert!(matches!(refused, Err(HttpError::Answer(_))), "{refused:?}");
}
