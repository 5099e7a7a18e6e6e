//! Why a request came to nothing, and whether a retry helps.

use std::time::Duration;

use protocol::error::DocumentError;

use crate::courier::pause::Retry;

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
    /// Whether the same request will get the same answer, as far as can be told.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Network(_) | Self::Answer(_) | Self::Message(_) => false,
            Self::Refused { status, .. } => {
                (400..500).contains(status) && !matches!(status, 408 | 423 | 425 | 429)
            }
        }
    }

    /// The status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How the next try should be timed.
    pub(in crate::courier) fn retry(&self) -> Retry {
        match self {
            // Without rights as well: a renewed certificate may bring them back.
            Self::Network(_) | Self::Refused { status: 403, .. } => Retry::WhenBack,
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

/// A stranger's text, harmless in a log or a terminal.
pub(super) fn inert(text: &str) -> String {
    text.chars()
        .take(TEXT_CHARS_MAX)
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect()
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
    fn a_strangers_text_is_short_and_harmless() {
        let text = inert(&format!("no\u{1b}[2J\n\u{202e}{}", "x".repeat(1000)));
        assert!(text.starts_with("no?[2J??"));
        assert_eq!(text.len(), TEXT_CHARS_MAX);
    }
}
