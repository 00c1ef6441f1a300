//! Reading many pages of one moment.

use tidegate_model::tenant::TenantId;

use super::db::Write;
use super::schedules::{Cursor, Page, page_of, page_values};
use super::sql::Sql;
use super::sql::schedules::PAGE;
use super::value::{Row, Value};
use super::{Store, StoreError};

/// The tables as they were at one moment, whatever is committed meanwhile. It changes nothing.
///
/// While it is there it has a connection to itself, and a SQLite file keeps what others write beside it: it is not to be held for
/// longer than the reading takes.
#[derive(Debug)]
pub struct Snapshot {
    read: Write,
}

impl Store {
    /// The tables as they are when the first statement of the snapshot runs.
    ///
    /// # Errors
    ///
    /// When the database can't be reached.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot { read: self.db.insist(|| self.db.begin_snapshot()).await? })
    }
}

impl Snapshot {
    #[cfg(test)]
    pub(super) fn is_on_a_replica(&self) -> bool {
        matches!(&self.read, Write::Postgres(lent) if lent.is_of_a_replica())
    }

    /// All rows that a statement finds.
    ///
    /// # Errors
    ///
    /// When they can't be read; the snapshot is lost then.
    pub(super) async fn all(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.read.all(sql, values).await
    }

    /// As [`Store::schedules`].
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn schedules(
        &mut self,
        tenant: &TenantId,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<Page, StoreError> {
        page_of(&self.all(&PAGE, &page_values(tenant, limit, after)).await?, limit)
    }

    /// How many schedules the tenant has.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn count_schedules(&mut self, tenant: &TenantId) -> Result<u64, StoreError> {
        let row = self.read.one(&super::sql::schedules::COUNT, &[tenant.as_str().into()]).await?;
        let rows = row.map_or(Ok(0), |row| row.int("rows"))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }
}
