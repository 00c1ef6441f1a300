//! The only writing connection, on a thread and runtime of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tidegate_clock::Clock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{BUSY, failed, primary_code};
use super::in_place::OpenFile;
use super::sql;
use crate::broker::counts::Tally;
use crate::broker::{QueueSettings, Throttle};
use crate::error::BrokerError;
use crate::state::JobState;
use crate::timestamp::Timestamp;

/// Most steps committed together.
const GROUP: usize = 64;
/// How often changes of other processes are polled while a caller waits.
const POLL: Duration = Duration::from_millis(15);

/// Context of a step: an open transaction, its time, and the counts it changes.
pub(super) struct Step<'a> {
    pub(super) conn: &'a mut SqliteConnection,
    pub(super) now: Timestamp,
    tallies: &'a mut HashMap<i64, Tally>,
}

/// A queue as read at the start of a step.
pub(super) struct QueueRow {
    pub(super) id: i64,
    pub(super) paused: bool,
    pub(super) has_ready: bool,
    pub(super) leased: usize,
    pub(super) settings: QueueSettings,
    pub(super) throttle: Throttle,
}

impl Step<'_> {
    pub(super) fn tally(&mut self, queue: i64) -> &mut Tally {
        self.tallies.entry(queue).or_default()
    }

    pub(super) async fn queue(&mut self, name: &str) -> Result<Option<QueueRow>, sqlx::Error> {
        let row = sqlx::query(sql::FIND_QUEUE).bind(name).fetch_optional(&mut *self.conn).await?;
        row.map(|row| {
            let (id, ready, leased): (i64, i64, i64) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?);
            let pending = |state| self.tallies.get(&id).map_or(0, |tally| tally.change(state));
            let (settings, throttle) = super::row::settings(&row)?;
            Ok(QueueRow {
                id,
                paused: row.try_get(1)?,
                has_ready: ready + pending(JobState::Ready) > 0,
                leased: usize::try_from(leased + pending(JobState::Leased)).unwrap_or(0),
                settings,
                throttle,
            })
        })
        .transpose()
    }

    pub(super) async fn queue_or_make(&mut self, name: &str) -> Result<QueueRow, sqlx::Error> {
        if let Some(queue) = self.queue(name).await? {
            return Ok(queue);
        }
        let now = self.now.unix_ms();
        let made = sqlx::query(sql::MAKE_QUEUE).bind(name).bind(now).execute(&mut *self.conn).await?;
        Ok(QueueRow {
            id: made.last_insert_rowid(),
            paused: false,
            has_ready: false,
            leased: 0,
            settings: QueueSettings::default(),
            throttle: Throttle::default(),
        })
    }
}

/// One atomic step. It may run twice if another step of its group failed, so it must change nothing
/// but the transaction.
#[async_trait]
pub(super) trait Operation: Send + Sync + 'static {
    type Answer: Send + 'static;
    const NAME: &'static str;

    async fn apply(&self, step: &mut Step<'_>) -> Result<Self::Answer, sqlx::Error>;
}

#[async_trait]
trait Pending: Send {
    async fn apply(&mut self, step: &mut Step<'_>) -> Result<(), sqlx::Error>;
    fn finish(self: Box<Self>, result: Result<(), Arc<sqlx::Error>>);
}

struct Request<O: Operation> {
    operation: O,
    answer: Option<O::Answer>,
    reply: oneshot::Sender<Result<O::Answer, BrokerError>>,
}

#[async_trait]
impl<O: Operation> Pending for Request<O> {
    async fn apply(&mut self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        self.answer = Some(self.operation.apply(step).await?);
        Ok(())
    }

    fn finish(self: Box<Self>, result: Result<(), Arc<sqlx::Error>>) {
        let answer = match result {
            Ok(()) => self.answer.ok_or(BrokerError::Closed),
            Err(error) => Err(failed(O::NAME, error)),
        };
        // Fails if the caller was cancelled.
        let _ = self.reply.send(answer);
    }
}

/// The handle to the writing thread.
pub(super) struct Writer {
    requests: mpsc::Sender<Box<dyn Pending>>,
    closing: CancellationToken,
    closed: CancellationToken,
}

impl Writer {
    pub(super) fn start(
        conn: SqliteConnection,
        listener: SqliteConnection,
        file: OpenFile,
        clock: Clock,
        busy_timeout: Duration,
    ) -> io::Result<(Self, watch::Receiver<()>)> {
        let (requests, received) = mpsc::channel(1024);
        let (changes, changed) = watch::channel(());
        let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (stop, done) = (closing.clone(), closed.clone().drop_guard());
        std::thread::Builder::new().name("queue-writer".to_owned()).spawn(move || {
            let _done = done;
            let main = Main { conn, file, received, clock, busy_timeout, changes: changes.clone() };
            runtime.block_on(async {
                let mut listener = listener;
                let conn = tokio::select! {
                    conn = main.run(stop) => conn,
                    never = listen(&mut listener, changes) => match never {},
                };
                // The last connection that closes moves the write-ahead log into the file.
                for conn in [listener, conn] {
                    if let Err(error) = conn.close().await {
                        tracing::warn!(%error, "closing the job store failed");
                    }
                }
            });
        })?;
        Ok((Self { requests, closing, closed }, changed))
    }

