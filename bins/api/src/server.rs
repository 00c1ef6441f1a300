//! Runs the server from checked settings to the end of its shutdown.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_base::shutdown;
use tidegate_node::node::{Node, StartError};
use tidegate_node::probes::Probes;
use tidegate_node::serving::{serve_settings, tls_files};
use tidegate_node::waiting_start::{self, Front};
use tidegate_server::serve::{self, Ending, ServeSettings, serve};
use tidegate_server::tls::Certificates;
use tidegate_settings::{InnerWorker, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::banner;
use crate::routes;
use tidegate_web::app::App;

/// Serves until SIGTERM or SIGINT, then completes running requests and jobs.
///
/// # Errors
///
/// If the process cannot start, or cannot continue to serve.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let shutdown = shutdown::on_signal()?;
    let certificates = settings.tls.as_ref().map(tls_files).map(Certificates::open).transpose()?.map(Arc::new);
    // Also while the start waits: a certificate may be valid only for a short time.
    let renewing = CancellationToken::new();
    if let Some(certificates) = &certificates {
        tokio::spawn(Arc::clone(certificates).keep(renewing.clone()));
    }
    let _renewing = renewing.drop_guard();
    // Before the first write: a second instance on one port must not even open the databases.
    let listener = listen(settings.listen)?;
    let address = listener.local_addr()?;
    let serve = ServeSettings { tls: certificates.clone(), ..serve_settings(&settings) };
    let front = Front::new(&listener, serve).other(routes::of_a_start());
    let Some(node) = Box::pin(waiting_start::start(settings, Some(front), &shutdown)).await? else {
        return Ok(());
    };
    let node = Arc::new(node);
    let result = serve_node(&node, listener, address, certificates, shutdown).await;
    // After everything that reads or writes.
    node.stop().await;
    tracing::info!("ended");
    result
}

/// Returns when no request and no job of this process is running.
async fn serve_node(
    node: &Arc<Node>,
    listener: TcpListener,
    address: SocketAddr,
    certificates: Option<Arc<Certificates>>,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let app = App::new(Arc::clone(node)).await?;
    let worker = start_worker(node, &shutdown)?;
    let probes = Probes::new(Arc::clone(node));
    let ending = Ending::default();
    let router = routes::router(&app, probes.clone(), ending.stop.clone());
    let registry = node.telemetry.registry().clone();
    let settings = ServeSettings { tls: certificates, ..serve_settings(&node.settings) };
    let mut serving = tokio::spawn(serve(listener, router, settings, ending.clone(), move || registry.now()));
    banner::print(address, node);
    tracing::info!(%address, "serving");
    if !node.settings.trusted_proxies.is_empty() && node.settings.tokens.admin.is_none() {
        tracing::warn!("behind a proxy, operations need a token: set TIDEGATE_ADMIN_TOKEN, otherwise they are refused");
    }

    let served = CancellationToken::new();
    let keeping = tokio::spawn(app.warming().clone().keep(served.clone()));
    let counting = tokio::spawn(app.views().keep(served.clone()));

    let result = outlive(&mut serving, &shutdown).await;
    probes.drain();
    ending.announced.cancel();
    if result.is_ok() {
        // Load balancers send requests until their next probe. Closing earlier would refuse those.
        tokio::time::sleep(node.settings.http.drain_delay).await;
        ending.stop.cancel();
        ended("the server", serving).await;
    } else {
        // Ends the other parts of this process too.
        shutdown.cancel();
        ending.stop.cancel();
    }
    app.access_log().flush().await;
    served.cancel();
    // Waits instead of aborting: an aborted write would still run in its own thread.
    ended("the list of hot keys", keeping).await;
    ended("the count of views", counting).await;
    if let Some(worker) = worker {
        ended("the inner worker", worker).await;
    }
    result
}

/// Waits for the shutdown. A server that ends earlier would leave a process that serves nothing.
async fn outlive(serving: &mut JoinHandle<()>, shutdown: &CancellationToken) -> Result<(), StartError> {
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        ended = serving => {
            let reason = ended.err().map_or_else(|| "it ended by itself".to_owned(), |error| error.to_string());
            Err(StartError::NotServing { reason })
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    serve::listen(address).map_err(|source| StartError::Listen { address, variable: "TIDEGATE_LISTEN", source })
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
            Err(error) => tracing::error!(%error, "the inner worker failed: jobs wait for another worker"),
        }
    })))
}

async fn ended(who: &str, task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "{who} failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_ends_by_itself_ends_the_process() {
        let shutdown = CancellationToken::new();
        for mut serving in [tokio::spawn(async {}), tokio::spawn(async { panic!("a fault") })] {
            let error = outlive(&mut serving, &shutdown).await.unwrap_err();
            assert!(matches!(error, StartError::NotServing { .. }) && error.exit_code() == 1, "{error}");
        }
        let mut serving = tokio::spawn(std::future::pending());
        shutdown.cancel();
        assert!(outlive(&mut serving, &shutdown).await.is_ok());
        serving.abort();
    }
}
