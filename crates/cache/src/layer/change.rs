//! Completed changes: the kept responses of their targets are dropped.

use http::HeaderMap;
use http::header::{CONTENT_LOCATION, LOCATION};

use super::rules::Rules;
use super::target::Target;
use crate::touched::Touched;

/// Drops the kept responses of the target, and of the targets on the same origin that the answer to
/// the change names (RFC 9111, 4.4).
pub(super) async fn made(rules: &Rules, target: &Target, answer: &HeaderMap) {
    let mut touched = Touched::new().tag(&target.tag());
    for name in [LOCATION, CONTENT_LOCATION] {
        let named = answer.get(name).and_then(|location| target.beside(location.to_str().ok()?));
        touched = named.into_iter().fold(touched, |touched, beside| touched.tag(&beside.tag()));
    }
    // An invalidation that fails is owed by the cache and sent later. The change itself is done.
    let _ = rules.cache.cache().invalidate(&touched).await;
}
