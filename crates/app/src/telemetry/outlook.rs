//! Once a minute: where the figures are going, what could be better, and, where that is wanted, making it so.

mod actuators;
mod counters;
mod sections;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_perfmon::action::{Actions, Actuator, Entry, Outcome, RevertError};
use tidegate_perfmon::advice::{Advice, Limits, Signals, advise};
use tidegate_perfmon::outlook::{self, Figure, Outlook, ToldAnomaly};
use tidegate_perfmon::{action, mask};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Telemetry;
use crate::settings::PerformanceSettings;

pub use actuators::{CacheRoom, JobsAtOnce};
pub(super) use counters::Counters;

const MINUTE: Duration = Duration::from_secs(60);
/// As many as advice looks at.
const MINUTES: usize = 35;

/// History, trends, anomalies, advice, and what was done about it.
pub struct OutlookWatch {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    outlook: Outlook,
    /// What the outlook said of each figure when its last minute was over: asking costs too much to be done by each reader.
    figures: Vec<Figure>,
    /// Oldest first.
    minutes: Vec<Signals>,
    before: Option<Counters>,
    advice: Vec<Advice>,
    actions: Actions,
}

impl fmt::Debug for OutlookWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutlookWatch").finish_non_exhaustive()
    }
}

/// What a minute brought, for the log.
#[derive(Debug, Default)]
struct News {
    anomalies: Vec<ToldAnomaly>,
    done: Vec<Entry>,
}

impl OutlookWatch {
    /// Over these numbers that may be set, which it sets only where the settings say so.
    pub fn new(settings: &PerformanceSettings, actuators: Vec<Arc<dyn Actuator>>) -> Self {
        let mut limits = Limits::default();
        limits.hit_rate = settings.health.hit_rate;
        limits.repeats = u64::from(settings.queries.alike);
        let mut acts = action::Settings::default();
        acts.enabled = settings.acts;
        let state = State {
            outlook: Outlook::new(outlook::Settings::default()),
            figures: Vec::new(),
            minutes: Vec::new(),
            before: None,
            advice: Vec::new(),
            actions: Actions::new(acts, actuators),
        };
        Self { limits, state: Mutex::new(state) }
    }

    /// Takes in a minute, every minute, until `shutdown`, and hangs up what there is to show.
    pub fn start(self: Arc<Self>, telemetry: Arc<Telemetry>, shutdown: CancellationToken) {
        sections::hang_up(telemetry.board(), &self);
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(MINUTE);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = beat.tick() => {}
                }
                let (watch, telemetry) = (Arc::clone(&self), Arc::clone(&telemetry));
                // A quarter of a second of calculations where there are many figures: no request should wait for it.
                let turned = tokio::task::spawn_blocking(move || {
                    let counters = Counters::of(&telemetry);
                    let minute = telemetry.registry().now().as_secs() / MINUTE.as_secs();
                    tell(&watch.turn(minute, counters));
                });
                if let Err(error) = turned.await {
                    tracing::error!(%error, "the outlook of this minute failed");
                }
            }
        });
    }

    /// Sets the value before a change again.
    ///
    /// # Errors
    ///
    /// [`RevertError`]; then nothing was changed.
    pub fn revert(&self, id: u64) -> Result<Entry, RevertError> {
        let done = self.state().actions.revert(id);
        if let Ok(entry) = &done {
            tell_of(entry);
        }
        done
    }

    /// Switches changes by itself on or off, until the next start.
    pub fn set_enabled(&self, enabled: bool) {
        self.state().actions.set_enabled(enabled);
        tracing::info!(enabled, "changes from advice");
    }

    /// Takes in what was counted until the end of a minute.
    fn turn(&self, minute: u64, counters: Counters) -> News {
        let state = &mut *self.state();
        let Some(before) = state.before.replace(counters) else { return News::default() };
        let counters = state.before.as_ref().unwrap_or(&before);
        let signals = counters.since(&before, minute);
        let mut anomalies = Vec::new();
        for (name, value, floor) in counters.figures(&signals) {
            anomalies.extend(state.outlook.push(&name, minute, value, floor));
        }
        state.figures = state.outlook.figures();
        state.minutes.push(signals);
        let over = state.minutes.len().saturating_sub(MINUTES);
        state.minutes.drain(..over);
        state.advice = advise(&self.limits, &state.minutes);
        let done = state.actions.consider(&state.minutes, &state.advice);
        News { anomalies, done }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(news: &News) {
    for told in &news.anomalies {
        tracing::warn!(figure = %told.name, anomaly = ?told.anomaly, "a figure left its own past");
    }
    news.done.iter().for_each(tell_of);
}

fn tell_of(entry: &Entry) {
    let Entry { id, actuator, from, to, advice, .. } = entry;
    match &entry.outcome {
        Outcome::OnTrial => tracing::info!(id, actuator, from, to, advice, "changed on advice, and on trial"),
        Outcome::Kept => tracing::info!(id, actuator, from, to, advice, "the change is kept"),
        Outcome::Reverted { reason, .. } => {
            tracing::info!(id, actuator, from, to, advice, reason = %mask(reason), "the change was taken back");
        }
        Outcome::Refused { reason } | Outcome::Left { reason } => {
            tracing::warn!(id, actuator, from, to, advice, reason = %mask(reason), "the change could not be made, or unmade");
        }
        _ => tracing::info!(id, actuator, from, to, advice, "a change"),
    }
}

#[cfg(test)]
mod tests;
