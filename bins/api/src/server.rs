//! From checked settings to a server that has drained.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_app::node::{Node, StartError};
use tidegate_app::probes::Probes;
use tidegate_app::settings::{InnerWorker, Settings};
use tidegate_app::shutdown;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::banner;
use crate::routes;

/// Serves until SIGTERM or SIGINT, then finishes what runs.
///
/// # Errors
///
/// When the process can't start; once it serves, nothing ends it but a signal.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let shutdown = shutdown::on_signal()?;
    // Before anything is written: a second instance on one port must not even open the databases.
    let listener = listen(settings.listen).await?;
    let address = listener.local_addr()?;
    let node = Arc::new(Node::start(settings).await?);
    let worker = start_worker(&node, &shutdown)?;
    let probes = Probes::new(Arc::clone(&node));
    let app = App::new(Arc::clone(&node));

    let router = routes::router(&app, probes.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let drained = shutdown.clone();
    let serving = tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { drained.cancelled().await }).await
    });
    banner::print(address, &node.settings);
    tracing::info!(%address, "serving");
    if !node.settings.trusted_proxies.is_empty() && node.settings.tokens.admin.is_none() {
        tracing::warn!("behind a proxy, operations want a token: set TIDEGATE_ADMIN_TOKEN, or they stay closed");
    }

    shutdown.cancelled().await;
    probes.drain();
    finish(serving, node.settings.http.drain_timeout).await;
    if let Some(worker) = worker
        && let Err(error) = worker.await
    {
        tracing::error!(%error, "the inner worker did not end well");
    }
    node.stop().await;
    tracing::info!("ended");
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen {
        address,
        variable: "TIDEGATE_LISTEN",
        source,
    })
}

fn start_worker(node: &Node, shutdown: &CancellationToken) -> Result<Option<JoinHandle<()>>, StartError> {
    if node.settings.worker == InnerWorker::None {
        return Ok(None);
    }
    let worker = node.worker()?;
    let shutdown = shutdown.clone();
    Ok(Some(tokio::spawn(async move {
        match worker.run(shutdown).await {
            Ok(report) => tracing::info!(?report, "the inner worker ended"),
            Err(error) => tracing::error!(%error, "the inner worker failed: jobs wait for another"),
        }
    })))
}

/// Waits for requests in flight, but not for ever: a client that never ends its request is cut off.
async fn finish(mut serving: JoinHandle<std::io::Result<()>>, limit: Duration) {
    match tokio::time::timeout(limit, &mut serving).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::error!(%error, "the server ended with an error"),
        Ok(Err(error)) => tracing::error!(%error, "the server panicked"),
        Err(_) => {
            tracing::warn!("requests were cut off after {} s", limit.as_secs_f64());
            serving.abort();
        }
    }
}
