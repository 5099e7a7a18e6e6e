//! The server as seen from here: one connection under the pinned root, bounded answers, errors that say whether a retry helps.
//!
//! Nothing that comes back is believed here; whoever asks checks the signatures.

mod endpoints;

pub use endpoints::Beside;

use std::{io::Read, sync::Arc, time::Duration};

use protocol::{error::DocumentError, messages::MAX_MESSAGE_BYTES, version};
use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde::{Serialize, de::DeserializeOwned};
use ureq::{
    Agent, Body,
    config::Config,
    http::Response,
    tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig},
};

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// How long an answer may take to begin, the waiting that was asked for apart.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a body may stand still.
const STILL: Duration = Duration::from_secs(60);
/// No list is read further: an order for ten thousand hosts is told in some MiB.
const ANSWER_BYTES: u64 = 64 << 20;
/// No text of an error is read further.
const ERROR_BYTES: u64 = 2048;

/// The server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The address, the root or the keys can't be used.
    #[error(
        "The connection can't be set up: {0}. Run `fieldseal setup` again with the right files."
    )]
    Setup(String),
    /// No answer.
    #[error("{server} can't be reached. Check the address, the network, and that the server runs.")]
    Unreachable {
        /// Its address.
        server: String,
        /// What the network said.
        source: Box<ureq::Error>,
    },
    /// A refusal.
    #[error("The server answers {status} to {what}: {text}. {advice}", advice = advice(*.status))]
    Refused {
        /// HTTP's number.
        status: u16,
        /// What was asked.
        what: String,
        /// The server's words.
        text: String,
    },
    /// The answer is not of the protocol.
    #[error("The answer to {what} is not of the protocol. Update this program or the server.")]
    Malformed {
        /// What was asked.
        what: String,
        /// What is wrong.
        source: Box<DocumentError>,
    },
    /// The body broke off or is too long.
    #[error("The answer to {what} broke off or is too long. Try again.")]
    Body {
        /// What was asked.
        what: String,
        /// What the network said.
        source: Box<ureq::Error>,
    },
}

impl RemoteError {
    /// Whether the same question can't be answered later either.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Body { .. } => false,
            Self::Refused { status, .. } => !matches!(status, 408 | 429 | 500..=599),
            Self::Setup(_) | Self::Malformed { .. } => true,
        }
    }

    /// HTTP's number, where the server refused.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "Your roles and agencies in the policy decide; ask an admin of the deployment",
        404 => "Check the id, and that it belongs to one of your agencies",
        503 | 507 => "Try again later",
        500..=599 => "Its operator finds the cause in its log",
        _ => "Correct what it names, or update this program",
    }
}

/// Who asks: the person's TLS key and its certificate.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The certificate, signed by itself.
    pub certificate: &'a CertificateDer<'static>,
    /// Its key, PEM.
    pub key_pem: &'a [u8],
}

/// The server.
#[derive(Debug)]
pub struct Remote {
    agent: Agent,
    server: String,
}

/// A part's bytes on their way.
pub struct Download {
    /// From which byte on: what was asked for, or 0 where the server starts anew.
    pub from: u64,
    /// The bytes.
    pub body: Box<dyn Read>,
}

