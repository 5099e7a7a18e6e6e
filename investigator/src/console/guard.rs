//! What every request must pass before a page sees it, and what every answer carries.
//!
//! The body of a POST is read here, so that no handler can be reached by one without its CSRF token.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{app::App, fields::Fields, gate::Gate, problem};

/// No form is longer: a hunt with 100,000 digests and remarks behind them.
const FORM_BYTES: usize = 16 << 20;

/// What pages may do: show what this console serves, and nothing else.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The first URL of a browser, which has no session yet.
pub const ENTER: &str = "/enter";

const HEADERS: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), microphone=(), geolocation=()",
    ),
];

/// Lets a request pass or answers it.
pub async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let mut answer = match admit(&gate, request).await {
        Ok(request) => next.run(request).await,
        Err((status, text)) => problem::bare(status, text),
    };
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    // A page that needs another one (the report has its style inside) brings it along.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(POLICY));
    answer
}

type Refusal = (StatusCode, &'static str);

async fn admit(gate: &Gate, request: Request) -> Result<Request, Refusal> {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if headers.get_all(header::HOST).iter().count() != 1 || !gate.is_host(text(header::HOST)) {
        let why =
            "This address is not the console's. Open the address that `fieldseal console` printed.";
        return Err((StatusCode::MISDIRECTED_REQUEST, why));
    }
    let method = request.method().clone();
    if !matches!(method, Method::GET | Method::POST) {
        return Err((
            StatusCode::METHOD_NOT_ALLOWED,
            "The console knows GET and POST.",
        ));
    }
    if method == Method::GET && request.uri().path() == ENTER {
        return Ok(request);
    }
    if !gate.has_session(cookies(headers)) {
        let why = "There is no session here. Start `fieldseal console` again and open the address that it prints.";
        return Err((StatusCode::FORBIDDEN, why));
    }
    if method == Method::GET {
        return Ok(request);
    }
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if !gate.is_own_post(text(header::ORIGIN), site) {
        let why = "This was not sent by a page of the console. Go back and use its own form.";
        return Err((StatusCode::FORBIDDEN, why));
    }
    with_fields(gate, request).await
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines.filter_map(|line| line.to_str().ok())
}

async fn with_fields(gate: &Gate, request: Request) -> Result<Request, Refusal> {
    let (mut parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, FORM_BYTES).await.map_err(|_| {
        let why = "The form is longer than 16 MiB or broke off. Send less.";
        (StatusCode::PAYLOAD_TOO_LARGE, why)
    })?;
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default();
    let fields = match multer::parse_boundary(kind) {
        Ok(boundary) => Fields::parse_files(body, boundary).await.ok_or((
            StatusCode::BAD_REQUEST,
            "The form can't be read, or a file in it is not text. Send a text file.",
        ))?,
        Err(_) => Fields::parse(&body),
    };
    if !gate.is_csrf(fields.raw("csrf")) {
        let why = "The form is not of this run of the console. Load its page again.";
        return Err((StatusCode::FORBIDDEN, why));
    }
    parts.extensions.insert(fields);
    Ok(Request::from_parts(parts, Body::empty()))
}

/// The first visit: takes the token, sets the cookie, and goes on to the overview.
///
/// Goes on by a page and not by a redirect: a browser that was sent here from a file holds back a strict cookie
/// until a page of the console itself asks.
pub async fn enter(State(app): State<Arc<App>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let fields = Fields::parse(query.as_bytes());
    let Some(cookie) = app.gate.enter(fields.get("token")) else {
        return problem::bare(
            StatusCode::FORBIDDEN,
            "This address was used before or is not whole. It counts once: start `fieldseal console` again.",
        );
    };
    app.entered();
    let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Fieldseal</title>\
         <meta http-equiv=\"refresh\" content=\"0;url=/\"><p><a href=\"/\">Open the console</a></p></html>";
    let mut answer = axum::response::Html(page).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}
