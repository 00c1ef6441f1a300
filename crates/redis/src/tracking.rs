//! Notices of keys that others have changed, for copies that a process keeps.

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

/// How often it is looked whether everything is still tracked, unless told otherwise.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Notices that wait for their reader. One that is slower is told to forget everything.
const WAITING: usize = 16_384;

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The copy of this key.
    Key(Bytes),
    /// All copies: notices may have been lost.
    Everything(Cause),
    /// A server refuses to tell of changes: none will be heard of. Once, until it does not refuse any more.
    Refused,
}

/// Why everything is to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A server was emptied (`FLUSHALL`, `FLUSHDB`), or came back without its data.
    Flush,
    /// A connection was lost and is tracked again.
    Reconnected,
    /// Notices came faster than they were read.
    Lagged,
    /// A primary came or went: a failover, or a cluster that grew or shrank.
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

/// A subscription to the changes of all keys that begin with certain prefixes, on every primary.
///
/// It is the server that notices a change (`CLIENT TRACKING` with `BCAST`), so writes of other programs, `redis-cli`, expiry
/// and eviction are noticed too. Changes that commands of the same [`Client`] make are not (`NOLOOP`): who makes one knows.
/// Those that its scripts make are, right after the script's answer: for Redis it is not the client that makes them.
///
/// What the server does not tell is found by a heartbeat: that tracking was lost with a connection, that a primary came or
/// went, and that a server was flushed, for which each primary keeps one key with a random value, outside of the prefixes.
/// Each of these is a [`Notice::Everything`] within two heartbeats after the primary answers again. A primary that leaves two of them
/// unanswered counts as away, as after a command without an answer, so that its connection is made anew also where nobody sends any.
///
/// A notice may come more than once, and for a key that nobody has a copy of. Dropping it ends it; the server sends notices
/// on until the connection ends, and they are discarded.
#[derive(Debug)]
pub struct Tracking {
    notices: mpsc::Receiver<Notice>,
    told: Teller,
    complete: watch::Receiver<bool>,
    watcher: JoinHandle<()>,
}

impl Tracking {
    /// Tracks the keys that begin with one of the prefixes. None of them may be the beginning of another.
    ///
    /// One subscription for a client: a second one needs prefixes that don't overlap with the first one's.
    ///
    /// # Errors
    /// The server's refusal, for example of overlapping prefixes. That a server is away is none: look at
    /// [`is_complete`](Self::is_complete).
    pub async fn start<P: AsRef<str>>(client: &Client, prefixes: &[P]) -> Result<Self, Error> {
        Self::start_with_heartbeat(client, prefixes, HEARTBEAT).await
    }

    /// As [`start`](Self::start), with another time between heartbeats than 500 ms. A heartbeat is two short commands to each
    /// primary.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with_heartbeat<P: AsRef<str>>(
        client: &Client,
        prefixes: &[P],
        heartbeat: Duration,
    ) -> Result<Self, Error> {
        let prefixes = prefixes.iter().map(|prefix| prefix.as_ref().to_owned()).collect();
        Self::begin(client, Way::Tracked(prefixes), heartbeat).await
    }

    /// Hears of changes on a channel instead, for servers that refuse to track: of those that others
    /// [publish](Channel::publish), and of nothing else. What is lost is found by the same heartbeat, with one command
    /// more: it says something on a channel of its own, `<name>:<16 digits>`, and has to hear it.
    ///
    /// # Errors
    /// The server's refusal, of the subscription or of publishing. That a server is away is none.
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

    /// The next notice; waits for it. Cancel-safe.
    ///
    /// `None` never comes while this value lives.
    pub async fn recv(&mut self) -> Option<Notice> {
        if self.told.lagged.swap(false, Ordering::AcqRel) {
            return Some(Notice::Everything(Cause::Lagged));
        }
        self.notices.recv().await
    }

    /// Whether every primary is tracked, as far as is known. While it is false, copies can be out of date without notice.
    pub fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Follows [`is_complete`](Self::is_complete).
    pub fn watch_complete(&self) -> watch::Receiver<bool> {
        self.complete.clone()
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// The way to the reader.
#[derive(Clone, Debug)]
struct Teller {
    sender: mpsc::Sender<Notice>,
    /// A notice found no room. The reader has many before it, so it comes by.
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
