//! Every way to say no to an upload, with its status and what to do.

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};

use crate::store::{blobs::BlobError, index::IndexError};

/// Why an upload request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No certificate of an active agent.
    #[error("Only an enrolled agent may upload. Enrol, or ask why the agent was revoked.")]
    NotAnAgent,
    /// There is no such upload, or it is another agent's; the two are not told apart.
    #[error("There is no such upload. Create a new one.")]
    NotFound,
    /// The upload took too long.
    #[error("The upload has expired. Create a new one.")]
    Expired,
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
    #[error("That is too large. Send no more than the promised length, and parts below the limit.")]
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
    #[error("The body ended early. Ask by HEAD and go on from there.")]
    Cut,
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

    fn status(&self) -> StatusCode {
        let code = match self {
            Self::NotAnAgent => 403,
            Self::NotFound => 404,
            Self::Expired => 410,
            Self::Version => 412,
            Self::Header(_) | Self::Cut => 400,
            Self::Type => 415,
            Self::Offset => 409,
            Self::TooLarge => 413,
            // The checksum extension's own code.
            Self::Checksum => 460,
            Self::Digest => 422,
            Self::Locked => 423,
            Self::Busy => 503,
            Self::Full => 507,
            Self::Failed(_) => 500,
        };
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Full => Some(600),
            Self::Busy | Self::Failed(_) => Some(10),
            Self::Locked => Some(1),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Failed(source) = &self {
            tracing::error!(error = %source, "an upload failed on our side");
        }
        let mut response = (self.status(), format!("{self}\n")).into_response();
        let headers = response.headers_mut();
        headers.insert("tus-resumable", HeaderValue::from_static("1.0.0"));
        headers.insert("tus-version", HeaderValue::from_static("1.0.0"));
        if let Some(wait_s) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, wait_s.into());
        }
        response
    }
}

impl From<IndexError> for Refusal {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Full => Self::Full,
            IndexError::TooMany => Self::Busy,
            other => Self::failed(other),
        }
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        Self::failed(error)
    }
}
