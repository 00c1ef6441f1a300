//! The next connection, whatever the system says in between.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// Pause after a refusal of the system, which would come again at once: no file descriptor is free, or no memory.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Waits for the next connection. Dropping it while it waits loses none.
pub(super) async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer is one write; to hold it back for a next one only delays it.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "TCP_NODELAY can't be set");
                }
                return (stream, peer);
            }
            Err(error) if is_about_one_client(&error) => tracing::debug!(%error, "a client left early"),
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted; next attempt in {} s", BACK_OFF.as_secs());
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn is_about_one_client(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}
