//! Opens the tables on a PostgreSQL server: checks and migrates them, or fails with a precise
//! error.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};
use tidegate_base::LogThrottle;
use tidegate_cache::TieredCache;
use tidegate_settings::DatabaseSettings;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::coherence::Coherence;
use super::super::db::{Db, Server, is_follower};
use super::super::migrations::{POSTGRES as MIGRATIONS, newest};
use super::super::origins::Origins;
use super::super::sql::tenants::INSTALLATION;
use super::super::store::Store;
use super::super::waiting_tasks::WaitingTasks;
use super::super::{prune, running};
use super::error::{OpenError, ServerError, ServerFault};

/// Advisory lock of the database that a process holds while it inspects and migrates the schema:
/// "TIDE" in ASCII.
const LOCK: i64 = 0x5449_4445;

impl Store {
    /// Opens the tables on the server and migrates them to the schema of this version. If the
    /// server is unreachable, retries until the deadline of the settings.
    ///
    /// Several processes may open them concurrently: one migrates and the others wait. Otherwise
    /// like [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the server can't be used. A schema of another program or of a newer version
    /// is not changed.
    pub async fn connect(
        settings: &DatabaseSettings,
        cache: impl FnOnce(&str) -> TieredCache,
        shutdown: CancellationToken,
    ) -> Result<(Self, Coherence), OpenError> {
        let opened = connect(settings, cache, shutdown).await;
        opened.map_err(|reason| ServerError { place: settings.url.to_string(), reason }.into())
    }
}

async fn connect(
    settings: &DatabaseSettings,
    cache: impl FnOnce(&str) -> TieredCache,
    shutdown: CancellationToken,
) -> Result<(Store, Coherence), ServerFault> {
    let db = Db::Postgres(Server::new(settings));
    wait_for(&db, settings).await?;
    prepare(settings).await?;
    let installation = db.one(&INSTALLATION, &[]).await?.map(|row| row.text("id")).transpose()?;
    let installation = installation.ok_or(sqlx::Error::RowNotFound)?;
    db.is_of(&installation);
    let cache = cache(&installation);
    let store = Store {
        db,
        cache,
        installation: installation.into(),
        origins: Origins::new(),
        changes: Arc::default(),
        news: WaitingTasks::default(),
    };
    let coherence = Coherence::listen(&store, &settings.url, settings.connect_timeout, shutdown.clone()).await?;
    // Starts after the cache has processed all existing rows: pruning must not remove an
    // invalidation that the cache has not seen.
    tokio::spawn(prune::run(store.clone(), coherence.clone(), shutdown));
    Ok((store, coherence))
}

/// Limits the log lines about an unreachable database at start to one in ten seconds.
static WAITS: LogThrottle = LogThrottle::new(Duration::from_secs(10));

/// Waits until the server answers: services start in any order, and a failover may be in progress.
async fn wait_for(db: &Db, settings: &DatabaseSettings) -> Result<(), ServerFault> {
    let reached = db.insist(|| async {
        let connected = connect_once(settings).await.inspect_err(|error| {
            if let Some(unlogged) = WAITS.count() {
                tracing::warn!(%error, unlogged, "waiting for the database {}", settings.url);
            }
        });
        let mut connection = connected?;
        let follows = is_follower(&mut connection).await?;
        // Connects without the pool, which would only report that it got no connection.
        running::join(&mut connection).await?;
        // A failure to close makes no difference.
        let _ = connection.close().await;
        Ok(follows)
    });
    if reached.await? { Err(ServerFault::Follower) } else { Ok(()) }
}

async fn connect_once(settings: &DatabaseSettings) -> Result<PgConnection, sqlx::Error> {
    let options = settings.url.options();
    timeout(settings.connect_timeout, options.connect()).await.unwrap_or_else(|_| {
        let late = format!("no answer within {:?}", settings.connect_timeout);
        Err(io::Error::new(io::ErrorKind::TimedOut, late).into())
    })
}

/// Migrates the schema for a caller that has exclusive access to it.
pub(crate) async fn prepare_alone(settings: &DatabaseSettings) -> Result<(), OpenError> {
    let prepared = prepare(settings).await;
    prepared.map_err(|reason| ServerError { place: settings.url.to_string(), reason }.into())
}

/// Inspects and migrates the schema under an exclusive lock.
async fn prepare(settings: &DatabaseSettings) -> Result<(), ServerFault> {
    let mut connection = connect_once(settings).await?;
    // The driver issues `CREATE TABLE IF NOT EXISTS` at each start. The server would send a notice
    // each time.
    sqlx::query("SET client_min_messages = warning").execute(&mut connection).await?;
    let is_free: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
    if !is_free {
        tracing::info!("waiting for another process that is opening {}", settings.url);
        sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut connection).await?;
    }
    inspect(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await?;
    // Closing the connection releases the lock.
    connection.close().await?;
    Ok(())
}

