//! Listens to PostgreSQL for the commits of other processes.
//!
//! Each commit sends what it makes stale. The server delivers it to every listening process, in the
//! order of the commits, and keeps nothing for others. So a process may miss notifications after
//! its connection was lost, or was silent for two seconds. From then on, each request clears the
//! cache and reads the tables, until the process listens again and has cleared the cache.
//!
//! Guarantee: a committed change is served stale for at most the delivery time of the notification,
//! some milliseconds. It is at most two seconds if the connection breaks without an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::postgres::{PgListener, PgNotification};
use sqlx::{Error, Executor};
use tidegate_settings::DatabaseUrl;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::db::{connect_apart, is_follower};
use super::super::notice::{self, Notice};
use super::super::purge::Invalidation;
use super::super::sql::invalidations::BEHIND;
use super::super::store::Store;
use super::listeners::CommitListeners;
use super::lost::{Lost, SILENCE, WatchEnded};
use super::written::Written;

/// Interval of checks whether the server still answers.
const PULSE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether this process receives notifications. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Listening(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    listeners: CommitListeners,
    is_current: AtomicBool,
    ended: CancellationToken,
    /// Number of callers that have requested a cleared cache.
    asked: AtomicU64,
    /// Number of the last of them whose request is done.
    cleared: Mutex<u64>,
}

impl Listening {
    pub(super) async fn start(
        store: &Store,
        url: &DatabaseUrl,
        patience: Duration,
        shutdown: CancellationToken,
    ) -> Result<Self, Lost> {
        let shared = Arc::new(Shared {
            listeners: CommitListeners::of(store),
            is_current: AtomicBool::new(false),
            ended: CancellationToken::new(),
            asked: AtomicU64::new(0),
            cleared: Mutex::new(0),
        });
        let ear = Ear { store: store.clone(), url: url.clone(), patience, shared: Arc::clone(&shared) };
        let listener = ear.listen().await?;
        shared.is_current.store(true, Ordering::SeqCst);
        tokio::spawn(ear.run(listener, shutdown));
        Ok(Self(shared))
    }

    pub(super) async fn catch_up(&self) -> Result<(), WatchEnded> {
        if self.is_current() {
            return Ok(());
        }
        if !self.is_watching() {
            return Err(WatchEnded);
        }
        let shared = &*self.0;
        let number = shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut cleared = shared.cleared.lock().await;
        // Callers that arrive during a clearing share the next one: it must follow their commits.
        if *cleared < number {
            let all = shared.asked.load(Ordering::SeqCst);
            shared.listeners.clear().await;
            *cleared = all;
        }
        Ok(())
    }

    pub(super) fn is_watching(&self) -> bool {
        !self.0.ended.is_cancelled()
    }

    pub(super) fn is_current(&self) -> bool {
        self.0.is_current.load(Ordering::SeqCst) && self.is_watching()
    }

    pub(super) async fn ended(&self) {
        self.0.ended.cancelled().await;
    }
}

struct Ear {
    store: Store,
    url: DatabaseUrl,
    patience: Duration,
    shared: Arc<Shared>,
}

