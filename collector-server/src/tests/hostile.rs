//! Garbage on every URL from everybody: a refusal each time, and a server that goes on.

use std::time::Duration;

use rustls::version::TLS13;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    access::Who,
    config::Config,
    router::{ROUTES, Route},
    testing::{Answer, Deployment, Identity, Running, TestAgent},
    tests::evidence::create,
};

fn garbage() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"{\"v\":2}".to_vec(),
        b"{\"v\":1,\"v\":1}".to_vec(),
        b"{\"v\":1}".to_vec(),
        b"\xff\xfe\0\0".to_vec(),
        vec![b'['; 100_000],
        [b"{\"v\":1,\"a\":", &vec![b'['; 50_000][..]].concat(),
    ];
    for text in [
        r#"{"v":1,"order":"{}","targets":[]}"#,
        r#"{"v":1,"order":"","targets":["../x"]}"#,
        r#"{"v":1,"event":"{}"}"#,
        r#"{"v":1,"report":{"report":"refused","notice":"{}"}}"#,
        r#"{"v":1,"report":{"report":"run","command":"id"}}"#,
        r#"{"v":1,"nonce":""}"#,
        r#"{"v":1,"tls_csr":"-----BEGIN","seal_csr":"{}"}"#,
        r#"{"v":1e400}"#,
    ] {
        all.push(text.into());
    }
    all
}

/// What no message and no upload is: not JSON, cut off, of wrong types, huge, no text at all.
fn bodies(max_bytes: usize) -> Vec<Vec<u8>> {
    let mut all = garbage();
    all.push(b"not JSON".to_vec());
    all.push((0..=255).collect());
    all.push(b"\x1f\x8b\x08\0\0\0\0\0".to_vec());
    all.push(vec![0; max_bytes.min(100_000) + 1]);
    all.push(vec![b'"'; max_bytes.min(100_000) + 1]);
    for value in ["1", "\"x\"", "true", "[1]", "{}", "null", "-1", "1e9"] {
        // Of the wrong type each, under every name that a message has.
        let fields = [
            "v", "nonce", "token", "tls_csr", "seal_csr", "host", "order", "targets", "report",
            "event",
        ];
        let wrong = |f: &str| format!("\"{f}\":{value}");
        let all_wrong: Vec<_> = fields.iter().map(|f| wrong(f)).collect();
        all.push(format!("{{{}}}", all_wrong.join(",")).into());
        all.push(format!("{{\"v\":1,{}}}", all_wrong[1..].join(",")).into());
        all.push(format!("{{\"v\":1,{}", all_wrong[1..].join(",")).into());
    }
    all
}

/// Headers that are right for no upload, and those that are right but for one.
fn headers() -> Vec<String> {
    let tus = "Tus-Resumable: 1.0.0\r\n";
    let kind = "Content-Type: application/offset+octet-stream\r\n";
    let mut all = vec![String::new(), tus.to_owned(), format!("{tus}{kind}")];
    for offset in ["0", "-1", "1", "x", "99999999999999999999", "0, 0"] {
        all.push(format!("{tus}{kind}Upload-Offset: {offset}\r\n"));
        all.push(format!("{tus}{kind}Upload-Length: {offset}\r\n"));
    }
    all.push(format!(
        "{tus}Upload-Length: 1\r\nUpload-Metadata: \u{ff}\r\n"
    ));
    all.push(format!("{tus}Content-Type: \u{ff}\r\nUpload-Offset: 0\r\n"));
    all
}

/// Whom the route lets in.
fn let_in<'i>(route: &Route, agent: &'i TestAgent, person: &'i Identity) -> Option<&'i Identity> {
    match route.who {
        Who::Anybody => None,
        Who::Agent | Who::AgentToRenew | Who::AgentOrPeople(_) => Some(&agent.tls),
        Who::People(_) => Some(person),
    }
}

/// A refusal that says why, to whoever may hear it: an answer to HEAD has no body.
fn assert_refused(answer: &Answer, method: &str, what: &str) {
    let is_refusal = (400..500).contains(&answer.status);
    assert!(is_refusal, "{what}: {} {}", answer.status, answer.text());
    let says = answer.text().trim().len() > 10;
    assert_eq!(says, method != "HEAD", "{what}: {:?}", answer.text());
}

#[tokio::test]
async fn every_route_that_takes_something_answers_garbage_with_a_refusal_that_says_why() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let person = &d.person("nat").tls;
    let mut walked = 0;
    for route in ROUTES {
        let who = let_in(route, &agent, person);
        match (route.method, route.max_bytes) {
            ("GET" | "OPTIONS", _) => continue,
            ("POST", 1..) => messages(&s, route, who).await,
            ("POST" | "PATCH" | "HEAD" | "DELETE", 0) => uploads(&s, route, &agent).await,
            other => panic!("{other:?} is walked by nobody"),
        }
        walked += 1;
        assert_eq!(s.get(None, "/v1/trust").await.status, 200, "{}", route.path);
    }
    assert!(walked >= 9, "{walked}");
}

