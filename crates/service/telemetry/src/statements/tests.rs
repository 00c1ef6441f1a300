use std::sync::LazyLock;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, SqlitePool};
use tidegate_perfmon::{Kind, QueryStats, Repeated};
use tidegate_queue::SqliteOptions;
use tidegate_settings::LogFormat;
use tidegate_testkit::Page;
use tracing::{Instrument, Span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::*;
use crate::Section;
use crate::logging::lines;
use crate::trace::REQUEST_TARGET;

const LIMIT: Duration = Duration::from_secs(30);
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The listeners of this process. sqlx reports on its own threads, so only the global subscriber
/// receives it.
struct Heard {
    statements: Arc<Statements>,
    log: Page,
}

/// Every statement is slow, and the log filter lets everything pass.
static HEARD: LazyLock<Heard> = LazyLock::new(|| {
    let config = QueryConfig { slow: Duration::ZERO, ..QueryConfig::default() };
    let (statements, log) = (Arc::new(Statements::new(&config)), Page::default());
    let to = log.clone();
    let filter = tracing_subscriber::EnvFilter::new("trace,sqlx::query=trace,[request]=trace");
    let log_lines = lines(filter, LogFormat::Text, move || to.clone(), false);
    let listeners = vec![log_lines, tracing_subscriber::Layer::boxed(layer(Arc::clone(&statements), None))];
    tracing_subscriber::registry().with(listeners).try_init().unwrap();
    Heard { statements, log }
});

impl Heard {
    fn log(&self) -> String {
        self.log.text()
    }

    /// Returns the shape that contains this word.
    fn shape(&self, word: &str) -> Option<QueryStats> {
        self.statements.queries.top(Default::default(), 1_000).into_iter().find(|shape| shape.text.contains(word))
    }

    fn repeated(&self, word: &str) -> Option<Repeated> {
        self.statements.queries.repeated(1_000).into_iter().find(|repeated| repeated.text.contains(word))
    }
}

async fn pool(directory: &tempfile::TempDir) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(directory.path().join("any.db")).create_if_missing(true);
    SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
}

fn request(id: &str, route: &str) -> Span {
    tracing::debug_span!(target: REQUEST_TARGET, "request", id, route)
}

async fn run(pool: &SqlitePool, statement: &str) {
    sqlx::query(AssertSqlSafe(statement)).execute(pool).await.unwrap();
}

/// Waits for a condition. A connection's thread keeps the span of a request slightly longer than
/// its caller.
async fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let reached = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.is_ok()
}

#[tokio::test]
async fn a_statement_is_counted_by_its_shape_with_rows_and_time() {
    let (heard, directory) = (&*HEARD, tempfile::tempdir().unwrap());
    let pool = pool(&directory).await;
    run(&pool, "CREATE TABLE counted (x, y)").await;
    for value in 0..4 {
        run(&pool, &format!("INSERT INTO counted VALUES ({value}, 'a'), ({value}, 'b'), ({value}, 'c')")).await;
    }
    let rows = sqlx::query("SELECT x FROM counted WHERE x >= 2 AND y <> ?").bind("c").fetch_all(&pool).await.unwrap();
    assert_eq!(rows.len(), 4);
    // For this statement SQLite still reports how many rows the insertion before it changed.
    run(&pool, "SELECT y FROM counted WHERE x = 7").await;
    let of = |word: &str| heard.shape(word).map(|shape| (shape.calls, shape.rows, shape.total > Duration::ZERO));
    assert_eq!(of("insert into counted"), Some((4, 12, true)));
    assert_eq!(of("select x from counted"), Some((1, 4, true)));
    assert_eq!(of("select y from counted"), Some((1, 0, true)));
}

