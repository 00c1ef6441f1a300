//! When a schedule is due.

use std::fmt;
use std::time::Duration;

/// When a schedule is due.
///
/// Daylight saving: if the hour field matches every hour, a cron expression follows real time
/// (`*/15 * * * *` is due every 15 minutes). Otherwise it names times of the day, due once a day:
/// the first of two if the clock shows a time twice, directly after the gap if it skips the time.
///
/// ```
/// use tidegate_queue::{Recurrence, Timestamp};
///
/// let nightly = Recurrence::cron("30 2 * * *", "Europe/Berlin");
/// let before = serde_json::from_str::<Timestamp>("\"2026-03-28T12:00:00Z\"")?;
/// let times: Vec<_> = nightly.upcoming(before, 2)?.iter().map(ToString::to_string).collect();
/// // On 29 March the clock goes from 02:00 to 03:00: the run comes at 03:00, which is 01:00 UTC.
/// assert_eq!(times, ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recurrence {
    /// At the times of a cron expression in a time zone.
    Cron {
        /// Five fields (minute, hour, day of month, month, day of week), six with seconds first, or
        /// a nickname such as `@daily`. If both day fields are restricted, one match is enough.
        /// With `+` before the days of the week, both must match.
        expression: String,
        /// Name in the IANA time zone database, such as `Europe/Berlin`.
        zone: String,
    },
    /// At a fixed interval, counted in milliseconds from the time the schedule was put.
    Every(Duration),
}

impl Recurrence {
    /// At the times of a cron expression in a time zone such as `Europe/Berlin` or `UTC`.
    pub fn cron(expression: impl Into<String>, zone: impl Into<String>) -> Self {
        Self::Cron { expression: expression.into(), zone: zone.into() }
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { expression, zone } => write!(f, "cron expression {expression:?} in {zone}"),
            Self::Every(interval) => write!(f, "an interval of {interval:?}"),
        }
    }
}
