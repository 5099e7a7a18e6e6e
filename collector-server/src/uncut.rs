//! What a client who goes away must not cut.
//!
//! hyper drops a handler's future together with its connection, wherever it stands. Between a row and its leaf, or a leaf
//! and what follows from it, that would leave a host that nobody lets in and a revocation that revokes nothing. So what
//! changes anything runs in a task of its own, and comes to its end whoever still listens.

use std::{future::Future, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{refusal::Refusal, state::Server};

/// So many tasks at one time: a connection asks one thing at a time, so those beyond are of clients who went away.
pub(crate) struct Uncut(Arc<Semaphore>);

impl Uncut {
    /// Room for what `connections` may ask at one time.
    pub(crate) fn new(connections: usize) -> Self {
        Self(Arc::new(Semaphore::new(connections)))
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        place.map_err(|_| Refusal::Busy)
    }

    /// Brings `work` to its end, also where nobody waits for it any more.
    ///
    /// # Errors
    /// The work's own, it panicked, or too much is at work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.place()?;
        let working = tokio::spawn(async move {
            let _place = place;
            work.await
        });
        working.await.map_err(Refusal::failed)?
    }
}

/// Brings the whole answer to its end. The body is read in the task too: one that is cut is refused there.
pub(crate) async fn answer(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    let answering = async move { Ok(next.run(request).await) };
    let answered = server.uncut.run(answering).await;
    answered.unwrap_or_else(|refusal| refusal.into_response())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_for_it_and_takes_its_place_until_then() {
        let uncut = Uncut::new(1);
        let (go_on, told) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let work = async move {
            told.await.map_err(Refusal::failed)?;
            done.send(()).map_err(|()| Refusal::NotFound)
        };
        {
            let working = uncut.run(work);
            tokio::pin!(working);
            let begun = futures_util::poll!(&mut working);
            assert!(begun.is_pending());
        }
        let more = uncut.run(async { Ok(()) }).await;
        assert!(matches!(more, Err(Refusal::Busy)));
        go_on.send(()).unwrap();
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn work_that_panics_is_a_failure_of_ours() {
        let uncut = Uncut::new(1);
        let failed = uncut.run::<()>(async { panic!("for a test") }).await;
        assert!(matches!(failed, Err(Refusal::Failed(_))));
        assert!(uncut.run(async { Ok(()) }).await.is_ok());
    }
}
