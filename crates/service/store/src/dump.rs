//! The tables in a backup: their list, how rows are read in the order of their keys, and how they
//! are written again.
//!
//! The statements are generated from one list. A test compares the list with the schema of both
//! databases, so that no table or column is missing.

mod error;
mod tables;
mod target;

use std::sync::LazyLock;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::Value as Json;

use super::snapshot::Snapshot;
use super::sql::Sql;
use super::value::{Row, Value};
use super::{Store, StoreError};

pub use error::TargetError;
use tables::Kind;
pub use tables::{TABLES, Table};
pub use target::{ExistingData, Inserts, Target};

/// Number of rows that one page reads.
pub const PAGE: usize = 500;
/// Number of rows that one statement writes, while enough rows are left.
const MANY: usize = 50;

/// A row of a backup: one value for each column, in the order of the list.
pub type Cells = Vec<Json>;

/// The statement of each table that reads a page.
static PAGES: LazyLock<Vec<Sql>> = LazyLock::new(|| TABLES.iter().map(page_of).collect());

/// Makes the statement that reads the rows after a key, up to a limit. The first page has a key
/// too: without one, the query plan would look the same as a scan.
fn page_of(table: &Table) -> Sql {
    let key = table.key().map(|column| column.name).collect::<Vec<_>>().join(", ");
    let behind = placeholders(1, table.keys);
    let columns = names(table.columns.iter().map(|column| column.name));
    let text = format!(
        "SELECT {columns} FROM {} WHERE ({key}) > ({behind}) ORDER BY {key} LIMIT ${}",
        table.name,
        table.keys + 1
    );
    Sql::generated(text)
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn placeholders(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// Returns the key of the first page, which is smaller than every key.
fn least(kind: Kind) -> Json {
    match kind {
        Kind::Int => i64::MIN.into(),
        Kind::Text | Kind::Blob => "".into(),
    }
}

/// Converts a value of a backup into a parameter. `None` if it is of another kind.
fn value(kind: Kind, cell: &Json) -> Option<OwnedValue> {
    Some(match (kind, cell) {
        (Kind::Int, Json::Null) => OwnedValue::Int(None),
        (Kind::Text, Json::Null) => OwnedValue::Text(None),
        (Kind::Blob, Json::Null) => OwnedValue::Blob(None),
        (Kind::Int, Json::Number(number)) => OwnedValue::Int(Some(number.as_i64()?)),
        (Kind::Text, Json::String(text)) => OwnedValue::Text(Some(text.clone())),
        (Kind::Blob, Json::String(digits)) => {
            OwnedValue::Blob(Some(HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?))
        }
        _ => return None,
    })
}

/// A parameter that owns its value.
enum OwnedValue {
    Int(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

impl OwnedValue {
    fn lend(&self) -> Value<'_> {
        match self {
            Self::Int(int) => (*int).into(),
            Self::Text(text) => text.as_deref().into(),
            Self::Blob(blob) => Value::Blob(blob.as_deref()),
        }
    }
}

fn cells_of(table: &Table, row: &Row) -> Result<Cells, StoreError> {
    let cell = |column: &tables::Column| {
        Ok(match column.kind {
            Kind::Int => row.opt_int(column.name)?.into(),
            Kind::Text => row.opt_text(column.name)?.into(),
            Kind::Blob => row.opt_blob(column.name)?.map(|bytes| HEXLOWER.encode(&bytes)).into(),
        })
    };
    table.columns.iter().map(cell).collect()
}

/// Returns the parameters of the page after `after`.
fn page_values(table: &Table, after: Option<&Cells>) -> Vec<OwnedValue> {
    let mut values: Vec<_> = table
        .key()
        .enumerate()
        .filter_map(|(place, column)| {
            let least = least(column.kind);
            value(column.kind, after.and_then(|row| row.get(place)).unwrap_or(&least))
        })
        .collect();
    values.push(OwnedValue::Int(i64::try_from(PAGE).ok()));
    values
}

impl Snapshot {
    /// Returns at most [`PAGE`] rows of the table at index `place` of [`TABLES`], after the key of
    /// `after`.
    ///
    /// # Errors
    ///
    /// Fails if they can't be read.
    pub async fn rows_of(&mut self, place: usize, after: Option<&Cells>) -> Result<Vec<Cells>, StoreError> {
        let (table, values) = (&TABLES[place], page_values(&TABLES[place], after));
        let values: Vec<_> = values.iter().map(OwnedValue::lend).collect();
        let rows = self.all(&PAGES[place], &values).await?;
        rows.iter().map(|row| cells_of(table, row)).collect()
    }
}

impl Store {
    /// The number of the newest schema that this program knows. Open tables have this schema.
    pub fn schema() -> i64 {
        super::migrations::schema()
    }
}

#[cfg(test)]
pub(super) fn statements() -> &'static [Sql] {
    &PAGES
}

#[cfg(test)]
mod tests;
