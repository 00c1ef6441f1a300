//! Every statement on the application's tables, each with the plan that it must have.
//!
//! Parameters are numbered (`$1`), and the texts keep to what SQLite and PostgreSQL both understand.

pub(super) mod imports;
pub(super) mod invalidations;
pub(super) mod schedules;
pub(super) mod tenants;

#[cfg(test)]
mod tests;

use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use super::value::Value;

/// A statement.
#[derive(Debug)]
pub(super) struct Sql {
    text: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "what the test of plans holds it to"))]
    plan: Plan,
}

/// How the database finds the rows of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// By an index: what it costs depends on the rows that it returns or changes, not on those that are there.
    Search,
    /// Along an index from one end, as far as its `LIMIT` or to the end of a table that is kept short.
    Walk,
    /// The table has one row.
    OneRow,
}

impl Sql {
    const fn search(text: &'static str) -> Self {
        Self { text, plan: Plan::Search }
    }

    const fn walk(text: &'static str) -> Self {
        Self { text, plan: Plan::Walk }
    }

    const fn one_row(text: &'static str) -> Self {
        Self { text, plan: Plan::OneRow }
    }

    /// The statement with its parameters, `$1` first.
    pub(super) fn with<'a>(&self, values: &'a [Value<'a>]) -> Query<'a, Sqlite, SqliteArguments> {
        values.iter().fold(sqlx::query(self.text), |query, value| match value {
            Value::Int(int) => query.bind(*int),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Blob(blob) => query.bind(*blob),
        })
    }
}
