//! `tidegate-worker`: runs the jobs of a [node](tidegate_app::node), and answers probes where it is asked to.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_app::node::{Node, StartError};
use tidegate_app::probes::Probes;
use tidegate_app::settings::Settings;
use tidegate_app::shutdown;
use tokio::net::TcpListener;

/// Works until SIGTERM or SIGINT, then finishes or hands back what runs.
///
/// # Errors
///
/// When the process can't start.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let shutdown = shutdown::on_signal()?;
    let listener = match settings.worker_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let node = Arc::new(Node::start(settings).await?);
    let worker = node.worker()?;
    let probes = Probes::new(Arc::clone(&node));
    announce(&node.settings, listener.as_ref());
    if let Some(listener) = listener {
        tokio::spawn(probes.clone().serve(listener, shutdown.clone()));
    }

    let report = worker.run(shutdown).await.map_err(|error| StartError::System(std::io::Error::other(error)))?;
    probes.drain();
    node.stop().await;
    tracing::info!(?report, "ended");
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen {
        address,
        variable: "TIDEGATE_WORKER_LISTEN",
        source,
    })
}

#[expect(clippy::print_stdout, reason = "for the person who started it; the log goes to standard error")]
fn announce(settings: &Settings, listener: Option<&TcpListener>) {
    let data = settings.data_dir.display();
    println!("Tidegate {} works on the queues in {data}", env!("CARGO_PKG_VERSION"));
    if let Some(address) = listener.and_then(|listener| listener.local_addr().ok()) {
        println!("Probes and metrics at http://{address}");
    }
}
