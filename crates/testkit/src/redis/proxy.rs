//! A TCP proxy in front of one server. It can lose, hold and delay replies, cut connections, and
//! hang.

mod pair;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use self::plan::Plan;
use super::RedisServer;

/// A proxy in front of a server. It parses the protocol, so it can lose exactly the requested
/// reply: the server has run the command, and the client's connection is cut instead of the reply.
///
/// Commands that set up a connection (`HELLO`, `CLIENT`, `PING`, `CLUSTER`, …) always pass, so that
/// clients can connect.
pub struct Proxy {
    port: u16,
    plan: Arc<Plan>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of the server. Everything passes.
    ///
    /// # Panics
    ///
    /// If no port is available.
    pub async fn start(server: &RedisServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the proxy");
        let port = listener.local_addr().expect("it is bound").port();
        let plan = Arc::new(Plan::default());
        let accepting = tokio::spawn(accept(listener, server.port(), Arc::clone(&plan)));
        Self { port, plan, accepting }
    }

    /// The URL of the server through the proxy.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Loses the reply to the next command.
    pub fn drop_next_reply(&self) {
        self.plan.arm();
    }

    /// Loses the reply to the first occurrence of every command. A repetition with the same bytes
    /// is answered.
    pub fn drop_every_reply_once(&self) {
        self.plan.each_once();
    }

    /// Loses every `n`th reply.
    ///
    /// # Panics
    ///
    /// If `n` is zero.
    pub fn drop_every_nth_reply(&self, n: usize) {
        self.plan.each_nth(n);
    }

    /// Number of replies lost so far. A test without lost replies has shown nothing.
    pub fn dropped(&self) -> usize {
        self.plan.dropped()
    }

    /// Delays each reply by this time.
    pub fn delay(&self, by: Duration) {
        self.plan.delay_by(by);
    }

    /// Holds the reply to each later command until it is [released](Self::release).
    pub fn hold(&self) {
        self.plan.hold();
    }

    /// Releases that many more of the held replies, in the order of their commands.
    pub fn release(&self, count: usize) {
        self.plan.release(count);
    }

    /// Number of commands since [`hold`](Self::hold), whether or not their replies were released.
    pub fn held(&self) -> usize {
        self.plan.held()
    }

    /// Cuts every connection. New ones pass.
    pub fn cut(&self) {
        self.plan.cut();
    }

    /// Accepts requests and new connections, and answers nothing.
    pub fn hang(&self) {
        self.plan.hang();
    }

    /// Lets everything pass again, including held replies. Connections that hung are cut.
    pub fn restore(&self) {
        self.plan.restore();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.plan.cut();
    }
}

async fn accept(listener: TcpListener, server: u16, plan: Arc<Plan>) {
    while let Ok((client, _)) = listener.accept().await {
        let plan = Arc::clone(&plan);
        tokio::spawn(async move {
            // Without a server the client's connection is closed, as without a proxy.
            if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                pair::run(client, server, &plan).await;
            }
        });
    }
}
