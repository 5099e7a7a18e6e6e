//! The guard before every page, and what templates may never hold.

use std::{fs, path::Path, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    http::{Request, StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tower::ServiceExt as _;

use super::{fields::Fields, gate::Gate, guard};

const HOST: &str = "127.0.0.1:7";
const ORIGIN: &str = "http://127.0.0.1:7";

struct Console {
    gate: Arc<Gate>,
    cookie: String,
}

/// A request before its headers.
struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    host: &'a str,
    cookie: Option<&'a str>,
    origin: Option<&'a str>,
    site: Option<&'a str>,
    body: String,
}

impl Console {
    fn new() -> Self {
        let gate = Gate::new(7).unwrap();
        let url = gate.entrance().unwrap();
        let cookie = gate.enter(url.split_once("token=").unwrap().1).unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let gate = Arc::new(gate);
        Self { gate, cookie }
    }

    fn get(&self) -> Ask<'_> {
        Ask {
            method: "GET",
            path: "/",
            host: HOST,
            cookie: Some(&self.cookie),
            origin: None,
            site: None,
            body: String::new(),
        }
    }

    fn post(&self) -> Ask<'_> {
        Ask {
            method: "POST",
            origin: Some("null"),
            site: Some("same-origin"),
            body: format!("word=x&csrf={}", self.gate.csrf()),
            ..self.get()
        }
    }

    async fn answer(&self, ask: Ask<'_>) -> Response {
        let said = async |Extension(fields): Extension<Fields>| fields.get("word").to_owned();
        let own = async || {
            let policy = "default-src 'none'; style-src 'sha256-x'";
            ([(header::CONTENT_SECURITY_POLICY, policy)], "report").into_response()
        };
        let router: Router = Router::new()
            .route("/", get(async || "page").post(said))
            .route("/report", get(own))
            .route(guard::ENTER, get(async || "enter").merge(post(said)))
            .layer(middleware::from_fn_with_state(
                Arc::clone(&self.gate),
                guard::guard,
            ));
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(header::HOST, ask.host);
        for (name, value) in [
            ("cookie", ask.cookie),
            ("origin", ask.origin),
            ("sec-fetch-site", ask.site),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let request = request.body(Body::from(ask.body)).unwrap();
        router.oneshot(request).await.unwrap()
    }

    async fn status(&self, ask: Ask<'_>) -> StatusCode {
        self.answer(ask).await.status()
    }
}

fn header_of<'r>(answer: &'r Response, name: &str) -> &'r str {
    answer.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn every_answer_carries_the_policy_and_is_kept_nowhere() {
    let console = Console::new();
    let refused = Ask {
        cookie: None,
        ..console.get()
    };
    for ask in [console.get(), console.post(), refused] {
        let answer = console.answer(ask).await;
        assert_eq!(header_of(&answer, "content-security-policy"), guard::POLICY);
        assert_eq!(header_of(&answer, "cache-control"), "no-store");
        assert_eq!(header_of(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header_of(&answer, "referrer-policy"), "no-referrer");
    }
    let expected = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    assert_eq!(guard::POLICY, expected);
    // The report brings a stricter one along.
    let path = "/report";
    let answer = console
        .answer(Ask {
            path,
            ..console.get()
        })
        .await;
    assert!(header_of(&answer, "content-security-policy").contains("sha256-x"));
}

#[tokio::test]
async fn nobody_comes_in_without_the_session_or_by_another_name() {
    let console = Console::new();
    assert_eq!(console.status(console.get()).await, StatusCode::OK);
    for host in ["evil.example:7", "localhost:7", "127.0.0.1"] {
        let status = console
            .status(Ask {
                host,
                ..console.get()
            })
            .await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{host}");
        let path = guard::ENTER;
        let status = console
            .status(Ask {
                host,
                path,
                ..console.get()
            })
            .await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    for cookie in [None, Some("fieldseal-7=x"), Some("fieldseal-8=")] {
        let ask = Ask {
            cookie,
            ..console.get()
        };
        assert_eq!(console.status(ask).await, StatusCode::FORBIDDEN);
        let ask = Ask {
            cookie,
            ..console.post()
        };
        assert_eq!(console.status(ask).await, StatusCode::FORBIDDEN);
    }
    let (cookie, path) = (None, guard::ENTER);
    let first = Ask {
        cookie,
        path,
        ..console.get()
    };
    assert_eq!(console.status(first).await, StatusCode::OK);
    let posted = Ask {
        cookie,
        path,
        ..console.post()
    };
    assert_eq!(console.status(posted).await, StatusCode::FORBIDDEN);
    let method = "DELETE";
    let other = Ask {
        method,
        ..console.post()
    };
    assert_eq!(console.status(other).await, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_post_needs_the_pages_own_token_and_origin() {
    let console = Console::new();
    assert_eq!(console.status(console.post()).await, StatusCode::OK);
    let (origin, site) = (Some(ORIGIN), None);
    let ask = Ask {
        origin,
        site,
        ..console.post()
    };
    assert_eq!(console.status(ask).await, StatusCode::OK);
    for body in ["", "word=x", "csrf=", "csrf=x&word=x"] {
        let body = body.to_owned();
        let ask = Ask {
            body,
            ..console.post()
        };
        assert_eq!(console.status(ask).await, StatusCode::FORBIDDEN);
    }
    for (origin, site) in [
        (None, None),
        (Some("null"), None),
        (Some("http://evil.example"), Some("cross-site")),
        (Some("http://127.0.0.1:8"), Some("same-site")),
        (Some(ORIGIN), Some("cross-site")),
    ] {
        let ask = Ask {
            origin,
            site,
            ..console.post()
        };
        assert_eq!(
            console.status(ask).await,
            StatusCode::FORBIDDEN,
            "{origin:?}"
        );
    }
    let body = "x".repeat(17 << 20);
    let ask = Ask {
        body,
        ..console.post()
    };
    assert_eq!(console.status(ask).await, StatusCode::PAYLOAD_TOO_LARGE);
}

/// What would go round the escaper, the policy, or this machine.
const NEVER: &[&str] = &[
    "|safe",
    "| safe",
    "|escape",
    "| escape",
    "{% autoescape",
    "{% raw",
    "style=",
    "javascript:",
    "http:",
    "https:",
    "//",
    " onclick",
    " onload",
    " onerror",
    "innerHTML",
    "eval(",
    "localStorage",
    "sessionStorage",
    "indexedDB",
];

#[test]
fn templates_leave_nothing_unescaped_and_load_nothing_from_elsewhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
    let mut seen = 0;
    for below in ["templates", "assets"] {
        for entry in fs::read_dir(folder.join(below)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            let lines = text.lines().filter(|l| !l.trim_start().starts_with("//"));
            for line in lines {
                for never in NEVER {
                    assert!(
                        !line.contains(never),
                        "{never} in {}: {line}",
                        path.display()
                    );
                }
                let inline =
                    line.contains("<style") || line.replace("<script src=", "").contains("<script");
                assert!(!inline, "{}: {line}", path.display());
            }
            let is_form = text.contains("method=\"post\"");
            let forms = text.matches("method=\"post\"").count();
            let tokens = text.matches("name=\"csrf\"").count();
            assert!(!is_form || forms == tokens, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
