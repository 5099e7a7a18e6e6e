//! Garbage on every URL from everybody: a refusal each time, and a server that goes on.

use std::time::Duration;

use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::{
    access::Who,
    router::ROUTES,
    testing::{Deployment, Identity},
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

#[tokio::test]
async fn every_route_answers_garbage_with_a_refusal() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let all = &d.person("nat").tls;
    for route in ROUTES
        .iter()
        .filter(|r| r.method == "POST" && r.max_bytes > 0)
    {
        let who: Option<&Identity> = match route.who {
            Who::Anybody => None,
            Who::Agent | Who::AgentToRenew => Some(&agent.tls),
            _ => Some(all),
        };
        for body in garbage() {
            let answer = s.send(who, "POST", route.path, "", &body).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert!(
                (400..500).contains(&answer.status),
                "{} {shown}: {}",
                route.path,
                answer.status
            );
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
    assert_eq!(s.get(None, "/v1/trust").await.status, 200);
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
