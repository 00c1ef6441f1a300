//! Changes that were made: what is kept of their targets goes.

use http::HeaderMap;
use http::header::{CONTENT_LOCATION, LOCATION};

use super::rules::Rules;
use super::target::Target;
use crate::touched::Touched;

/// Drops what is kept of the target, and of what the answer to the change names beside it on the same origin (RFC 9111, 4.4).
pub(super) async fn made(rules: &Rules, target: &Target, answer: &HeaderMap) {
    let mut touched = Touched::new().tag(&target.tag());
    for name in [LOCATION, CONTENT_LOCATION] {
        let named = answer.get(name).and_then(|location| target.beside(location.to_str().ok()?));
        touched = named.into_iter().fold(touched, |touched, beside| touched.tag(&beside.tag()));
    }
    // What could not be told is kept by the cache and told later; the change itself is done.
    let _ = rules.cache.cache().invalidate(&touched).await;
}
