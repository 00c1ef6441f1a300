//! Keeps the cache of this process consistent with the commits of other processes.
//!
//! PostgreSQL notifies of commits: see [`listen`]. With SQLite, each commit writes its
//! invalidations to a table. Before a reader uses the cache, [`Coherence::catch_up`] compares the
//! header of the WAL index ([`wal_index`]), in less than a microsecond. It reads the table only if
//! there was a commit since the last read. Callers that arrive during a read share the next one.
//!
//! Invariant with SQLite: a read that starts after a commit ended, in any process, is not answered
//! with a state from before that commit.

mod listen;
mod wal_index;

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tidegate_cache::{TieredCache, Touched};
use tidegate_model::cache_keys;
use tidegate_settings::DatabaseUrl;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::db::Db;
use super::error::StoreError;
use super::news::News;
use super::origins::Origins;
use super::purge::{Invalidation, OWED, Purge};
use super::sql::invalidations::{BEHIND, LAST};
use super::store::Store;
use super::value::Row;
use listen::Listening;
pub use listen::Lost;
use wal_index::Known;

/// Interval of reads of the table if there is no request and no waiter.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// Interval of reads of the table while a caller waits for notifications of a tenant.
const NEWS_LOOK: Duration = Duration::from_millis(20);
/// Maximum number of callers that one read of the table serves.
const BATCH: usize = 1024;

/// The watch on commits of other processes has ended, so the cache may be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cache can't be kept true to other processes any more; restart this one")]
pub struct WatchEnded;

/// Makes the cache of this process current. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Coherence(Means);

#[derive(Debug, Clone)]
enum Means {
    /// A task reads the table for callers, if there may be new rows in it.
    Table { known: Known, callers: mpsc::Sender<oneshot::Sender<()>> },
    /// The server sends notifications.
    Listening(Listening),
}

impl Coherence {
    /// Starts the watch on a SQLite database. It runs until `shutdown`.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub(super) async fn start(
        store: &Store,
        options: &SqliteConnectOptions,
        shutdown: CancellationToken,
    ) -> Result<Self, StoreError> {
        let mut connection = options.connect().await?;
        let version = data_version(&mut connection).await?;
        let position = last(&mut connection).await?.unwrap_or(0);
        let known = Known::of(options.get_filename());
        let hearers = Hearers::of(store);
        let mut watcher =
            Watcher { connection, version, position, hearers, origins: store.origins.clone(), known: known.clone() };
        if store.cache.owed().is_some() {
            // A killed process may have committed without an invalidation of the shared cache.
            watcher.retell().await?;
        }
        let (callers, queue) = mpsc::channel(BATCH);
        tokio::spawn(watcher.run(queue, shutdown));
        Ok(Self(Means::Table { known, callers }))
    }

    /// Starts to listen to a PostgreSQL server. It runs until `shutdown`.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the server does not deliver notifications.
    pub(super) async fn listen(
        store: &Store,
        url: &DatabaseUrl,
        patience: Duration,
        shutdown: CancellationToken,
    ) -> Result<Self, Lost> {
        Listening::start(store, url, patience, shutdown).await.map(|listening| Self(Means::Listening(listening)))
    }

    /// Returns when the cache has processed everything that was committed before this call. With
    /// PostgreSQL, that is what the server has sent by then, which lags by some milliseconds.
    ///
    /// If the database can't be read or does not send notifications, clears the cache, so that
    /// nothing stale is served. Never waits for a writer, of this process or another.
    ///
    /// # Errors
    ///
    /// [`WatchEnded`] if the watch has ended. The cache must then not be read.
    pub async fn catch_up(&self) -> Result<(), WatchEnded> {
        let callers = match &self.0 {
            Means::Table { known, callers } if known.is_everything() && !callers.is_closed() => return Ok(()),
            Means::Table { callers, .. } => callers,
            Means::Listening(listening) => return listening.catch_up().await,
        };
        let (done, looked) = oneshot::channel();
        callers.send(done).await.map_err(|_| WatchEnded)?;
        looked.await.map_err(|_| WatchEnded)
    }

    /// Whether the watch is running.
    pub fn is_watching(&self) -> bool {
        match &self.0 {
            Means::Table { callers, .. } => !callers.is_closed(),
            Means::Listening(listening) => listening.is_watching(),
        }
    }

    /// Whether the cache is current. While it is not, each request clears it and reads the tables.
    pub fn is_current(&self) -> bool {
        match &self.0 {
            Means::Table { callers, .. } => !callers.is_closed(),
            Means::Listening(listening) => listening.is_current(),
        }
    }

    /// Returns when `shutdown` was cancelled, the watch has ended and its connection is closed.
    pub async fn ended(&self) {
        match &self.0 {
            Means::Table { callers, .. } => callers.closed().await,
            Means::Listening(listening) => listening.ended().await,
        }
    }
}

