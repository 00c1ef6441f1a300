//! Sums of a tenant's schedules by day, title and attendee.
//!
//! The database computes the sums over one *stretch* of schedules at a time. So a report can show
//! its progress and stop, and keeps only the names of one stretch in memory.

use std::ops::Range;

use chrono::{DateTime, NaiveDate, Utc};
use tidegate_model::tenant::TenantId;

use super::sql::Sql;
use super::sql::reports::{ATTENDEES, COUNT, DAYS, END_OF_PAGE, TITLES};
use super::value::{Row, Value};
use super::{Snapshot, StoreError};

/// A range of a tenant's schedules, ordered by start and id.
#[derive(Debug, Clone)]
pub struct ScheduleRange {
    behind: PagePosition,
    up_to: PagePosition,
    /// Whether it is the last stretch of the span.
    pub is_last: bool,
}

#[derive(Debug, Clone)]
struct PagePosition {
    starts_at: DateTime<Utc>,
    /// Empty before the first schedule.
    id: String,
}

/// Sums over some schedules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Number of schedules.
    pub schedules: u64,
    /// Number of schedules that repeat.
    pub recurring: u64,
    /// Total duration in seconds, each schedule counted once.
    pub seconds: u64,
}

impl Sum {
    /// Returns the sum of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            schedules: self.schedules.saturating_add(other.schedules),
            recurring: self.recurring.saturating_add(other.recurring),
            seconds: self.seconds.saturating_add(other.seconds),
        }
    }
}

/// The name by which schedules are grouped.
#[derive(Debug, Clone, Copy)]
pub enum Named {
    /// The title.
    Title,
    /// The attendees. A schedule counts for each of them.
    Attendee,
}

impl Snapshot {
    /// Returns how many of the tenant's schedules start within the span.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn count_starting(&mut self, tenant: &TenantId, span: &Range<DateTime<Utc>>) -> Result<u64, StoreError> {
        let values = [tenant.as_str().into(), span.start.into(), span.end.into()];
        let rows = self.all(&COUNT, &values).await?;
        let count = rows.first().map_or(Ok(0), |row| row.int("rows"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Returns the stretch after `last`, or the first one. It has `size` schedules that start
    /// within the span, or fewer at the end of the span.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn stretch(
        &mut self,
        tenant: &TenantId,
        span: &Range<DateTime<Utc>>,
        size: u32,
        last: Option<ScheduleRange>,
    ) -> Result<ScheduleRange, StoreError> {
        let begin = |starts_at| PagePosition { starts_at, id: String::new() };
        let behind = last.map_or(begin(span.start), |last| last.up_to);
        let before_end = i64::from(size.saturating_sub(1));
        let values =
            [tenant.as_str().into(), behind.starts_at.into(), (&behind.id).into(), span.end.into(), before_end.into()];
        let end = self.all(&END_OF_PAGE, &values).await?;
        let end = end
            .first()
            .map(|row| Ok::<_, StoreError>(PagePosition { starts_at: row.time("starts_at")?, id: row.text("id")? }));
        let end = end.transpose()?;
        let is_last = end.is_none();
        Ok(ScheduleRange { behind, up_to: end.unwrap_or_else(|| begin(span.end)), is_last })
    }

    /// Returns the sums of a stretch by the UTC day of the start.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn sums_by_day(
        &mut self,
        tenant: &TenantId,
        stretch: &ScheduleRange,
    ) -> Result<Vec<(NaiveDate, Sum)>, StoreError> {
        let rows = self.all(&DAYS, &stretch.values(tenant)).await?;
        rows.iter().map(|row| Ok((row.time("day")?.date_naive(), read(row)?))).collect()
    }

    /// Returns the sums of a stretch by name.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn sums_by_name(
        &mut self,
        tenant: &TenantId,
        stretch: &ScheduleRange,
        named: Named,
    ) -> Result<Vec<(String, Sum)>, StoreError> {
        let sql: &'static Sql = match named {
            Named::Title => &TITLES,
            Named::Attendee => &ATTENDEES,
        };
        let rows = self.all(sql, &stretch.values(tenant)).await?;
        rows.iter().map(|row| Ok((row.text("name")?, read(row)?))).collect()
    }
}

impl ScheduleRange {
    fn values<'a>(&'a self, tenant: &'a TenantId) -> [Value<'a>; 5] {
        [
            tenant.as_str().into(),
            self.behind.starts_at.into(),
            (&self.behind.id).into(),
            self.up_to.starts_at.into(),
            (&self.up_to.id).into(),
        ]
    }
}

fn read(row: &Row) -> Result<Sum, StoreError> {
    // Counts are not negative, and no schedule ends before it starts.
    let figure = |column| Ok::<_, StoreError>(u64::try_from(row.int(column)?).unwrap_or(0));
    Ok(Sum { schedules: figure("n")?, recurring: figure("recurring")?, seconds: figure("seconds")? })
}

#[cfg(test)]
pub(super) mod tests;
