//! Every way to say no, with its status and what to do.
//!
//! What failed on our side is logged here and told to nobody; what is not there and what is
//! not the asker's get the same answer.

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use protocol::{
    error::DocumentError,
    messages::{CLONED, REASON_HEADER, REVOKED},
    retention::Expired,
};

use crate::{
    ca::CaError,
    custody::CustodyError,
    store::{blobs::BlobError, index::IndexError},
    trust::NotInForce,
};

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The asker may not.
    #[error("{0}")]
    Denied(&'static str),
    /// The agent was revoked: told apart from the rest, so that the host's own `status` can say it.
    #[error("This agent was revoked. Ask an admin why, and enrol the host anew if it shall go on.")]
    Revoked,
    /// The host was removed: a revocation that is nobody's fault.
    #[error(
        "This host was removed: it is looked after no more. Ask an admin why, and enrol it anew if it shall come back."
    )]
    Removed,
    /// The agent's identity lives on two machines.
    #[error(
        "This agent's identity was met on two machines. Each of them delivers what it has and then asks for one of its own."
    )]
    Cloned,
    /// There is no such thing, or it is another's; the two are not told apart.
    #[error("There is nothing of that name for you. Check it, and who you are to the policy.")]
    NotFound,
    /// The request does not read.
    #[error("The request is malformed: {text}. See PROTOCOL.md, section 10.", text = .0.trim_end_matches('.'))]
    Malformed(String),
    /// It reads, and is not acceptable.
    #[error("{0}")]
    Unacceptable(String),
    /// It contradicts what stands.
    #[error("{0}")]
    Conflict(&'static str),
    /// The upload took too long.
    #[error("The upload has expired. Create a new one.")]
    Expired,
    /// The stored part is deleted: by which rule, and when.
    #[error(
        "The part is gone: it {0}. Its statement, receipt and time stamp are still there, and the custody log says what was done."
    )]
    Gone(Box<Expired>),
    /// Another protocol version.
    #[error("This is not tus 1.0.0. Send Tus-Resumable: 1.0.0.")]
    Version,
    /// A header is missing or wrong.
    #[error("The header {0} is missing or wrong. See PROTOCOL.md on uploads.")]
    Header(&'static str),
    /// The body has another type.
    #[error("The body has the wrong type. Send application/offset+octet-stream.")]
    Type,
    /// The client's offset is not ours.
    #[error("The upload stands at another offset. Ask by HEAD and go on from there.")]
    Offset,
    /// More bytes than promised, or than we take.
    #[error(
        "That is too large. Send no more than the promised length, and no more than the limit."
    )]
    TooLarge,
    /// The request's bytes do not have its checksum.
    #[error("The bytes do not match their checksum. Send them again.")]
    Checksum,
    /// The whole does not have the promised digest.
    #[error("The upload does not have the promised SHA-256 and was dropped. Create a new one.")]
    Digest,
    /// Another request writes to this upload.
    #[error("The upload is being written by another request. Wait for its end.")]
    Locked,
    /// The body ended early or stood still.
    #[error("The body ended early. Send it again, an upload from where HEAD says that it stands.")]
    Cut,
    /// The body comes too slowly.
    #[error(
        "The body comes too slowly and was ended. Ask by HEAD where the upload stands and go on from there."
    )]
    Slow,
    /// The range is outside the part.
    #[error("The part has {0} bytes. Ask for a range within them.")]
    Range(u64),
    /// Too many requests; in so many seconds there may be one more.
    #[error("You ask more often than the server allows. Ask again in {0} s.")]
    Often(u32),
    /// Too much at once.
    #[error("The server is busy. Try again later.")]
    Busy,
    /// No room.
    #[error("The server's store is full. Try again later.")]
    Full,
    /// Something of ours failed.
    #[error("The server failed. Try again later.")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Refusal {
    /// Wraps a failure of ours; the client is not told what it was.
    pub(crate) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }

    /// A document that reads and is not believed.
    pub(crate) fn unacceptable(error: impl std::fmt::Display) -> Self {
        let text = error.to_string();
        let mut chars = text.chars();
        let first = chars.next().map(|c| c.to_uppercase().to_string());
        Self::Unacceptable(first.unwrap_or_default() + chars.as_str())
    }

    fn status(&self) -> StatusCode {
        let code = match self {
            Self::Denied(_) | Self::Revoked | Self::Removed => 403,
            Self::NotFound => 404,
            Self::Slow => 408,
            Self::Expired | Self::Gone(_) => 410,
            Self::Version => 412,
            Self::Header(_) | Self::Cut | Self::Malformed(_) => 400,
            Self::Type => 415,
            Self::Range(_) => 416,
            Self::Offset | Self::Conflict(_) | Self::Cloned => 409,
            Self::TooLarge => 413,
            // The checksum extension's own code.
            Self::Checksum => 460,
            Self::Digest | Self::Unacceptable(_) => 422,
            Self::Locked => 423,
            Self::Often(_) => 429,
            Self::Busy => 503,
            Self::Full => 507,
            Self::Failed(_) => 500,
        };
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Often(wait_s) => Some(*wait_s),
            Self::Full => Some(600),
            Self::Busy | Self::Slow | Self::Failed(_) => Some(10),
            Self::Locked => Some(1),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Failed(source) = &self {
            tracing::error!(error = chain(&**source), "a request failed on our side");
        }
        let mut response = (self.status(), format!("{self}\n")).into_response();
        let headers = response.headers_mut();
        if let Some(wait_s) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, wait_s.into());
        }
        let reason = match self {
            Self::Revoked | Self::Removed => Some(REVOKED),
            Self::Cloned => Some(CLONED),
            _ => None,
        };
        if let Some(reason) = reason {
            headers.insert(REASON_HEADER, HeaderValue::from_static(reason));
        }
        if let Self::Range(size) = self
            && let Ok(value) = format!("bytes */{size}").try_into()
        {
            headers.insert("content-range", value);
        }
        response
    }
}

/// An error and its causes in one line; a cause that the one above it has quoted is not told twice.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut above = text.clone();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !above.contains(&said) {
            text.push_str(&format!(" ({said})"));
        }
        (above, cause) = (said, inner.source());
    }
    text
}

impl From<IndexError> for Refusal {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Full => Self::Full,
            IndexError::TooMany => Self::Busy,
            IndexError::Missing => Self::NotFound,
            IndexError::Conflict(why) => Self::Conflict(why),
            other => Self::failed(other),
        }
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        Self::failed(error)
    }
}

impl From<CustodyError> for Refusal {
    fn from(error: CustodyError) -> Self {
        match error {
            CustodyError::TooLong => Self::TooLarge,
            other => Self::failed(other),
        }
    }
}

impl From<CaError> for Refusal {
    fn from(error: CaError) -> Self {
        match error {
            CaError::Request(_) => Self::unacceptable(error),
            other => Self::failed(other),
        }
    }
}

impl From<NotInForce> for Refusal {
    fn from(error: NotInForce) -> Self {
        match error {
            NotInForce::NotNewer { .. } => Self::Conflict(
                "The policy is not newer than the one in force. Draft the next version from that one.",
            ),
            NotInForce::Document(why) => why.into(),
            NotInForce::Envelope(why) => Self::Malformed(why.to_string()),
            other => Self::unacceptable(other),
        }
    }
}

impl From<DocumentError> for Refusal {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Envelope(why) => Self::Malformed(why.to_string()),
            other => Self::unacceptable(other),
        }
    }
}
