//! Reports of each process on the alerts that it sees.

use tidegate_base::identity::Identity;
use tidegate_cache::Touched;
use tidegate_perfmon::Alert;

use super::values::{json, text, written};
use crate::error::StoreError;
use crate::sql::alerts::{
    MOVE_BEAT, PUT_REPORT, REMOVE_DEAD_REPORTS, REMOVE_OLD_REPORTS, REMOVE_REPORT, REMOVE_REPORTS, REPORTS,
};
use crate::store::Store;
use crate::value::{Row, Value};

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

impl Store {
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
        self.write_once(&REMOVE_DEAD_REPORTS, &[process.into(), beat.into()]).await.map(|_| ())
    }
}
