//! Each statement is held to the plan that it names.

use std::fs;
use std::path::Path;

use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;
use tidegate_cache::TieredCache;
use tokio_util::sync::CancellationToken;

use super::{Plan, Sql, imports, invalidations, schedules, tenants};
use crate::store::Store;

const ALL: &[&Sql] = &[
    &imports::CLOSE,
    &imports::FAILURE,
    &imports::INSERT_REJECT,
    &imports::MOVE,
    &imports::OLD,
    &imports::OPEN,
    &imports::PENDING,
    &imports::PROGRESS,
    &imports::REJECTS,
    &imports::RELEASE,
    &imports::REMOVE,
    &imports::REMOVE_REJECTS,
    &imports::RESERVE,
    &invalidations::BEHIND,
    &invalidations::INSERT,
    &invalidations::IS_OLD,
    &invalidations::LAST,
    &invalidations::REMOVE_OLD,
    &schedules::COUNT,
    &schedules::CREATED_AT,
    &schedules::DELETE,
    &schedules::INSERT,
    &schedules::NEWEST,
    &schedules::PAGE,
    &schedules::REPLACE,
    &schedules::SCHEDULE,
    &tenants::INSERT_KEY,
    &tenants::INSERT_TENANT,
    &tenants::INSTALLATION,
    &tenants::TENANT,
    &tenants::TENANT_OF_KEY,
    &tenants::UPDATE_PLAN,
];

/// Where SQLite looks at rows that it does not want.
async fn waste(pool: &SqlitePool, sql: &Sql) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.text));
    let steps = sqlx::query(explain).fetch_all(pool).await.unwrap();
    let steps = steps.into_iter().map(|step| step.get::<String, _>("detail"));
    let is_fine = |step: &str| {
        step.starts_with("SEARCH ")
            || step.starts_with("LIST SUBQUERY")
            || step == "CREATE BLOOM FILTER"
            || match sql.plan {
                Plan::Search => false,
                Plan::Walk => step.starts_with("SCAN ") && step.contains(" USING ") && step.contains("INDEX"),
                Plan::OneRow => step.starts_with("SCAN "),
            }
    };
    steps.filter(|step| !is_fine(step)).collect()
}

async fn store() -> (tempfile::TempDir, Store, SqlitePool) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tidegate.db");
    let (store, _) = Store::open(&path, |_| TieredCache::builder().build(), CancellationToken::new()).await.unwrap();
    let pool = SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    (directory, store, pool)
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    let (_directory, _store, pool) = store().await;
    for sql in ALL {
        let waste = waste(&pool, sql).await;
        assert!(waste.is_empty(), "{}\n  {waste:?}", sql.text);
    }
}

#[tokio::test]
async fn a_statement_without_an_index_is_seen() {
    let (_directory, _store, pool) = store().await;
    for text in [
        "SELECT id FROM schedule WHERE title = $1",
        "SELECT id FROM schedule WHERE tenant_id = $1 ORDER BY title",
        "SELECT DISTINCT kind, name, class FROM invalidation",
        "DELETE FROM import WHERE created_at < $1",
    ] {
        assert!(!waste(&pool, &Sql::search(text)).await.is_empty(), "{text}");
        assert!(!waste(&pool, &Sql::walk(text)).await.is_empty(), "{text}");
    }
}

/// A statement that stands elsewhere, or is missing in the list, would go unread.
#[test]
fn every_statement_is_in_the_list() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sql");
    let texts = fs::read_dir(source).unwrap().map(|file| file.unwrap().path());
    let texts = texts.filter(|path| path.file_name() != Some("tests.rs".as_ref())).map(fs::read_to_string);
    let declared: usize = texts.map(|text| text.unwrap().matches(": Sql =").count()).sum();
    assert_eq!(declared, ALL.len());
}