#[tokio::test]
async fn the_log_never_holds_a_literal() {
    let (heard, directory) = (&*HEARD, tempfile::tempdir().unwrap());
    let pool = pool(&directory).await;
    let span = request("id-of-the-request", "/secret");
    set_request_trace(&span, TRACE.parse().unwrap());
    // With up to four words, the text is in another field than with more.
    for statement in [
        "SELECT 'planted-secret' AS short_one",
        "SELECT 'planted-secret' AS long_one, 4711000815 + 4712, x'c0ffee' WHERE 'planted-secret' <> 'other-secret'",
    ] {
        run(&pool, statement).instrument(span.clone()).await;
    }
    tracing::info!("the log is heard");
    heard.statements.log_slow();
    let log = heard.log();
    assert!(log.contains("the log is heard"));
    let slow: Vec<_> = log.lines().filter(|line| line.contains("slow statement") && line.contains("_one")).collect();
    assert_eq!(slow.len(), 2, "{log}");
    for line in slow {
        for part in [
            "WARN",
            "id-of-the-request",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "database=\"app\"",
            "select ? as",
            "elapsed=",
            "rows=1",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    // A number of so many digits is in no time of the log.
    for literal in ["planted-secret", "other-secret", "4711000815", "c0ffee", "sqlx::query"] {
        assert!(!log.contains(literal), "{literal}: {log}");
    }
    let shown = SlowQueriesSection(heard.statements.queries.clone());
    let (json, table) = (shown.json(100).to_string(), shown.table(100).unwrap());
    assert!(json.contains("short_one") && !json.contains("planted-secret"), "{json}");
    let row = table.rows.iter().find(|row| row.iter().any(|cell| cell.contains("long_one"))).unwrap();
    assert_eq!(row.len(), table.columns.len());
    assert!(row.contains(&"4bf92f3577b34da6a3ce929d0e0e4736".to_owned()), "{row:?}");
    assert!(!row.concat().contains("planted-secret"), "{row:?}");
}

#[tokio::test]
async fn six_equal_statements_in_one_request_are_reported() {
    let (heard, directory) = (&*HEARD, tempfile::tempdir().unwrap());
    let pool = pool(&directory).await;
    for (table, alike) in [("many_alike", 6), ("few_alike", 5)] {
        run(&pool, &format!("CREATE TABLE {table} (x)")).await;
        for number in 0..3 {
            let asking = async {
                for value in 0..alike {
                    run(&pool, &format!("SELECT x FROM {table} WHERE x = {value}")).await;
                }
            };
            asking.instrument(request(&number.to_string(), "/api/things/{id}")).await;
        }
    }
    // Six repetitions spread over requests are not six in one request.
    for value in 0..6 {
        let statement = format!("SELECT x + 1 FROM few_alike WHERE x = {value}");
        run(&pool, &statement).instrument(request("x", "/one")).await;
    }
    assert!(until(|| heard.repeated("many_alike").is_some()).await);
    let told = heard.repeated("many_alike").unwrap();
    assert_eq!((told.route.as_str(), told.requests, told.calls, told.most), ("/api/things/{id}", 3, 18, 6));
    assert_eq!(told.text, "select x from many_alike where x = ?");
    assert_eq!(heard.repeated("few_alike"), None);
    assert!(heard.statements.repeated.load(Ordering::Relaxed) >= 18);
}

#[tokio::test]
async fn tasks_spawned_in_the_span_of_a_request_belong_to_it() {
    let (heard, directory) = (&*HEARD, tempfile::tempdir().unwrap());
    let pool = pool(&directory).await;
    run(&pool, "CREATE TABLE spawned (x)").await;
    for _ in 0..3 {
        let asking = async {
            let (pool, span) = (pool.clone(), tracing::info_span!("deeper"));
            let spawned = async move {
                for _ in 0..6 {
                    run(&pool, "SELECT x FROM spawned").await;
                }
            };
            tokio::spawn(spawned.instrument(span)).await.unwrap();
        };
        asking.instrument(request("id", "/spawning")).await;
    }
    assert!(until(|| heard.repeated("spawned").is_some_and(|told| told.route == "/spawning")).await);
}

#[tokio::test]
async fn statements_are_operations_of_the_database() {
    let (heard, directory) = (&*HEARD, tempfile::tempdir().unwrap());
    let pool = pool(&directory).await;
    let registry = Registry::builder().slow_operation(Kind::Database, Duration::from_millis(1)).build();
    heard.statements.measure_as(&Operations::of(&registry, true), &registry);
    let count_up =
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000) SELECT sum(x) FROM n";
    run(&pool, count_up).await;
    let counts = || registry.operation_totals().into_iter().map(|told| (told.operation, told.latency.count));
    let statements = |name: &str| counts().find(|(operation, _)| operation == name).map(|(_, count)| count);
    assert!(statements("app.statement") >= Some(1) && statements("queue.statement") == Some(0));
    assert!(registry.slow_operations(100).iter().any(|slow| slow.operation == "app.statement"));
}

#[test]
fn nothing_is_advised_about_statements_of_the_job_store() {
    let statements = Arc::new(Statements::new(&QueryConfig::default()));
    let subscriber = tracing_subscriber::registry().with(layer(Arc::clone(&statements), None));
    let subscriber = tracing::Dispatch::new(subscriber);
    // Like sqlx's events, often enough to be repeated by each of three requests.
    let report = |sql: &str| {
        tracing::dispatcher::with_default(&subscriber, || {
            for id in ["1", "2", "3"] {
                let request = request(id, "/api/things");
                for _ in 0..6 {
                    request.in_scope(|| {
                        tracing::debug!(target: STATEMENT_TARGET, summary = sql, elapsed_secs = 0.5);
                    });
                }
            }
        });
    };
    report("SELECT x FROM of_app");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("{}0", SqliteOptions::THREADS));
        thread.spawn_scoped(scope, || report("SELECT x FROM of_job_store")).unwrap();
    });
    let advisable = |(shapes, repeated): (Vec<QueryStats>, Vec<Repeated>)| {
        let texts = |mut texts: Vec<String>| {
            texts.sort();
            texts
        };
        let shapes = texts(shapes.into_iter().map(|shape| shape.text.to_string()).collect());
        (shapes, texts(repeated.into_iter().map(|repeated| repeated.text.to_string()).collect()))
    };
    let (app, job_store) = ("select x from of_app".to_owned(), "select x from of_job_store".to_owned());
    let all = vec![app.clone(), job_store];
    let known = (statements.queries().top(By::Total, 10), statements.queries().repeated(10));
    assert_eq!(advisable(known), (all.clone(), all), "they are shown");
    assert_eq!(advisable(statements.advisable()), (vec![app.clone()], vec![app]));
}
