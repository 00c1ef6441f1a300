//! What health is judged from.

use std::borrow::Cow;
use std::time::Duration;

use crate::health::wording::Wording;

/// One measured value and the threshold it should not exceed.
///
/// Higher is worse: use a miss rate rather than a hit rate, failures rather than successes. A value
/// that cannot be judged (NaN, infinity, a negative value, a threshold that is not positive)
/// becomes an unknown component with that reason, never a healthy one.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub(crate) name: Cow<'static, str>,
    pub(crate) subject: Option<Cow<'static, str>>,
    pub(crate) observed: f64,
    pub(crate) threshold: f64,
    pub(crate) critical: bool,
    pub(crate) samples: Option<u64>,
    pub(crate) weight: f64,
    pub(crate) unit: Option<&'static str>,
    pub(crate) wording: Wording,
    pub(crate) detail: Option<String>,
    pub(crate) age: Duration,
    pub(crate) evidence: Evidence,
}

/// The evidence for a value that exceeds its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The number of samples alone.
    Samples,
    /// So few above the threshold that chance may have made them.
    Chance,
    /// Enough above the threshold to count, however few samples there are.
    Beyond,
}

impl Reading {
    /// A reading that is not critical, weighs 1 and doesn't depend on a number of samples.
    pub fn new(name: impl Into<Cow<'static, str>>, observed: f64, threshold: f64) -> Self {
        Self {
            name: name.into(),
            subject: None,
            observed,
            threshold,
            critical: false,
            samples: None,
            weight: 1.0,
            unit: None,
            wording: Wording::Number,
            detail: None,
            age: Duration::ZERO,
            evidence: Evidence::Samples,
        }
    }

    /// A reading that can't be taken, and why: an unknown component of that name.
    pub fn unknown(name: impl Into<Cow<'static, str>>, why: impl Into<String>) -> Self {
        Self::new(name, f64::NAN, f64::NAN).detail(why)
    }

    /// Creates a reading of a condition. It exceeds its threshold while `is_true`. The reason that
    /// operators read is then `sentence`, such as `the job store is unreachable`.
    pub fn condition(
        name: impl Into<Cow<'static, str>>,
        is_true: bool,
        sentence: impl Into<Cow<'static, str>>,
    ) -> Self {
        let reading = Self::new(name, if is_true { 1.0 } else { 0.0 }, 0.5).subject(sentence);
        Self { wording: Wording::Condition, ..reading }
    }

    /// Marks the component as critical. It can pull the overall score down to its own plus 10, and
    /// the whole is not healthy while it is unknown.
    #[must_use]
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// How many samples the value rests on; with too few the component is unknown.
    #[must_use]
    pub fn samples(mut self, samples: u64) -> Self {
        self.samples = Some(samples);
        self
    }

    pub(crate) fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// Sets the weight in the mean. A weight that is not a positive number counts as 1, one above a
    /// million as a million.
    #[must_use]
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = if weight.is_finite() && weight > 0.0 { weight.min(1e6) } else { 1.0 };
        self
    }

    /// Sets the name of the value in the sentence for operators, such as `P99 of all responses`. By
    /// default it is the name of the reading.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<Cow<'static, str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Marks the value as a share of 1. The sentence for operators shows it in percent.
    #[must_use]
    pub fn share(mut self) -> Self {
        self.wording = Wording::Percent;
        self
    }

    /// The unit of value and threshold, as `s` or `connections`.
    #[must_use]
    pub fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Sets text for people beside the numbers, such as the endpoint concerned.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Sets the age of the value, for values that are measured less often than they are judged. A
    /// value older than [`HealthConfig::stale_after`](crate::HealthConfig::stale_after) is unknown.
    #[must_use]
    pub fn taken_ago(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}