/// Inspects the schema without changing it: whether it is empty or belongs to Tidegate, and is not
/// of a newer version.
async fn inspect(connection: &mut PgConnection) -> Result<(), ServerFault> {
    let schema: Option<String> =
        sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut *connection).await?;
    let schema = schema.ok_or(ServerFault::NoSchema)?;
    let tables: Vec<String> = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1")
        .bind(&schema)
        .fetch_all(&mut *connection)
        .await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    let is_migrated = has("_sqlx_migrations");
    // A process that died between the two steps leaves only the driver's table.
    let others = tables.len() - usize::from(is_migrated);
    if others > 0 && !(is_migrated && has("installation")) {
        return Err(ServerFault::Foreign { schema });
    }
    if is_migrated {
        let found: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await?;
        let known = newest(&MIGRATIONS);
        if found > known {
            return Err(ServerFault::Newer { found, known });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tidegate_testkit::PostgresServer;

    use super::*;
    use crate::ground::settings;

    async fn open(url: &str) -> Result<(Store, Coherence), OpenError> {
        let settings = DatabaseSettings { deadline: Duration::from_secs(2), ..settings(url) };
        Store::connect(&settings, |_| TieredCache::builder().build(), CancellationToken::new()).await
    }

    async fn fault(url: &str) -> (ServerFault, String) {
        let error = open(url).await.unwrap_err();
        let text = error.to_string();
        let OpenError::Server(ServerError { reason, .. }) = error else { panic!("{text}") };
        (reason, text)
    }

    fn schema(server: &PostgresServer, name: &str) -> String {
        format!("{}&options[search_path]={name}", server.url())
    }

    #[tokio::test]
    async fn ten_processes_migrate_once_and_what_is_not_ours_or_newer_is_left_alone() {
        let server = PostgresServer::start(&[]).await;
        server.psql("CREATE SCHEMA ours; CREATE SCHEMA theirs; CREATE TABLE theirs.t (id int)").await;
        let url = schema(&server, "ours");
        let opened = join_all((0..10).map(|_| open(&url))).await;
        let installations: Vec<_> = opened.iter().map(|opened| opened.as_ref().unwrap().0.installation()).collect();
        assert!(installations.iter().all(|id| *id == installations[0] && id.len() == 32), "{installations:?}");
        let known = newest(&MIGRATIONS);
        let migrated = server.psql("SELECT max(version), bool_and(success) FROM ours._sqlx_migrations").await;
        assert_eq!(migrated, format!("{known}|t"));
        assert_eq!(server.psql("SELECT count(*) FROM ours.installation").await, "1");
        assert_eq!(
            server.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'").await,
            "0"
        );

        let (foreign, text) = fault(&schema(&server, "theirs")).await;
        assert!(matches!(foreign, ServerFault::Foreign { .. }) && !foreign.refuses_login(), "{text}");
        assert_eq!(server.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'theirs'").await, "1");
        let (nowhere, text) = fault(&schema(&server, "nowhere")).await;
        assert!(matches!(nowhere, ServerFault::NoSchema), "{text}");

        server
            .psql(
                "INSERT INTO ours._sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', TRUE, '', 0)",
            )
            .await;
        let (newer, text) = fault(&url).await;
        assert!(matches!(newer, ServerFault::Newer { found: 9999, known: last } if last == known), "{text}");
    }

    #[tokio::test]
    async fn the_newest_schema_has_one_number_on_both_databases() {
        assert_eq!(newest(&MIGRATIONS), newest(&crate::migrations::SQLITE));
    }

    #[tokio::test]
    async fn a_refused_login_is_reported_at_once_without_the_password() {
        let server = PostgresServer::start(&[]).await;
        let url = server.url().replace("postgres@", "nobody:hunter2@");
        let since = tokio::time::Instant::now();
        let (refused, text) = fault(&url).await;
        assert!(matches!(refused, ServerFault::Store(_)) && refused.refuses_login(), "{text}");
        assert!(text.contains("nobody") && !text.contains("hunter2"), "{text}");
        assert!(since.elapsed() < Duration::from_secs(2), "it is no outage");
    }

    #[tokio::test]
    async fn a_server_that_comes_later_is_waited_for_and_a_follower_is_refused() {
        let mut server = PostgresServer::start_tcp(&[]).await;
        let replica = server.replica(&[]).await;
        let (follower, text) = fault(&replica.url()).await;
        assert!(matches!(follower, ServerFault::Follower), "{text}");

        server.kill9();
        let url = server.url();
        let (away, text) = fault(&url).await;
        assert!(matches!(away, ServerFault::Store(ref error) if error.is_transient()), "{text}");
        let settings = settings(&url);
        let opening = Store::connect(&settings, |_| TieredCache::builder().build(), CancellationToken::new());
        let (opened, ()) = tokio::join!(opening, server.restart());
        opened.unwrap();
    }
}
