//! Checks that each statement has its required query plan.

use std::fs;
use std::path::Path;

use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;
use tidegate_cache::TieredCache;
use tidegate_testkit::PostgresServer;
use tokio_util::sync::CancellationToken;

use super::{
    Only, Plan, Sql, accounts, alerts, analytics, files, imports, invalidations, notifications, reminders, replicas,
    reports, restored, running, runs, schedules, server, tenants, webhooks,
};
use crate::{Store, dump};

const ALL: &[&Sql] = &[
    &accounts::COUNT_USERS,
    &accounts::DELETE_KEY,
    &accounts::DELETE_SESSION,
    &accounts::DELETE_SESSIONS,
    &accounts::DELETE_USER,
    &accounts::DIGEST_OF_KEY,
    &accounts::INSERT_KEY,
    &accounts::INSERT_SESSION,
    &accounts::INSERT_USER,
    &accounts::IS_ENDED,
    &accounts::KEYS,
    &accounts::OLDEST_SESSIONS,
    &accounts::PASSWORD,
    &accounts::PREFERENCES,
    &accounts::PUT_PREFERENCES,
    &accounts::REMOVE_ENDED,
    &accounts::SESSION,
    &accounts::SET_PASSWORD,
    &accounts::USER,
    &accounts::USERS,
    &accounts::USER_OF_EMAIL,
    &alerts::CLAIM_SENDER,
    &alerts::END_SILENCE,
    &alerts::INSERT_NOTICE,
    &alerts::LIFT_SILENCE,
    &alerts::MOVE_BEAT,
    &alerts::MOVE_SENDER,
    &alerts::NOTICES_BEHIND,
    &alerts::PUT_REPORT,
    &alerts::PUT_SILENCE,
    &alerts::PUT_STATE,
    &alerts::REMOVE_DEAD_REPORTS,
    &alerts::REMOVE_NOTICES,
    &alerts::REMOVE_OLD_REPORTS,
    &alerts::REMOVE_REPORT,
    &alerts::REMOVE_REPORTS,
    &alerts::REMOVE_STATE,
    &alerts::REPORTS,
    &alerts::SENDER,
    &alerts::SETTLE,
    &alerts::SETTLED,
    &alerts::SILENCES,
    &alerts::STATES,
    &analytics::ADD,
    &analytics::ADD_VIEWS,
    &analytics::COUNT,
    &analytics::INSERT,
    &analytics::RAISE_STREAM,
    &analytics::REMOVE_OLD,
    &analytics::REMOVE_OLD_VIEWS,
    &analytics::REMOVE_STREAMS,
    &analytics::SPAN,
    &analytics::TAKE,
    &files::EXPIRED,
    &files::FILE,
    &files::INSERT,
    &files::IS_THERE,
    &files::REMOVE,
    &imports::CLOSE,
    &imports::DETACH,
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
    &imports::REMOVE_CLOSED,
    &imports::REMOVE_REJECTS,
    &imports::RESERVE,
    &invalidations::BEHIND,
    &invalidations::INSERT,
    &invalidations::IS_OLD,
    &invalidations::LAST,
    &invalidations::NOTIFY,
    &invalidations::REMOVE_OLD,
    &notifications::BEHIND,
    &notifications::ENDS,
    &notifications::FORGET,
    &notifications::INSERT,
    &notifications::NEXT,
    &notifications::NOTIFICATION,
    &notifications::OF_SOURCE,
    &notifications::OLD,
    &notifications::REMOVE,
    &reminders::FORGET,
    &reminders::INSERT,
    &reminders::MAILS,
    &reminders::MOVE,
    &reminders::OF_DAY,
    &reminders::PENDING,
    &reminders::REMOVE_OLD,
    &reminders::SCHEDULES,
    &reminders::SEND,
    &replicas::DONE,
    &replicas::SAID,
    &reports::ATTENDEES,
    &reports::COUNT,
    &reports::DAYS,
    &reports::END_OF_PAGE,
    &reports::TITLES,
    &restored::CLEAR_TOLD,
    &restored::CLOSE_IMPORTS,
    &restored::CLOSE_RUNS,
    &restored::IDENTIFY,
    &restored::RENEW_PLANS,
    &restored::SKIP_NUMBERS,
    &running::ALONE,
    &running::JOIN,
    &runs::CLOSE,
    &runs::FILES_OF,
    &runs::FINISH,
    &runs::OLD,
    &runs::OPEN,
    &runs::PENDING,
    &runs::RELEASE,
    &runs::REMOVE,
    &schedules::COUNT,
    &schedules::CREATED_AT,
    &schedules::DELETE,
    &schedules::REINDEX,
    &schedules::INSERT,
    &schedules::INSERT_ONCE,
    &schedules::MADE_BEFORE,
    &schedules::NEWEST,
    &schedules::PAGE,
    &schedules::REPLACE,
    &schedules::SCHEDULE,
    &server::USE,
    &tenants::INSERT_TENANT,
    &tenants::INSTALLATION,
    &tenants::TENANT,
    &tenants::TENANTS,
    &tenants::TENANT_OF_KEY,
    &tenants::TENANT_TO_CHANGE,
    &tenants::UPDATE_PLAN,
    &webhooks::DELETE,
    &webhooks::DISABLE,
    &webhooks::INSERT,
    &webhooks::OF_TENANT,
    &webhooks::WEBHOOK,
];

