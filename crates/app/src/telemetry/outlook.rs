//! Once a minute: where the figures are going, what could be better, and, where that is wanted, making it so.

mod actuators;
mod counters;
mod sections;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_perfmon::action::{Actions, Actuator, Entry, Outcome, RevertError};
use tidegate_perfmon::advice::{Advice, Limits, Signals, advise};
use tidegate_perfmon::outlook::{self, Figure, Outlook, Refused, ToldAnomaly};
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
///
/// What calculates holds a lock of its own for as long as that takes, a quarter of a second where there are many figures;
/// who asks waits for none of it.
pub struct OutlookWatch {
    limits: Limits,
    /// Minute 0, in milliseconds since the Unix epoch.
    began_unix_ms: u64,
    calculating: Mutex<Calculating>,
    shown: Mutex<Arc<Shown>>,
    actions: Mutex<Actions>,
}

struct Calculating {
    outlook: Outlook,
    /// Oldest first.
    minutes: Vec<Signals>,
    before: Option<Counters>,
}

/// What was known when the last minute was over.
#[derive(Default)]
struct Shown {
    figures: Vec<Figure>,
    refused: Refused,
    /// Newest first.
    anomalies: Vec<ToldAnomaly>,
    advice: Vec<Advice>,
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
    /// Over these numbers that may be set, which it sets only where the settings say so. Minute 0 is `began_unix_ms`, in
    /// milliseconds since the Unix epoch.
    pub fn new(settings: &PerformanceSettings, began_unix_ms: u64, actuators: Vec<Arc<dyn Actuator>>) -> Self {
        let mut limits = Limits::default();
        limits.hit_rate = settings.health.hit_rate;
        limits.repeats = u64::from(settings.queries.alike);
        let mut acts = action::Settings::default();
        acts.enabled = settings.acts;
        let outlook = Outlook::new(outlook::Settings::default());
        Self {
            limits,
            began_unix_ms,
            calculating: Mutex::new(Calculating { outlook, minutes: Vec::new(), before: None }),
            shown: Mutex::default(),
            actions: Mutex::new(Actions::new(acts, actuators)),
        }
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
        let done = self.actions().revert(id);
        if let Ok(entry) = &done {
            tell_of(entry);
        }
        done
    }

    /// Switches changes by itself on or off, until the next start.
    pub fn set_enabled(&self, enabled: bool) {
        self.actions().set_enabled(enabled);
        tracing::info!(enabled, "changes from advice");
    }

    /// Takes in what was counted until the end of a minute.
    fn turn(&self, minute: u64, counters: Counters) -> News {
        let mut calculating = self.calculating.lock().unwrap_or_else(PoisonError::into_inner);
        let Calculating { outlook, minutes, before } = &mut *calculating;
        let signals = before.as_ref().map(|before| counters.since(before, minute));
        let told = signals.as_ref().map(|signals| counters.figures(signals));
        *before = Some(counters);
        let (Some(signals), Some(told)) = (signals, told) else { return News::default() };
        let mut anomalies = Vec::new();
        for (name, value, floor) in told {
            anomalies.extend(outlook.push(&name, minute, value, floor));
        }
        minutes.push(signals);
        let over = minutes.len().saturating_sub(MINUTES);
        minutes.drain(..over);
        let advice = advise(&self.limits, minutes);
        let done = self.actions().consider(minutes, &advice);
        let shown = Shown {
            figures: outlook.figures(),
            refused: outlook.refused(),
            anomalies: outlook.anomalies().cloned().collect(),
            advice,
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
        News { anomalies, done }
    }

    fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn actions(&self) -> MutexGuard<'_, Actions> {
        self.actions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a minute was over, in milliseconds since the Unix epoch.
    fn at_unix_ms(&self, minute: u64) -> u64 {
        self.began_unix_ms.saturating_add(minute.saturating_mul(60_000))
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
