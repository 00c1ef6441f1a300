//! Replicas of the primary, for reads that need not go to the primary.
//!
//! A replica is behind by a millisecond or by hours. A value that fills the cache must never be
//! older than the changes that this process was notified of. So a [`Watch`] records the position of
//! the primary at a moment, and then reads the positions of the replicas. A replica that has
//! reached that position has everything that was committed before that moment. A read uses such a
//! replica unless this process has since made, or been notified of, a change under the read's tag.
//! A caller that needs everything committed by now waits until a replica has it.
//!
//! If a replica has any fault, the primary is read instead, and the replica is not used for a
//! while.

mod cut_off;
mod recent;
mod watch;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Error, Postgres};
use tidegate_cache::Tag;
use tidegate_settings::MOST_REPLICAS;
use tokio::sync::{Notify, watch as channel};
use tokio::time::{Instant, timeout_at};

use super::losses::Losses;
use super::server::is_follower;

use tidegate_settings::DatabaseSettings;

use super::{DatabaseUrl, Lent};
use crate::pool::{Connections, WatchedPool};
use cut_off::CutOff;
use recent::Recent;
use watch::Watch;
pub(super) use watch::without_head;

/// A replica that is this far behind is not read. Its known position expires after the same time.
const BEHIND: Duration = Duration::from_secs(3);
/// How long a replica is not used after a failed read.
const REST: Duration = Duration::from_secs(10);
/// Timeout for a connection from the pool of a replica.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a caller that needs everything committed by now waits for a replica.
const CATCHING_UP: Duration = Duration::from_secs(1);
/// Names of the pools, one for each possible replica.
const NAMES: [&str; MOST_REPLICAS] = [
    "app-replica-1",
    "app-replica-2",
    "app-replica-3",
    "app-replica-4",
    "app-replica-5",
    "app-replica-6",
    "app-replica-7",
    "app-replica-8",
];
/// The replicas of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Replicas(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: Vec<Arc<Replica>>,
    recent: Mutex<Recent>,
    /// Counter of the round robin.
    turn: AtomicUsize,
    cut_off: Arc<CutOff>,
    /// The installation that the replicas must have. Empty until it is known.
    installation: Arc<OnceLock<String>>,
    /// Signals that a caller needs the positions of the replicas.
    wanted: Arc<Notify>,
    /// Signals each time that the positions were read.
    asked: channel::Sender<()>,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    place: DatabaseUrl,
    connections: Connections<Postgres>,
    /// Timeout of one statement.
    patience: Duration,
    losses: Losses,
    /// Shared by all replicas.
    cut_off: Arc<CutOff>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The replica has everything that was committed before this moment. `None` if that is unknown.
    has_all_before: Option<Instant>,
    failed: Option<Instant>,
    /// Whether its failure was logged, so that its return has to be logged too.
    is_told: bool,
}

impl Replicas {
    /// Uses the current login of the URLs for new connections.
    pub(super) fn log_in_anew(&self) {
        for replica in &self.0.all {
            replica.connections.connect_with(replica.place.options());
        }
    }

    /// Connects when the first statement runs. `None` if there are no replicas.
    pub(super) fn new(
        settings: &DatabaseSettings,
        primary: &Connections<Postgres>,
        patience: Duration,
    ) -> Option<Self> {
        if settings.replicas.is_empty() {
            return None;
        }
        let installation: Arc<OnceLock<String>> = Arc::default();
        let cut_off = Arc::<CutOff>::default();
        let replica = |(url, name): (&DatabaseUrl, &'static str)| {
            let copied = Arc::clone(&installation);
            let losses = Losses::new();
            let pool = PgPoolOptions::new()
                .max_connections(settings.pool)
                .acquire_timeout(PATIENCE)
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    let copied = Arc::clone(&copied);
                    Box::pin(async move { greet(connection, copied.get()).await })
                });
            let pool = losses.guard(pool).connect_lazy_with(url.options());
            Arc::new(Replica {
                place: url.clone(),
                connections: Connections::new(name, settings.pool, pool),
                patience,
                losses,
                cut_off: Arc::clone(&cut_off),
                state: Mutex::default(),
            })
        };
        let all = settings.replicas.iter().zip(NAMES).map(replica).collect();
        let shared = Arc::new(Shared {
            all,
            recent: Mutex::new(Recent::new(Instant::now())),
            turn: AtomicUsize::new(0),
            cut_off,
            installation,
            wanted: Arc::default(),
            asked: channel::Sender::new(()),
        });
        Watch::start(&shared, primary.clone());
        Some(Self(shared))
    }

    /// Allows reads from replicas that are copies of this installation.
    pub(super) fn are_copies_of(&self, installation: &str) {
        // A second call has the same value.
        let _ = self.0.installation.set(installation.to_owned());
    }

    /// Records changes that this process made or was notified of.
    pub(super) fn changed<'a>(&self, tags: impl Iterator<Item = &'a Tag>) {
        let (mut recent, now) = (self.0.recent(), Instant::now());
        tags.for_each(|tag| recent.note(tag, now));
    }

    /// Records that changes may have been missed.
    pub(super) fn changed_everything(&self) {
        self.0.recent().note_everything(Instant::now());
    }

    /// Returns a connection to a replica that has every change under the tag that this process
    /// knows of. `None` if there is none.
    pub(super) async fn lend(&self, tag: &Tag) -> Option<Lent> {
        self.0.wanted.notify_one();
        let replica = self.0.next(|before| self.0.recent().is_unchanged(tag, before))?;
        replica.lend().await
    }

    /// Returns a connection to a replica that has everything committed by now. Waits at most a
    /// second for a replica to catch up. `None` for an hour after a replica cancelled such a read.
    pub(super) async fn lend_up_to_date(&self) -> Option<Lent> {
        if self.0.cut_off.was_lately() {
            return None;
        }
        let (now, mut asked) = (Instant::now(), self.0.asked.subscribe());
        let caught_up = async {
            loop {
                if let Some(replica) = self.0.next(|before| before >= now) {
                    return Some(replica);
                }
                if self.0.all.iter().all(|replica| replica.is_resting(Instant::now())) {
                    return None;
                }
                self.0.wanted.notify_one();
                // An error means that the sender is dropped, which can't happen while `self`
                // exists.
                asked.changed().await.ok()?;
            }
        };
        timeout_at(now + CATCHING_UP, caught_up).await.ok()??.lend().await
    }

    /// Returns the address of each replica without its login, and its position in the primary's
    /// log. The position is `None` if the replica does not answer.
    pub(super) async fn progress(&self) -> Vec<(String, Option<i64>)> {
        let progress = |replica: &Arc<Replica>| {
            let replica = Arc::clone(replica);
            async move { (replica.place.to_string(), watch::done(&replica).await) }
        };
        join_all(self.0.all.iter().map(progress)).await
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = WatchedPool> {
        self.0.all.iter().map(|replica| replica.connections.watched().clone())
    }

    pub(super) async fn close(&self) {
        for replica in &self.0.all {
            replica.connections.close().await;
        }
    }
}

