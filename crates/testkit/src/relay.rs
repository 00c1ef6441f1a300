//! A relay whose connections can stop forwarding while they stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A relay in front of a server. It can hold the data of one direction until it is resumed, even if
/// the sender has disconnected meanwhile. It does not depend on the protocol, so it also forwards
/// replication: a replica behind it can be delayed.
///
/// Only the connections that exist at the stop are held. New ones are forwarded to the current
/// target.
pub struct Relay {
    port: u16,
    server: Arc<AtomicU16>,
    stops: watch::Sender<Stops>,
    accepting: JoinHandle<()>,
}

/// Connections with a smaller number are affected.
#[derive(Clone, Copy, Default)]
struct Stops {
    accepted: u64,
    requests: u64,
    replies: u64,
    reset: u64,
}

impl Relay {
    /// Starts a relay in front of a port of 127.0.0.1. Everything passes.
    ///
    /// # Panics
    ///
    /// If no port is available.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the relay");
        let port = listener.local_addr().expect("it is bound").port();
        let stops = watch::Sender::new(Stops::default());
        let server = Arc::new(AtomicU16::new(server));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&server), stops.clone()));
        Self { port, server, stops, accepting }
    }

    /// Sets the target of new connections to another port of 127.0.0.1. Existing ones keep theirs.
    pub fn turn_to(&self, server: u16) {
        self.server.store(server, Ordering::Relaxed);
    }

    /// Resets the existing connections on both sides.
    pub fn reset(&self) {
        self.stops.send_modify(|stops| stops.reset = stops.accepted);
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds the data from clients.
    pub fn stop_requests(&self) {
        self.stops.send_modify(|stops| stops.requests = stops.accepted);
    }

    /// Holds the data from the server.
    pub fn stop_replies(&self) {
        self.stops.send_modify(|stops| stops.replies = stops.accepted);
    }

    /// Forwards the held data, and all data that follows.
    pub fn go_on(&self) {
        self.stops.send_modify(|stops| (stops.requests, stops.replies) = (0, 0));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: Arc<AtomicU16>, stops: watch::Sender<Stops>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", server.load(Ordering::Relaxed))).await else { continue };
        let mut number = 0;
        stops.send_modify(|stops| {
            number = stops.accepted;
            stops.accepted += 1;
        });
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let is_reset = move |stops: &Stops| number < stops.reset;
        let is_kept = move |stops: &Stops| number < stops.requests;
        tokio::spawn(carry(from_client, to_server, stops.subscribe(), is_kept, is_reset));
        let is_kept = move |stops: &Stops| number < stops.replies;
        tokio::spawn(carry(from_server, to_client, stops.subscribe(), is_kept, is_reset));
    }
}

/// Forwards one direction until the sender ends, which ends the receiver's side, or until a reset.
async fn carry(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    stops: watch::Receiver<Stops>,
    is_kept: impl Fn(&Stops) -> bool,
    is_reset: impl Fn(&Stops) -> bool,
) {
    let mut resets = stops.clone();
    let (mut from, mut to) = (from, to);
    let is_at_its_end = tokio::select! {
        () = carry_on(&mut from, &mut to, stops, is_kept) => false,
        reset = resets.wait_for(is_reset) => reset.is_ok(),
    };
    if is_at_its_end {
        // The socket closes when the other direction ends too, which happens at the same time.
        let _ = to.as_ref().set_zero_linger();
        to.forget();
    }
}

async fn carry_on(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut stops: watch::Receiver<Stops>,
    is_kept: impl Fn(&Stops) -> bool,
) {
    let mut bytes = vec![0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        // If the relay is dropped, the held data is lost.
        if stops.wait_for(|stops| !is_kept(stops)).await.is_err() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
