//! Reads many pages of one state of the tables.

use super::db::Write;
use super::sql::Sql;
use super::value::{Row, Value};
use super::{Store, StoreError};

/// The tables as they were at one moment, whatever is committed afterwards. It is read-only.
///
/// It occupies a connection, and a SQLite database keeps what others write in its log. So it must
/// not be kept longer than the reads take.
#[derive(Debug)]
pub struct Snapshot {
    read: Write,
}

impl Store {
    /// Opens a snapshot. Its state is that of the moment when its first statement runs.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be reached.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot { read: self.db.insist(|| self.db.begin_snapshot()).await? })
    }
}

impl Snapshot {
    #[cfg(test)]
    pub(super) fn is_on_a_replica(&self) -> bool {
        matches!(&self.read, Write::Postgres(lent) if lent.is_of_a_replica())
    }

    /// Returns all rows that a statement finds.
    ///
    /// # Errors
    ///
    /// Fails if they can't be read. The snapshot is then unusable.
    pub(super) async fn all(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.read.all(sql, values).await
    }

    /// Returns the row that a statement finds.
    ///
    /// # Errors
    ///
    /// Fails if it can't be read. The snapshot is then unusable.
    pub(super) async fn one(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        self.read.one(sql, values).await
    }
}
