//! Computes trends, anomalies and advice from the counters of each minute.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tidegate_perfmon::action;
use tidegate_perfmon::action::{Actions, Actuator};
use tidegate_perfmon::advice::{Advice, Limits, Signals, advise};
use tidegate_perfmon::outlook::{self, Figure, Outlook, Refused, ToldAnomaly};
use tidegate_settings::PerformanceSettings;

use super::counters::Counters;
use super::limits::{HealthLimits, InMinutes, Limit};
use super::minute_report::{LimitForecast, MinuteReport};
use crate::alerts::AlertDispatcher;

/// Number of minutes that advice considers.
const MINUTES: usize = 35;
/// Advice that was not given for this many minutes is announced when it is given again.
const FORGOTTEN: u64 = 30;

/// Trends, anomalies, advice, and the changes that were made on advice.
///
/// A calculation holds a separate lock for its duration, which is a quarter of a second with many
/// metrics. Readers do not wait for it.
pub struct OutlookWatch {
    limits: Limits,
    judged: HealthLimits,
    /// Start of minute 0, in milliseconds since the Unix epoch.
    began_unix_ms: u64,
    calculating: Mutex<Calculating>,
    shown: Mutex<Arc<LastResults>>,
    actions: Mutex<Actions>,
    /// The alert dispatcher that announces news. Empty before the start.
    pub(super) dispatcher: OnceLock<Arc<AlertDispatcher>>,
}

struct Calculating {
    outlook: Outlook,
    /// Oldest first.
    minutes: Vec<Signals>,
    before: Option<Counters>,
    /// By rule and target, the minute in which the advice was last given.
    advised: BTreeMap<(&'static str, String), u64>,
    /// Metrics that were announced as approaching their limits.
    near: BTreeSet<String>,
}

/// The results of the last minute.
#[derive(Default)]
pub(super) struct LastResults {
    pub(super) figures: Vec<Forecast>,
    pub(super) refused: Refused,
    /// Newest first.
    pub(super) anomalies: Vec<ToldAnomaly>,
    pub(super) advice: Vec<Advice>,
}

/// A metric, and when it reaches its limit.
pub(super) struct Forecast {
    pub(super) figure: Figure,
    pub(super) limit: Option<Limit>,
    pub(super) reach: Option<InMinutes>,
}

impl fmt::Debug for OutlookWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutlookWatch").finish_non_exhaustive()
    }
}

impl OutlookWatch {
    /// Makes a watch with these adjustable values, which it changes only if the settings allow it.
    /// Minute 0 began at `began_unix_ms`, in milliseconds since the Unix epoch.
    pub fn new(settings: &PerformanceSettings, began_unix_ms: u64, actuators: Vec<Arc<dyn Actuator>>) -> Self {
        let mut limits = Limits::default();
        limits.hit_rate = settings.health.hit_rate;
        limits.repeats = u64::from(settings.queries.alike);
        let mut acts = action::Settings::default();
        acts.enabled = settings.acts;
        let outlook = Outlook::new(outlook::Settings::default());
        Self {
            limits,
            judged: HealthLimits::new(settings),
            began_unix_ms,
            calculating: Mutex::new(Calculating {
                outlook,
                minutes: Vec::new(),
                before: None,
                advised: BTreeMap::new(),
                near: BTreeSet::new(),
            }),
            shown: Mutex::default(),
            actions: Mutex::new(Actions::new(acts, actuators)),
            dispatcher: OnceLock::new(),
        }
    }

    /// Adds an adjustable value of a part that starts after the node.
    pub fn add_actuator(&self, actuator: Arc<dyn Actuator>) {
        self.actions().add(actuator);
    }

    /// Enables or disables automatic changes until the next start.
    pub fn set_enabled(&self, enabled: bool) {
        self.actions().set_enabled(enabled);
        tracing::info!(enabled, "changes from advice");
    }

    /// Processes the counters at the end of a minute.
    pub(super) fn turn(&self, minute: u64, counters: Counters) -> MinuteReport {
        let mut calculating = self.calculating.lock().unwrap_or_else(PoisonError::into_inner);
        let Calculating { outlook, minutes, before, advised, near } = &mut *calculating;
        let mut signals = before.as_ref().map(|before| counters.since(before, minute));
        for limiter in signals.iter_mut().flat_map(|signals| &mut signals.limiters) {
            let name = format!("limit:{}", limiter.name);
            limiter.is_fixed = !self.actions().actuators().any(|actuator| actuator.name() == name);
        }
        let told = signals.as_ref().map(|signals| counters.figures(signals));
        let process = counters.process;
        *before = Some(counters);
        let (Some(signals), Some(told)) = (signals, told) else { return MinuteReport::default() };
        let mut anomalies = Vec::new();
        for (name, value, floor) in told {
            anomalies.extend(outlook.push(&name, minute, value, floor));
        }
        minutes.push(signals);
        let over = minutes.len().saturating_sub(MINUTES);
        minutes.drain(..over);
        let advice = advise(&self.limits, minutes);
        let done = self.actions().consider(minutes, &advice);
        let known = |figure: Figure| {
            let limit = self.judged.of(&figure.name, process.as_ref());
            let reach = limit.and_then(|limit| limit.reach(outlook, &figure.name, figure.last.value));
            Forecast { figure, limit, reach }
        };
        let figures: Vec<Forecast> = outlook.figures().into_iter().map(known).collect();
        let news = MinuteReport {
            anomalies,
            advice: new_among(&advice, advised, minute),
            near: newly_near(&figures, near),
            done,
        };
        let shown = LastResults {
            figures,
            refused: outlook.refused(),
            anomalies: outlook.anomalies().cloned().collect(),
            advice,
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
        news
    }

    /// Returns the results of the last minute.
    pub(super) fn shown(&self) -> Arc<LastResults> {
        Arc::clone(&self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the changes, locked.
    pub(super) fn actions(&self) -> MutexGuard<'_, Actions> {
        self.actions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a minute ended, in milliseconds since the Unix epoch.
    pub(super) fn at_unix_ms(&self, minute: u64) -> u64 {
        self.began_unix_ms.saturating_add(minute.saturating_mul(60_000))
    }
}

/// Returns the advice that was not given recently.
fn new_among(advice: &[Advice], given: &mut BTreeMap<(&'static str, String), u64>, minute: u64) -> Vec<Advice> {
    given.retain(|_, last| minute.saturating_sub(*last) <= FORGOTTEN);
    let is_new = |advice: &&Advice| given.insert((advice.id, advice.target.clone()), minute).is_none();
    advice.iter().filter(is_new).cloned().collect()
}

/// Returns the metrics that have newly become likely to reach their limits. A metric that no longer
/// approaches its limit is forgotten.
fn newly_near(figures: &[Forecast], told: &mut BTreeSet<String>) -> Vec<LimitForecast> {
    let mut near = Vec::new();
    for Forecast { figure, limit, reach } in figures {
        let (Some(limit), Some(reach)) = (limit, reach) else {
            told.remove(&figure.name);
            continue;
        };
        // Only announced if the whole interval of the forecast crosses the limit.
        if reach.latest.is_some() && told.insert(figure.name.clone()) {
            near.push(LimitForecast {
                name: figure.name.clone(),
                value: figure.last.value,
                limit: limit.value,
                reach: *reach,
            });
        }
    }
    near
}

#[cfg(test)]
mod tests;