impl Ear {
    async fn run(self, listener: PgListener, shutdown: CancellationToken) {
        // Also if this panics: later callers get an error.
        let _ended = self.shared.ended.clone().drop_guard();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.hear_on(listener) => {}
        }
    }

    /// Runs for ever.
    async fn hear_on(&self, first: PgListener) {
        let mut listener = Some(first);
        let (mut pause, mut is_told) = (FIRST_PAUSE, false);
        loop {
            let lost = match listener.take() {
                Some(listener) => self.follow(listener).await,
                None => match self.listen().await {
                    Ok(anew) => {
                        // Removes everything that was cached while notifications were missed.
                        self.shared.listeners.start_anew().await;
                        self.shared.is_current.store(true, Ordering::SeqCst);
                        tracing::info!("the database sends change notifications again");
                        (pause, is_told) = (FIRST_PAUSE, false);
                        self.follow(anew).await
                    }
                    Err(lost) => lost,
                },
            };
            self.shared.is_current.store(false, Ordering::SeqCst);
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(reason = %lost, "the database sends no change notifications: no request is answered from the cache");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Listens on a separate connection.
    async fn listen(&self) -> Result<PgListener, Lost> {
        let pool = connect_apart(&self.url, self.patience).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // A lost connection is replaced here, where the missed notifications are handled.
        listener.eager_reconnect(false);
        let channel = notice::channel(self.store.installation());
        let echo = format!("{channel}_{:x}", self.store.origins.own().cast_unsigned());
        let stands = async {
            listener.listen_all([&*channel, &*echo]).await?;
            (&mut listener).execute(sqlx::query("SELECT pg_notify($1, '')").bind(&echo)).await?;
            while listener.try_recv().await?.is_some_and(|told| told.channel() != echo) {}
            Ok::<_, Error>(())
        };
        timeout(self.patience, stands).await.map_err(|_| Lost::Deaf)??;
        if self.shared.listeners.cache.owed().is_some() {
            // A killed process may have committed without an invalidation of the shared cache.
            let rows = self.store.all(&BEHIND, &[0.into()]).await?;
            let rows = rows.iter().map(Written::read).collect::<Result<Vec<_>, _>>()?;
            self.shared.listeners.act_on(rows.iter().map(Written::invalidation)).await;
        }
        Ok(listener)
    }

    /// Applies notifications until the connection is lost.
    async fn follow(&self, mut listener: PgListener) -> Lost {
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                told = listener.try_recv() => {
                    if let Some(lost) = self.hear(told, &mut listener).await {
                        return lost;
                    }
                }
                _ = pulse.tick() => match timeout(SILENCE, is_follower_now(&mut listener)).await {
                    Ok(Ok(false)) => {}
                    Ok(Ok(true)) => return Lost::Follower,
                    Ok(Err(error)) => return error.into(),
                    Err(_) => return Lost::Silent,
                },
            }
        }
    }

    /// Applies a notification and all that arrived with it. Returns why no more can arrive.
    async fn hear(&self, first: Result<Option<PgNotification>, Error>, listener: &mut PgListener) -> Option<Lost> {
        let mut notices = Vec::new();
        let mut next = Some(first);
        let mut lost = None;
        while let Some(told) = next {
            match told {
                Ok(Some(told)) => notices.extend(self.read(told.payload()).await),
                // Notifications that are sent until the next LISTEN are missed.
                Ok(None) => lost = Some(Error::Io(std::io::ErrorKind::UnexpectedEof.into()).into()),
                Err(error) => lost = Some(error.into()),
            }
            next = if lost.is_none() { listener.try_recv().now_or_never() } else { None };
        }
        let stale = notices.iter().flat_map(|notice| &notice.stale);
        let stale = stale.map(|(kind, name, class)| Invalidation { kind, name, class: class.as_deref() });
        self.shared.listeners.act_on(stale).await;
        lost
    }

    /// Returns the message of another process. `None` if there is nothing to apply.
    async fn read(&self, told: &str) -> Option<Notice> {
        if told.is_empty() {
            // The echo.
            return None;
        }
        match serde_json::from_str::<Notice>(told) {
            Ok(notice) => Some(notice).filter(|notice| !self.store.origins.have_acted_on(notice.origin)),
            Err(error) => {
                let kind = error.classify();
                tracing::warn!(
                    ?kind,
                    "a change notification of the database can't be understood: the cache is cleared"
                );
                self.shared.listeners.start_anew().await;
                None
            }
        }
    }
}

async fn is_follower_now(listener: &mut PgListener) -> Result<bool, Error> {
    let connection = sqlx::Acquire::acquire(listener).await?;
    is_follower(connection).await
}

#[cfg(test)]
mod tests;
