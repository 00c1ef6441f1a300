//! Reading a row never panics, whatever it contains.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};
use tidegate_testkit::scale;
use tokio::runtime::{Builder, Runtime};

use super::row::{StoredJob, settings};

const JOB: &str = "SELECT ?1 AS seq, ?2 AS rank, ?3 AS id, ?4 AS priority, ?5 AS state, ?6 AS at, ?7 AS ready_at, \
    ?8 AS run_at, ?9 AS delivery, ?10 AS nonce, ?11 AS failures, ?12 AS lost, ?13 AS furthest, \
    ?14 AS cancel_requested, ?15 AS started_at, ?16 AS finished_at, ?17 AS percent, ?18 AS message, ?19 AS result, \
    ?20 AS history, ?21 AS note, ?22 AS checkpoint, ?23 AS kind, ?24 AS version, ?25 AS payload, \
    ?26 AS max_attempts, ?27 AS created_at, ?28 AS expires_at, ?29 AS ordering_key, ?30 AS unique_key, \
    ?31 AS holds_key, ?32 AS job_group";
const SETTINGS: &str = "SELECT ?1 AS max_running, ?2 AS rate_jobs, ?3 AS rate_per_ms, ?4 AS events, ?5 AS full_at";

/// A value of a row, of any SQLite type.
#[derive(Clone, Debug)]
enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

fn cell() -> impl Strategy<Value = Cell> {
    let likely = ["", "0", "job-1", "w", "{}", "[]", "[{}]", "[{\"at\":1}]", "\u{fc}", "job~zzzzzzzz"];
    prop_oneof![
        2 => Just(Cell::Null),
        6 => (-1..8_i64).prop_map(Cell::Int),
        2 => any::<i64>().prop_map(Cell::Int),
        1 => select(&[i64::MIN, i64::MAX][..]).prop_map(Cell::Int),
        1 => any::<f64>().prop_map(Cell::Real),
        6 => select(likely.to_vec()).prop_map(|text| Cell::Text(text.to_owned())),
        2 => any::<String>().prop_map(Cell::Text),
        1 => any::<Vec<u8>>().prop_map(Cell::Blob),
    ]
}

/// A valid row.
fn good() -> Vec<Cell> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let mut cells = vec![Cell::Int(1), Cell::Int(2), text("job-1"), Cell::Int(2)];
    cells.extend((0..5).map(|_| Cell::Int(3)));
    cells.extend([text("w"), Cell::Int(0), Cell::Int(0), Cell::Int(0), Cell::Int(0), Cell::Null, Cell::Int(5)]);
    cells.extend([Cell::Int(50), text("half"), text("{}"), text("[]"), Cell::Null, Cell::Null, text("kind")]);
    cells.extend([Cell::Int(1), text("{}"), Cell::Null, Cell::Int(1), Cell::Null, Cell::Null, Cell::Null]);
    cells.extend([Cell::Int(0), Cell::Null]);
    cells
}

struct Store {
    runtime: Runtime,
    connection: RefCell<SqliteConnection>,
}

impl Store {
    fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(SqliteConnection::connect("sqlite::memory:")).unwrap();
        Self { runtime, connection: RefCell::new(connection) }
    }

    fn row(&self, select: &'static str, cells: Vec<Cell>) -> SqliteRow {
        let query = cells.into_iter().fold(sqlx::query(select), |query, cell| match cell {
            Cell::Null => query.bind(None::<i64>),
            Cell::Int(number) => query.bind(number),
            Cell::Real(number) => query.bind(number),
            Cell::Text(text) => query.bind(text),
            Cell::Blob(bytes) => query.bind(bytes),
        });
        self.runtime.block_on(query.fetch_one(&mut *self.connection.borrow_mut())).unwrap()
    }
}

#[test]
fn a_row_without_faults_is_read() {
    let row = Store::open().row(JOB, good());
    assert_eq!(row.columns().len(), 32);
    assert_eq!(StoredJob::read(&row).unwrap().into_record("queue").id.as_str(), "job-1");
}

#[test]
fn no_row_panics() {
    let store = Store::open();
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(u32::try_from(scale(300, 100_000)).unwrap()));
    let strategy = (vec(cell(), 32), vec((0..32_usize, cell()), 0..3));
    let ran = runner.run(&strategy, |(cells, faults)| {
        let mut nearly = good();
        for (place, cell) in faults {
            nearly[place] = cell;
        }
        let limits = cells[..5].to_vec();
        for cells in [cells, nearly] {
            if let Ok(job) = StoredJob::read(&store.row(JOB, cells)) {
                prop_assert!(serde_json::to_string(&job.into_record("queue")).is_ok());
            }
        }
        let _ = settings(&store.row(SETTINGS, limits));
        Ok(())
    });
    ran.unwrap();
}
