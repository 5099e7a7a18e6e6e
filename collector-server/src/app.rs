//! The running server: opens its folder, repairs it, serves until told to stop.

use std::{fs, future::Future, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Router, middleware::from_fn_with_state};
use tokio::{net::TcpListener, sync::watch, time};

use crate::{
    config::Config,
    metrics::{self, Metrics},
    serve::{self, serve},
    store::{blobs::Blobs, index::Index},
    uploads::{self, Uploads},
};

const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Serves the folder `dir` on these listeners until `stop` ends.
///
/// # Errors
/// The folder is not one that `init` made, or can't be repaired.
pub async fn launch(
    dir: &Path,
    config: &Config,
    listener: TcpListener,
    metrics_listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let tls = Arc::new(tls(dir)?);
    let evidence = dir.join("evidence");
    let blobs = Arc::new(Blobs::open(&evidence.join("blobs"))?);
    let index = Index::open(&dir.join("index.sqlite")).await?;
    let uploads = Uploads::new(
        index,
        blobs,
        evidence.join("staging"),
        config.upload_limits(),
    );
    uploads
        .repair()
        .await
        .context("The uploads could not be repaired.")?;
    let (uploads, metrics) = (Arc::new(uploads), Arc::new(Metrics::default()));
    let counted = from_fn_with_state(metrics.clone(), metrics::count);
    let urls = Router::new()
        .merge(uploads::router(uploads.clone()))
        .layer(counted);

    let (ending, ended) = watch::channel(());
    let sweeper = tokio::spawn(sweep(uploads));
    let asked = axum::serve(metrics_listener, metrics::router(metrics))
        .with_graceful_shutdown(wait_for(ended));
    let asked = tokio::spawn(asked.into_future());
    tracing::info!(listen = %listener.local_addr()?, "serving");
    serve(listener, tls, urls, config.limits(), stop).await;
    sweeper.abort();
    drop(ending);
    // A scraper that holds its connection open does not hold the server.
    let _ = time::timeout(Duration::from_secs(2), asked).await;
    tracing::info!("stopped");
    Ok(())
}

async fn wait_for(mut ended: watch::Receiver<()>) {
    // The sender says nothing; it is dropped at the end.
    let _ = ended.changed().await;
}

/// The TLS settings from the folder's `trust/`.
///
/// # Errors
/// A file is missing or damaged.
pub fn tls(dir: &Path) -> anyhow::Result<rustls::ServerConfig> {
    let read = |name: &str| {
        let path = dir.join("trust").join(name);
        fs::read(&path).with_context(|| format!("{} could not be read.", path.display()))
    };
    let (chain, key, root) = (read("server.crt")?, read("server.key")?, read("root.crt")?);
    Ok(serve::server_config(&chain, &key, &root)?)
}

async fn sweep(uploads: Arc<Uploads>) {
    let mut ticks = time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        match uploads.sweep().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "expired uploads dropped"),
            Err(error) => tracing::error!(%error, "expired uploads could not be dropped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::oneshot,
    };

    use super::*;
    use crate::init::init;

    #[tokio::test]
    async fn an_initialised_folder_serves_counts_and_stops() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server");
        init(&path, &["localhost".into()], "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let again = init(&path, &["localhost".into()], "127.0.0.1:0".parse().unwrap()).await;
        assert!(again.unwrap_err().to_string().contains("not empty"));
        let config = Config::load(&path).unwrap();
        let listener = TcpListener::bind(config.listen).await.unwrap();
        let metrics = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = metrics.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let server = launch(&path, &config, listener, metrics, stopped);
        let client = async {
            let mut stream = TcpStream::connect(at).await.unwrap();
            let ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            stream.write_all(ask).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.ends_with("# EOF\n"),
                "{answer}"
            );
            stop.send(()).unwrap();
        };
        tokio::join!(server, client).0.unwrap();
    }
}
