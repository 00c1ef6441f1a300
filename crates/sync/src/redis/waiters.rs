//! The waiters for permits in this process, and the channel on which they are woken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tidegate_redis::{Channel, Client, Keyspace, Notice, Tracking};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::owner;

/// Time until the next attempt to subscribe: the permissions of an account may change.
const RETRY: Duration = Duration::from_secs(60);

/// Wakes waiters when `permit_release.lua` reports their turn.
///
/// A message can be lost, so a waiter also sends requests periodically. The subscription begins
/// with the first waiter: a process whose locks are always free has none.
pub(super) struct Waiters {
    channel: Channel,
    waiting: Arc<Waiting>,
    listener: OnceLock<JoinHandle<()>>,
}

/// Each waiting owner, and how to wake it.
type Waiting = Mutex<HashMap<String, Arc<Notify>>>;

impl Waiters {
    pub(super) fn new(client: &Client, keyspace: &Keyspace) -> Self {
        let name = format!("{}{}", channels(keyspace), owner::process());
        Self { channel: Channel::new(client, &name), waiting: Arc::default(), listener: OnceLock::new() }
    }

    /// Waits until the owner is woken, for at most `at_most`. If it is woken between two waits, the
    /// second one returns immediately.
    pub(super) async fn wait(&self, owner: &str, at_most: Duration) {
        self.listener.get_or_init(|| tokio::spawn(listen(self.channel.clone(), Arc::downgrade(&self.waiting))));
        let wake = lock(&self.waiting).entry(owner.to_owned()).or_default().clone();
        let mut wait = Wait { waiters: self, owner, is_over: false };
        let _ = timeout(at_most, wake.notified()).await; // woken or not, the caller asks again
        wait.is_over = true;
    }

    /// Removes an owner that no longer waits.
    pub(super) fn remove(&self, owner: &str) {
        lock(&self.waiting).remove(owner);
    }
}

/// A running wait. If it is dropped with its caller, it removes its owner.
struct Wait<'a> {
    waiters: &'a Waiters,
    owner: &'a str,
    is_over: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.waiters.remove(self.owner);
        }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
    }
}

/// Prefix of the channels' names, followed by the first digits of an owner.
pub(super) fn channels(keyspace: &Keyspace) -> String {
    format!("{}:woken:", keyspace.prefix())
}

async fn listen(channel: Channel, waiting: Weak<Waiting>) {
    let mut tracking = loop {
        match Tracking::over(&channel).await {
            Ok(tracking) => break tracking,
            Err(error) => tracing::info!(%error, "waiters for locks are not woken, and ask instead: no subscription"),
        }
        tokio::time::sleep(RETRY).await;
        if waiting.strong_count() == 0 {
            return;
        }
    };
    while let Some(notice) = tracking.recv().await {
        let Some(waiting) = waiting.upgrade() else { return };
        match notice {
            Notice::Key(owner) => {
                let wake = str::from_utf8(&owner).ok().and_then(|owner| lock(&waiting).get(owner).cloned());
                wake.iter().for_each(|wake| wake.notify_one());
            }
            // Messages may have been lost.
            Notice::Everything(_) => lock(&waiting).values().for_each(|wake| wake.notify_one()),
            _ => {}
        }
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
