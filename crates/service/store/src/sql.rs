//! Every statement on the application's tables, each with the plan that it must have.
//!
//! Parameters are numbered (`$1`), and the texts keep to what SQLite and PostgreSQL both understand.

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
    /// What PostgreSQL is asked in its place: there writers go on side by side, and a row that a change decides by has to be locked.
    postgres: Option<&'static str>,
    #[cfg_attr(not(test), expect(dead_code, reason = "what the test of plans holds it to"))]
    plan: Plan,
    /// So that the test of plans asks no other.
    only: Option<Only>,
}

/// The one database that a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Sqlite,
    Postgres,
}

/// How the database finds the rows of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// By an index: what it costs depends on the rows that it returns or changes, not on those that are there.
    Search,
    /// Along an index from one end, as far as its `LIMIT` or to the end of a table that is kept short.
    Walk,
    /// By an index, and the rows found are added up: one is kept for each group.
    Totals,
    /// The table has one row.
    OneRow,
    /// All rows, of tables that nobody else uses meanwhile.
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

    /// Made of the list of tables, once in the life of a process: of texts that are kept for good there are few.
    pub(super) fn generated(text: String) -> Self {
        Self::search(text.leak())
    }

    /// The same for whoever keeps it nowhere else.
    pub(super) fn kept(text: String) -> &'static Self {
        Box::leak(Box::new(Self::generated(text)))
    }

    const fn only(mut self, database: Only) -> Self {
        self.only = Some(database);
        self
    }

    /// With another text for PostgreSQL.
    const fn on_postgres(mut self, text: &'static str) -> Self {
        self.postgres = Some(text);
        self
    }

    /// The statement for SQLite with its parameters, `$1` first.
    pub(super) fn with<'a>(&self, values: &'a [Value<'a>]) -> Query<'a, Sqlite, SqliteArguments> {
        bound(sqlx::query(self.text), values)
    }

    /// The same for PostgreSQL.
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
