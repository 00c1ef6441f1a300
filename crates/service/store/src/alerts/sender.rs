//! The process that sends notices, and the firing alerts of the fleet as it records them.

use tidegate_base::clock;
use tidegate_base::identity::Identity;
use tidegate_cache::Touched;
use tidegate_perfmon::Alert;

use super::values::{json, signed, text, unsigned, written};
use crate::error::StoreError;
use crate::sql::alerts::{
    CLAIM_SENDER, INSERT_NOTICE, MOVE_SENDER, PUT_STATE, REMOVE_NOTICES, REMOVE_STATE, SENDER, STATES,
};
use crate::store::Store;

/// Maximum number of notices that are kept.
const MOST_NOTICES: u64 = 256;

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
        Ok(self.write_once(&CLAIM_SENDER, &[process.into(), text(name), turn.into()]).await? == 1)
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
}
