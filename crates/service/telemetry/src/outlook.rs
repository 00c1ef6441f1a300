//! Once a minute: computes trends and anomalies of the metrics, gives advice, and applies it if
//! configured.

mod actuators;
mod announce;
mod counters;
mod limits;
mod minute_report;
mod run;
mod sections;
mod watch;

pub use actuators::{CacheRoom, JobsAtOnce};
pub use watch::OutlookWatch;
