//! The state of alerts that processes share: silences, reports, the sender, and the notices that
//! were sent.
//!
//! Nothing here retries: a process that waited for an unreachable database would send nothing.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_base::clock;
use tidegate_base::identity::Identity;
use tidegate_cache::Touched;
use tidegate_perfmon::{Alert, Silence};

use super::sql::alerts::{
    CLAIM_SENDER, END_SILENCE, INSERT_NOTICE, LIFT_SILENCE, MOVE_BEAT, MOVE_SENDER, NOTICES_BEHIND, PUT_REPORT,
    PUT_SILENCE, PUT_STATE, REMOVE_DEAD_REPORTS, REMOVE_NOTICES, REMOVE_OLD_REPORTS, REMOVE_REPORT, REMOVE_REPORTS,
    REMOVE_STATE, REPORTS, SENDER, SETTLE, SETTLED, SILENCES, STATES,
};
use super::value::{Row, Value};
use super::{Store, StoreError};

/// Maximum number of notices that are kept.
const MOST_NOTICES: u64 = 256;
/// How long a notice is sent.
const NOTICES_LAST_MS: i64 = 24 * 3_600_000;
/// Age at which the reports of a process that ended are removed.
const REPORTS_LAST_MS: i64 = 24 * 3_600_000;

/// A report of one process on one alert.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertReport {
    /// The reporting process, with its instance id.
    pub source: Identity,
    /// The alert.
    pub alert: Alert,
    /// `false` after the alert has ended.
    pub is_firing: bool,
    /// Whether the process sent the alert itself.
    pub is_direct: bool,
    /// Changes with each write of the process.
    pub beat: i64,
}

/// A change to the reports of one process.
#[derive(Debug, Default)]
pub struct ReportChange {
    /// New beat of all its reports.
    pub beat: i64,
    /// Whether all earlier reports are removed first.
    pub is_anew: bool,
    /// New and changed reports.
    pub changed: Vec<AlertReport>,
    /// Rule and subject of each report to remove.
    pub removed: Vec<(String, String)>,
}

/// A firing alert of the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertState {
    /// The process that reported it first.
    pub source: Identity,
    /// The alert.
    pub alert: Alert,
    /// Whether the receivers were notified that it fires.
    pub is_told: bool,
}

/// A change to the firing alerts of the fleet.
#[derive(Debug, Clone, PartialEq)]
pub enum StateChange {
    /// Inserts or replaces the alert.
    Put(Box<AlertState>),
    /// Removes an alert that has ended.
    Remove {
        /// Rule of the alert.
        rule: String,
        /// Subject of the alert.
        subject: String,
    },
}

/// The row of the process that sends notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSender {
    /// Instance id of the process. Empty if there is none.
    pub holder: String,
    /// Display name of the process.
    pub name: String,
    /// Changes with each change of the row.
    pub turn: i64,
    /// Number of the last notice.
    pub notices: u64,
}

