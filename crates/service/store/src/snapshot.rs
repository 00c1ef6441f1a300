//! Reads many pages of one state of the tables.

use tidegate_model::tenant::TenantId;

use super::db::Write;
use super::schedules::{Cursor, Page, page_of, page_values};
use super::sql::Sql;
use super::sql::schedules::PAGE;
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

    /// Like [`Store::schedules`].
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn schedules(
        &mut self,
        tenant: &TenantId,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<Page, StoreError> {
        page_of(&self.all(&PAGE, &page_values(tenant, limit, after)).await?, limit)
    }

    /// Returns how many schedules the tenant has.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn count_schedules(&mut self, tenant: &TenantId) -> Result<u64, StoreError> {
        let row = self.read.one(&super::sql::schedules::COUNT, &[tenant.as_str().into()]).await?;
        let rows = row.map_or(Ok(0), |row| row.int("rows"))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }
}
