//! A limiter with what the settings say of it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_app::settings::{LimitMode, LimitSettings};
use tidegate_ratelimit::{Limiter, LimiterStats, Quota, Shadow};

type Stats = Arc<dyn Fn() -> LimiterStats + Send + Sync>;

/// A limiter of the API.
pub(crate) struct Named {
    name: &'static str,
    limiter: Arc<dyn Limiter>,
    stats: Stats,
    algorithm: &'static str,
    settings: LimitSettings,
}

impl Named {
    /// Lays the settings' mode around a limiter.
    pub(super) fn new(
        name: &'static str,
        limiter: impl Limiter + 'static,
        algorithm: &'static str,
        settings: LimitSettings,
    ) -> Self {
        let (limiter, stats): (Arc<dyn Limiter>, Stats) = match settings.mode {
            LimitMode::Shadow => {
                let shadow = Arc::new(Shadow::new(limiter));
                let told = Arc::clone(&shadow);
                (shadow, Arc::new(move || told.report()))
            }
            LimitMode::On | LimitMode::Off => {
                let limiter = Arc::new(limiter);
                let told = Arc::clone(&limiter);
                (limiter, Arc::new(move || told.stats()))
            }
        };
        Self { name, limiter, stats, algorithm, settings }
    }

    /// Its name, as in headers and settings.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The limiter. It decides also where it is off: whoever asks looks at [`mode`](Self::mode).
    pub(crate) fn limiter(&self) -> &Arc<dyn Limiter> {
        &self.limiter
    }

    /// What it decided; of one that is only watched, what it would have.
    pub(crate) fn stats(&self) -> LimiterStats {
        (self.stats)()
    }

    /// The same for somebody who goes on asking.
    pub(super) fn watch(&self) -> impl Fn() -> LimiterStats + Send + Sync + use<> {
        let stats = Arc::clone(&self.stats);
        move || stats()
    }

    /// How it decides.
    pub(crate) fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The quota that it begins with.
    pub(crate) fn own_quota(&self) -> Quota {
        self.settings.quota
    }

    /// The first block of a key that goes over; zero for none.
    pub(crate) fn block(&self) -> Duration {
        self.settings.block
    }

    /// Whether it is asked, and obeyed.
    pub(crate) fn mode(&self) -> LimitMode {
        self.settings.mode
    }
}
