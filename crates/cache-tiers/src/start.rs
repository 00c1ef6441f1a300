//! Starts the tiers of a cache, and what keeps them in order.

use std::sync::Arc;
use std::time::Duration;

use tidegate_clock::Clock;

use crate::bell::Bell;
use crate::class::ClassTable;
use crate::dice::Dice;
use crate::event::Observer;
use crate::fence::Fence;
use crate::flight::FlightTable;
use crate::follow::follow;
use crate::heat::Heat;
use crate::l2::{L2, RedisTier};
use crate::listen::Listeners;
use crate::memory::{Capacity, Memory};
use crate::places::Places;
use crate::sweep;
use crate::tiers::Tiers;

/// Settings of the tiers.
pub struct Settings {
    pub capacity: Capacity,
    pub observer: Option<Arc<dyn Observer>>,
    pub clock: Clock,
    pub sweep_every: Duration,
    /// Makes randomness repeatable.
    pub seed: Option<u64>,
    /// Maximum number of loaders at once, and maximum wait for a turn.
    pub max_loads: Option<(u32, Duration)>,
    pub l2: Option<RedisTier>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: Capacity::Entries(10_000),
            observer: None,
            clock: Clock::system(),
            sweep_every: Duration::from_secs(30),
            seed: None,
            max_loads: None,
            l2: None,
        }
    }
}

impl Settings {
    /// Starts the sweeper thread and, with an L2, the task that follows changes.
    ///
    /// # Panics
    /// With an L2, if there is no tokio runtime.
    pub fn start(self) -> Arc<Tiers> {
        let bell = Arc::new(Bell::default());
        let l2 = self.l2.map(|tier| L2::new(tier, self.clock.clone(), self.observer.clone()));
        let tiers = Arc::new(Tiers {
            memory: Memory::new(self.capacity),
            flights: FlightTable::new(),
            fence: Fence::new(),
            classes: ClassTable::default(),
            heat: Heat::new(),
            clock: self.clock,
            listeners: Listeners::default(),
            observer: self.observer,
            bell: Arc::clone(&bell),
            dice: self.seed.map_or_else(Dice::random, Dice::new),
            places: self.max_loads.map(|(count, wait)| Places::new(count, wait)),
            l2,
        });
        if tiers.l2.is_some() {
            tokio::spawn(follow(Arc::downgrade(&tiers)));
        }
        sweep::start(Arc::downgrade(&tiers), bell, self.sweep_every);
        tiers
    }
}
