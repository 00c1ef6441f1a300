//! Connections that can be made to bring nothing any more, though they stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Stands in front of a server and keeps what one side says to the other, until it is told to go on; even when that side has
/// left by then. It knows nothing of the protocol, so it carries replication too: a replica behind it stays behind.
///
/// Only the connections that there are when it stops are stopped. New ones pass, to whichever server it leads by then.
pub struct Relay {
    port: u16,
    server: Arc<AtomicU16>,
    stops: watch::Sender<Stops>,
    accepting: JoinHandle<()>,
}

/// Connections with a smaller number are stopped.
#[derive(Clone, Copy, Default)]
struct Stops {
    accepted: u64,
    requests: u64,
    replies: u64,
    reset: u64,
}

impl Relay {
    /// Starts a relay in front of whatever listens on that port of 127.0.0.1. Everything passes.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the relay");
        let port = listener.local_addr().expect("it is bound").port();
        let stops = watch::Sender::new(Stops::default());
        let server = Arc::new(AtomicU16::new(server));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&server), stops.clone()));
        Self { port, server, stops, accepting }
    }

    /// Leads new connections to another port of 127.0.0.1. Those that there are stay where they are.
    pub fn turn_to(&self, server: u16) {
        self.server.store(server, Ordering::Relaxed);
    }

    /// Ends the connections that there are, on both sides, by a reset.
    pub fn reset(&self) {
        self.stops.send_modify(|stops| stops.reset = stops.accepted);
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Keeps what clients say.
    pub fn stop_requests(&self) {
        self.stops.send_modify(|stops| stops.requests = stops.accepted);
    }

    /// Keeps what the server says.
    pub fn stop_replies(&self) {
        self.stops.send_modify(|stops| stops.replies = stops.accepted);
    }

    /// Brings what was kept, and what follows.
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

/// Carries one way until that side ends, which ends the other's, or until it is reset.
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
        // The socket closes when the other way is given up too, which happens at the same time.
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
        // With the relay goes what it kept.
        if stops.wait_for(|stops| !is_kept(stops)).await.is_err() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