struct Watcher {
    connection: SqliteConnection,
    version: i64,
    /// Id of the last invalidation that was applied.
    position: i64,
    hearers: Hearers,
    origins: Origins,
    known: Known,
}

/// The parts of this process that react to commits of all processes. Cheap to clone.
#[derive(Debug, Clone)]
struct Hearers {
    cache: TieredCache,
    news: News,
    /// Reads from its replicas must include the changes of a notification.
    db: Db,
}

impl Watcher {
    async fn run(mut self, mut queue: mpsc::Receiver<oneshot::Sender<()>>, shutdown: CancellationToken) {
        let mut callers = Vec::with_capacity(BATCH);
        let mut is_readable = true;
        loop {
            // A table that can't be read must not be logged fifty times a second.
            let pause = if is_readable && self.hearers.news.is_awaited() { NEWS_LOOK } else { IDLE_LOOK };
            tokio::select! {
                () = shutdown.cancelled() => break,
                // A caller started to wait: the shorter interval applies now.
                () = self.hearers.news.begun() => {}
                received = queue.recv_many(&mut callers, BATCH) => {
                    if received == 0 {
                        break;
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
            let now = self.known.now();
            let looked = self.look().await;
            is_readable = looked.is_ok();
            self.known.set(now.filter(|_| is_readable));
            if let Err(error) = looked {
                tracing::warn!(%error, "the invalidations of other processes can't be read: the cache is cleared");
                self.hearers.start_anew().await;
            }
            for caller in callers.drain(..) {
                // A caller that has gone needs no answer.
                let _ = caller.send(());
            }
        }
        // Dropping `self` after the connection closes the channel. Later callers get an error.
        let _ = self.connection.close().await;
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let version = data_version(&mut self.connection).await?;
        if version == self.version {
            return Ok(());
        }
        // One snapshot for both queries. Ids have no gaps (a rolled-back insert releases its id).
        // So fewer rows than ids means that some rows were removed before they were read here.
        let mut snapshot = self.connection.begin().await?;
        let rows = behind(&mut snapshot, self.position).await?;
        let last = last(&mut snapshot).await?.unwrap_or(self.position);
        snapshot.commit().await?;
        if usize::try_from(last - self.position) != Ok(rows.len()) {
            tracing::info!("invalidations were removed before this process read them: the cache is cleared");
            self.hearers.start_anew().await;
        }
        let others = rows.iter().filter(|row| !self.origins.have_acted_on(row.origin));
        self.hearers.act_on(others.map(Written::invalidation)).await;
        // Last, so that a read that failed half-way is repeated.
        self.position = last;
        self.version = version;
        Ok(())
    }

    /// Applies every invalidation that is still in the table.
    async fn retell(&mut self) -> Result<(), StoreError> {
        let rows = behind(&mut self.connection, 0).await?;
        self.hearers.act_on(rows.iter().map(Written::invalidation)).await;
        Ok(())
    }
}

impl Hearers {
    fn of(store: &Store) -> Self {
        Self { cache: store.cache.clone(), news: store.news.clone(), db: store.db.clone() }
    }

    /// Applies all invalidations, keys and tags together: the shared cache is a round trip away.
    async fn act_on(&self, invalidations: impl Iterator<Item = Invalidation<'_>>) {
        let mut touched = Touched::new();
        for invalidation in invalidations {
            match invalidation.purge() {
                Ok(Purge::Keys(keys)) => touched = keys.iter().fold(touched, Touched::key),
                Ok(Purge::Tags(tags)) => {
                    let (news, stale): (Vec<_>, Vec<_>) = tags.into_iter().partition(cache_keys::is_of_notifications);
                    news.iter().for_each(|tag| self.news.tell(tag));
                    self.db.changed(stale.iter());
                    touched = stale.iter().fold(touched, Touched::tag);
                }
                Ok(purge) => {
                    self.db.changed_everything();
                    let _ = purge.apply(&self.cache).await;
                }
                Err(error) => {
                    // A newer version may run concurrently and use kinds that are unknown here.
                    tracing::warn!(%error, "an invalidation can't be understood: the cache is cleared");
                    self.start_anew().await;
                }
            }
        }
        if let Err(owed) = self.cache.invalidate(&touched).await {
            // Until the shared cache has it, this process reads nothing from there.
            if let Some(unlogged) = OWED.count() {
                tracing::warn!(error = %owed, unlogged, "invalidations wait until the shared cache can be told");
            }
        }
    }

    /// Clears the cache, so that no missed change is cached, and wakes all waiting callers.
    async fn start_anew(&self) {
        self.clear().await;
        self.news.tell_all();
    }

    async fn clear(&self) {
        self.db.changed_everything();
        let _ = Purge::All.apply(&self.cache).await;
    }
}

/// An invalidation as it is stored in the table.
struct Written {
    origin: i64,
    kind: String,
    name: String,
    class: Option<String>,
}

impl Written {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let (kind, name) = (row.text("kind")?, row.text("name")?);
        Ok(Self { origin: row.int("origin")?, kind, name, class: row.opt_text("class")? })
    }

    fn invalidation(&self) -> Invalidation<'_> {
        Invalidation { kind: &self.kind, name: &self.name, class: self.class.as_deref() }
    }
}

/// Returns the invalidations after `id`, in the order in which they were written.
async fn behind(connection: &mut SqliteConnection, id: i64) -> Result<Vec<Written>, StoreError> {
    let rows = BEHIND.with(&[id.into()]).fetch_all(connection).await?;
    rows.into_iter().map(|row| Written::read(&row.into())).collect()
}

/// Returns the highest id that was ever assigned.
async fn last(connection: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
    let row = LAST.with(&[]).fetch_optional(connection).await?;
    row.map(|row| Row::from(row).int("seq")).transpose()
}

async fn data_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidegate_model::cache_keys;
    use tidegate_model::tenant::{ApiKey, Plan};
    use tidegate_ratelimit::{Overrides, Tier};

