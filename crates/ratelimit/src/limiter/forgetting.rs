//! A guard for a change that is made elsewhere, to a key whose state is cached here.

/// Removes the cached state of a key before a change, and again on drop after it, because a state
/// that was cached in between may be outdated.
pub(crate) struct Forgetting<F: Fn()> {
    forget: F,
}

impl<F: Fn()> Forgetting<F> {
    pub(crate) fn begin(forget: F) -> Self {
        forget();
        Self { forget }
    }

    /// For a caller that has already removed the state before the change.
    #[cfg(feature = "redis")]
    pub(crate) fn begun(forget: F) -> Self {
        Self { forget }
    }
}

impl<F: Fn()> Drop for Forgetting<F> {
    fn drop(&mut self) {
        (self.forget)();
    }
}