impl Remote {
    /// The server at `server`, which must lead to one of `roots`.
    ///
    /// # Errors
    /// The address is no https URL, or certificate and key do not belong together.
    pub fn new(
        server: &str,
        roots: &[Vec<u8>],
        who: Option<Credentials<'_>>,
    ) -> Result<Self, RemoteError> {
        let server = check_address(server)?;
        let provider = Arc::new(tls13_only());
        let roots: Vec<_> = roots
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .client_cert(who.map(|w| client(w, &provider)).transpose()?)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Config::builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .user_agent(concat!("fieldseal/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(STILL))
            .timeout_per_write(Some(STILL))
            .build()
            .new_agent();
        Ok(Self { agent, server })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn get(&self, path: &str, wait: Duration) -> Result<Response<Body>, RemoteError> {
        let answer = self
            .agent
            .get(self.url(path))
            .config()
            .timeout_recv_response(Some(ANSWER + wait))
            .build()
            .call();
        self.judge(answer, &format!("GET {path}"))
    }

    fn get_bytes(&self, path: &str, limit_bytes: u64) -> Result<Vec<u8>, RemoteError> {
        let answer = self.get(path, Duration::ZERO)?;
        body(answer, &format!("GET {path}"), limit_bytes)
    }

    fn get_message<T: DeserializeOwned>(
        &self,
        path: &str,
        wait: Duration,
    ) -> Result<T, RemoteError> {
        let what = format!("GET {path}");
        let bytes = body(self.get(path, wait)?, &what, ANSWER_BYTES)?;
        message(&bytes, what)
    }

    fn post_message<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        sent: &B,
    ) -> Result<T, RemoteError> {
        let what = format!("POST {path}");
        let json = serde_json::to_vec(sent).map_err(|e| RemoteError::Setup(e.to_string()))?;
        let answer = self
            .agent
            .post(self.url(path))
            .content_type("application/json")
            .send(&json[..]);
        let bytes = body(self.judge(answer, &what)?, &what, MAX_MESSAGE_BYTES as u64)?;
        message(&bytes, what)
    }

    fn download(&self, path: &str, from: u64) -> Result<Download, RemoteError> {
        let what = format!("GET {path}");
        let mut ask = self.agent.get(self.url(path));
        if from > 0 {
            ask = ask.header("range", format!("bytes={from}-"));
        }
        let answer = self.judge(ask.call(), &what)?;
        let from = if answer.status().as_u16() == 206 {
            from
        } else {
            0
        };
        let body = answer
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        Ok(Download {
            from,
            body: Box::new(body),
        })
    }

    fn judge(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
        what: &str,
    ) -> Result<Response<Body>, RemoteError> {
        let answer = answer.map_err(|source| RemoteError::Unreachable {
            server: self.server.clone(),
            source: Box::new(source),
        })?;
        let status = answer.status().as_u16();
        if matches!(status, 200 | 206) {
            return Ok(answer);
        }
        let text = answer.into_body().into_with_config().limit(ERROR_BYTES);
        // The number is the answer; its words only help.
        let text = text.lossy_utf8(true).read_to_string().unwrap_or_default();
        let text = text.trim().trim_end_matches('.').to_owned();
        Err(RemoteError::Refused {
            status,
            what: what.to_owned(),
            text,
        })
    }
}

fn body(answer: Response<Body>, what: &str, limit_bytes: u64) -> Result<Vec<u8>, RemoteError> {
    let body = answer.into_body().into_with_config().limit(limit_bytes);
    body.read_to_vec().map_err(|source| RemoteError::Body {
        what: what.to_owned(),
        source: Box::new(source),
    })
}

fn message<T: DeserializeOwned>(bytes: &[u8], what: String) -> Result<T, RemoteError> {
    version::read_message(bytes, "answer").map_err(|source| RemoteError::Malformed {
        what,
        source: Box::new(source),
    })
}

/// The address, which must be `https://HOST[:PORT]` and nothing behind it.
///
/// # Errors
/// It is anything else.
pub fn check_address(server: &str) -> Result<String, RemoteError> {
    let wrong = || {
        let shown: String = server.chars().take(100).collect();
        RemoteError::Setup(format!(
            "{shown:?} is no address of the form https://HOST:PORT"
        ))
    };
    let url = url::Url::parse(server).map_err(|_| wrong())?;
    let plain = url.scheme() == "https"
        && url.has_host()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(wrong())
    }
}

/// Post-quantum key exchange first, and no version below 1.3.
fn tls13_only() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    provider
}

fn client(who: Credentials<'_>, provider: &CryptoProvider) -> Result<ClientCert, RemoteError> {
    let unfit = |e: &dyn std::fmt::Display| {
        RemoteError::Setup(format!("your TLS key and certificate do not fit: {e}"))
    };
    // The library ends the program over a pair that does not fit: look first.
    let key = PrivateKeyDer::from_pem_slice(who.key_pem).map_err(|e| unfit(&e))?;
    CertifiedKey::from_der(vec![who.certificate.clone()], key, provider).map_err(|e| unfit(&e))?;
    let key = PrivateKey::from_pem(who.key_pem).map_err(|e| unfit(&e))?;
    let certificate = Certificate::from_der(who.certificate).to_owned();
    Ok(ClientCert::new_with_certs(&[certificate], key))
}

#[cfg(test)]
mod tests;
