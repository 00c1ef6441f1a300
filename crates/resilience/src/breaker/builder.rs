//! Settings of a breaker.

use std::sync::Arc;
use std::time::Duration;

use super::machine::{FailureRate, Rules};
use super::{CircuitBreaker, CircuitBreakers};
use crate::error::ConfigError;
use crate::observer::{Emitter, Observer};

/// Settings of a [`CircuitBreaker`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct CircuitBreakerBuilder {
    name: Arc<str>,
    consecutive: Option<u32>,
    rate: Option<FailureRate>,
    open_for: Duration,
    probes: u32,
    emitter: Emitter,
}

/// Checked settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) rules: Rules,
    pub(super) emitter: Emitter,
}

impl CircuitBreakerBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        let open_for = Duration::from_secs(30);
        Self { name, consecutive: None, rate: None, open_for, probes: 1, emitter: Emitter::default() }
    }

    /// Opens the breaker after this number of failures in a row. 5 if no rule is set.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive = Some(failures);
        self
    }

    /// Opens the breaker at a failure when, of at least `min_calls` calls in the last `window`,
    /// this share failed: `0.5` is one half.
    ///
    /// The window moves in steps of a tenth. It can be combined with
    /// [`consecutive_failures`](Self::consecutive_failures); the rule that is met first opens the
    /// breaker.
    pub fn failure_rate(mut self, share: f64, window: Duration, min_calls: u32) -> Self {
        self.rate = Some(FailureRate { share, window, min_calls });
        self
    }

    /// Sets the time for which the breaker is open. 30 seconds by default.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open_for = time;
        self
    }

    /// Sets the number of calls that a half-open breaker admits. 1 by default.
    pub fn probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// Sets the observer.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.emitter = Emitter::new(observer);
        self
    }

    /// Creates the breaker.
    ///
    /// # Errors
    /// [`ConfigError`] for 0 failures, probes or calls, and for a share that is not above 0 and at
    /// most 1.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        let name = Arc::clone(&self.name);
        Ok(CircuitBreaker::new(name, self.check()?))
    }

    /// Creates one breaker per key, for at most `max_keys` keys. The name of a breaker is that of
    /// this builder, a slash and the key.
    ///
    /// # Errors
    /// Those of [`build`](Self::build), and [`ConfigError`] if `max_keys` is 0.
    pub fn build_per_key(self, max_keys: usize) -> Result<CircuitBreakers, ConfigError> {
        let name = Arc::clone(&self.name);
        if max_keys == 0 {
            return Err(ConfigError::new(&name, "max_keys", "must be at least 1"));
        }
        Ok(CircuitBreakers::new(name, self.check()?, max_keys))
    }

    fn check(self) -> Result<Settings, ConfigError> {
        let Self { name, mut consecutive, rate, open_for, probes, emitter } = self;
        let error = |setting, problem| Err(ConfigError::new(&name, setting, problem));
        if consecutive == Some(0) {
            return error("consecutive_failures", "must be at least 1");
        }
        if probes == 0 {
            return error("probes", "must be at least 1");
        }
        match rate {
            // A share that is not a number fails this comparison too.
            Some(FailureRate { share, .. }) if !(share > 0.0 && share <= 1.0) => {
                return error("failure_rate", "must be above 0 and at most 1");
            }
            Some(FailureRate { min_calls: 0, .. }) => return error("min_calls", "must be at least 1"),
            Some(FailureRate { window: Duration::ZERO, .. }) => return error("window", "must be above zero"),
            Some(_) => {}
            None => consecutive = consecutive.or(Some(5)),
        }
        Ok(Settings { rules: Rules { consecutive, rate, open_for, probes }, emitter })
    }
}
