//! Why a request came to nothing, and whether a retry helps.

use std::time::Duration;

use protocol::error::DocumentError;

use crate::{courier::pause::Retry, harmless};

/// The longest text of an error that is kept.
const TEXT_CHARS_MAX: usize = 300;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server was not reached, or went away.
    #[error(
        "the server can't be reached. Check its address, the network, the proxy, and this host's clock."
    )]
    Network(#[source] Box<ureq::Error>),
    /// The server was reached, and is not shown to be the deployment's.
    #[error("{why}")]
    Certificate {
        /// What is wrong with its certificate, and what to do.
        why: &'static str,
        /// What the check said.
        source: Box<ureq::Error>,
    },
    /// Something else answers than a server: a captive portal, another service, one that is just starting.
    #[error(
        "what answers at the server's address speaks no TLS: a captive portal that wants a login, or another service. Log in to the network, or have this host exempted; else check the address."
    )]
    NoTls(#[source] Box<ureq::Error>),
    /// This agent was revoked.
    #[error("{text}")]
    Revoked {
        /// What the server says, for people.
        text: String,
    },
    /// This agent's identity was met on two machines.
    #[error("{text}")]
    Cloned {
        /// What the server says, for people.
        text: String,
    },
    /// It said no.
    #[error("the server answered {status}: {text}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says, for people.
        text: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// Its answer is not one of the protocol.
    #[error(
        "the server's answer can't be used: {0}. Check that the server is a Fieldseal server of this version."
    )]
    Answer(&'static str),
    /// Its message is malformed.
    #[error(transparent)]
    Message(#[from] DocumentError),
}

impl HttpError {
    /// What a request that was not answered came to.
    pub(super) fn unanswered(error: ureq::Error) -> Self {
        match tls_error(&error) {
            Some(rustls::Error::InvalidMessage(_)) => Self::NoTls(Box::new(error)),
            Some(rustls::Error::InvalidCertificate(fault)) => Self::Certificate {
                why: why_not(fault),
                source: Box::new(error),
            },
            _ => Self::Network(Box::new(error)),
        }
    }

    /// Whether the same request will get the same answer, as far as can be told.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Network(_)
            | Self::NoTls(_)
            | Self::Certificate { .. }
            | Self::Answer(_)
            | Self::Message(_) => false,
            Self::Revoked { .. } | Self::Cloned { .. } => true,
            Self::Refused { status, .. } => {
                (400..500).contains(status) && !matches!(status, 408 | 423 | 425 | 429)
            }
        }
    }

    /// The status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Revoked { .. } => Some(403),
            Self::Cloned { .. } => Some(409),
            _ => None,
        }
    }

    /// How the next try should be timed.
    pub(in crate::courier) fn retry(&self) -> Retry {
        match self {
            Self::Network(error) if is_closed(error) => Retry::Reconnect,
            Self::Network(_) | Self::NoTls(_) | Self::Certificate { .. } => Retry::WhenBack,
            // A renewed certificate may bring rights back.
            Self::Refused { status: 403, .. } => Retry::WhenBack,
            Self::Refused {
                retry_after: Some(wait),
                ..
            } => Retry::NotBefore(*wait),
            _ => Retry::Later,
        }
    }

    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text.push_str(&format!(" ({inner})"));
            cause = inner.source();
        }
        inert(&text)
    }
}

fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// What is wrong with the server's certificate, and what to do.
fn why_not(fault: &rustls::CertificateError) -> &'static str {
    use rustls::CertificateError as Fault;
    match fault {
        Fault::UnknownIssuer | Fault::BadSignature => {
            "the server's certificate is not signed by the root given (root.crt). Check that the trust folder is this deployment's, and that the address is its server's."
        }
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
            "the server's certificate is for other names than the one in its address. Use a name that it is for, or have this one added to the server's `names`."
        }
        Fault::Expired
        | Fault::ExpiredContext { .. }
        | Fault::NotValidYet
        | Fault::NotValidYetContext { .. } => {
            "the server's certificate does not hold at this host's time. Check this host's clock, then the server's certificate."
        }
        _ => {
            "the server's certificate can't be used. Check that the address is that of the deployment's server."
        }
    }
}

/// Whether there was a connection, and the other side closed it.
fn is_closed(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(error, ureq::Error::Io(error) if matches!(
        error.kind(),
        Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
    ))
}

/// A stranger's text, harmless in a log or a terminal, and short.
pub(in crate::courier) fn inert(text: &str) -> String {
    let short: String = text.chars().take(TEXT_CHARS_MAX).collect();
    harmless::text(&short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_a_retry_helps() {
        let refused = |status| HttpError::Refused {
            status,
            text: String::new(),
            retry_after: None,
        };
        for (status, is_permanent) in [
            (400, true),
            (403, true),
            (404, true),
            (409, true),
            (413, true),
            (422, true),
            (423, false),
            (429, false),
            (500, false),
            (503, false),
            (507, false),
        ] {
            assert_eq!(refused(status).is_permanent(), is_permanent, "{status}");
        }
    }

    #[test]
    fn a_closed_connection_is_made_anew_soon_and_one_that_was_not_there_later() {
        let error = |kind: std::io::ErrorKind| HttpError::unanswered(ureq::Error::Io(kind.into()));
        let closed = error(std::io::ErrorKind::UnexpectedEof);
        assert_eq!(closed.retry(), Retry::Reconnect);
        let absent = error(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(absent.retry(), Retry::WhenBack);
    }

    #[test]
    fn a_strangers_text_is_short_and_harmless() {
        let text = inert(&format!("no\u{1b}[2J\n\u{202e}{}", "x".repeat(1000)));
        assert!(text.starts_with("no?[2J??"));
        assert_eq!(text.len(), TEXT_CHARS_MAX);
    }
}
