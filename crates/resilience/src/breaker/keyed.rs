//! One breaker per key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::builder::Settings;
use super::{CircuitBreaker, State};

/// Shortest time between two searches for keys that can be dropped.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// One [`CircuitBreaker`] per key, such as a host or a tenant. Clones share the breakers.
///
/// Made by [`CircuitBreakerBuilder::build_per_key`](super::CircuitBreakerBuilder::build_per_key),
/// which sets a cap on keys. A new key beyond the cap replaces breakers without failures, then all
/// breakers that refuse nothing. If every breaker is open, the new key has none: its calls run
/// unprotected.
///
/// ```
/// # fn main() -> Result<(), tidegate_resilience::ConfigError> {
/// use tidegate_resilience::CircuitBreaker;
///
/// let hosts = CircuitBreaker::builder("http").build_per_key(10_000)?;
/// hosts.get("a.example").force_open();
/// assert_ne!(hosts.get("a.example").state(), hosts.get("b.example").state());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CircuitBreakers(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    settings: Settings,
    max_keys: usize,
    breakers: Mutex<Breakers>,
}

#[derive(Default)]
struct Breakers {
    by_key: HashMap<Box<str>, CircuitBreaker>,
    /// Time of the last sweep that found no room.
    full_at: Option<Instant>,
}

impl CircuitBreakers {
    pub(super) fn new(name: Arc<str>, settings: Settings, max_keys: usize) -> Self {
        Self(Arc::new(Shared { name, settings, max_keys, breakers: Mutex::default() }))
    }

    /// Returns the breaker of the key.
    pub fn get(&self, key: &str) -> CircuitBreaker {
        let Shared { name, settings, max_keys, breakers } = &*self.0;
        let mut breakers = breakers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(breaker) = breakers.by_key.get(key) {
            return breaker.clone();
        }
        let breaker = CircuitBreaker::new(format!("{name}/{key}").into(), settings.clone());
        if breakers.make_room(*max_keys) {
            breakers.by_key.insert(key.into(), breaker.clone());
        }
        breaker
    }

    /// Returns the number of keys that have a breaker.
    pub fn len(&self) -> usize {
        self.0.breakers.lock().unwrap_or_else(PoisonError::into_inner).by_key.len()
    }

    /// Whether no key has a breaker.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Breakers {
    /// Makes room for one more key. Returns whether there is any.
    fn make_room(&mut self, max_keys: usize) -> bool {
        if self.by_key.len() < max_keys {
            return true;
        }
        let now = Instant::now();
        if self.full_at.is_some_and(|at| now.saturating_duration_since(at) < SWEEP_PAUSE) {
            return false;
        }
        // A breaker that a call holds may soon have something to remember.
        self.by_key.retain(|_, breaker| !breaker.shared.lock().is_fresh() || Arc::strong_count(&breaker.shared) > 1);
        if self.by_key.len() >= max_keys {
            self.by_key.retain(|_, breaker| matches!(breaker.state(), State::Open | State::ForcedOpen));
        }
        let has_room = self.by_key.len() < max_keys;
        self.full_at = (!has_room).then_some(now);
        has_room
    }
}

impl fmt::Debug for CircuitBreakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakers").field("name", &self.0.name).field("len", &self.len()).finish_non_exhaustive()
    }
}
