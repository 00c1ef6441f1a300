//! A change of a key that is made elsewhere while something is held of it here.

/// Forgets what is held of a key before the change, and when this is dropped after it: what came in between may be of before.
pub(crate) struct Forgetting<F: Fn()> {
    forget: F,
}

impl<F: Fn()> Forgetting<F> {
    pub(crate) fn begin(forget: F) -> Self {
        forget();
        Self { forget }
    }

    /// Where it has been forgotten before the change already.
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
