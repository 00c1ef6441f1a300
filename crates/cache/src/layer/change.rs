//! Changes: what is kept of their targets goes, also when whoever asked for one has left.

use std::sync::Arc;

use futures_util::FutureExt;
use http::HeaderValue;
use tokio::runtime::Handle;

use super::rules::Rules;
use super::target::Target;
use crate::touched::Touched;

/// A change under way. Dropped before its end, by a client that leaves, an error or a panic, it is taken for one that was made.
pub(super) struct Change {
    rules: Arc<Rules>,
    target: Target,
    touched: Option<Touched>,
}

impl Change {
    pub(super) fn begin(rules: &Arc<Rules>, target: Target) -> Self {
        let touched = Some(Touched::new().tag(&target.tag()));
        Self { rules: Arc::clone(rules), target, touched }
    }

    /// Drops what this header names as well, if it is of the same origin.
    pub(super) fn names(&mut self, location: Option<&HeaderValue>) {
        let beside = location.and_then(|location| self.target.beside(location.to_str().ok()?));
        if let Some(beside) = beside {
            self.touched = self.touched.take().map(|touched| touched.tag(&beside.tag()));
        }
    }

    /// Drops what is kept.
    pub(super) async fn done(mut self) {
        if let Some(touched) = &self.touched {
            // What could not be told is kept by the cache and told later; the change itself is done.
            let _ = self.rules.cache.cache().invalidate(touched).await;
        }
        // Dropped before this, it is told once more.
        self.touched = None;
    }

    /// Nothing was changed.
    pub(super) fn refused(mut self) {
        self.touched = None;
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let Some(touched) = self.touched.take() else { return };
        let cache = self.rules.cache.cache().clone();
        let mut telling = Box::pin(async move { cache.invalidate(&touched).await });
        // L1 is done at the first look, and without an L2 all is.
        if telling.as_mut().now_or_never().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(telling);
        }
    }
}
