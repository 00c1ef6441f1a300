//! Reminders: due occurrences and their state.
//!
//! A reminder is a row whose key is the occurrence. It is created in the transaction that advances
//! its schedule. It is marked as sent in the transaction of its notification. So repeated or
//! concurrent preparation and sending result in one reminder. A change or deletion of a schedule
//! removes its unsent reminders.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde_json::json;
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::tenant::TenantId;
use uuid::Uuid;

use super::notifications::Turn;
use super::schedules::read as read_schedule;
use super::sql::reminders::{FORGET, INSERT, MAILS, MOVE, OF_DAY, PENDING, REMOVE_OLD, SCHEDULES, SEND};
use super::sql::schedules::SCHEDULE;
use super::sql::tenants::TENANT_TO_CHANGE;
use super::value::Row;
use super::{Activity, Change, NewNotification, Notification, Schedule, Store, StoreError};

/// A schedule whose occurrences are due for a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSchedule {
    /// Id of the schedule.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: TenantId,
    /// Start of the schedule.
    pub starts_at: DateTime<Utc>,
    /// RFC 5545 RRULE. `None` if it does not repeat.
    pub recurrence: Option<String>,
    /// Time from which its occurrences are unchecked.
    pub next_at: DateTime<Utc>,
}

/// Occurrences of a schedule to prepare.
#[derive(Debug, Clone)]
pub struct Occurring {
    /// The schedule.
    pub schedule: DueSchedule,
    /// Occurrences that get a reminder each.
    pub within: Vec<DateTime<Utc>>,
    /// Time of the next check. `None` if there is none.
    pub next: Option<DateTime<Utc>>,
}

/// Result of a preparation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Number of reminders that were created.
    pub made: u64,
    /// By tenant, the number of occurrences without a reminder because the daily limit was reached.
    pub refused: HashMap<TenantId, u64>,
}

/// An unsent reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingReminder {
    /// Id of the schedule.
    pub schedule: Uuid,
    /// The occurrence.
    pub at: DateTime<Utc>,
    /// Its tenant.
    pub tenant: TenantId,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A reminder that was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct SentReminder {
    /// The notification of the tenant.
    pub notification: Notification,
    /// The schedule at that time.
    pub schedule: Schedule,
    /// Number of attendees that are e-mail addresses and get a mail, counted from the first.
    pub mails: usize,
}

