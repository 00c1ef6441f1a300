//! Figures of a tenant's schedules by day, title and attendee.
//!
//! The database adds them up over a *stretch* of schedules at a time, so that whoever makes a report hears of its progress, can stop, and
//! holds no more than the names of one stretch.

use std::ops::Range;

use chrono::{DateTime, NaiveDate, Utc};
use tidegate_model::tenant::TenantId;

use super::sql::Sql;
use super::sql::reports::{ATTENDEES, COUNT, DAYS, END_OF_PAGE, TITLES};
use super::value::{Row, Value};
use super::{Snapshot, StoreError};

/// Some of a tenant's schedules, one behind the other by start and id.
#[derive(Debug, Clone)]
pub struct Stretch {
    behind: Place,
    up_to: Place,
    /// Whether none of the span is behind it.
    pub is_last: bool,
}

#[derive(Debug, Clone)]
struct Place {
    starts_at: DateTime<Utc>,
    /// Empty before the first.
    id: String,
}

/// What some schedules come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many they are.
    pub schedules: u64,
    /// How many of them come again by a rule.
    pub recurring: u64,
    /// How long they take together, each once.
    pub seconds: u64,
}

impl Sum {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            schedules: self.schedules.saturating_add(other.schedules),
            recurring: self.recurring.saturating_add(other.recurring),
            seconds: self.seconds.saturating_add(other.seconds),
        }
    }
}

/// A name that schedules are added up by.
#[derive(Debug, Clone, Copy)]
pub enum Named {
    /// What they are called.
    Title,
    /// Who takes part: a schedule counts for each.
    Attendee,
}

impl Snapshot {
    /// How many of the tenant's schedules start within the span.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn count_starting(&mut self, tenant: &TenantId, span: &Range<DateTime<Utc>>) -> Result<u64, StoreError> {
        let values = [tenant.as_str().into(), span.start.into(), span.end.into()];
        let rows = self.all(&COUNT, &values).await?;
        let count = rows.first().map_or(Ok(0), |row| row.int("rows"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The stretch behind `last`, or the first, of `size` schedules that start within the span; fewer only at its end.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn stretch(
        &mut self,
        tenant: &TenantId,
        span: &Range<DateTime<Utc>>,
        size: u32,
        last: Option<Stretch>,
    ) -> Result<Stretch, StoreError> {
        let begin = |starts_at| Place { starts_at, id: String::new() };
        let behind = last.map_or(begin(span.start), |last| last.up_to);
        let before_end = i64::from(size.saturating_sub(1));
        let values =
            [tenant.as_str().into(), behind.starts_at.into(), (&behind.id).into(), span.end.into(), before_end.into()];
        let end = self.all(&END_OF_PAGE, &values).await?;
        let end = end
            .first()
            .map(|row| Ok::<_, StoreError>(Place { starts_at: row.time("starts_at")?, id: row.text("id")? }));
        let end = end.transpose()?;
        let is_last = end.is_none();
        Ok(Stretch { behind, up_to: end.unwrap_or_else(|| begin(span.end)), is_last })
    }

    /// What the schedules of a stretch come to, by the day of their start in UTC.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn sums_by_day(
        &mut self,
        tenant: &TenantId,
        stretch: &Stretch,
    ) -> Result<Vec<(NaiveDate, Sum)>, StoreError> {
        let rows = self.all(&DAYS, &stretch.values(tenant)).await?;
        rows.iter().map(|row| Ok((row.time("day")?.date_naive(), read(row)?))).collect()
    }

    /// The same by a name.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn sums_by_name(
        &mut self,
        tenant: &TenantId,
        stretch: &Stretch,
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

impl Stretch {
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
    // Neither is a count negative, nor does a schedule end before it starts.
    let figure = |column| Ok::<_, StoreError>(u64::try_from(row.int(column)?).unwrap_or(0));
    Ok(Sum { schedules: figure("n")?, recurring: figure("recurring")?, seconds: figure("seconds")? })
}

#[cfg(test)]
pub(super) mod tests;