    pub(super) async fn run<O: Operation>(&self, operation: O) -> Result<O::Answer, BrokerError> {
        let (reply, answer) = oneshot::channel();
        let request = Box::new(Request { operation, answer: None, reply });
        self.requests.send(request).await.map_err(|_| BrokerError::Closed)?;
        answer.await.map_err(|_| BrokerError::Closed)?
    }

    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.closed.cancelled().await;
    }
}

struct Main {
    conn: SqliteConnection,
    file: OpenFile,
    received: mpsc::Receiver<Box<dyn Pending>>,
    clock: Clock,
    /// Longest time that another process may hold the lock.
    busy_timeout: Duration,
    changes: watch::Sender<()>,
}

impl Main {
    async fn run(mut self, closing: CancellationToken) -> SqliteConnection {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            tokio::select! {
                count = self.received.recv_many(&mut group, GROUP) => {
                    if count == 0 {
                        break;
                    }
                }
                () = closing.cancelled(), if !self.received.is_closed() => {
                    self.received.close();
                    continue;
                }
            }
            self.commit_group(std::mem::take(&mut group)).await;
        }
        self.conn
    }

    async fn commit_group(&mut self, mut group: Vec<Box<dyn Pending>>) {
        match self.commit(&mut group).await {
            Ok(()) => group.into_iter().for_each(|request| request.finish(Ok(()))),
            // A failed step must not fail the others of its group.
            Err(Failure { step_failed: true, .. }) if group.len() > 1 => {
                for request in group {
                    let mut alone = [request];
                    let result = self.commit(&mut alone).await.map_err(|failure| failure.error);
                    let [request] = alone;
                    request.finish(result);
                }
            }
            Err(Failure { error, .. }) => {
                group.into_iter().for_each(|request| request.finish(Err(error.clone())));
            }
        }
    }

    async fn commit(&mut self, group: &mut [Box<dyn Pending>]) -> Result<(), Failure> {
        // Immediate: a lock that is requested after the first read would fail at once instead of
        // waiting.
        self.begin().await.map_err(Failure::transaction)?;
        let result = match self.apply(group).await {
            Ok(arrived) => self.execute("COMMIT").await.map(|()| arrived).map_err(Failure::transaction),
            Err(failure) => Err(failure),
        };
        if result.is_err()
            && let Err(error) = self.execute("ROLLBACK").await
        {
            tracing::debug!(%error, "the store had rolled back by itself");
        }
        let arrived = result?;
        // A file that was deleted since the check before the transaction accepts the commit and is
        // lost with it.
        self.file.ensure_in_place().map_err(|gone| Failure::transaction(io::Error::other(gone).into()))?;
        // Anything else that ends a wait (a resumed queue) is noticed by the listener, like changes
        // of other processes.
        if arrived {
            self.changes.send_replace(());
        }
        Ok(())
    }

    /// SQLite tries the lock less and less often, down to every 100 ms, and rarely finds the short
    /// gaps that a busy process leaves: a heartbeat waited 3 s. So each wait is short, and
    /// repeated.
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.file.ensure_in_place()?;
        let since = Instant::now();
        loop {
            match self.execute("BEGIN IMMEDIATE").await {
                Err(error) if primary_code(&error) == Some(BUSY) && since.elapsed() < self.busy_timeout => {}
                answer => return answer,
            }
        }
    }

    /// Returns whether there is now more to lease or to promote.
    async fn apply(&mut self, group: &mut [Box<dyn Pending>]) -> Result<bool, Failure> {
        let now = Timestamp::now(&self.clock);
        let mut tallies = HashMap::new();
        for request in group {
            let mut step = Step { conn: &mut self.conn, now, tallies: &mut tallies };
            request.apply(&mut step).await.map_err(Failure::step)?;
        }
        let mut arrived = false;
        for (queue, tally) in tallies.into_iter().filter(|(_, tally)| *tally != Tally::default()) {
            arrived |= tally.change(JobState::Ready) > 0 || tally.change(JobState::Delayed) > 0;
            let mut query = sqlx::query(sql::COUNT).bind(queue);
            let totals = [tally.completed, tally.failed, tally.retried, tally.reclaimed, tally.stale];
            for change in tally.states.into_iter().chain(totals) {
                query = query.bind(change);
            }
            query.execute(&mut self.conn).await.map_err(Failure::transaction)?;
        }
        Ok(arrived)
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(statement).execute(&mut self.conn).await.map(drop)
    }
}

struct Failure {
    step_failed: bool,
    error: Arc<sqlx::Error>,
}

impl Failure {
    fn step(error: sqlx::Error) -> Self {
        Self { step_failed: true, error: Arc::new(error) }
    }

    fn transaction(error: sqlx::Error) -> Self {
        Self { step_failed: false, error: Arc::new(error) }
    }
}

/// Notices the commits of other processes, and of this one.
async fn listen(conn: &mut SqliteConnection, changes: watch::Sender<()>) -> Infallible {
    let mut last = None;
    loop {
        tokio::time::sleep(POLL).await;
        // The broker itself has one receiver.
        if changes.receiver_count() < 2 {
            continue;
        }
        match sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(&mut *conn).await {
            Ok(version) if last.replace(version) != Some(version) => {
                changes.send_replace(());
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "listening for other processes failed"),
        }
    }
}
