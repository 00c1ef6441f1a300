//! Notifications of tenants: numbered rows, in the order of their commits.

mod keep;

use chrono::{DateTime, Utc};
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::tenant::TenantId;

use super::sql::notifications::{BEHIND, ENDS, INSERT, NEXT, NOTIFICATION, OF_SOURCE};
use super::value::Row;
use super::waiting_tasks::Following;
use super::{Change, Store, StoreError};

/// A notification of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its number in the tenant's sequence, from 1 and without gaps.
    pub seq: u64,
    /// Id of the user that it concerns. `None` if it concerns all users of the tenant.
    pub user: Option<String>,
    /// Kind of the event.
    pub kind: String,
    /// The content, as JSON.
    pub body: String,
    /// When it was published.
    pub at: DateTime<Utc>,
}

/// A notification to publish.
#[derive(Debug, Clone, Copy)]
pub struct NewNotification<'a> {
    /// The recipient.
    pub tenant: &'a TenantId,
    /// The source, for example a job id. A tenant gets one notification for each source.
    pub source: &'a str,
    /// Id of the user that it concerns. `None` if it concerns all users of the tenant.
    pub user: Option<&'a str>,
    /// Kind of the event.
    pub kind: &'a str,
    /// The content, as JSON.
    pub body: &'a str,
}

/// Range of the numbers of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends {
    /// Highest number that was ever assigned. 0 if there is none.
    pub last: u64,
    /// Highest number that was removed.
    pub gone: u64,
}

impl Store {
    /// Publishes a notification once. If the source was published before, returns the earlier
    /// notification.
    ///
    /// Followers of the tenant are notified within milliseconds, in each process.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn publish(&self, new: &NewNotification<'_>) -> Result<Notification, StoreError> {
        let publish = || async {
            let mut change = self.begin_once().await?;
            let told = match change.next_number(new).await? {
                Turn::Told(told) => return Ok(told),
                Turn::Next(seq) => Notification {
                    seq,
                    user: new.user.map(str::to_owned),
                    kind: new.kind.to_owned(),
                    body: new.body.to_owned(),
                    at: clock::now(),
                },
            };
            change.insert_notification(new, &told).await?;
            change.commit().await?;
            Ok(told)
        };
        match self.db.insist(publish).await {
            // Whatever the outcome of the first attempt, it is published once after the second.
            Err(StoreError::OutcomeUnknown(_)) => self.db.insist(publish).await,
            told => told,
        }
    }

    /// Returns at most `limit` of the tenant's notifications after number `after`, in order.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn notifications(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Notification>, StoreError> {
        let rows = self.all(&BEHIND, &[tenant.as_str().into(), signed(after).into(), i64::from(limit).into()]).await?;
        rows.iter().map(|row| read(tenant, row)).collect()
    }

    /// Returns the tenant's notification with that number.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn notification(&self, tenant: &TenantId, seq: u64) -> Result<Option<Notification>, StoreError> {
        let row = self.one(&NOTIFICATION, &[tenant.as_str().into(), signed(seq).into()]).await?;
        row.map(|row| read(tenant, &row)).transpose()
    }

    /// Returns the range of the tenant's numbers.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn ends_of_notifications(&self, tenant: &TenantId) -> Result<Ends, StoreError> {
        let Some(row) = self.one(&ENDS, &[tenant.as_str().into()]).await? else { return Ok(Ends::default()) };
        Ok(Ends { last: number(tenant, &row, "last")?, gone: number(tenant, &row, "gone")? })
    }

    /// Starts to wait for notifications of the tenant, published by any process.
    pub(crate) fn follow_notifications(&self, tenant: &TenantId) -> Following {
        self.news.follow(tenant)
    }
}

/// Result of [`Change::next_number`].
pub(super) enum Turn {
    /// The number for a new notification.
    Next(u64),
    /// The source was published before.
    Told(Notification),
}

impl Change {
    /// Takes the tenant's next number, unless the source was published before. It must be the first
    /// statement of a change: it locks the tenant's numbers. So if two changes publish the same
    /// source, the second finds the row of the first.
    pub(super) async fn next_number(&mut self, new: &NewNotification<'_>) -> Result<Turn, StoreError> {
        let tenant = new.tenant;
        let next = self.one(&NEXT, &[tenant.as_str().into()]).await?;
        let next = next.map(|row| number(tenant, &row, "last")).transpose()?.ok_or(sqlx::Error::RowNotFound)?;
        let told = self.one(&OF_SOURCE, &[tenant.as_str().into(), new.source.into()]).await?;
        Ok(match told {
            Some(row) => Turn::Told(read(tenant, &row)?),
            None => Turn::Next(next),
        })
    }

    pub(super) async fn insert_notification(
        &mut self,
        new: &NewNotification<'_>,
        told: &Notification,
    ) -> Result<(), StoreError> {
        let values = [
            new.tenant.as_str().into(),
            signed(told.seq).into(),
            new.source.into(),
            told.user.as_deref().into(),
            (&told.kind).into(),
            (&told.body).into(),
            told.at.into(),
        ];
        self.run(&INSERT, &values, Touched::new()).await?;
        self.bring_news(new.tenant);
        Ok(())
    }
}

fn read(tenant: &TenantId, row: &Row) -> Result<Notification, StoreError> {
    Ok(Notification {
        seq: number(tenant, row, "seq")?,
        user: row.opt_text("user_id")?,
        kind: row.text("kind")?,
        body: row.text("body")?,
        at: row.time("at")?,
    })
}

fn number(tenant: &TenantId, row: &Row, column: &'static str) -> Result<u64, StoreError> {
    let unreadable = |_| StoreError::Unreadable { table: "notification", id: tenant.to_string(), column };
    u64::try_from(row.int(column)?).map_err(unreadable)
}

/// No tenant has more notifications than this type counts.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
