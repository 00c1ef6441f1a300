//! A limiter with what the settings say of it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_app::settings::{LimitMode, LimitSettings};
use tidegate_ratelimit::{Limiter, Quota};

/// A limiter of the API.
pub(crate) struct Named {
    name: &'static str,
    limiter: Arc<dyn Limiter>,
    algorithm: &'static str,
    settings: LimitSettings,
}

impl Named {
    pub(super) fn new(
        name: &'static str,
        limiter: Arc<dyn Limiter>,
        algorithm: &'static str,
        settings: LimitSettings,
    ) -> Self {
        Self { name, limiter, algorithm, settings }
    }

    /// Its name, as in headers and settings.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The limiter. It decides also where it is off: whoever asks looks at [`mode`](Self::mode).
    pub(crate) fn limiter(&self) -> &Arc<dyn Limiter> {
        &self.limiter
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