    use super::*;
    use crate::Purge;
    use crate::ground::{Place, Process, acme, tenant};

    async fn on(directory: &Path) -> Process {
        Process::at(&Place::File(directory.join("tidegate.db"))).await
    }

    async fn create(process: &Process) {
        process.store.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
    }

    async fn two() -> (tempfile::TempDir, Process, Process) {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (on(directory.path()).await, on(directory.path()).await);
        create(&one).await;
        other.coherence.catch_up().await.unwrap();
        other.remember().await;
        (directory, one, other)
    }

    #[tokio::test]
    async fn a_commit_of_another_process_is_known_after_catching_up() {
        let (_directory, one, other) = two().await;
        for _ in 0..100 {
            other.remember().await;
            let plan = Plan::try_new(Tier::Premium, Overrides::default()).unwrap();
            assert!(one.store.set_plan(&acme(), &plan).await.unwrap());
            other.coherence.catch_up().await.unwrap();
            assert!(!other.knows_tenant());
            assert!(other.knows_list(), "what was not touched stays");
        }
    }

    #[tokio::test]
    async fn catching_up_with_nothing_keeps_everything() {
        let (_directory, _one, other) = two().await;
        other.coherence.catch_up().await.unwrap();
        assert!(other.knows_tenant() && other.knows_list());
    }

    #[tokio::test]
    async fn its_own_commit_is_acted_on_once_more() {
        let (_directory, one, _other) = two().await;
        one.store.set_plan(&acme(), &Plan::try_new(Tier::Basic, Overrides::default()).unwrap()).await.unwrap();
        // As if the table was read between the commit and the invalidation that follows it.
        one.remember().await;
        one.coherence.catch_up().await.unwrap();
        assert!(!one.knows_tenant() && one.knows_list());
        one.remember().await;
        one.coherence.catch_up().await.unwrap();
        assert!(one.knows_tenant());
    }

