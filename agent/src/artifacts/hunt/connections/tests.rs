//! What a hunt for sockets finds on the running host, and when it refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
};

use evidence::gap::Reason;
use serde_json::json;

use super::*;
use crate::artifacts::testing::MemorySink;

fn run(options: Value) -> MemorySink {
    let sink = MemorySink::run(&HuntConnections, Path::new("/"), options);
    assert_eq!(sink.undeclared(&HuntConnections), Vec::<String>::new());
    sink
}

#[test]
fn finds_a_listener_and_its_connections_with_their_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let own = stream.local_addr().unwrap().port();
    let listens = run(json!({"local_ports": [port], "protocols": "tcp", "states": ["listen"]}));
    assert_eq!(listens.records.len(), 1);
    let hit = &listens.records[0];
    assert_eq!(hit["owners"][0]["pid"], std::process::id());
    assert_eq!(
        hit["matched"],
        json!([format!("local port {port}"), "protocol tcp", "state listen"])
    );
    let to = run(json!({"remote": "127.0.0.0/8", "remote_ports": [port]}));
    assert!(to.records.iter().any(|r| r["local_port"] == own));
    let either = run(json!({"ports": [port]}));
    assert!(either.records.len() >= 3, "{:?}", either.records);
    assert!(
        run(json!({"ports": [port], "remote": ["192.0.2.1"]}))
            .records
            .is_empty()
    );
    assert!(
        run(json!({"ports": [port], "protocols": ["udp"]}))
            .records
            .is_empty()
    );
}

#[test]
fn an_address_within_ipv6_is_the_one_that_it_stands_for() {
    let networks = [
        "10.0.0.0/8".parse().unwrap(),
        "2001:db8::/32".parse().unwrap(),
    ];
    let of = |address| network_of(&networks, address).map(|n| n.to_string());
    assert_eq!(of("::ffff:10.1.2.3").as_deref(), Some("10.0.0.0/8"));
    assert_eq!(of("2001:db8::1").as_deref(), Some("2001:db8::/32"));
    assert_eq!(of("11.0.0.1"), None);
    assert_eq!(of("no address"), None);
}

#[test]
fn criteria_that_can_not_be_read_find_nothing_and_say_so() {
    for options in [
        json!({}),
        json!({"remote": "10.0.0.0/33"}),
        json!({"remote": ["host.example"]}),
        json!({"ports": [65_536]}),
        json!({"ports": []}),
        json!({"ports": 80}),
        json!({"protocols": ["tcpp"]}),
        json!({"port": [80]}),
    ] {
        let sink = run(options.clone());
        assert!(sink.records.is_empty(), "{options}");
        assert_eq!(sink.gaps.len(), 1, "{options}");
        assert_eq!(sink.gaps[0].reason, Reason::Malformed, "{options}");
    }
}

#[test]
fn other_users_sockets_are_counted_whatever_was_asked() {
    use crate::{
        artifacts::Request,
        files::{Bounds, Pace},
    };
    let scope = protocol::scope::Scope {
        basis: "4 Gs 12/26".into(),
        users: ["4294967294".into()].into(),
        paths: Vec::new(),
        from: None,
        until: None,
    };
    let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bounds = Bounds::new(scope, &std::collections::BTreeMap::new());
    let question = json!({"protocols": "tcp"});
    let mut sink = MemorySink::default();
    let request = Request {
        is_running: true,
        root: Path::new("/"),
        paths: &[],
        options: question.as_object().unwrap(),
        own: &[],
        pace: &Pace::free(),
        bounds: Some(&bounds),
    };
    HuntConnections.collect(&request, &mut sink).unwrap();
    assert!(sink.records.is_empty());
    assert!(sink.gaps.iter().any(|g| g.reason == Reason::OutOfScope));
}
