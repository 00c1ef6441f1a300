//! The news of a minute.

use tidegate_perfmon::action::Entry;
use tidegate_perfmon::advice::Advice;
use tidegate_perfmon::outlook::ToldAnomaly;

use super::limits::InMinutes;

/// The news of a minute.
#[derive(Debug, Default)]
pub(super) struct MinuteReport {
    pub(super) anomalies: Vec<ToldAnomaly>,
    pub(super) advice: Vec<Advice>,
    pub(super) near: Vec<LimitForecast>,
    pub(super) done: Vec<Entry>,
}

/// A metric that is forecast to reach its limit, with the whole interval.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LimitForecast {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) limit: f64,
    pub(super) reach: InMinutes,
}
