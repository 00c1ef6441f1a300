//! Waiting for work: look, then sleep until a token arrives, a job is due, or it is time to look again.
//!
//! One task for each partition takes the tokens, while somebody waits: so waits that begin and end quickly cost no
//! connection. Due times are kept by a timer here, since an idle server is late.

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

/// A sleep is never longer. A token that died with the process which took it is replaced by the upkeep of any worker; this
/// is for those without one.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Between two looks whether the registry knows a queue by now.
const REGISTRY_ROUND: Duration = Duration::from_secs(3);
/// A wait is never longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// One `BLPOP`: how long a connection that has gone deaf goes unnoticed.
const ROUND: Duration = Duration::from_secs(15);
/// The first one on a connection, which may have to be made: a server that dies in the middle of that leaves it hanging.
const FIRST_ROUND: Duration = Duration::from_millis(500);
/// How long those who heard of ready jobs may take to go and fetch them.
const HEAD_START: Duration = Duration::from_millis(10);
/// Pause after a failed one, during which waiters look for themselves.
const PAUSE: Duration = Duration::from_millis(100);

const WAIT: &str = "wait";

/// What a listener heard.
#[derive(Clone, Copy, PartialEq)]
enum Heard {
    /// Jobs are ready.
    Ready,
    /// Something else has changed: look.
    Look,
}

/// Takes the tokens of one partition, while somebody waits.
struct Listener {
    heard: watch::Sender<Heard>,
    waiting: watch::Sender<usize>,
}

/// A wait under way.
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
            // Before the look, so that nothing between it and the sleep is missed.
            let mut heard: Vec<_> = waits.iter().map(|Waiting(listener)| listener.heard.subscribe()).collect();
            let looks = keys(&queues).map(|keys| look(&self.client, &self.scripts, keys, GiveBack::No));
            let mut next_due = LONGEST_SLEEP;
            let mut is_due = false;
            // A shard that is away keeps nobody from what the others have.
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
                // Whoever gave no time to wait asks what is there, not what a listener heard of before the look.
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
                // Not before it is polled: without queues there is nothing to select from.
                (what, _, _) = async { select_all(changes).await }, if !waits.is_empty() => {
                    if what == Heard::Ready {
                        return Ok(Wake::Ready);
                    }
                }
            }
        }
    }

    /// Ends when one of the queues that the registry didn't know has been made, and never where it knew all of them: whoever
    /// makes a queue may cut it into more partitions than are listened to.
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
                    // Who heard it fetches first: listening again would go before that, and cost it a turn of the server.
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
            // Upkeep gives one in its place.
            tracing::debug!(%error, "a token could not be given back");
        }
    }
}

/// Whether a token was taken that nobody here can use.
#[derive(Clone, Copy, PartialEq)]
enum GiveBack {
    Yes,
    No,
}

/// Whether a partition has ready jobs to lease, and how long until its next delayed job is due.
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