/// All statements, including those that are generated from the list of tables.
fn all() -> impl Iterator<Item = &'static Sql> {
    ALL.iter().copied().chain(dump::statements())
}

/// Returns the steps in which SQLite reads rows that the statement does not need.
async fn waste(pool: &SqlitePool, sql: &Sql) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.text));
    let steps = sqlx::query(explain).fetch_all(pool).await.unwrap();
    let steps = steps.into_iter().map(|step| step.get::<String, _>("detail"));
    let is_fine = |step: &str| {
        step.starts_with("SEARCH ")
            || step.starts_with("LIST SUBQUERY")
            || step == "CREATE BLOOM FILTER"
            // A union of two queries, each with a separate step.
            || ["COMPOUND QUERY", "LEFT-MOST SUBQUERY", "UNION ALL"].contains(&step)
            || match sql.plan {
                Plan::Search => false,
                Plan::Walk => step.starts_with("SCAN ") && step.contains(" USING ") && step.contains("INDEX"),
                // The values inside a row are read with the row.
                Plan::Totals => step == "USE TEMP B-TREE FOR GROUP BY" || step.starts_with("SCAN attendee VIRTUAL TABLE"),
                Plan::OneRow | Plan::Whole => step.starts_with("SCAN "),
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
    for sql in all().filter(|sql| sql.only != Some(Only::Postgres)) {
        let waste = waste(&pool, sql).await;
        assert!(waste.is_empty(), "{}\n  {waste:?}", sql.text);
    }
}

/// Each needs an index that does not exist.
const BAD: [&str; 4] = [
    "SELECT id FROM schedule WHERE title = $1",
    "SELECT id FROM schedule WHERE tenant_id = $1 ORDER BY title",
    "SELECT DISTINCT kind, name, class FROM invalidation",
    "DELETE FROM import WHERE created_at < $1",
];

#[tokio::test]
async fn a_statement_without_an_index_is_seen() {
    let (_directory, _store, pool) = store().await;
    for text in BAD {
        assert!(!waste(&pool, &Sql::search(text)).await.is_empty(), "{text}");
        assert!(!waste(&pool, &Sql::walk(text)).await.is_empty(), "{text}");
        assert!(!waste(&pool, &Sql::totals(text)).await.is_empty(), "{text}");
    }
}

/// Returns the steps in which PostgreSQL reads rows that the statement does not need. The plan is
/// the generic one for any parameters, and uses indexes if possible. Otherwise a small table would
/// always be read completely.
async fn waste_on_postgres(server: &PostgresServer, sql: &Sql) -> Vec<String> {
    let text = sql.postgres.unwrap_or(sql.text);
    let parameters = (1..).take_while(|number| text.contains(&format!("${number}"))).count();
    let nulls = if parameters == 0 { String::new() } else { format!("({})", vec!["NULL"; parameters].join(", ")) };
    let script = format!(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
         SET plan_cache_mode = force_generic_plan;
         PREPARE asked AS {text};
         EXPLAIN (FORMAT JSON) EXECUTE asked {nulls};"
    );
    let told = server.psql(&script).await;
    let plan: serde_json::Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let mut waste = Vec::new();
    look_at(&plan[0]["Plan"], sql.plan, &mut waste);
    waste
}

fn look_at(node: &serde_json::Value, plan: Plan, waste: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap();
    let is_fine = match kind {
        "Seq Scan" => matches!(plan, Plan::OneRow | Plan::Whole),
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => {
            matches!(plan, Plan::Walk | Plan::Whole) || node["Index Cond"].is_string()
        }
        "Aggregate" => plan == Plan::Totals || is_bounded(node),
        _ => !kind.contains("Sort"),
    };
    if !is_fine {
        waste.push(format!("{kind} {} {}", node["Relation Name"], node["Filter"]));
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        look_at(below, plan, waste);
    }
}

/// A count keeps none of the rows that it counts. An aggregate over a `LIMIT` has no more rows than
/// that limit.
fn is_bounded(aggregate: &serde_json::Value) -> bool {
    let mut below = &aggregate["Plans"][0];
    if below["Node Type"] == "Subquery Scan" {
        below = &below["Plans"][0];
    }
    aggregate["Strategy"] == "Plain" || below["Node Type"] == "Limit"
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index_on_postgresql_too() {
    let server = PostgresServer::start(&[]).await;
    let settings = crate::ground::settings(&server.url());
    Store::connect(&settings, |_| TieredCache::builder().build(), CancellationToken::new()).await.unwrap();
    let mut wasteful = Vec::new();
    for sql in all().filter(|sql| sql.only != Some(Only::Sqlite)) {
        let waste = waste_on_postgres(&server, sql).await;
        if !waste.is_empty() {
            wasteful.push((sql.text, waste));
        }
    }
    assert!(wasteful.is_empty(), "{wasteful:#?}");
    for text in BAD {
        assert!(!waste_on_postgres(&server, &Sql::search(text)).await.is_empty(), "{text}");
    }
}

/// A statement in another place or missing in the list would not be tested.
#[test]
fn every_statement_is_in_the_list() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql");
    let texts = fs::read_dir(source).unwrap().map(|file| file.unwrap().path());
    let texts = texts.filter(|path| path.file_name() != Some("tests.rs".as_ref())).map(fs::read_to_string);
    let declared: usize = texts.map(|text| text.unwrap().matches(": Sql =").count()).sum();
    assert_eq!(declared, ALL.len());
}
