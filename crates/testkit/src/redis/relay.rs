//! A connection between two servers that can be made to bring nothing any more.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::RedisServer;

/// Stands between a primary and its replica, which then stays behind while its connection stands and it answers its readers.
///
/// It knows nothing of the protocol, so it carries replication too.
pub struct Relay {
    port: u16,
    is_stopped: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay in front of the server. Everything passes.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    pub async fn start(server: &RedisServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the relay");
        let port = listener.local_addr().expect("it is bound").port();
        let (is_stopped, gate) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, server.port(), gate));
        Self { port, is_stopped, accepting }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Keeps what the server says from now on to itself.
    pub fn stop(&self) {
        self.is_stopped.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: u16, gate: watch::Receiver<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        let gate = gate.clone();
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                carry(client, server, gate).await;
            }
        });
    }
}

async fn carry(client: TcpStream, server: TcpStream, mut gate: watch::Receiver<bool>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there = tokio::io::copy(&mut from_client, &mut to_server);
    let back = async {
        let mut bytes = vec![0; 16_384];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            // Without the relay nobody waits.
            if gate.wait_for(|is_stopped| !is_stopped).await.is_err() {
                return;
            }
            if to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = there => {}
        () = back => {}
    }
}
