//! What advice says.

use serde::Serialize;

use super::signals::Signals;

/// From where on a rule speaks.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The least share of look-ups that a cache should answer; 0.8.
    pub hit_rate: f64,
    /// The most that one statement should run in a request; 5.
    pub repeats: u64,
    /// The largest share of runs that may be retries; 0.1.
    pub retries: f64,
    /// The largest share of charges that a limiter should refuse while nothing else is wrong; 0.2.
    pub denied: f64,
    /// How much of all query time one statement may take before it is named; 0.3.
    pub query_share: f64,
    /// Fewer look-ups, requests, runs or charges in five minutes say nothing; 100.
    pub samples: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { hit_rate: 0.8, repeats: 5, retries: 0.1, denied: 0.2, query_share: 0.3, samples: 100 }
    }
}

/// A figure that speaks for an advice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Evidence {
    /// Name of the figure, as `hit rate`.
    pub name: &'static str,
    /// Its recent value.
    pub value: f64,
    /// The value it is compared with: a limit, or its value before.
    pub against: f64,
    /// Unit of both, as `s`; `None` for shares and counts.
    pub unit: Option<&'static str>,
}

impl Evidence {
    pub(super) fn new(name: &'static str, value: f64, against: f64) -> Self {
        Self { name, value, against, unit: None }
    }

    pub(super) fn seconds(name: &'static str, value: f64, against: f64) -> Self {
        Self { unit: Some("s"), ..Self::new(name, value, against) }
    }
}

/// The figure that a change should reduce. Higher is worse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "of", content = "name")]
#[non_exhaustive]
pub enum Symptom {
    /// The share of look-ups that this cache didn't answer.
    Misses(String),
    /// How long this queue's jobs take from ready to ended, in seconds. It also shows if more
    /// workers only make each worker slower.
    Sojourn(String),
    /// The share of charges that this limiter refuses.
    Denied(String),
    /// The API's P99.
    P99,
}

impl Symptom {
    /// Returns its value in that minute; `None` if there was no data for it.
    pub fn of(&self, signals: &Signals) -> Option<f64> {
        match self {
            Self::Misses(name) => {
                let cache = signals.cache(name)?;
                share(cache.misses, cache.lookups())
            }
            Self::Sojourn(name) => {
                let queue = signals.queue(name)?;
                Some(queue.wait? + queue.service?)
            }
            Self::Denied(name) => {
                let limiter = signals.limiter(name)?;
                share(limiter.denied, limiter.allowed.saturating_add(limiter.denied))
            }
            Self::P99 => signals.api?.p99,
        }
        .filter(|value| value.is_finite())
    }
}

/// A change that could be made by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The actuator's name: `cache:`, `workers:` or `limit:` and the name of what it belongs to.
    pub actuator: String,
    /// Factor for its value.
    pub factor: f64,
    /// The symptom that the change should improve.
    pub symptom: Symptom,
}

/// A recommended change, and its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// Which rule speaks, as `more-room`. With `target`, the same advice in each minute.
    pub id: &'static str,
    /// The subject: a cache, a queue, a limiter, a statement, or `api`.
    pub target: String,
    /// The recommended action, in a sentence.
    pub text: String,
    /// Why. Never empty.
    pub evidence: Vec<Evidence>,
    /// Between 0 and 1. It is low if few samples support the advice, or if they hardly exceed the
    /// limit.
    pub confidence: f64,
    /// The expected gain, in a sentence.
    pub gain: String,
    /// The observation that would show that the advice was wrong.
    pub disproved_by: &'static str,
    /// The change that would follow it, where a machine may make it.
    pub action: Option<Change>,
}

/// Part of a whole; `None` of nothing.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    if whole == 0 { None } else { Some(part as f64 / whole as f64) }
}

/// Returns how sure an advice is. One half depends on the number of samples (half of it at the
/// needed number). The other half depends on how far the evidence exceeds its limit (all of it at
/// twice the limit).
pub(super) fn confidence(samples: u64, needed: u64, beyond: f64) -> f64 {
    let many = samples as f64 / (samples as f64 + needed.max(1) as f64);
    let clear = if beyond.is_nan() { 0.0 } else { (beyond - 1.0).clamp(0.0, 1.0) };
    many * (0.5 + 0.5 * clear)
}