impl Store {
    /// Returns the silences of all processes, including expired ones.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn alert_silences(&self) -> Result<Vec<Silence>, StoreError> {
        let read = |row: &Row| {
            Ok(Silence {
                rule: row.text("rule")?,
                subject: if row.int("whole")? == 1 { None } else { Some(row.text("subject")?) },
                until_unix_ms: unsigned(row.int("until_at")?),
                reason: row.text("reason")?,
            })
        };
        self.db.all(&SILENCES, &[]).await?.iter().map(read).collect()
    }

    /// Stores a silence. Replaces one with the same rule and subject.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn put_alert_silence(&self, silence: &Silence) -> Result<(), StoreError> {
        let [rule, whole, subject] = silence_key(&silence.rule, silence.subject.as_deref());
        let (until, reason) = (signed(silence.until_unix_ms), text(&silence.reason));
        self.alone(&PUT_SILENCE, &[rule, whole, subject, until.into(), reason, clock::now().into()]).await.map(|_| ())
    }

    /// Removes a silence. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn lift_alert_silence(&self, rule: &str, subject: Option<&str>) -> Result<bool, StoreError> {
        Ok(self.alone(&LIFT_SILENCE, &silence_key(rule, subject)).await? > 0)
    }

    /// Removes an expired silence, unless it was renewed.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn end_alert_silence(&self, silence: &Silence) -> Result<(), StoreError> {
        let [rule, whole, subject] = silence_key(&silence.rule, silence.subject.as_deref());
        self.alone(&END_SILENCE, &[rule, whole, subject, signed(silence.until_unix_ms).into()]).await.map(|_| ())
    }

    /// Returns the reports of all processes, at most the 10,000 most recent. Reports of a newer
    /// version that can't be read are left out.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn alert_reports(&self) -> Result<Vec<AlertReport>, StoreError> {
        let rows = self.db.all(&REPORTS, &[]).await?;
        let read = |row: &Row| -> Result<Option<AlertReport>, StoreError> {
            let (Some(source), Some(alert)) = (json(row, "source")?, json(row, "alert")?) else { return Ok(None) };
            let [firing, direct, beat] = [row.int("firing")?, row.int("direct")?, row.int("beat")?];
            Ok(Some(AlertReport { source, alert, is_firing: firing == 1, is_direct: direct == 1, beat }))
        };
        rows.iter().filter_map(|row| read(row).transpose()).collect()
    }

    /// Writes the changed reports of one process, and marks the process as alive. Returns how many
    /// reports it then has.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn put_alert_reports(&self, process: &str, change: &ReportChange) -> Result<u64, StoreError> {
        let ReportChange { beat, is_anew, changed, removed } = change;
        let mut change = self.begin_once().await?;
        if *is_anew {
            change.run(&REMOVE_REPORTS, &[process.into()], Touched::new()).await?;
        }
        for report in changed {
            let AlertReport { source, alert, is_firing, is_direct, .. } = report;
            let (rule, subject) = (text(&alert.rule), text(&alert.subject));
            let [firing, direct] = [*is_firing, *is_direct].map(|flag| Value::from(i64::from(flag)));
            let [source, alert] = [written(source), written(alert)];
            let values = [process.into(), rule, subject, firing, direct, (*beat).into(), source, alert];
            change.run(&PUT_REPORT, &values, Touched::new()).await?;
        }
        for (rule, subject) in removed {
            change.run(&REMOVE_REPORT, &[process.into(), text(rule), text(subject)], Touched::new()).await?;
        }
        let values = [(*beat).into(), process.into()];
        let reports = change.run(&MOVE_BEAT, &values, Touched::new()).await?;
        change.run(&REMOVE_OLD_REPORTS, &[REPORTS_LAST_MS.into()], Touched::new()).await?;
        change.commit().await?;
        Ok(reports)
    }

    /// Removes the reports of a dead process, unless it has written since.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn remove_dead_alert_reports(&self, process: &str, beat: i64) -> Result<(), StoreError> {
        self.alone(&REMOVE_DEAD_REPORTS, &[process.into(), beat.into()]).await.map(|_| ())
    }

    /// Returns the firing alerts of the fleet, as the sender wrote them, and the rules and subjects
    /// of those that can't be read.
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn alert_states(&self) -> Result<(Vec<AlertState>, Vec<(String, String)>), StoreError> {
        let (mut states, mut unreadable) = (Vec::new(), Vec::new());
        for row in self.db.all(&STATES, &[]).await? {
            match (json(&row, "source")?, json(&row, "alert")?) {
                (Some(source), Some(alert)) => {
                    states.push(AlertState { source, alert, is_told: row.int("told")? == 1 });
                }
                _ => unreadable.push((row.text("rule")?, row.text("subject")?)),
            }
        }
        Ok((states, unreadable))
    }

    /// Returns the row of the sender.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn alert_sender(&self) -> Result<AlertSender, StoreError> {
        let row = self.db.one(&SENDER, &[]).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(AlertSender {
            holder: row.text("holder")?,
            name: row.text("name")?,
            turn: row.int("turn")?,
            notices: unsigned(row.int("notices")?),
        })
    }

    /// Takes or keeps the role of the sender. An empty `process` releases it. Returns `false` if
    /// another process was faster.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn claim_alert_sender(&self, process: &str, name: &str, turn: i64) -> Result<bool, StoreError> {
        Ok(self.alone(&CLAIM_SENDER, &[process.into(), text(name), turn.into()]).await? == 1)
    }

    /// Records the firing alerts and the notices of the sender in one transaction. The number of
    /// the last notice becomes the sender's. Returns `false` and records nothing if another process
    /// has become the sender.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn record_alerts(
        &self,
        process: &str,
        sender: &AlertSender,
        changes: &[StateChange],
        notices: &[(u64, String)],
    ) -> Result<bool, StoreError> {
        let last = notices.last().map_or(sender.notices, |(number, _)| *number);
        let mut change = self.begin_once().await?;
        let values = [signed(last).into(), process.into(), sender.turn.into()];
        if change.run(&MOVE_SENDER, &values, Touched::new()).await? == 0 {
            return Ok(false);
        }
        for state in changes {
            match state {
                StateChange::Put(state) => {
                    let AlertState { source, alert, is_told } = &**state;
                    let (rule, subject) = (text(&alert.rule), text(&alert.subject));
                    let values = [rule, subject, i64::from(*is_told).into(), written(source), written(alert)];
                    change.run(&PUT_STATE, &values, Touched::new()).await?;
                }
                StateChange::Remove { rule, subject } => {
                    change.run(&REMOVE_STATE, &[text(rule), text(subject)], Touched::new()).await?;
                }
            }
        }
        for (number, body) in notices {
            let values = [signed(*number).into(), clock::now().into(), body.into()];
            change.run(&INSERT_NOTICE, &values, Touched::new()).await?;
        }
        let forgotten = signed(last.saturating_sub(MOST_NOTICES));
        change.run(&REMOVE_NOTICES, &[forgotten.into()], Touched::new()).await?;
        change.commit().await?;
        Ok(true)
    }

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
        self.alone(&SETTLE, &[way.into(), signed(number).into()]).await.map(|_| ())
    }

    /// Runs one statement in a separate transaction.
    async fn alone(&self, sql: &'static super::sql::Sql, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let mut change = self.begin_once().await?;
        let written = change.run(sql, values, Touched::new()).await?;
        change.commit().await?;
        Ok(written)
    }
}

fn silence_key<'a>(rule: &'a str, subject: Option<&'a str>) -> [Value<'a>; 3] {
    [text(rule), i64::from(subject.is_none()).into(), text(subject.unwrap_or_default())]
}

/// PostgreSQL can't store zero bytes.
fn text(text: &str) -> Value<'_> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Serializes to JSON. Numbers and texts always succeed.
fn written<T: Serialize>(value: &T) -> Value<'static> {
    serde_json::to_string(value).unwrap_or_default().into()
}

fn json<T: DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>, StoreError> {
    Ok(serde_json::from_str(&row.text(column)?).ok())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests;