/// Bodies that are no message, and bodies that are too long.
async fn messages(s: &Running<'_>, route: &Route, who: Option<&Identity>) {
    for body in bodies(route.max_bytes) {
        let answer = s.send(who, "POST", route.path, "", &body).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_refused(&answer, "POST", &format!("{} {shown}", route.path));
    }
    // Said to be too long, and really too long without saying so.
    let long = format!("Content-Length: {}\r\n", route.max_bytes + 1);
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
        route.path
    );
    let said = s.raw(who, format!("{head}{long}\r\n").as_bytes()).await;
    assert_eq!(said.status, 413, "{}", route.path);
    let chunk = vec![b' '; route.max_bytes + 1];
    let mut sent = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        chunk.len()
    );
    sent.push_str(&String::from_utf8(chunk).unwrap());
    let answer = s.raw(who, sent.as_bytes()).await;
    assert!(
        matches!(answer.status, 413 | 0),
        "{} {}",
        route.path,
        answer.status
    );
}

/// The uploads' routes: names that are none and one that is, every odd header, bodies of all kinds.
async fn uploads(s: &Running<'_>, route: &Route, agent: &TestAgent) {
    let who = Some(&agent.tls);
    let odd = [
        "x",
        "..%2f..%2findex.sqlite",
        "%00",
        "%ff",
        "aaaaaaaaaaaaaaaaaaaaaaaaaa",
    ];
    for name in odd {
        let path = route.path.replace("{upload}", name);
        let mut bodies = [&b""[..], b"{}", &[0xff; 1_000]].into_iter().cycle();
        for headers in headers() {
            let body = bodies.next().unwrap();
            let answer = s.send(who, route.method, &path, &headers, body).await;
            let what = format!("{} {path} {headers:?}", route.method);
            assert_refused(&answer, route.method, &what);
        }
        if path == route.path {
            break;
        }
    }
    if route.method == "PATCH" {
        let created = create(s, agent, &agent.part(10)).await;
        let path = created.header("location").unwrap().to_owned();
        let right = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
                     Content-Type: application/offset+octet-stream\r\n";
        // Longer than promised, and of the promised length with another content.
        for body in [vec![0xff; 100_000], vec![0xff; 10]] {
            let answer = s.send(who, "PATCH", &path, right, &body).await;
            assert_refused(&answer, "PATCH", &format!("{} bytes", body.len()));
        }
    }
}

#[tokio::test]
async fn names_in_urls_are_ids_or_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let long = "a".repeat(3_000);
    for bad in [
        "..%2f..%2findex.sqlite",
        "%00",
        "%ff",
        "o-x",
        "1%202",
        &long,
    ] {
        for path in [
            format!("/v1/orders/{bad}"),
            format!("/v1/parts/{bad}/1/{bad}"),
            format!("/v1/parts/{bad}/{bad}/{bad}/statement"),
            format!("/v1/collections?order={bad}"),
            format!("/v1/custody/leaves?from={bad}&count=1"),
        ] {
            let answer = s.get_as("nat", &path).await;
            assert!(
                matches!(answer.status, 400 | 404),
                "{path:.80} {}",
                answer.status
            );
        }
    }
    let far = format!("/v1/custody/leaves?from={}&count={}", u64::MAX, u64::MAX);
    assert_eq!(s.get_as("nat", &far).await.status, 200);
}

#[tokio::test]
async fn a_body_that_never_ends_holds_up_nobody_else() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = d
            .connect(s.port, None, &rustls::version::TLS13)
            .await
            .unwrap();
        let head = b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
        stream.write_all(head).await.unwrap();
        slow.push(stream);
    }
    let answer = timeout(Duration::from_secs(20), s.get(None, "/v1/trust")).await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn one_client_never_takes_all_connections() {
    let d = Deployment::new().await;
    let config = Config {
        max_connections_per_client: 2,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let (greedy, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let mut held = Vec::new();
    for _ in 0..2 {
        let connected = d.connect(s.port, Some(&greedy.tls), &TLS13).await;
        let mut stream = connected.unwrap();
        let head = b"GET /v1/trust HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(head).await.unwrap();
        // Answered: the connection is counted.
        stream.read_u8().await.unwrap();
        held.push(stream);
    }
    let trust = async |who| s.get(who, "/v1/trust").await.status;
    assert_eq!(trust(Some(&greedy.tls)).await, 0);
    assert_eq!(trust(Some(&other.tls)).await, 200);
    assert_eq!(trust(None).await, 200);
    drop(held);
    while trust(Some(&greedy.tls)).await != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let who = Some(&agent.tls);
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        &[b'A'; 600_000],
        b"POST / HTTP/9\r\n\r\n",
    ] {
        let answer = s.raw(who, bytes).await;
        assert!(!(200..300).contains(&answer.status), "{}", answer.status);
    }
    assert_eq!(s.send(who, "PUT", "/v1/parts", "", &[]).await.status, 405);
    assert_eq!(s.get(None, "/v1/trust").await.status, 200);
}
