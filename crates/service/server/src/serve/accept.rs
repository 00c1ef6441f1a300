//! The next connection, whatever the system says in between.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_base::Seldom;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use super::BACKLOG;

/// Pause after a refusal of the system, which would come again at once: no file descriptor is free, or no memory.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Between two lines of the log about that.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Where connections come in.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    /// Until when nothing is accepted. Kept here, since whoever waits for the next connection gives up often.
    shut_until: Option<Instant>,
    complaints: Seldom,
}

impl Door {
    pub(super) const fn new(listener: TcpListener) -> Self {
        Self { listener, shut_until: None, complaints: Seldom::new(COMPLAINT) }
    }

    /// Waits for the next connection; none where the system has no room for one. Dropping it while it waits loses none.
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
                        tracing::error!(%error, unlogged, "no connection can be accepted; raise the limit of open files");
                    }
                    self.shut_until = Some(Instant::now() + BACK_OFF);
                    return None;
                }
            }
        }
    }

    /// Closes it, and hands over who stood before it: the system has told them that they are connected.
    pub(super) fn close(self) -> Vec<(TcpStream, SocketAddr)> {
        let mut last = Vec::new();
        // The system itself is asked, not what the runtime last heard of it.
        let Ok(listener) = self.listener.into_std() else { return last };
        // As many as can have stood there when it was closed: who comes meanwhile must not keep it open.
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
    // An answer is one write; to hold it back for a next one only delays it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY can't be set");
    }
    stream
}

fn is_about_one_client(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}
