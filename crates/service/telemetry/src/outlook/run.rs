//! Runs the watch once a minute, and reverts changes.

use std::sync::Arc;
use std::time::Duration;

use tidegate_perfmon::action::{Entry, RevertError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::watch::OutlookWatch;
use super::{announce, sections};
use crate::telemetry::Telemetry;

const MINUTE: Duration = Duration::from_secs(60);

impl OutlookWatch {
    /// Runs every minute until `shutdown`, and registers the sections.
    pub fn start(self: Arc<Self>, telemetry: Arc<Telemetry>, shutdown: CancellationToken) {
        sections::register(telemetry.sources(), &self);
        self.dispatcher.get_or_init(|| Arc::clone(telemetry.alerts()));
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(MINUTE);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = beat.tick() => {}
                }
                let (watch, telemetry) = (Arc::clone(&self), Arc::clone(&telemetry));
                // Up to a quarter of a second of computation with many metrics: no request may wait
                // for it.
                let turned = tokio::task::spawn_blocking(move || {
                    let counters = Counters::of(&telemetry);
                    let minute = telemetry.registry().now().as_secs() / MINUTE.as_secs();
                    watch.tell(&watch.turn(minute, counters), telemetry.alerts());
                });
                if let Err(error) = turned.await {
                    tracing::error!(%error, "the outlook of this minute failed");
                }
            }
        });
    }

    /// Restores the value before a change.
    ///
    /// # Errors
    ///
    /// [`RevertError`]. Nothing is changed then.
    pub fn revert(&self, id: u64) -> Result<Entry, RevertError> {
        let done = self.actions().revert(id);
        match (&done, self.dispatcher.get()) {
            (Ok(entry), Some(dispatcher)) => self.tell_of(entry, dispatcher),
            (Ok(entry), None) => announce::log(entry),
            (Err(_), _) => {}
        }
        done
    }
}
