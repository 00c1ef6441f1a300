//! `tidegate-worker` runs the jobs of a [node](tidegate_node::node). It can also answer probes.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use tidegate_base::shutdown;
use tidegate_base::stdout::say;
use tidegate_node::node::{Node, StartError};
use tidegate_node::probes::Probes;
use tidegate_node::serving::serve_settings;
use tidegate_node::waiting_start::{self, Front};
use tidegate_server::serve;
use tidegate_settings::{Settings, WorkerListen};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Runs jobs until SIGTERM or SIGINT, then completes or returns the running jobs.
///
/// # Errors
///
/// If the process cannot start, or its worker cannot continue.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let shutdown = shutdown::on_signal()?;
    let listener = listen(settings.worker_listen)?;
    let serve = serve_settings(&settings);
    let front = listener.as_ref().map(|listener| Front::new(listener, serve));
    let Some(node) = Box::pin(waiting_start::start(settings, front, &shutdown)).await? else { return Ok(()) };
    let node = Arc::new(node);
    let result = work(&node, listener, shutdown).await;
    // Also after an error: a node that was stopped properly needs no recovery at the next start.
    node.stop().await;
    tracing::info!("ended");
    result
}

/// Returns when no job and no probe of this process is running.
async fn work(node: &Arc<Node>, listener: Option<TcpListener>, shutdown: CancellationToken) -> Result<(), StartError> {
    let worker = node.worker()?;
    let probes = Probes::new(Arc::clone(node));
    announce(node, listener.as_ref());
    // Probes are answered until the last job has ended. A prober that gets no response would take
    // the draining process for dead.
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
        tracing::error!(%error, "the probes failed");
    }
    let report = ended?;
    tracing::info!(?report, "the worker ended");
    Ok(())
}

fn listen(at: WorkerListen) -> Result<Option<TcpListener>, StartError> {
    let address = match at {
        WorkerListen::Off => return Ok(None),
        WorkerListen::At(address) => address,
        WorkerListen::Auto => {
            let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, WorkerListen::PORT));
            match serve::listen(usual) {
                Ok(listener) => return Ok(Some(listener)),
                // For example, another worker on this machine. The log names the port that is used
                // instead.
                Err(error) if error.kind() == ErrorKind::AddrInUse => (Ipv4Addr::LOCALHOST, 0).into(),
                Err(_) => usual,
            }
        }
    };
    serve::listen(address).map(Some).map_err(|source| StartError::Listen {
        address,
        variable: "TIDEGATE_WORKER_LISTEN",
        source,
    })
}

/// Names where queues and tables are: the data directory, or a server.
fn queues_and_tables(data: &str, redis: Option<&str>, database: Option<&str>) -> String {
    let tables = database.map_or_else(|| format!("in {data}"), |url| format!("on PostgreSQL ({url})"));
    match (redis, database) {
        (None, None) => tables,
        (redis, _) => {
            format!("{}, tables {tables}", redis.map_or_else(|| format!("in {data}"), |url| format!("on {url}")))
        }
    }
}

/// Prints the start message for the operator. The log goes to standard error.
fn announce(node: &Node, listener: Option<&TcpListener>) {
    let (settings, redis) = (&node.settings, node.redis().map(ToString::to_string));
    let database = settings.database.as_ref().map(|database| database.url.to_string());
    let queues = queues_and_tables(&settings.data_dir.display().to_string(), redis.as_deref(), database.as_deref());
    let mut text = format!("Tidegate {} works on the queues {queues}", env!("CARGO_PKG_VERSION"));
    if let Some(address) = listener.and_then(|listener| listener.local_addr().ok()) {
        text.push_str(&format!("\nProbes and metrics at http://{address}"));
    }
    if let Err(error) = say(&text) {
        tracing::warn!(%error, "the banner can't be written to standard output");
    }
}

#[cfg(test)]
mod tests {
    use super::queues_and_tables;

    #[test]
    fn a_worker_reports_where_its_queues_and_tables_are() {
        for (redis, database, expected) in [
            (None, None, "in ./data"),
            (Some("redis://r"), None, "on redis://r, tables in ./data"),
            (None, Some("db at p"), "in ./data, tables on PostgreSQL (db at p)"),
            (Some("redis://r"), Some("db at p"), "on redis://r, tables on PostgreSQL (db at p)"),
        ] {
            assert_eq!(queues_and_tables("./data", redis, database), expected);
        }
    }
}
