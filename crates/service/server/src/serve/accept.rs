//! Listens, accepts connections, and survives the errors of `accept`.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_base::LogThrottle;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};

/// Size of a connection's send buffer, which the kernel doubles. Without it, the buffer could grow
/// to 4 MiB per connection, which is not counted as memory of the process.
const SEND_BUFFER: u32 = 128 << 10;

/// Connections that wait to be accepted. The kernel may allow fewer.
const BACKLOG: u32 = 1_024;

/// Pause after an error that would recur at once, such as no free file descriptor or no memory.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Minimum time between two log lines about that.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Listens at `address`, for [`serve`](super::serve()).
///
/// # Errors
///
/// If the kernel refuses, for example because the address is in use or is not this machine's.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Otherwise a restart would wait until the kernel has forgotten the old connections.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it from the listener.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    /// Until when nothing is accepted. It is kept here because the future that waits for the next
    /// connection is dropped often.
    shut_until: Option<Instant>,
    complaints: LogThrottle,
}

impl Acceptor {
    pub(super) const fn new(listener: TcpListener) -> Self {
        Self { listener, shut_until: None, complaints: LogThrottle::new(COMPLAINT) }
    }

    /// Waits for the next connection. `None` if the kernel has no room for one. Dropping the future
    /// loses no connection.
    pub(super) async fn next(&mut self) -> Option<(TcpStream, SocketAddr)> {
        loop {
            if let Some(until) = self.shut_until {
                sleep_until(until).await;
                self.shut_until = None;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) => return Some((ready(stream, peer), peer)),
                Err(error) if is_about_one_client(&error) => tracing::debug!(%error, "a client left early"),
                Err(error) => {
                    if let Some(unlogged) = self.complaints.count() {
                        tracing::error!(%error, unlogged, "connections cannot be accepted; raise the limit of open files");
                    }
                    self.shut_until = Some(Instant::now() + BACK_OFF);
                    return None;
                }
            }
        }
    }

    /// Closes the listener and returns the connections in its backlog. Their clients already see
    /// them as connected.
    pub(super) fn close(self) -> Vec<(TcpStream, SocketAddr)> {
        let mut last = Vec::new();
        // Asks the kernel, because the runtime's view of the listener may be out of date.
        let Ok(listener) = self.listener.into_std() else { return last };
        // The backlog cannot be longer than this. New connections must not keep the listener open.
        for _ in 0..BACKLOG {
            match listener.accept() {
                Ok((stream, peer)) => {
                    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                    last.extend(stream.map(|stream| (ready(stream, peer), peer)));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted || is_about_one_client(&error) => {}
                Err(_) => break,
            }
        }
        last
    }
}

fn ready(stream: TcpStream, peer: SocketAddr) -> TcpStream {
    // A response is one write, so Nagle's algorithm would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY can't be set");
    }
    stream
}

fn is_about_one_client(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}
