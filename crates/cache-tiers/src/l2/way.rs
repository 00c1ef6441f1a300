//! How processes receive one another's changes: from the server, or else over a channel.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use futures_util::future::try_join_all;
use tidegate_redis::{Channel, Client, Error, Tracking};

/// A way, once it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Way {
    /// Not yet known.
    Unknown,
    /// The server notifies all processes.
    Tracked,
    /// A process that changes something publishes it on the channel.
    Published,
}

/// The way of this process.
pub(super) struct Ways {
    channel: Channel,
    now: AtomicU8,
    /// Whether changes were not published on the channel because the server was believed to notify.
    was_silent: AtomicBool,
    may_track: bool,
}

impl Ways {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, now: AtomicU8::new(Way::Unknown as u8), was_silent: AtomicBool::new(false), may_track: true }
    }

    pub(super) fn only_published(&mut self) {
        self.may_track = false;
        self.take(Way::Published);
    }

    /// Returns the way to try first. After `refused` was refused, the other one, if allowed.
    pub(super) fn next(&self, refused: Option<Way>) -> Way {
        match refused {
            Some(Way::Tracked) => Way::Published,
            _ if self.may_track => Way::Tracked,
            _ => Way::Published,
        }
    }

    pub(super) fn take(&self, way: Way) {
        self.now.store(way as u8, Ordering::SeqCst);
        if way == Way::Tracked {
            self.was_silent.store(true, Ordering::SeqCst);
        }
    }

    /// Publishes on the channel that everything may have changed, if this process did not publish
    /// before: other processes may have subscribed to it earlier, and have missed changes since.
    pub(super) async fn make_up_for_silence(&self, all_mark: &str) -> Result<(), Error> {
        if self.was_silent.swap(false, Ordering::SeqCst) { self.channel.publish(all_mark).await } else { Ok(()) }
    }

    /// Forgets the way, unless it was chosen, because it is refused now.
    pub(super) fn doubt(&self) {
        if self.may_track {
            self.take(Way::Unknown);
        }
    }

    pub(super) async fn start(&self, way: Way, client: &Client, prefixes: &[String]) -> Result<Tracking, Error> {
        match way {
            Way::Published => Tracking::over(&self.channel).await,
            Way::Tracked | Way::Unknown => Tracking::start(client, prefixes).await,
        }
    }

    /// Whether the server notifies all processes, so that nothing is published on the channel.
    fn is_silent(&self) -> bool {
        self.now.load(Ordering::SeqCst) == Way::Tracked as u8
    }

    /// Publishes a change that was made, unless all others receive it from the server.
    pub(super) async fn notify(&self, name: &str) -> Result<(), Error> {
        let now = self.now.load(Ordering::SeqCst);
        if now == Way::Tracked as u8 {
            return Ok(());
        }
        let told = self.channel.publish(name).await;
        // If it turns out that the server notifies, no process was subscribed to the channel.
        if now == Way::Published as u8 { told } else { Ok(()) }
    }

    /// As [`notify`](Self::notify), for many changes.
    pub(super) async fn notify_all(&self, names: &[&str]) -> Result<(), Error> {
        if self.is_silent() {
            return Ok(());
        }
        try_join_all(names.iter().map(|name| self.notify(name))).await?;
        Ok(())
    }
}
