//! Why a question about the courier's own certificates came to nothing, and what follows from that.

use std::time::Duration;

use super::{
    context::{Context, CourierError},
    http::HttpError,
    pause::{Backoff, Retry},
};

/// How long it takes until a certificate that the disk had no room for is asked for again.
const FULL_DISK: Duration = Duration::from_secs(3600);

/// Who is at fault.
pub(super) enum Failed {
    /// The server, or the way to it.
    Server(HttpError),
    /// What it answered, or what lies here.
    Answer(CourierError),
}

impl Failed {
    /// Whether to ask the same again is of no use.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_permanent())
    }

    /// Tells that `what` could not be done, and waits until it may be tried again; what no waiting mends is given back.
    pub(super) fn rest(
        self,
        context: &Context,
        what: &'static str,
        backoff: &mut Backoff,
    ) -> Result<(), CourierError> {
        match self {
            Self::Server(error) => {
                context.missed(what, &error);
                context.rest(backoff, error.retry());
            }
            Self::Answer(CourierError::Tls(error)) => {
                context.note("a new certificate can't be used", &error.to_string());
                context.rest(backoff, Retry::Later);
            }
            // A disk that is full now has room later. Not soon: each try is one more certificate in the custody log.
            Self::Answer(CourierError::Disk(error)) => {
                context.note(what, &error.to_text());
                context.rest(backoff, Retry::NotBefore(FULL_DISK));
            }
            Self::Answer(error) => return Err(error),
        }
        Ok(())
    }
}

impl From<HttpError> for Failed {
    fn from(error: HttpError) -> Self {
        Self::Server(error)
    }
}

impl<E: Into<CourierError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Answer(error.into())
    }
}
