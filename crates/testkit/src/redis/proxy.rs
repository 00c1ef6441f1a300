//! A TCP proxy in front of one server that loses and holds replies, delays, cuts and hangs.

mod pair;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use self::plan::Plan;
use super::RedisServer;

/// Stands in front of a server, and knows enough of the protocol to lose exactly the reply that it is told to: the server
/// has run the command, and the client's connection is cut where its reply would come.
///
/// What a client says to introduce itself (`HELLO`, `CLIENT`, `PING`, `CLUSTER`, …) always passes, so that it connects.
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
    /// If no port can be had.
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

    /// Loses the reply to every command when it comes for the first time. The same bytes once more are answered.
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

    /// Replies that were lost so far: a test in which none was has shown nothing.
    pub fn dropped(&self) -> usize {
        self.plan.dropped()
    }

    /// Holds each reply back for so long.
    pub fn delay(&self, by: Duration) {
        self.plan.delay_by(by);
    }

    /// Holds the reply to each command that is sent from now on, until it is [released](Self::release).
    pub fn hold(&self) {
        self.plan.hold();
    }

    /// Lets so many more of the replies pass that are held, in the order in which their commands were sent.
    pub fn release(&self, count: usize) {
        self.plan.release(count);
    }

    /// Commands that were sent since [`hold`](Self::hold), whether or not their replies were released.
    pub fn held(&self) -> usize {
        self.plan.held()
    }

    /// Cuts every connection; new ones pass.
    pub fn cut(&self) {
        self.plan.cut();
    }

    /// Takes what clients send, new ones too, and answers nothing.
    pub fn hang(&self) {
        self.plan.hang();
    }

    /// Lets everything pass again, what is held too. Connections that hung are cut.
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
            // Without a server the client is refused, as it would be without a proxy.
            if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                pair::run(client, server, &plan).await;
            }
        });
    }
}
