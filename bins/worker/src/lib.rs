//! `tidegate-worker`: runs the jobs of a [node](tidegate_app::node), and answers probes where it is asked to.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tidegate_app::node::{Node, StartError};
use tidegate_app::probes::Probes;
use tidegate_app::serve;
use tidegate_app::settings::Settings;
use tidegate_app::shutdown;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Works until SIGTERM or SIGINT, then finishes or hands back what runs.
///
/// # Errors
///
/// When the process can't start, or its worker can't go on.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let shutdown = shutdown::on_signal()?;
    let listener = settings.worker_listen.map(listen).transpose()?;
    let node = Arc::new(Node::start(settings).await?);
    let result = work(&node, listener, shutdown).await;
    // However it went: what is closed properly needs no recovery at the next start.
    node.stop().await;
    tracing::info!("ended");
    result
}

/// Returns when no job and no probe of this process runs any more.
async fn work(node: &Arc<Node>, listener: Option<TcpListener>, shutdown: CancellationToken) -> Result<(), StartError> {
    let worker = node.worker()?;
    let probes = Probes::new(Arc::clone(node));
    announce(node, listener.as_ref());
    // Probes are answered to the end of the last job: who can't see that the process drains takes it for dead.
    let stop = CancellationToken::new();
    let answering = listener.map(|listener| tokio::spawn(probes.clone().serve(listener, stop.clone())));

    let mut working = pin!(worker.run(shutdown.clone()));
    let ended = tokio::select! {
        ended = working.as_mut() => ended,
        () = shutdown.cancelled() => {
            probes.drain();
            working.await
        }
    };
    stop.cancel();
    if let Some(answering) = answering
        && let Err(error) = answering.await
    {
        tracing::error!(%error, "the probes did not end well");
    }
    let report = ended?;
    tracing::info!(?report, "the worker ended");
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    serve::listen(address).map_err(|source| StartError::Listen { address, variable: "TIDEGATE_WORKER_LISTEN", source })
}

#[expect(clippy::print_stdout, reason = "for the person who started it; the log goes to standard error")]
fn announce(node: &Node, listener: Option<&TcpListener>) {
    let data = node.settings.data_dir.display();
    let queues = match node.redis() {
        None => format!("in {data}"),
        Some(redis) => format!("on {redis}, tables in {data}"),
    };
    println!("Tidegate {} works on the queues {queues}", env!("CARGO_PKG_VERSION"));
    if let Some(address) = listener.and_then(|listener| listener.local_addr().ok()) {
        println!("Probes and metrics at http://{address}");
    }
}
