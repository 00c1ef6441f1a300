//! Notices that were sent, and how far each receiver is.

use tidegate_base::clock;

use super::values::{signed, unsigned};
use crate::error::StoreError;
use crate::sql::alerts::{NOTICES_BEHIND, SETTLE, SETTLED};
use crate::store::Store;

/// How long a notice is sent.
const NOTICES_LAST_MS: i64 = 24 * 3_600_000;

impl Store {
    /// Returns the notices after `number`, oldest first.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn alert_notices_behind(&self, number: u64) -> Result<Vec<(u64, String)>, StoreError> {
        let since = clock::now().timestamp_millis() - NOTICES_LAST_MS;
        let rows = self.db.all(&NOTICES_BEHIND, &[signed(number).into(), since.into()]).await?;
        rows.iter().map(|row| Ok((unsigned(row.int("id")?), row.text("body")?))).collect()
    }

    /// Returns the number of the last notice that a receiver accepted, or that was given up for it.
    /// `None` if the receiver was never sent one.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn alert_settled(&self, way: &str) -> Result<Option<u64>, StoreError> {
        let row = self.db.one(&SETTLED, &[way.into()]).await?;
        row.map(|row| row.int("settled").map(unsigned)).transpose()
    }

    /// Records the position of a receiver. It never moves back.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn settle_alerts(&self, way: &str, number: u64) -> Result<(), StoreError> {
        self.write_once(&SETTLE, &[way.into(), signed(number).into()]).await.map(|_| ())
    }
}