impl Shared {
    /// Returns the next usable replica in the round robin that has everything that was committed
    /// before a moment which `will_do` accepts.
    fn next(&self, will_do: impl Fn(Instant) -> bool) -> Option<Arc<Replica>> {
        let now = Instant::now();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let turns = (0..self.all.len()).map(|step| &self.all[first.wrapping_add(step) % self.all.len()]);
        turns.into_iter().find(|replica| replica.has_all_before(now).is_some_and(&will_do)).cloned()
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Wakes the watch, which then sees that this is gone.
        self.wanted.notify_one();
    }
}

impl Replica {
    /// A moment before which the replica has everything. `None` if it is too far behind or not used
    /// for now.
    fn has_all_before(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        let is_resting = state.is_resting(now);
        state.has_all_before.filter(|before| !is_resting && now.saturating_duration_since(*before) < BEHIND)
    }

    fn is_resting(&self, now: Instant) -> bool {
        self.state().is_resting(now)
    }

    async fn lend(self: &Arc<Self>) -> Option<Lent> {
        match self.connections.acquire().await {
            Ok(connection) => Some(Lent::of_replica(connection, self.patience, Arc::clone(self))),
            Err(error) if self.is_only_busy(&error) => None,
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Whether all of its connections are in use, which is no fault of the server.
    fn is_only_busy(&self, error: &Error) -> bool {
        matches!(error, Error::PoolTimedOut) && self.connections.watched().state().in_use > 0
    }

    /// Records that the replica cancelled a read-only transaction.
    pub(super) fn has_cut_off(&self) {
        if self.cut_off.note() {
            tracing::warn!(
                "the replica {} cut off an export, a report or a backup: for an hour all such are taken from the primary; \
                 raise its `max_standby_streaming_delay`, or set `hot_standby_feedback`",
                self.place
            );
        }
    }

    /// Records a failure: the replica is not used for a while.
    pub(super) fn failed(&self, error: &Error) {
        self.losses.note();
        let mut state = self.state();
        (state.failed, state.has_all_before) = (Some(Instant::now()), None);
        if !std::mem::replace(&mut state.is_told, true) {
            tracing::warn!(%error, "the replica {} is not read for now, the primary in its place", self.place);
        }
    }

    fn has_come_to(&self, before: Instant) {
        let mut state = self.state();
        state.has_all_before = Some(before);
        if !state.is_resting(Instant::now()) && std::mem::replace(&mut state.is_told, false) {
            tracing::info!("the replica {} is read again", self.place);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_resting(&self, now: Instant) -> bool {
        self.failed.is_some_and(|failed| now.saturating_duration_since(failed) < REST)
    }
}

/// Checks that the server is a replica and has the tables of the expected installation.
async fn greet(connection: &mut PgConnection, installation: Option<&String>) -> Result<(), Error> {
    let refused = |why: &'static str| Err(Error::Configuration(why.into()));
    let Some(installation) = installation else { return refused("the primary was not reached yet") };
    if !is_follower(connection).await? {
        return refused("this server follows no other; a replica is wanted");
    }
    let found: String = sqlx::query_scalar("SELECT id FROM installation").fetch_one(connection).await?;
    if found == *installation { Ok(()) } else { refused("this server has the tables of another installation") }
}
