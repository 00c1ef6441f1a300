//! The meters that a registry ticks.

use crate::histogram::bounds::EXPOSITION_BOUNDS;
use crate::record::meter::Meter;
use crate::record::meter::grain::Grain;
use crate::registry::Registry;

/// The group of all meters in their catalog: they have no groups.
const GROUP: &str = "";

impl Registry {
    /// Returns the meter of that name; look it up once and keep it.
    /// [`RegistryBuilder::meters`](crate::RegistryBuilder::meters) limits how many have a name of
    /// their own. Past that, or with a name longer than 256 bytes, it is that of
    /// [`OTHER`](crate::OTHER).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_perfmon::{Registry, Window};
    ///
    /// let registry = Registry::builder().build();
    /// let waits = registry.meter("pool.wait");
    /// waits.record(Duration::from_millis(3));
    /// registry.tick(registry.now());
    /// let lately = waits.window(Window::Minutes(5));
    /// assert_eq!((lately.count(), lately.over(Duration::from_millis(1))), (1, 1));
    /// assert_eq!(waits.totals().count, 1);
    /// ```
    pub fn meter(&self, name: &str) -> Meter {
        let make = |name: &str| {
            let meter = Meter::new(name, Grain::Nanosecond, EXPOSITION_BOUNDS);
            meter.adopt(self.elapsed());
            meter
        };
        Meter::clone(&self.inner().meters.resolve(GROUP, name, make))
    }

    /// Ticks a meter that was created before this registry, or with bounds of its own, for as long
    /// as this registry lives. Returns false if it does not: another registry ticks it, another
    /// meter has its name, or there is no room for one more.
    pub fn adopt(&self, meter: &Meter) -> bool {
        let make = |name: &str| {
            if name == meter.name() && meter.adopt(self.elapsed()) {
                meter.clone()
            } else {
                // A place that stays empty, rather than one meter ticked by two clocks.
                Meter::new(name, Grain::Nanosecond, EXPOSITION_BOUNDS)
            }
        };
        self.inner().meters.resolve(GROUP, meter.name(), make).is_same_as(meter)
    }

    /// Every meter, in the order of names.
    pub fn meters(&self) -> Vec<Meter> {
        self.inner().meters.all().iter().map(|meter| Meter::clone(meter)).collect()
    }

    /// Returns how often a caller got [`OTHER`](crate::OTHER) instead of its meter, or a meter was
    /// not adopted for lack of room.
    pub fn dropped_meters(&self) -> u64 {
        self.inner().meters.dropped()
    }
}
