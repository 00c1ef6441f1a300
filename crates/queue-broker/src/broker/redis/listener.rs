//! Takes the tokens that wake waiting callers: one task per partition, while callers wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_redis::{BlockingPool, Client};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::keys::{Part, PartitionKeys};
use super::reply::{Fields, Unreadable, failed, unreadable};
use super::scripts::Scripts;
use crate::error::BrokerError;

/// Time of one `BLPOP`: how long a dead connection goes unnoticed.
const ROUND: Duration = Duration::from_secs(15);
/// Time of the first one on a connection, which may have to be opened. A server that crashes during
/// that would leave it hanging.
const FIRST_ROUND: Duration = Duration::from_millis(500);
/// How long callers that were notified of ready jobs may take to fetch them.
const HEAD_START: Duration = Duration::from_millis(10);
/// Pause after a failed one. Callers check by themselves meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

const WAIT: &str = "wait";

/// Notification of a listener.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Signal {
    /// Jobs are ready.
    Ready,
    /// Something else has changed: check.
    Look,
}

/// Takes the tokens of one partition while callers wait.
pub(super) struct Listener {
    pub(super) signal: watch::Sender<Signal>,
    waiting: watch::Sender<usize>,
}

/// A wait in progress.
pub(super) struct Waiting(pub(super) Arc<Listener>);

impl Waiting {
    pub(super) fn begin(listener: Arc<Listener>) -> Self {
        listener.waiting.send_modify(|waiting| *waiting += 1);
        Self(listener)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// The listeners of a broker. They end with it.
pub(super) struct Listeners {
    pool: BlockingPool,
    runtime: Handle,
    by_key: Mutex<HashMap<String, Arc<Listener>>>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Listeners {
    pub(super) fn new(pool: BlockingPool, runtime: Handle) -> Self {
        let stop = CancellationToken::new();
        Self { pool, runtime, by_key: Mutex::default(), _stop_on_drop: stop.clone().drop_guard(), stop }
    }

    /// The listener of a partition. Starts its task if there is none.
    pub(super) fn listener(&self, client: &Client, scripts: &Arc<Scripts>, keys: &PartitionKeys) -> Arc<Listener> {
        let mut listeners = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let wake = keys.get(Part::Wake);
        if let Some(listener) = listeners.get(wake) {
            return listener.clone();
        }
        let listener = Arc::new(Listener { signal: watch::Sender::new(Signal::Look), waiting: watch::Sender::new(0) });
        listeners.insert(wake.to_owned(), listener.clone());
        let task = Task {
            keys: keys.clone(),
            listener: listener.clone(),
            client: client.clone(),
            scripts: scripts.clone(),
            pool: self.pool.clone(),
        };
        let stop = self.stop.clone();
        self.runtime.spawn(async move { stop.run_until_cancelled(task.run()).await });
        listener
    }
}

struct Task {
    keys: PartitionKeys,
    listener: Arc<Listener>,
    client: Client,
    scripts: Arc<Scripts>,
    pool: BlockingPool,
}

impl Task {
    async fn run(self) {
        let mut waiting = self.listener.waiting.subscribe();
        let mut round = FIRST_ROUND;
        while waiting.wait_for(|waiting| *waiting > 0).await.is_ok() {
            let answer = self.pool.blpop(&[self.keys.get(Part::Wake)], round).await;
            round = if answer.is_ok() { ROUND } else { FIRST_ROUND };
            match answer {
                Ok(Some((_, token))) => {
                    waiting.borrow_and_update();
                    self.took(&token).await;
                    // The notified caller fetches first. Listening again would run before its fetch
                    // and delay it by one turn of the server.
                    if *token == *b"r" && *waiting.borrow() > 0 {
                        let _ = tokio::time::timeout(HEAD_START, waiting.changed()).await;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "listening for jobs failed");
                    self.listener.signal.send_replace(Signal::Look);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn took(&self, token: &[u8]) {
        if *self.listener.waiting.borrow() > 0 {
            self.listener.signal.send_replace(if token == b"r" { Signal::Ready } else { Signal::Look });
        } else if let Err(error) = look(&self.client, &self.scripts, &self.keys, GiveBack::Yes).await {
            // Maintenance adds a token in its place.
            tracing::debug!(%error, "a token could not be given back");
        }
    }
}

/// Whether a token was taken that no local caller can use.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum GiveBack {
    Yes,
    No,
}

/// Whether a partition has ready jobs to lease, and the time until its next delayed job is due.
pub(super) async fn look(
    client: &Client,
    scripts: &Scripts,
    keys: &PartitionKeys,
    give_back: GiveBack,
) -> Result<(bool, Option<Duration>), BrokerError> {
    let args = vec![u32::from(give_back == GiveBack::Yes).into()];
    let reply = scripts.look.run(client, keys, args).await.map_err(failed(WAIT))?;
    let read = || {
        let mut reply = Fields::of(reply)?;
        Ok((reply.int()? == 1, reply.milliseconds_if_any()?))
    };
    read().map_err(|error: Unreadable| unreadable(WAIT)(error))
}
