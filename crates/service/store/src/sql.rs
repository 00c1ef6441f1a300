//! Every statement on the application's tables, each with its required query plan.
//!
//! Parameters are numbered (`$1`). The texts use only syntax that both SQLite and PostgreSQL
//! understand.

pub(super) mod accounts;
pub(super) mod alerts;
pub(super) mod analytics;
pub(super) mod files;
pub(super) mod imports;
pub(super) mod invalidations;
pub(super) mod notifications;
pub(super) mod reminders;
pub(super) mod replicas;
pub(super) mod reports;
pub(super) mod restored;
pub(super) mod running;
pub(super) mod runs;
pub(super) mod schedules;
pub(super) mod server;
pub(super) mod tenants;
pub(super) mod webhooks;

#[cfg(test)]
mod tests;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Database, Encode, Postgres, Sqlite, Type};

use super::value::Value;

/// A statement.
#[derive(Debug)]
pub(super) struct Sql {
    text: &'static str,
    /// Text for PostgreSQL, if it differs: writers run concurrently there, and a row that a change
    /// decides by has to be locked.
    postgres: Option<&'static str>,
    #[cfg_attr(not(test), expect(dead_code, reason = "what the test of plans holds it to"))]
    plan: Plan,
    /// Restricts the test of plans to this database.
    only: Option<Only>,
}

/// The only database that a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Sqlite,
    Postgres,
}

/// How the database finds the rows of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// By an index: the cost depends on the rows that it returns or changes, not on the size of the
    /// table.
    Search,
    /// Along an index from one end, up to its `LIMIT` or to the end of a table that is kept small.
    Walk,
    /// By an index, with the found rows aggregated: one result row for each group.
    Totals,
    /// The table has one row.
    OneRow,
    /// All rows of tables that no other process uses at that time.
    Whole,
}

impl Sql {
    pub(super) const fn search(text: &'static str) -> Self {
        Self { text, postgres: None, only: None, plan: Plan::Search }
    }

    const fn walk(text: &'static str) -> Self {
        Self { text, postgres: None, only: None, plan: Plan::Walk }
    }

    const fn totals(text: &'static str) -> Self {
        Self { text, postgres: None, only: None, plan: Plan::Totals }
    }

    const fn one_row(text: &'static str) -> Self {
        Self { text, postgres: None, only: None, plan: Plan::OneRow }
    }

    const fn whole(text: &'static str) -> Self {
        Self { text, postgres: None, only: None, plan: Plan::Whole }
    }

    /// Makes a statement from the list of tables. The text is leaked, so it must be made once in
    /// the life of a process.
    pub(super) fn generated(text: String) -> Self {
        Self::search(text.leak())
    }

    /// Makes a statement and leaks it too.
    pub(super) fn kept(text: String) -> &'static Self {
        Box::leak(Box::new(Self::generated(text)))
    }

    const fn only(mut self, database: Only) -> Self {
        self.only = Some(database);
        self
    }

    /// Sets another text for PostgreSQL.
    const fn on_postgres(mut self, text: &'static str) -> Self {
        self.postgres = Some(text);
        self
    }

    /// Returns the query for SQLite with its parameters, `$1` first.
    pub(super) fn with<'a>(&self, values: &'a [Value<'a>]) -> Query<'a, Sqlite, SqliteArguments> {
        bound(sqlx::query(self.text), values)
    }

    /// Returns the query for PostgreSQL with its parameters.
    pub(super) fn with_on_postgres<'a>(&self, values: &'a [Value<'a>]) -> Query<'a, Postgres, PgArguments> {
        bound(sqlx::query(self.postgres.unwrap_or(self.text)), values)
    }
}

fn bound<'a, DB: Database>(query: Query<'a, DB, DB::Arguments>, values: &'a [Value<'a>]) -> Query<'a, DB, DB::Arguments>
where
    Option<i64>: Encode<'a, DB> + Type<DB>,
    Option<&'a str>: Encode<'a, DB> + Type<DB>,
    Option<&'a [u8]>: Encode<'a, DB> + Type<DB>,
{
    values.iter().fold(query, |query, value| match value {
        Value::Int(int) => query.bind(*int),
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Blob(blob) => query.bind(*blob),
    })
}
