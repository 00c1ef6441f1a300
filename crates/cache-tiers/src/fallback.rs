//! A stale value from L2 that is served during its load, also by a process that has just started.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::class::Class;
use crate::flight::{Flight, Outcome};
use crate::form::{Form, pack};
use crate::key::Key;
use crate::l2::Past;
use crate::read::Source;
use crate::slot::{Slot, Terms, Times};
use crate::tiers::Tiers;

/// Minimum time between the checks of readers for the load while it runs.
const PAUSE: Duration = Duration::from_secs(1);

impl Tiers {
    /// Keeps the value in L1 as stale, and gives it to all waiters of the flight. They get it at
    /// once, or at the end of the class's soft time-out if nothing better has come, or when the
    /// load fails.
    pub fn fall_back_on<V: Send + Sync + 'static>(
        &self,
        past: Past<V>,
        key: &Key,
        class: &Class,
        form: &Form<V>,
        flight: &Arc<Flight>,
        will_load: bool,
    ) {
        let Past { fill, id, left, noticed } = past;
        let parcel = pack(fill, form.weigh);
        let now = self.clock.coarse();
        // After a mere read, the next reader loads it.
        let quiet_until = now.saturating_add(if will_load { PAUSE } else { Duration::ZERO });
        let terms = Terms {
            stamps: self.fence.stamps(class.id, &parcel.tags),
            class: class.id,
            since: flight.since,
            times: Times::stale(now.into(), left, quiet_until.into()),
            weight: self.memory.weight(key, parcel.tags.len(), parcel.bytes),
            shared: Some(id),
        };
        let slot = Slot::new(parcel.value, terms);
        let inserted = self.flights.amid(key, flight, |may_fill| {
            // A value of the same entry in L1 is equally good. A value of another entry is newer.
            let is_better = self.peek(key).is_none();
            // After a notice, no caller may have the value. A later notice removes it again.
            let is_current = noticed == flight.inquiry.noticed();
            let inserted = (may_fill && is_better && is_current).then(|| self.fill(key, &slot));
            let stored = inserted.as_ref().is_some_and(|inserted| inserted.stored);
            if is_current {
                flight.has_fallback(Outcome::Loaded { slot, stored, source: Source::Stale, noticed });
            }
            inserted
        });
        if let Some(inserted) = inserted {
            self.report_left(key, &inserted);
        }
        let wait = class.ttl.soft();
        if wait.is_zero() {
            flight.fall_back();
            return;
        }
        // Ends with the flight, so that there are no more of these tasks than loads.
        let flight = Arc::clone(flight);
        tokio::spawn(async move {
            if timeout(wait, flight.outcome()).await.is_err() {
                flight.fall_back();
            }
        });
    }
}
