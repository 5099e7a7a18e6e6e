//! The accept loop: TLS, the peer's identity, and an end that loses nothing.
//!
//! It knows no URL. A client that connects and says nothing costs one of a
//! bounded number of handshakes for a bounded time, and no more.

mod peer;
mod tls;

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use rustls::pki_types::{TrustAnchor, UnixTime};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::shares::Shares;

pub use peer::{Origin, Peer, Role};
pub use tls::{Shown, TlsError, server_config};

/// What one client may take of the server's time and memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Handshakes at one time.
    pub handshakes: usize,
    /// Connections at one time, those in handshake included.
    pub connections: usize,
    /// Those of them that one client certificate may have.
    pub connections_per_client: usize,
    /// How long a handshake may take.
    pub handshake_ms: u64,
    /// How long a request's head may take.
    pub header_ms: u64,
    /// How long open requests may go on after the end was asked for.
    pub shutdown_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 256,
            connections: 10_000,
            connections_per_client: 64,
            handshake_ms: 10_000,
            header_ms: 30_000,
            shutdown_ms: 10_000,
        }
    }
}

/// Serves `router` on `listener` until `stop` ends, then lets open requests finish.
///
/// Every request carries a [`Peer`] and a [`Origin`] as extensions.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    anchor: TrustAnchor<'static>,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let (acceptor, anchor) = (TlsAcceptor::from(tls), Arc::new(anchor));
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    let connections = Arc::new(Semaphore::new(limits.connections));
    let clients = Arc::new(Shares::new(limits.connections_per_client));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        // Slots first: what we can't serve waits in the kernel's queue.
        let slots = async {
            let open = connections.clone().acquire_owned().await.ok()?;
            Some((
                open,
                handshakes.clone().acquire_owned().await.ok()?,
                listener.accept().await,
            ))
        };
        let (open, shaking, accepted) = tokio::select! {
            () = &mut stop => break,
            Some(slot) = slots => slot,
        };
        let Ok((stream, from)) = accepted else {
            // Out of descriptors or memory: breathe, rather than spin.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, router, watcher) = (acceptor.clone(), router.clone(), graceful.watcher());
        let (limits, anchor, clients) = (limits.clone(), anchor.clone(), clients.clone());
        tokio::spawn(async move {
            let _open = open;
            let wait = Duration::from_millis(limits.handshake_ms);
            let done = timeout(wait, acceptor.accept(stream)).await;
            drop(shaking);
            match done {
                Ok(Ok(stream)) => {
                    let chain = stream.get_ref().1.peer_certificates();
                    let peer = Peer::of(chain, &anchor, UnixTime::now());
                    // Whom no key names is held by the bound on all.
                    let share = peer.key.map(|key| clients.take(key));
                    match share {
                        Some(None) => tracing::debug!(%from, "client has its share of connections"),
                        _ => {
                            let who = (peer, Origin(from.ip()));
                            converse(stream, who, router, &limits, watcher).await;
                        }
                    }
                }
                Ok(Err(error)) => tracing::debug!(%from, %error, "handshake failed"),
                Err(_) => tracing::debug!(%from, "handshake took too long"),
            }
        });
    }
    drop(listener);
    let wait = Duration::from_millis(limits.shutdown_ms);
    if timeout(wait, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut");
    }
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

async fn converse(
    stream: Tls,
    (peer, from): (Peer, Origin),
    router: Router,
    limits: &Limits,
    watcher: Watcher,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(from);
        let router = router.clone();
        async move {
            let answer: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.header_ms))
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended early");
    }
}

#[cfg(test)]
mod tests;
