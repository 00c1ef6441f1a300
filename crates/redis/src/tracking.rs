//! Notices of changed keys, for a process that caches their values.

mod channel;
mod pump;
mod watcher;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use self::channel::Channel;
use self::watcher::{Watcher, Way, is_refusal};
use crate::client::Client;
use crate::error::Error;

/// Default time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Most notices that wait for their reader. A slower reader has to discard all copies.
const WAITING: usize = 16_384;

/// A notice to the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The copy of this key is out of date.
    Key(Bytes),
    /// All copies may be out of date: notices may have been lost.
    Everything(Cause),
    /// A server refuses tracking, so there are no notices of changes. Sent once, until the server
    /// accepts it again.
    Refused,
}

/// Why all copies have to be discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A server was emptied (`FLUSHALL`, `FLUSHDB`), or restarted without its data.
    Flush,
    /// A connection was lost and is tracked again.
    Reconnected,
    /// Notices came faster than they were read.
    Lagged,
    /// A primary was added or removed: a failover, or a cluster that grew or shrank.
    TopologyChanged,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flush => "flush",
            Self::Reconnected => "reconnected",
            Self::Lagged => "lagged",
            Self::TopologyChanged => "topology changed",
        })
    }
}

/// A subscription to the changes of all keys with certain prefixes, on every primary.
///
/// The server detects changes (`CLIENT TRACKING` with `BCAST`), so writes of other programs,
/// `redis-cli`, expiry and eviction are noticed too. Changes by commands of the same [`Client`] are
/// not reported (`NOLOOP`): their caller knows them. Changes by its scripts are reported, directly
/// after the script's answer, since Redis does not attribute them to the client.
///
/// A heartbeat detects events that the server does not report: tracking was lost with a connection,
/// a primary was added or removed, or a server was flushed. To detect a flush, each primary has one
/// key with a random value, outside of the prefixes. Each of these events causes a
/// [`Notice::Everything`] within two heartbeats after the primary answers again. A primary that
/// leaves two heartbeats unanswered counts as unavailable, like after a command without an answer.
/// So its connection is replaced even if no commands are sent.
///
/// A notice may arrive more than once, and for a key that is not cached. Dropping this value ends
/// the subscription. The server sends notices until the connection ends, and they are discarded.
#[derive(Debug)]
pub struct Tracking {
    notices: mpsc::Receiver<Notice>,
    told: Teller,
    complete: watch::Receiver<bool>,
    watcher: JoinHandle<()>,
}

impl Tracking {
    /// Tracks the keys that start with one of the prefixes. No prefix may be the start of another.
    ///
    /// One subscription per client: a second one needs prefixes that don't overlap with those of
    /// the first.
    ///
    /// # Errors
    /// The server's refusal, for example of overlapping prefixes. An unavailable server is not an
    /// error: check [`is_complete`](Self::is_complete).
    pub async fn start<P: AsRef<str>>(client: &Client, prefixes: &[P]) -> Result<Self, Error> {
        Self::start_with_heartbeat(client, prefixes, HEARTBEAT).await
    }

    /// Like [`start`](Self::start), with another time between heartbeats than 500 ms. A heartbeat
    /// is two short commands to each primary.
    ///
    /// # Errors
    /// Like [`start`](Self::start).
    pub async fn start_with_heartbeat<P: AsRef<str>>(
        client: &Client,
        prefixes: &[P],
        heartbeat: Duration,
    ) -> Result<Self, Error> {
        let prefixes = prefixes.iter().map(|prefix| prefix.as_ref().to_owned()).collect();
        Self::begin(client, Way::Tracked(prefixes), heartbeat).await
    }

    /// Receives notices from a channel instead, for servers that refuse tracking: only of changes
    /// that others [publish](Channel::publish). The same heartbeat detects lost notices, with one
    /// more command: it publishes a message on its own channel, `<name>:<16 digits>`, and has to
    /// receive it.
    ///
    /// # Errors
    /// The server's refusal of the subscription or of publishing. An unavailable server is not an
    /// error.
    pub async fn over(channel: &Channel) -> Result<Self, Error> {
        Self::begin(&channel.client, Way::Published(channel.clone()), HEARTBEAT).await
    }

    async fn begin(client: &Client, way: Way, heartbeat: Duration) -> Result<Self, Error> {
        let (sender, notices) = mpsc::channel(WAITING);
        let told = Teller { sender, lagged: Arc::new(AtomicBool::new(false)) };
        let (complete_sender, complete) = watch::channel(false);
        let mut watcher = Watcher::new(client.shards().clone(), way, told.clone(), complete_sender);
        let failures = watcher.beat(heartbeat).await;
        if let Some(refusal) = failures.into_iter().find(is_refusal) {
            return Err(refusal);
        }
        let watcher = tokio::spawn(watcher.run(heartbeat));
        Ok(Self { notices, told, complete, watcher })
    }

    /// Waits for the next notice. Cancel-safe.
    ///
    /// Never returns `None` while this value lives.
    pub async fn recv(&mut self) -> Option<Notice> {
        if self.told.lagged.swap(false, Ordering::AcqRel) {
            return Some(Notice::Everything(Cause::Lagged));
        }
        self.notices.recv().await
    }

    /// Whether every primary is tracked, as far as is known. While it is false, copies can be out
    /// of date without a notice.
    pub fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Watches [`is_complete`](Self::is_complete).
    pub fn watch_complete(&self) -> watch::Receiver<bool> {
        self.complete.clone()
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// The sending side of the notices.
#[derive(Clone, Debug)]
struct Teller {
    sender: mpsc::Sender<Notice>,
    /// Set when the queue was full. The reader has notices to read, so it will check this.
    lagged: Arc<AtomicBool>,
}

impl Teller {
    fn tell(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            self.lagged.store(true, Ordering::Release);
        }
    }

    fn forget_everything(&self, cause: Cause) {
        self.tell(Notice::Everything(cause));
    }
}
