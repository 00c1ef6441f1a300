//! Turns the health report and the observations of a second into alerts, and announces them.

use std::borrow::Cow;
use std::sync::PoisonError;
use std::time::Duration;

use tidegate_perfmon::{BurnReading, Observation, Phase, mask};

use super::dispatcher::{AlertDispatcher, State};
use super::stream::StreamEvent;
use super::{log, traces};
use crate::sources::Tick;

/// Interval between two entries of the outcome history.
const BURN_SPACING: Duration = Duration::from_secs(5);

impl AlertDispatcher {
    /// Processes a second, and announces the changes. Does not wait for followers or receivers.
    pub(crate) fn tick(&self, tick: &Tick<'_>) {
        let mut state = self.state();
        if state.recorded_at.is_none_or(|at| tick.now.saturating_sub(at) >= BURN_SPACING) {
            state.recorded_at = Some(tick.now);
            state.outcomes.record(tick.now, tick.registry.outcomes());
            state.burning = self.objective.evaluate(&state.outcomes);
        }
        let State { alerts, silences, burning, .. } = &mut *state;
        silences.turn(alerts, tick.now, tick.unix_ms);
        let mut seen = tick.health.observations();
        seen.extend(burning.iter().map(BurnReading::observation));
        seen.extend(self.sources.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(|source| source()));
        seen.retain(|observation| !self.book.is_off(&observation.rule));
        seen.iter_mut().for_each(hide);
        for observation in seen.iter_mut().filter(|observation| observation.breached == Some(true)) {
            observation.trace_id = traces::of(observation, tick, self.statements.get());
        }
        let steps = alerts.evaluate(tick.now, tick.unix_ms, &seen);
        drop(seen);

        if steps.iter().any(|step| !matches!(step.alert.phase, Phase::Pending | Phase::Withdrawn))
            && let Some(fleet) = self.fleet.get()
        {
            fleet.wake();
        }
        let steps: Vec<_> = steps.into_iter().filter(|step| step.notify).collect();
        // Still under the lock, so that a new follower misses no event and gets none twice.
        for step in &steps {
            state.logged += 1;
            self.stream.tell(&StreamEvent::alert(self.epoch, step));
        }
        if state.health.replace(tick.health.status) != Some(tick.health.status) {
            self.stream.tell(&told_of(tick));
        }
        drop(state);
        // The reader of the log may be slow, so the lock is released first.
        steps.iter().for_each(log::line);
    }
}

/// Masks secrets in an observation.
fn hide(observation: &mut Observation<'_>) {
    for text in [&mut observation.subject, &mut observation.detail] {
        let masked = match mask(text) {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        };
        if let Some(masked) = masked {
            *text = Cow::Owned(masked);
        }
    }
}

fn told_of(tick: &Tick<'_>) -> StreamEvent {
    let reason = tick.health.reasons.first().map(|reason| mask(&reason.message).into_owned());
    StreamEvent::health(tick.health.status, tick.health.score, reason.as_deref())
}
