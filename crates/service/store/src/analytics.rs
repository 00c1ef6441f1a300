//! Counts of tenants' activity by day.
//!
//! Each activity adds a row in its own transaction, so the counts match what was done. A roll
//! removes rows and adds them to their days in one transaction. So each row counts once, however
//! many rolls run, also concurrently.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::tenant::TenantId;
use uuid::Uuid;

use super::sql::analytics::{
    ADD, ADD_VIEWS, INSERT, RAISE_STREAM, REMOVE_OLD, REMOVE_OLD_VIEWS, REMOVE_STREAMS, SPAN, TAKE,
};
use super::value::{Row, Value};
use super::{Change, Snapshot, Store, StoreError};

/// Kind of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// Schedules created individually.
    Created,
    /// Schedules replaced.
    Updated,
    /// Schedules imported.
    Imported,
    /// Reminders sent.
    Reminded,
    /// Schedules read individually.
    Viewed,
}

impl Activity {
    const ALL: [Self; 5] = [Self::Created, Self::Updated, Self::Imported, Self::Reminded, Self::Viewed];

    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Imported => "imported",
            Self::Reminded => "reminded",
            Self::Viewed => "viewed",
        }
    }
}

/// Number of activities of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tally {
    /// Schedules created individually.
    pub created: u64,
    /// Schedules replaced.
    pub updated: u64,
    /// Schedules imported.
    pub imported: u64,
    /// Reminders sent.
    pub reminders_sent: u64,
    /// Schedules read individually. Up to two seconds late.
    pub views: u64,
}

impl Tally {
    /// Returns the sum of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            created: self.created.saturating_add(other.created),
            updated: self.updated.saturating_add(other.updated),
            imported: self.imported.saturating_add(other.imported),
            reminders_sent: self.reminders_sent.saturating_add(other.reminders_sent),
            views: self.views.saturating_add(other.views),
        }
    }

    fn add(&mut self, activity: Activity, n: u64) {
        let count = match activity {
            Activity::Created => &mut self.created,
            Activity::Updated => &mut self.updated,
            Activity::Imported => &mut self.imported,
            Activity::Reminded => &mut self.reminders_sent,
            Activity::Viewed => &mut self.views,
        };
        *count = count.saturating_add(n);
    }
}

impl Store {
    /// Returns the tenant's activity on each UTC day from `from` to `to`, both included. Includes
    /// rows that are not rolled yet. Days without activity are left out.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn analytics(
        &self,
        tenant: &TenantId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<BTreeMap<NaiveDate, Tally>, StoreError> {
        tallies(&self.all(&SPAN, &span_values(tenant, from, to)).await?)
    }

    /// Rolls at most `limit` rows into their days. Returns how many; fewer than `limit` if none are
    /// left.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written. If the outcome of the commit is unknown, the rows
    /// are either rolled or unchanged. Rolling again counts nothing twice.
    pub async fn roll_activity(&self, limit: u32) -> Result<u64, StoreError> {
        let roll = || async {
            let mut change = self.begin_once().await?;
            let rolled = change.roll(limit).await?;
            if rolled > 0 {
                change.commit().await?;
            }
            Ok(rolled)
        };
        self.db.insist(roll).await
    }

    /// Removes days before `first`. Returns how many rows were removed.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn remove_days_before(&self, first: NaiveDate) -> Result<u64, StoreError> {
        let remove = || async {
            let mut change = self.begin_once().await?;
            let mut removed = 0;
            for statement in [&REMOVE_OLD, &REMOVE_OLD_VIEWS] {
                removed += change.run(statement, &[begin_of(first).into()], Touched::new()).await?;
            }
            if removed > 0 {
                change.commit().await?;
            }
            Ok(removed)
        };
        self.db.insist(remove).await
    }
}

/// Number of schedules of one tenant that were read individually on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Views {
    /// The tenant.
    pub tenant: TenantId,
    /// The day, in UTC.
    pub day: NaiveDate,
    /// Number of reads.
    pub count: i64,
}