impl Store {
    /// Returns schedules that are due for a check up to `until`, after `after`, in the order of
    /// their due time.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn due_schedules(
        &self,
        until: DateTime<Utc>,
        after: Option<&DueSchedule>,
        limit: u32,
    ) -> Result<Vec<DueSchedule>, StoreError> {
        let behind = after.map_or(i64::MIN, |after| after.next_at.timestamp_millis());
        let id = after.map(|after| after.id.to_string()).unwrap_or_default();
        let rows = self.all(&SCHEDULES, &[until.into(), behind.into(), id.into(), i64::from(limit).into()]).await?;
        let due = |row: &Row| {
            Ok(DueSchedule {
                id: uuid(row, "id")?,
                tenant: tenant(row)?,
                starts_at: row.time("starts_at")?,
                recurrence: row.opt_text("recurrence")?,
                next_at: row.time("next_at")?,
            })
        };
        rows.iter().map(due).collect()
    }

    /// Creates reminders and advances their schedules, in one transaction. A tenant gets at most
    /// `most` reminders on each UTC day of occurrences. A schedule that changed in the meantime is
    /// skipped.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn prepare_reminders(&self, occurring: &[Occurring], most: u32) -> Result<Prepared, StoreError> {
        // A fixed order, so that two preparations of the same schedules can't deadlock.
        let mut sorted: Vec<_> = occurring.iter().collect();
        sorted.sort_unstable_by_key(|occurring| occurring.schedule.id);
        let sorted = &sorted;
        let prepare = || async {
            let mut change = self.begin_once().await?;
            let prepared = change.prepare(sorted, most).await?;
            change.commit().await?;
            Ok(prepared)
        };
        match self.db.insist(prepare).await {
            // A schedule that the first attempt advanced is not advanced again.
            Err(StoreError::OutcomeUnknown(_)) => self.db.insist(prepare).await,
            prepared => prepared,
        }
    }

    /// Returns unsent reminders of occurrences in that span, after `after`, in order.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn pending_reminders(
        &self,
        (from, until): (DateTime<Utc>, DateTime<Utc>),
        after: Option<&PendingReminder>,
        limit: u32,
    ) -> Result<Vec<PendingReminder>, StoreError> {
        let behind = after.map_or(i64::MIN, |after| after.at.timestamp_millis());
        let id = after.map(|after| after.schedule.to_string()).unwrap_or_default();
        let values = [from.into(), until.into(), behind.into(), id.into(), i64::from(limit).into()];
        let rows = self.all(&PENDING, &values).await?;
        let pending = |row: &Row| {
            Ok(PendingReminder {
                schedule: uuid(row, "schedule_id")?,
                at: row.time("at")?,
                tenant: tenant(row)?,
                created_at: row.time("created_at")?,
            })
        };
        rows.iter().map(pending).collect()
    }

    /// Sends a reminder once: publishes the notification and counts it, in one transaction. A
    /// repeated call returns the earlier result. `None` if there is no such reminder because its
    /// schedule was changed or deleted.
    ///
    /// At most `most_mails` mails are sent for the reminders of a tenant on one day.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn send_reminder(
        &self,
        tenant: &TenantId,
        schedule: Uuid,
        at: DateTime<Utc>,
        most_mails: u32,
    ) -> Result<Option<SentReminder>, StoreError> {
        let send = || async {
            let mut change = self.begin_once().await?;
            let Some((sent, is_new)) = change.send_reminder(tenant, schedule, at, most_mails).await? else {
                return Ok(None);
            };
            if is_new {
                change.commit().await?;
            }
            Ok(Some(sent))
        };
        match self.db.insist(send).await {
            // Whatever the outcome of the first attempt, it is sent once after the second.
            Err(StoreError::OutcomeUnknown(_)) => self.db.insist(send).await,
            sent => sent,
        }
    }

    /// Removes reminders of occurrences before `before`.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn remove_reminders_before(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        self.write_alone(&REMOVE_OLD, &[before.into()]).await
    }
}

impl Change {
    /// Removes the unsent reminders of a schedule.
    pub(super) async fn forget_reminders(&mut self, schedule: Uuid) -> Result<(), StoreError> {
        self.run(&FORGET, &[schedule.into()], Touched::new()).await.map(|_| ())
    }

    async fn prepare(&mut self, sorted: &[&Occurring], most: u32) -> Result<Prepared, StoreError> {
        let of_those = sorted.iter().filter(|occurring| !occurring.within.is_empty());
        let tenants: BTreeSet<_> = of_those.map(|occurring| occurring.schedule.tenant.as_str()).collect();
        for tenant in tenants {
            // Concurrent preparations for the same tenant count one after the other.
            self.one(&TENANT_TO_CHANGE, &[tenant.into()]).await?;
        }
        let mut prepared = Prepared::default();
        let mut rooms: BTreeMap<(&str, NaiveDate), u64> = BTreeMap::new();
        for Occurring { schedule, within, next } in sorted {
            let values = [
                next.map(|next| next.timestamp_millis()).into(),
                schedule.id.into(),
                schedule.next_at.into(),
                schedule.starts_at.into(),
                schedule.recurrence.as_deref().unwrap_or_default().into(),
            ];
            if self.run(&MOVE, &values, Touched::new()).await? == 0 {
                continue;
            }
            for at in within {
                let day = (schedule.tenant.as_str(), at.date_naive());
                let room = match rooms.get(&day) {
                    Some(room) => *room,
                    None => u64::from(most).saturating_sub(self.of_day(day.0, day.1).await?.0),
                };
                if room == 0 {
                    rooms.insert(day, 0);
                    *prepared.refused.entry(schedule.tenant.clone()).or_default() += 1;
                    continue;
                }
                let values = [schedule.id.into(), (*at).into(), day.0.into(), clock::now().into()];
                let made = self.run(&INSERT, &values, Touched::new()).await?;
                rooms.insert(day, room - made);
                prepared.made += made;
            }
        }
        Ok(prepared)
    }

