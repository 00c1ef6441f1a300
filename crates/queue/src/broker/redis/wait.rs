//! Waiting for work: check, then sleep until a token arrives, a job is due, or the next check is
//! due.
//!
//! While callers wait, one task per partition takes the tokens. So waits that start and end quickly
//! cost no connection. A local timer handles due times, since an idle server is late.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, select_all, try_join_all};
use tidegate_redis::BlockingPool;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::RedisBroker;
use super::keys::{Part, PartitionKeys};
use super::queue::Queue;
use super::reply::{Fields, Unreadable, failed, unreadable};
use super::scripts::Scripts;
use crate::broker::Wake;
use crate::error::BrokerError;

/// Longest sleep. If a process takes a token and then crashes, the maintenance of any worker adds a
/// new one. This limit is for queues without a worker.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Time between two checks whether the registry contains a queue now.
const REGISTRY_ROUND: Duration = Duration::from_secs(3);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
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
enum Heard {
    /// Jobs are ready.
    Ready,
    /// Something else has changed: check.
    Look,
}

/// Takes the tokens of one partition while callers wait.
struct Listener {
    heard: watch::Sender<Heard>,
    waiting: watch::Sender<usize>,
}

/// A wait in progress.
struct Waiting(Arc<Listener>);

impl Waiting {
    fn begin(listener: Arc<Listener>) -> Self {
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
}

impl RedisBroker {
    pub(super) async fn wait_for(&self, names: &[String], timeout: Duration) -> Result<Wake, BrokerError> {
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        loop {
            let queues = try_join_all(names.iter().map(|name| self.queue(name))).await?;
            let waits: Vec<Waiting> = keys(&queues).map(|keys| Waiting::begin(self.listener(keys))).collect();
            // Before the check, so that no token between the check and the sleep is missed.
            let mut heard: Vec<_> = waits.iter().map(|Waiting(listener)| listener.heard.subscribe()).collect();
            let looks = keys(&queues).map(|keys| look(&self.client, &self.scripts, keys, GiveBack::No));
            let mut next_due = LONGEST_SLEEP;
            let mut is_due = false;
            // An unreachable shard does not hide the jobs of the others.
            let (mut is_heard, mut failure) = (false, None);
            for look in join_all(looks).await {
                let (ready, due) = match look {
                    Ok(look) => look,
                    Err(error) => {
                        failure = Some(error);
                        continue;
                    }
                };
                is_heard = true;
                if ready {
                    return Ok(Wake::Ready);
                }
                is_due |= due == Some(Duration::ZERO);
                next_due = next_due.min(due.unwrap_or(LONGEST_SLEEP));
            }
            if let (Some(error), false) = (failure, is_heard) {
                return Err(error);
            }
            if is_due {
                return Ok(Wake::Due);
            }
            let now = Instant::now();
            if now >= deadline {
                // A caller without time to wait wants the current state, not a notification from
                // before the check.
                return Ok(Wake::Timeout);
            }
            let slice = now + next_due;
            let changes = heard.iter_mut().map(|heard| {
                Box::pin(async {
                    match heard.changed().await {
                        Ok(()) => *heard.borrow(),
                        Err(_) => Heard::Look,
                    }
                })
            });
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(slice.min(deadline)) => {
                    if slice >= deadline {
                        return Ok(Wake::Timeout);
                    }
                }
                () = self.registration(&queues) => {}
                // Lazily, since without waits there is nothing to select from.
                (what, _, _) = async { select_all(changes).await }, if !waits.is_empty() => {
                    if what == Heard::Ready {
                        return Ok(Wake::Ready);
                    }
                }
            }
        }
    }

    /// Returns when one of the unregistered queues has been created. Never returns if all were
    /// registered. The process that creates a queue may use more partitions than are listened to.
    async fn registration(&self, queues: &[Arc<Queue>]) {
        let unknown: Vec<&str> =
            queues.iter().filter(|queue| !queue.is_registered()).map(|queue| queue.name.as_str()).collect();
        if unknown.is_empty() {
            return pending().await;
        }
        loop {
            tokio::time::sleep(REGISTRY_ROUND).await;
            let found = join_all(unknown.iter().map(|name| self.queue(name))).await;
            if found.iter().flatten().any(|queue| queue.is_registered()) {
                return;
            }
        }
    }

    fn listener(&self, keys: &PartitionKeys) -> Arc<Listener> {
        let mut listeners = self.listeners.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let wake = keys.get(Part::Wake);
        if let Some(listener) = listeners.get(wake) {
            return listener.clone();
        }
        let listener = Arc::new(Listener { heard: watch::Sender::new(Heard::Look), waiting: watch::Sender::new(0) });
        listeners.insert(wake.to_owned(), listener.clone());
        let task = Task {
            keys: keys.clone(),
            listener: listener.clone(),
            client: self.client.clone(),
            scripts: self.scripts.clone(),
            pool: self.listeners.pool.clone(),
        };
        let stop = self.listeners.stop.clone();
        self.listeners.runtime.spawn(async move { stop.run_until_cancelled(task.run()).await });
        listener
    }
}

fn keys(queues: &[Arc<Queue>]) -> impl Iterator<Item = &PartitionKeys> {
    queues.iter().flat_map(|queue| &queue.partitions).map(|partition| &partition.keys)
}

struct Task {
    keys: PartitionKeys,
    listener: Arc<Listener>,
    client: tidegate_redis::Client,
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
                    self.listener.heard.send_replace(Heard::Look);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn took(&self, token: &[u8]) {
        if *self.listener.waiting.borrow() > 0 {
            self.listener.heard.send_replace(if token == b"r" { Heard::Ready } else { Heard::Look });
        } else if let Err(error) = look(&self.client, &self.scripts, &self.keys, GiveBack::Yes).await {
            // Maintenance adds a token in its place.
            tracing::debug!(%error, "a token could not be given back");
        }
    }
}

/// Whether a token was taken that no local caller can use.
#[derive(Clone, Copy, PartialEq)]
enum GiveBack {
    Yes,
    No,
}

/// Whether a partition has ready jobs to lease, and the time until its next delayed job is due.
async fn look(
    client: &tidegate_redis::Client,
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