impl Store {
    /// Adds a batch of views. A batch has no effect if the stream already has this number or a
    /// higher one. Views of a deleted tenant are ignored.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written: nothing was added. If the outcome of the commit is
    /// unknown, the batch may have been added, and can be sent again with its number.
    pub async fn add_views(&self, stream: &str, number: u64, views: &[Views]) -> Result<(), StoreError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        // A fixed order, so that two processes that add to the same days can't deadlock.
        let mut views: Vec<&Views> = views.iter().collect();
        views.sort_unstable_by_key(|views| (views.tenant.as_str(), views.day));
        let mut change = self.begin_once().await?;
        let values = [stream.into(), number.into(), clock::now().into()];
        if change.run(&RAISE_STREAM, &values, Touched::new()).await? == 0 {
            return Ok(());
        }
        for Views { tenant, day, count } in views {
            let values = [tenant.as_str().into(), begin_of(*day).into(), (*count).into()];
            change.run(&ADD_VIEWS, &values, Touched::new()).await?;
        }
        change.commit().await
    }

    /// Removes the numbers of streams without a batch since `since`.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn remove_idle_streams(&self, since: DateTime<Utc>) -> Result<u64, StoreError> {
        self.write_alone(&REMOVE_STREAMS, &[since.into()]).await
    }
}

impl Change {
    /// Counts an activity of this change, in its transaction.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn note(&mut self, tenant: &TenantId, activity: Activity, n: u64) -> Result<(), StoreError> {
        if n == 0 {
            return Ok(());
        }
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let id = Uuid::now_v7();
        let values = [id.into(), tenant.as_str().into(), activity.name().into(), n.into(), clock::now().into()];
        // Activity is not cached.
        self.run(&INSERT, &values, Touched::new()).await?;
        Ok(())
    }

    async fn roll(&mut self, limit: u32) -> Result<u64, StoreError> {
        let taken = self.all(&TAKE, &[clock::now().into(), i64::from(limit).into()]).await?;
        // A fixed order, so that two rolls that add to the same days can't deadlock.
        let mut days: BTreeMap<(String, i64, String), u64> = BTreeMap::new();
        for row in &taken {
            let (kind, n) = read(row)?;
            let day = begin_of(row.time("at")?.date_naive()).timestamp_millis();
            let sum = days.entry((row.text("tenant_id")?, day, kind)).or_default();
            *sum = sum.saturating_add(n);
        }
        for ((tenant, day, kind), n) in &days {
            let n = i64::try_from(*n).unwrap_or(i64::MAX);
            self.run(&ADD, &[tenant.into(), (*day).into(), kind.into(), n.into()], Touched::new()).await?;
        }
        Ok(taken.len() as u64)
    }
}

impl Snapshot {
    /// Like [`Store::analytics`].
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn analytics(
        &mut self,
        tenant: &TenantId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<BTreeMap<NaiveDate, Tally>, StoreError> {
        tallies(&self.all(&SPAN, &span_values(tenant, from, to)).await?)
    }
}

fn span_values(tenant: &TenantId, from: NaiveDate, to: NaiveDate) -> [Value<'_>; 3] {
    let behind = to.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
    [tenant.as_str().into(), begin_of(from).into(), begin_of(behind).into()]
}

fn tallies(rows: &[Row]) -> Result<BTreeMap<NaiveDate, Tally>, StoreError> {
    let mut days: BTreeMap<NaiveDate, Tally> = BTreeMap::new();
    for row in rows {
        let (kind, n) = read(row)?;
        // A newer process may count kinds that are unknown here. They are left out.
        if let Some(activity) = Activity::ALL.into_iter().find(|activity| activity.name() == kind) {
            days.entry(row.time("day")?.date_naive()).or_default().add(activity, n);
        }
    }
    Ok(days)
}

/// Returns the kind of a row, known or unknown, and its count.
fn read(row: &Row) -> Result<(String, u64), StoreError> {
    let unreadable = |_| StoreError::Unreadable { table: "activity", id: String::new(), column: "n" };
    let n = u64::try_from(row.int("n")?).map_err(unreadable)?;
    Ok((row.text("kind")?, n))
}

fn begin_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc()
}

#[cfg(test)]
pub(super) mod tests;
