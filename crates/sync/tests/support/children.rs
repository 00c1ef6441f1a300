//! Processes that are killed and suspended: the children of a test are the same binary, with their
//! task in the environment.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_sync::{RedisStore, StoreError};
use tidegate_testkit::{Process, Scratch};

use super::{connect, keyspace};

const URL: &str = "SYNC_CHILD_URL";
const NUMBER: &str = "SYNC_CHILD_NUMBER";
const SIZE: &str = "SYNC_CHILD_SIZE";
const DIARY: &str = "SYNC_CHILD_DIARY";

/// The task of a child.
pub struct Task {
    pub url: String,
    /// Number of the child, from 0.
    pub number: usize,
    pub size: usize,
    diary: File,
}

impl Task {
    /// The task, if this process is a child.
    pub fn given() -> Option<Self> {
        let number = |name| std::env::var(name).unwrap().parse().unwrap();
        let url = std::env::var(URL).ok()?;
        let diary = File::options().append(true).create(true).open(std::env::var(DIARY).unwrap()).unwrap();
        Some(Self { url, number: number(NUMBER), size: number(SIZE), diary })
    }

    pub async fn store(&self) -> RedisStore {
        RedisStore::new(connect(&self.url).await, keyspace())
    }

    /// Writes a note, with one write, so that a kill leaves the whole line or nothing.
    pub fn note(&self, line: &str) {
        (&self.diary).write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// The children of one test.
pub struct Children {
    pub processes: Vec<Process>,
    diaries: Scratch,
}

impl Children {
    /// Starts `count` children, each in this binary's test `test`.
    pub fn start(test: &str, url: &str, count: usize, size: usize) -> Self {
        let diaries = Scratch::new();
        let start = |number: usize| {
            Process::builder(std::env::current_exe().unwrap())
                .name(format!("child {number}"))
                .args(["--exact", test, "--nocapture"])
                .env(URL, url)
                .env(NUMBER, number.to_string())
                .env(SIZE, size.to_string())
                .env(DIARY, diary(diaries.path(), number))
                .start()
                .unwrap()
        };
        Self { processes: (0..count).map(start).collect(), diaries }
    }

    /// The notes of all children so far.
    pub fn notes(&self) -> Vec<String> {
        (0..self.processes.len()).flat_map(|number| self.notes_of(number)).collect()
    }

    pub fn notes_of(&self, number: usize) -> Vec<String> {
        let text = std::fs::read_to_string(diary(self.diaries.path(), number)).unwrap_or_default();
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Kills the children and returns their notes.
    pub fn kill(mut self) -> Vec<String> {
        for process in &mut self.processes {
            process.kill9().unwrap();
        }
        self.notes()
    }

    /// Waits until all have exited successfully.
    pub async fn join(&mut self, deadline: Duration) {
        for process in &mut self.processes {
            let status = process.wait_for_exit(deadline).await.unwrap();
            assert!(status.success(), "{status}");
        }
    }
}

fn diary(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("diary-{number}"))
}

/// Retries while the store has transient errors: on a busy machine a reply may be late.
pub async fn again<T, E: Into<Refusal>>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> Result<T, Refusal> {
    loop {
        match ask().await.map_err(Into::into) {
            Err(Refusal::Store(error)) if error.is_transient() => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

/// Reason why an operation failed.
#[derive(Debug)]
pub enum Refusal {
    Store(StoreError),
    Stock(tidegate_sync::StockError),
    Ledger(tidegate_sync::LedgerError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<tidegate_sync::StockError> for Refusal {
    fn from(error: tidegate_sync::StockError) -> Self {
        match error {
            tidegate_sync::StockError::Store(error) => Self::Store(error),
            other => Self::Stock(other),
        }
    }
}

impl From<tidegate_sync::LedgerError> for Refusal {
    fn from(error: tidegate_sync::LedgerError) -> Self {
        match error {
            tidegate_sync::LedgerError::Store(error) => Self::Store(error),
            other => Self::Ledger(other),
        }
    }
}