    /// Returns the number of the tenant's reminders on that day, and of their mails.
    async fn of_day(&mut self, tenant: &str, day: NaiveDate) -> Result<(u64, u64), StoreError> {
        let begin = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc();
        let behind = day.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        let row = self.one(&OF_DAY, &[tenant.into(), begin(day).into(), begin(behind).into()]).await?;
        let Some(row) = row else { return Ok((0, 0)) };
        let count = |column| row.int(column).map(|count| u64::try_from(count).unwrap_or(0));
        Ok((count("reminders")?, count("mails")?))
    }

    /// Returns also whether this change sends it.
    async fn send_reminder(
        &mut self,
        tenant: &TenantId,
        id: Uuid,
        at: DateTime<Utc>,
        most_mails: u32,
    ) -> Result<Option<(SentReminder, bool)>, StoreError> {
        let source = format!("reminder.{}.{}", id.simple(), at.timestamp_millis());
        let new = NewNotification { tenant, source: &source, user: None, kind: "schedule.reminder", body: "" };
        // This also takes the lock under which mails are counted.
        let turn = self.next_number(&new).await?;
        let row = self.one(&SCHEDULE, &[id.into(), tenant.as_str().into()]).await?;
        let Some(schedule) = row.map(|row| read_schedule(&row)).transpose()? else { return Ok(None) };
        let seq = match turn {
            Turn::Next(seq) => seq,
            Turn::Told(notification) => {
                let row = self.one(&MAILS, &[id.into(), at.into()]).await?;
                let mails = row.map_or(Ok(0), |row| row.int("mails"))?;
                let mails = usize::try_from(mails).unwrap_or(0);
                return Ok(Some((SentReminder { notification, schedule, mails }, false)));
            }
        };
        let mails = match most_mails {
            0 => 0,
            most => {
                let sent = self.of_day(tenant.as_str(), at.date_naive()).await?.1;
                let room = usize::try_from(u64::from(most).saturating_sub(sent)).unwrap_or(usize::MAX);
                schedule.addresses().count().min(room)
            }
        };
        let values = [
            clock::now().into(),
            i64::try_from(mails).unwrap_or(i64::MAX).into(),
            id.into(),
            at.into(),
            tenant.as_str().into(),
        ];
        if self.run(&SEND, &values, Touched::new()).await? == 0 {
            return Ok(None);
        }
        let body = json!({
            "schedule": schedule.id,
            "title": schedule.title,
            "starts_at": at,
            "ends_at": at + (schedule.ends_at - schedule.starts_at),
        });
        let body = body.to_string();
        let told = Notification { seq, user: None, kind: new.kind.to_owned(), body: body.clone(), at: clock::now() };
        self.insert_notification(&NewNotification { body: &body, ..new }, &told).await?;
        self.note(tenant, Activity::Reminded, 1).await?;
        Ok(Some((SentReminder { notification: told, schedule, mails }, true)))
    }
}

fn uuid(row: &Row, column: &'static str) -> Result<Uuid, StoreError> {
    let id = row.text(column)?;
    Uuid::try_parse(&id).map_err(|_| StoreError::Unreadable { table: "reminder", id, column })
}

fn tenant(row: &Row) -> Result<TenantId, StoreError> {
    let id = row.text("tenant_id")?;
    id.parse().map_err(|_| StoreError::Unreadable { table: "reminder", id, column: "tenant_id" })
}

#[cfg(test)]
pub(super) mod tests;
