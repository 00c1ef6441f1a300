//! What tenants are told: rows with numbers, in the order of their commits.

mod keep;

use chrono::{DateTime, Utc};
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::tenant::TenantId;

use super::news::Following;
use super::sql::notifications::{BEHIND, ENDS, INSERT, NEXT, NOTIFICATION, OF_SOURCE};
use super::value::Row;
use super::{Change, Store, StoreError};

/// Something that a tenant is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its number among those of the tenant, from 1 on and without holes.
    pub seq: u64,
    /// Which of the tenant's users it concerns; `None` for all.
    pub user: Option<String>,
    /// What it is about.
    pub kind: String,
    /// What it says, as JSON.
    pub body: String,
    /// When it was told.
    pub at: DateTime<Utc>,
}

/// What a tenant is to be told.
#[derive(Debug, Clone, Copy)]
pub struct NewNotification<'a> {
    /// Who.
    pub tenant: &'a TenantId,
    /// What it comes from, such as a job's id: of one source a tenant is told once.
    pub source: &'a str,
    /// Which user it concerns.
    pub user: Option<&'a str>,
    /// What it is about.
    pub kind: &'a str,
    /// JSON.
    pub body: &'a str,
}

/// Which numbers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends {
    /// The newest there ever was; 0 for none.
    pub last: u64,
    /// Up to here they were removed.
    pub gone: u64,
}

impl Store {
    /// Tells a tenant something, once: what was told before of the same source is returned as it was told then.
    ///
    /// Whoever follows is told within milliseconds, in each process.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
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
            // Whatever came of the first, it is told once after the second.
            Err(StoreError::OutcomeUnknown(_)) => self.db.insist(publish).await,
            told => told,
        }
    }

    /// At most `limit` of what the tenant was told behind number `after`, in order.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn notifications(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Notification>, StoreError> {
        let rows = self.all(&BEHIND, &[tenant.as_str().into(), signed(after).into(), i64::from(limit).into()]).await?;
        rows.iter().map(|row| read(tenant, row)).collect()
    }

    /// What the tenant was told under that number.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn notification(&self, tenant: &TenantId, seq: u64) -> Result<Option<Notification>, StoreError> {
        let row = self.one(&NOTIFICATION, &[tenant.as_str().into(), signed(seq).into()]).await?;
        row.map(|row| read(tenant, &row)).transpose()
    }

    /// Which numbers the tenant has.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn ends_of_notifications(&self, tenant: &TenantId) -> Result<Ends, StoreError> {
        let Some(row) = self.one(&ENDS, &[tenant.as_str().into()]).await? else { return Ok(Ends::default()) };
        Ok(Ends { last: number(tenant, &row, "last")?, gone: number(tenant, &row, "gone")? })
    }

    /// Waits from now on for what the tenant is told, by whichever process.
    pub(crate) fn follow_notifications(&self, tenant: &TenantId) -> Following {
        self.news.follow(tenant)
    }
}

/// Whose turn it is.
pub(super) enum Turn {
    /// That of a new one.
    Next(u64),
    /// Nobody's: it was told.
    Told(Notification),
}

impl Change {
    /// Takes the tenant's next number, unless it was told of the source before. The first statement of a change: it locks the tenant's
    /// numbers, so that of two that tell of one source the second finds what the first has told.
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

/// No tenant is told more than that.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
