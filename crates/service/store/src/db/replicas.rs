//! Servers that follow the primary, for reads that need not be asked of it.
//!
//! A replica is behind, by a millisecond or by hours, and what the cache is filled from must never be older than what this process
//! was told of. So a [`Watch`] notes how far the primary has come at a moment, and asks the replicas whether they have come as far:
//! then they have all that was committed before that moment. A read goes to such a replica unless this process has made, or
//! heard of, a change under the read's tag since. Whoever wants everything that is committed by now waits for a replica to have it.
//!
//! Whatever is amiss with a replica, the primary is asked instead, and the replica left alone for a while.

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

/// A replica that is so far behind is not read, and how far it has come is not remembered for longer.
const BEHIND: Duration = Duration::from_secs(3);
/// How long a replica is left alone that failed a read.
const REST: Duration = Duration::from_secs(10);
/// How long it may take to lend a connection.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long whoever wants everything waits for a replica to have it.
const CATCHING_UP: Duration = Duration::from_secs(1);
/// Names of their pools: as many replicas as there may be.
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
    /// Whose turn it is.
    turn: AtomicUsize,
    cut_off: Arc<CutOff>,
    /// The installation that they must be copies of, once it is known.
    installation: Arc<OnceLock<String>>,
    /// Somebody wants to know how far they have come.
    wanted: Arc<Notify>,
    /// Says each time that they were asked.
    asked: channel::Sender<()>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Replica {
    place: DatabaseUrl,
    connections: Connections<Postgres>,
    /// How long a statement of it may take.
    patience: Duration,
    losses: Losses,
    /// That of all of them.
    cut_off: Arc<CutOff>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// It has all that was committed before.
    has_all_before: Option<Instant>,
    failed: Option<Instant>,
    /// Its failure was told, and its return is to be.
    is_told: bool,
}

impl Replicas {
    /// Makes connections with the login that the URLs have now.
    pub(super) fn log_in_anew(&self) {
        for replica in &self.0.all {
            replica.connections.connect_with(replica.place.options());
        }
    }

    /// Connects when the first statement runs. None where there are no replicas.
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

    /// They may be read once they are known to be copies of this installation.
    pub(super) fn are_copies_of(&self, installation: &str) {
        // A second call says the same.
        let _ = self.0.installation.set(installation.to_owned());
    }

    /// This process has made a change, or was told of one.
    pub(super) fn changed<'a>(&self, tags: impl Iterator<Item = &'a Tag>) {
        let (mut recent, now) = (self.0.recent(), Instant::now());
        tags.for_each(|tag| recent.note(tag, now));
    }

    /// Changes may have been missed.
    pub(super) fn changed_everything(&self) {
        self.0.recent().note_everything(Instant::now());
    }

    /// A connection to a replica that has whatever this process knows to have changed under the tag.
    pub(super) async fn lend(&self, tag: &Tag) -> Option<Lent> {
        self.0.wanted.notify_one();
        let replica = self.0.next(|before| self.0.recent().is_unchanged(tag, before))?;
        replica.lend().await
    }

    /// A connection to a replica that has all that is committed by now, which it is given a moment for. None for a while after one
    /// cut off such a reader.
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
                // Whom they hang on is dropped after they are.
                asked.changed().await.ok()?;
            }
        };
        timeout_at(now + CATCHING_UP, caught_up).await.ok()??.lend().await
    }

    /// The name of each without its login, and how far it has come in the primary's log. `None`
    /// for one that does not answer.
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
    /// The next one in turn that can be read, and has all that was committed before a moment that will do.
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
        // So that the watch sees it.
        self.wanted.notify_one();
    }
}

impl Replica {
    /// A moment before which it has everything, unless it is too far behind or rests.
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

    /// Whether all of its connections are in use, which is no fault of the server's.
    fn is_only_busy(&self, error: &Error) -> bool {
        matches!(error, Error::PoolTimedOut) && self.connections.watched().state().in_use > 0
    }

    /// A transaction that reads did not come to its end there.
    pub(super) fn has_cut_off(&self) {
        if self.cut_off.note() {
            tracing::warn!(
                "the replica {} cut off an export, a report or a backup: for an hour all such are taken from the primary; \
                 raise its `max_standby_streaming_delay`, or set `hot_standby_feedback`",
                self.place
            );
        }
    }

    /// It said no, or nothing: it is left alone for a while.
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

/// Whether it is what it should be: a server that follows another one, and the same tables.
async fn greet(connection: &mut PgConnection, installation: Option<&String>) -> Result<(), Error> {
    let refused = |why: &'static str| Err(Error::Configuration(why.into()));
    let Some(installation) = installation else { return refused("the primary was not reached yet") };
    if !is_follower(connection).await? {
        return refused("this server follows no other; a replica is wanted");
    }
    let found: String = sqlx::query_scalar("SELECT id FROM installation").fetch_one(connection).await?;
    if found == *installation { Ok(()) } else { refused("this server has the tables of another installation") }
}
