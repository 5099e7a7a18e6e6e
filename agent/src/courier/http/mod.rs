//! The courier's HTTP: one server, one base URL, a ceiling on every answer, and errors that say whether a retry helps.
//!
//! No redirects, no cookies, no proxy but the configured one, and no certificate authority but the deployment's.

mod address;
mod error;

use std::{io::Read, sync::Arc, time::Duration};

use protocol::{
    messages::{CLONED, MAX_MESSAGE_BYTES, REASON_HEADER, REVOKED},
    version,
};
use serde::{Serialize, de::DeserializeOwned};
use ureq::{
    Agent, SendBody,
    http::{Request, Response, header::HeaderMap, request::Builder},
};

use self::address::{base, proxy};
pub(super) use self::error::inert;
pub use self::{
    address::{AccessError, Place, ProxyPlace, way},
    error::HttpError,
};
use super::tls::{self, Identity};

/// A connection that is not there by then is given up.
const CONNECT: Duration = Duration::from_secs(20);
/// A server that says nothing for so long is gone; longer than it may let a question wait.
const SILENCE: Duration = Duration::from_secs(75);
/// A server that takes not even one record for so long is gone: one that closes while its window is full is noticed
/// by nothing else. A record that is taken in part has this time twice.
const STUCK: Duration = Duration::from_secs(15);
/// No server of ours asks for a longer rest.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Where and how to reach the server.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// `https://HOST[:PORT]`.
    pub server: &'a str,
    /// `http://[USER:PASSWORD@]HOST:PORT`.
    pub proxy: Option<&'a str>,
    /// The root certificate, PEM.
    pub root_pem: &'a str,
    /// Key and certificate; none before enrolment.
    pub identity: Option<&'a Identity>,
}

/// An answer of the status that was wanted.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Reads the body as a message.
    pub(super) fn message<T: DeserializeOwned>(&self, kind: &'static str) -> Result<T, HttpError> {
        Ok(version::read_message(&self.body, kind)?)
    }

    /// A header that is a plain number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: Arc<str>,
}

impl Client {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// An address, the key or a certificate can't be used.
    pub fn new(access: Access<'_>) -> Result<Self, AccessError> {
        let base = base(access.server)?;
        let proxy = access.proxy.map(proxy).transpose()?;
        let tls = tls::config(access.root_pem, access.identity)?;
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .proxy(proxy)
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("fieldseal-agent/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_resolve(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(STUCK))
            .input_buffer_size(16 * 1024)
            .output_buffer_size(64 * 1024)
            .max_response_header_size(32 * 1024)
            .build();
        Ok(Self {
            agent: Agent::new_with_config(config),
            base: base.into(),
        })
    }

    /// Ends every request, now and from now on.
    pub(super) fn shut_down(&self) {
        self.agent.clone().shutdown();
    }

    /// `GET path`; the answer may have at most `limit_bytes`.
    pub(super) fn get(&self, path: &str, limit_bytes: usize) -> Result<Answer, HttpError> {
        let request = self.request("GET", path).body(SendBody::none());
        self.run(request, limit_bytes)
    }

    /// `POST path` with a message; the answer may have at most `limit_bytes`.
    pub(super) fn post<M: Serialize>(
        &self,
        path: &str,
        message: &M,
        limit_bytes: usize,
    ) -> Result<Answer, HttpError> {
        let body = serde_json::to_vec(message).map_err(|_| HttpError::Answer("unwritable"))?;
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(HttpError::Answer("the question is longer than allowed"));
        }
        let mut reader = body.as_slice();
        let request = self
            .request("POST", path)
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(SendBody::from_reader(&mut reader));
        self.run(request, limit_bytes)
    }

    /// A request with headers of its own and no body.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
    ) -> Result<Answer, HttpError> {
        let mut request = self.request_with(method, path, headers);
        if method == "POST" {
            request = request.header("content-length", 0);
        }
        self.run(request.body(SendBody::none()), MAX_MESSAGE_BYTES)
    }

    /// A request with headers of its own and exactly `length_bytes` of `body`.
    pub(super) fn send_body(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &mut dyn Read,
        length_bytes: u64,
    ) -> Result<Answer, HttpError> {
        let request = self
            .request_with(method, path, headers)
            .header("content-length", length_bytes)
            .body(SendBody::from_reader(body));
        self.run(request, MAX_MESSAGE_BYTES)
    }

    fn request_with(&self, method: &str, path: &str, headers: &[(&str, String)]) -> Builder {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request
    }

    fn request(&self, method: &str, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
    }

    fn run(
        &self,
        request: Result<Request<SendBody<'_>>, ureq::http::Error>,
        limit_bytes: usize,
    ) -> Result<Answer, HttpError> {
        let request = request.map_err(|e| HttpError::unanswered(e.into()))?;
        let response = self.agent.run(request).map_err(HttpError::unanswered)?;
        answer(response, limit_bytes)
    }
}

fn answer(mut response: Response<ureq::Body>, limit_bytes: usize) -> Result<Answer, HttpError> {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let reason = response.headers().get(REASON_HEADER);
    let is_for = |code, word: &str| status == code && reason.is_some_and(|r| r == word);
    let (is_revoked, is_cloned) = (is_for(403, REVOKED), is_for(409, CLONED));
    let body = response
        .body_mut()
        .with_config()
        .limit(limit_bytes as u64)
        .read_to_vec();
    if !(200..300).contains(&status) {
        // A text that can't be read changes nothing about the refusal.
        let text = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        let text = inert(text.trim());
        return Err(match (is_revoked, is_cloned) {
            (true, _) => HttpError::Revoked { text },
            (_, true) => HttpError::Cloned { text },
            _ => HttpError::Refused {
                status,
                text,
                retry_after,
            },
        });
    }
    let body = body.map_err(|e| match e {
        ureq::Error::BodyExceedsLimit(_) => HttpError::Answer("it is longer than allowed"),
        other => HttpError::unanswered(other),
    })?;
    let headers = response.into_parts().0.headers;
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// Whole seconds only: no server of ours sends a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
