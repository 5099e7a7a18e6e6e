//! Garbage on every URL: a refusal each time, and a server that goes on.

use super::fixture::{Fixture, Part, status};

#[tokio::test]
async fn garbage_gets_a_refusal_and_harms_nothing() {
    let f = Fixture::start().await;
    let url = f.create(&Part::new(100)).await;
    let good = Fixture::metadata(&Part::new(1));
    let metadata = [
        "".to_owned(),
        "collection".into(),
        ",,, ,".into(),
        "collection !!!!".into(),
        good.replace("part MQ==", "part MA=="),
        good.replace("part MQ==", "part LTE="),
        good.replace("part MQ==", "part MQ==,part MQ=="),
        good.replace("statement e30=", "statement "),
        format!("{good},x {}", "A".repeat(40_000)),
    ];
    for text in &metadata {
        let headers = format!("Upload-Length: 1\r\nUpload-Metadata: {text}\r\n");
        let answer = f.send("POST", "/v1/uploads", &headers, &[]).await;
        assert_eq!(status(&answer), 400, "{text:.80} {answer}");
    }
    for length in [
        "",
        "-1",
        "+1",
        "1.0",
        "0",
        "99999999999999999999",
        "1\r\nUpload-Length: 1",
    ] {
        let headers = format!("Upload-Length: {length}\r\nUpload-Metadata: {good}\r\n");
        let answer = f.send("POST", "/v1/uploads", &headers, &[]).await;
        assert_eq!(status(&answer), 400, "{length} {answer}");
    }
    for sum in ["", "sha256", "md5 AAAA", "sha256 AAAA", "sha1 !!!!"] {
        let header = format!("Upload-Checksum: {sum}\r\n");
        assert_eq!(status(&f.patch(&url, 0, b"x", &header).await), 400, "{sum}");
    }
    assert_eq!(f.offset(&url).await, 0);
}

#[tokio::test]
async fn paths_and_bytes_that_are_no_request_are_refused() {
    let f = Fixture::start().await;
    let who = Some(&f.identity);
    for path in [
        "/v1/uploads/..%2f..%2findex.sqlite",
        "/v1/uploads/%00",
        "/v1/uploads/%ff",
        "/",
        "/v1/uploads/",
    ] {
        let answer = f.send("HEAD", path, "", &[]).await;
        assert!(matches!(status(&answer), 400 | 404), "{path} {answer}");
    }
    assert_eq!(status(&f.send("PUT", "/v1/uploads", "", &[]).await), 405);
    let old = b"HEAD /v1/uploads/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&f.raw(who, old).await), 412);
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        &[b'A'; 600_000],
        b"POST / HTTP/9\r\n\r\n",
    ] {
        assert!(!f.raw(who, bytes).await.starts_with("HTTP/1.1 2"));
    }
    let url = f.create(&Part::new(10)).await;
    assert_eq!(f.offset(&url).await, 0);
}
