//! What tenants did, counted by day.
//!
//! Each act leaves a row, written in its own transaction, so that what is counted is what was done. Rows are rolled into days by
//! taking them out and adding them up in one transaction: whoever rolls, however often and however many at once, each counts once.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, Utc};
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

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// Schedules created, one by one.
    Created,
    /// Schedules replaced.
    Updated,
    /// Schedules imported.
    Imported,
    /// Reminders sent.
    Reminded,
    /// Schedules read, one by one.
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

/// How much of each was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Schedules created, one by one.
    pub created: u64,
    /// Schedules replaced.
    pub updated: u64,
    /// Schedules imported.
    pub imported: u64,
    /// Reminders sent.
    pub reminders_sent: u64,
    /// Schedules read, one by one.
    pub views: u64,
}

impl Tally {
    /// Both together.
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
    /// What the tenant did on each day from `from` to `to`, both included, in UTC: also what is not rolled yet. Days without anything
    /// are left out.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn analytics(
        &self,
        tenant: &TenantId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<BTreeMap<NaiveDate, Tally>, StoreError> {
        tallies(&self.all(&SPAN, &span_values(tenant, from, to)).await?)
    }

    /// Rolls at most `limit` rows into their days. How many it was: less than `limit` when none are left.
    ///
    /// # Errors
    ///
    /// When the database can't be written. Where the outcome of the commit is not known, the rows are rolled or still there: either
    /// way nothing is counted twice by rolling again.
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

    /// Removes days before `first`. How many rows it were.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
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

/// Schedules of one tenant that were read on one day, one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Views {
    /// The tenant.
    pub tenant: TenantId,
    /// The day, UTC.
    pub day: NaiveDate,
    /// How many reads.
    pub count: i64,
}

impl Store {
    /// Adds a batch of views, unless the batch of that number of that stream, or a later one, was
    /// added before. A tenant that is deleted by now has none.
    ///
    /// # Errors
    ///
    /// When the database can't be written: nothing was added. Where the outcome of the commit is
    /// not known, the batch may have been added, and can be given again under its number.
    pub async fn add_views(&self, stream: &str, number: u64, views: &[Views]) -> Result<(), StoreError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        // In one order: two processes that add to the same days would otherwise wait for each other
        // for ever.
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
    /// When the database can't be written.
    pub async fn remove_idle_streams(&self, since: DateTime<Utc>) -> Result<u64, StoreError> {
        self.write_alone(&REMOVE_STREAMS, &[since.into()]).await
    }
}

impl Change {
    /// Counts what this change does. Together they are, or neither is.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn note(&mut self, tenant: &TenantId, activity: Activity, n: u64) -> Result<(), StoreError> {
        if n == 0 {
            return Ok(());
        }
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let id = Uuid::now_v7();
        let values = [id.into(), tenant.as_str().into(), activity.name().into(), n.into(), clock::now().into()];
        // Nobody caches what is counted.
        self.run(&INSERT, &values, Touched::new()).await?;
        Ok(())
    }

    async fn roll(&mut self, limit: u32) -> Result<u64, StoreError> {
        let taken = self.all(&TAKE, &[clock::now().into(), i64::from(limit).into()]).await?;
        // In one order: two that add to the same days would else wait for each other for ever.
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
    /// As [`Store::analytics`].
    ///
    /// # Errors
    ///
    /// When the database can't be read.
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
        // A newer process may count what this one does not know: it is left out.
        if let Some(activity) = Activity::ALL.into_iter().find(|activity| activity.name() == kind) {
            days.entry(row.time("day")?.date_naive()).or_default().add(activity, n);
        }
    }
    Ok(days)
}

/// The kind of a row, known or not, and its count.
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