    #[tokio::test]
    async fn its_own_purge_is_not_acted_on_twice() {
        let (_directory, one, _other) = two().await;
        one.coherence.catch_up().await.unwrap();
        one.store.purge(&Purge::All).await.unwrap();
        one.remember().await;
        one.coherence.catch_up().await.unwrap();
        assert!(one.knows_tenant() && one.knows_list());
    }

    #[tokio::test]
    async fn a_foreign_writer_holds_up_no_reader() {
        let (_directory, one, other) = two().await;
        let old = "INSERT INTO invalidation (origin, kind, name, at) VALUES (7, 'tag', 'old', 0)";
        sqlx::query(old).execute(one.store.writer()).await.unwrap();
        let writing = one.store.begin().await.unwrap();
        for _ in 0..3 {
            // Shorter than the busy timeout: a caller that waited for the writer would not be back.
            let looked = tokio::time::timeout(Duration::from_secs(5), other.coherence.catch_up()).await;
            assert_eq!(looked, Ok(Ok(())));
        }
        drop(writing);
    }

    #[tokio::test]
    async fn an_invalidation_of_a_newer_version_clears_once_and_is_left_behind() {
        let (_directory, one, other) = two().await;
        // The check constraint belongs to this version. The table of a newer one has another.
        sqlx::query("PRAGMA ignore_check_constraints = ON").execute(one.store.writer()).await.unwrap();
        let newer = "INSERT INTO invalidation (origin, kind, name, at) VALUES (7, 'moon', 'full', 9e12)";
        sqlx::query(newer).execute(one.store.writer()).await.unwrap();
        other.coherence.catch_up().await.unwrap();
        assert!(!other.knows_tenant());
        other.remember().await;
        one.store.purge(&Purge::Tags(vec![cache_keys::schedules_of(&acme())])).await.unwrap();
        other.coherence.catch_up().await.unwrap();
        assert!(other.knows_tenant() && !other.knows_list());
    }

    #[tokio::test]
    async fn nobody_is_told_that_all_is_well_once_the_watch_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let path = directory.path().join("tidegate.db");
        let (_store, coherence) =
            Store::open(&path, |_| TieredCache::builder().build(), shutdown.clone()).await.unwrap();
        assert!(coherence.is_watching());
        shutdown.cancel();
        coherence.ended().await;
        assert_eq!(coherence.catch_up().await, Err(WatchEnded));
        assert!(!coherence.is_watching());
    }

    #[tokio::test]
    async fn a_gap_in_the_invalidations_clears_the_cache() {
        let (_directory, one, other) = two().await;
        let plan = Plan::try_new(Tier::Premium, Overrides::default()).unwrap();
        one.store.set_plan(&acme(), &plan).await.unwrap();
        sqlx::query("DELETE FROM invalidation").execute(one.store.writer()).await.unwrap();
        other.coherence.catch_up().await.unwrap();
        assert!(!other.knows_tenant() && !other.knows_list());
    }

    #[tokio::test]
    async fn a_purge_reaches_the_other_process_and_only_what_it_names() {
        let (_directory, one, other) = two().await;
        let pattern = "schedules:acme:*".parse().unwrap();
        one.store.purge(&Purge::Pattern(pattern, None)).await.unwrap();
        other.coherence.catch_up().await.unwrap();
        assert!(other.knows_tenant() && !other.knows_list());
        one.store.purge(&Purge::All).await.unwrap();
        other.coherence.catch_up().await.unwrap();
        assert!(!other.knows_tenant());
    }

    #[tokio::test]
    async fn many_callers_share_looks_and_all_are_answered() {
        let (_directory, one, other) = two().await;
        one.store.purge(&Purge::All).await.unwrap();
        let callers = (0..5000).map(|_| other.coherence.catch_up());
        let answers = futures_util::future::join_all(callers).await;
        assert!(answers.iter().all(Result::is_ok));
        assert!(!other.knows_tenant());
    }
}
