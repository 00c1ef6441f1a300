//! A stand-in for a version that starts and then fails each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// Most of a request that is read: a head and a small body.
const REQUEST: usize = 64 * 1024;

/// A server that answers 503 to all.
pub(super) struct BrokenVersion {
    port: u16,
    answered: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl BrokenVersion {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (port, answered) = (listener.local_addr()?.port(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&answered);
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, Arc::clone(&count)));
            }
        });
        Ok(Self { port, answered, server })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Requests that it failed.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for BrokenVersion {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(mut connection: TcpStream, count: Arc<AtomicUsize>) {
    let mut request = vec![0; REQUEST];
    let Ok(1..) = connection.read(&mut request).await else { return };
    count.fetch_add(1, Ordering::Relaxed);
    // A client that has disconnected needs no answer.
    let _ = connection.write_all(ANSWER).await;
    let _ = connection.shutdown().await;
    // The rest of the request is read, so that the client sees the answer.
    while matches!(connection.read(&mut request).await, Ok(1..)) {}
}
