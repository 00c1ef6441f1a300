use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tokio::time::timeout;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// Makes a pool of one connection to a new file.
async fn pool_of_one(directory: &tempfile::TempDir) -> Connections<Sqlite> {
    let options = SqliteConnectOptions::new().filename(directory.path().join("any.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    Connections::new("one", 1, pool)
}

async fn until(pool: &Connections<Sqlite>, waiting: u64) {
    let reached = async {
        while pool.watched.state().waiting != waiting {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(LIMIT, reached).await.is_ok(), "{:?}", pool.watched.state());
}

#[tokio::test]
async fn waiters_of_a_pool_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let pool = pool_of_one(&directory).await;
    assert_eq!((pool.watched.state().in_use, pool.watched.state().waiting), (0, 0));
    let held = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let state = pool.watched.state();
    assert_eq!((state.max, state.open, state.in_use, state.waiting), (1, 1, 1, 0));

    let read =
        |pool: Connections<Sqlite>| async move { sqlx::query_scalar::<_, i64>("SELECT 1").fetch_one(&pool).await };
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(read(pool.clone()))).collect();
    let leaves = tokio::spawn(read(pool.clone()));
    until(&pool, 4).await;
    leaves.abort();
    until(&pool, 3).await;
    assert!(pool.watched.state().longest_wait > Duration::ZERO);
    drop(held);
    for reader in waiting {
        assert_eq!(timeout(LIMIT, reader).await.unwrap().unwrap().unwrap(), 1);
    }
    until(&pool, 0).await;
    assert_eq!(pool.watched.state().longest_wait, Duration::ZERO);
    assert_eq!(
        pool.watched.acquired().totals().count,
        4,
        "the transaction and three readers; the cancelled caller got none"
    );
    assert!(pool.watched.acquired().longest() > Duration::ZERO);
    assert_eq!(pool.watched.state().failed, 0);
    pool.close().await;
    assert!(pool.begin_with("BEGIN").await.is_err());
    assert_eq!((pool.watched.state().failed, pool.watched.state().waiting), (1, 0));
}

#[tokio::test]
async fn a_watched_pool_runs_statements_as_the_pool_itself_does() {
    let directory = tempfile::tempdir().unwrap();
    let pool = &pool_of_one(&directory).await;
    sqlx::query("CREATE TABLE t (x INTEGER)").execute(pool).await.unwrap();
    let many = sqlx::query("INSERT INTO t VALUES (1), (2), (?)").bind(3).execute(pool).await.unwrap();
    assert_eq!(many.rows_affected(), 3);
    let all: Vec<i64> = sqlx::query_scalar("SELECT x FROM t ORDER BY x").fetch_all(pool).await.unwrap();
    assert_eq!(all, [1, 2, 3]);
    let none: Option<i64> = sqlx::query_scalar("SELECT x FROM t WHERE x > 3").fetch_optional(pool).await.unwrap();
    assert_eq!(none, None);
    assert!(sqlx::query("SELECT y FROM t").fetch_all(pool).await.is_err());
    // Dropping the stream of rows returns the connection.
    let mut rows = pool.fetch("SELECT x FROM t");
    rows.try_next().await.unwrap().unwrap();
    drop(rows);
    let statement = pool.prepare_with("SELECT x FROM t".into_sql_str(), &[]).await.unwrap();
    assert_eq!(sqlx::Statement::columns(&statement).len(), 1);
    until(pool, 0).await;
}
