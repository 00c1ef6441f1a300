//! What a request is charged: which limiters, under which keys, how much.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use smallvec::{SmallVec, smallvec};

use crate::identity::{KeyExtractor, RequestKey};
use crate::layer::{Decisions, Rejection};
use crate::{Allowance, CheckError, Decision, Denial, Limiter};

/// A cost for one key of one limiter.
#[derive(Clone)]
pub struct Charge {
    limiter: Arc<dyn Limiter>,
    key: RequestKey,
    cost: u64,
}

impl Charge {
    /// A cost of 1. An [uncounted](RequestKey::uncounted) key charges nothing.
    pub fn new(limiter: Arc<dyn Limiter>, key: impl Into<RequestKey>) -> Self {
        Self { limiter, key: key.into(), cost: 1 }
    }

    /// Another cost. Zero charges nothing, but is refused while the key is blocked.
    #[must_use]
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    async fn take_back(&self, key: &str) {
        // What can't be given back stays charged until its window ends.
        let _ = self.limiter.reward(key, self.cost).await;
    }
}

impl fmt::Debug for Charge {
    /// Without the key, which may be an address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Charge")
            .field("limiter", &self.limiter.name())
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

/// All that one request is charged, in order.
///
/// The limiters are asked one after the other up to the first that refuses, and what those before it had charged is given
/// back: a refused request costs nothing, and its response tells the refusal alone. Two charges are held without an allocation.
#[derive(Clone, Debug, Default)]
pub struct Charges(SmallVec<[Charge; 2]>);

impl Charges {
    /// Lets the request through uncounted.
    pub fn none() -> Self {
        Self::default()
    }

    /// Why the request is refused before a limiter is asked, if it is.
    pub(super) fn rejection(&self) -> Option<Rejection<'static>> {
        self.0.iter().find_map(|charge| charge.key.rejection())
    }

    /// Whether nothing is charged and nothing refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a charge behind the others.
    #[must_use]
    pub fn and(mut self, charge: Charge) -> Self {
        self.extend([charge]);
        self
    }

    /// Asks each limiter in turn. A place in a line that comes later than `max_wait` is given back and refused.
    pub(super) async fn ask(&self, max_wait: Duration) -> Asked {
        let mut decisions = Decisions::default();
        for (index, charge) in self.0.iter().enumerate() {
            let Some(key) = charge.key.as_str() else { continue };
            let limiter = Arc::clone(&charge.limiter);
            let (charged, why) = match limiter.check(key, charge.cost).await {
                Ok(Decision::Allowed(allowance)) if allowance.delay > max_wait => {
                    (index + 1, Refused::Denied(too_late(&allowance, max_wait)))
                }
                Ok(decision @ Decision::Allowed(_)) => {
                    decisions.push(limiter, decision);
                    continue;
                }
                Ok(Decision::Denied(denial)) => (index, Refused::Denied(denial)),
                Err(error) => (index, Refused::Failed(error)),
            };
            self.take_back(charged).await;
            // What the others said no longer holds: it was given back.
            let mut decisions = Decisions::default();
            if let Refused::Denied(denial) = why {
                decisions.push(Arc::clone(&limiter), Decision::Denied(denial));
            }
            return Asked { decisions, refused: Some((limiter, why)) };
        }
        Asked { decisions, refused: None }
    }

    /// Gives back what the first `count` have charged.
    pub(super) async fn take_back(&self, count: usize) {
        for charge in self.0.iter().take(count) {
            if let Some(key) = charge.key.as_str() {
                charge.take_back(key).await;
            }
        }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The refusal of a place in a line that comes too late.
fn too_late(place: &Allowance, max_wait: Duration) -> Denial {
    Denial {
        quota: place.quota,
        limit: place.limit,
        remaining: 0,
        // What was ahead of the place that was given back.
        reset_after: place.delay,
        // By then the line is short enough, if nobody else joins it.
        retry_after: place.delay.saturating_sub(max_wait),
        blocked_for: None,
    }
}

/// What the limiters said: all that admitted, or the one that refused.
pub(super) struct Asked {
    pub(super) decisions: Decisions,
    refused: Option<(Arc<dyn Limiter>, Refused)>,
}

enum Refused {
    Denied(Denial),
    Failed(CheckError),
}

impl Asked {
    /// Why the request is refused, if it is.
    pub(super) fn rejection(&self) -> Option<Rejection<'_>> {
        let (limiter, refused) = self.refused.as_ref()?;
        let limiter = limiter.name();
        Some(match refused {
            Refused::Denied(denial) => Rejection::Denied { limiter, denial },
            Refused::Failed(error) => Rejection::Failed { limiter, error },
        })
    }
}

impl From<Charge> for Charges {
    fn from(charge: Charge) -> Self {
        if charge.key.is_uncounted() { Self::none() } else { Self(smallvec![charge]) }
    }
}

impl Extend<Charge> for Charges {
    fn extend<I: IntoIterator<Item = Charge>>(&mut self, charges: I) {
        self.0.extend(charges.into_iter().filter(|charge| !charge.key.is_uncounted()));
    }
}

impl FromIterator<Charge> for Charges {
    fn from_iter<I: IntoIterator<Item = Charge>>(charges: I) -> Self {
        let mut all = Self::none();
        all.extend(charges);
        all
    }
}

/// Says what each request is charged: chooses limiters, keys and costs, or none.
///
/// A function from a request to [`Charges`] or to one [`Charge`] is a policy, and so is a tuple of two or three.
pub trait Policy<B> {
    /// What this request is charged.
    fn charges(&self, request: &Request<B>) -> Charges;
}

impl<B, F, T> Policy<B> for F
where
    F: Fn(&Request<B>) -> T,
    T: Into<Charges>,
{
    fn charges(&self, request: &Request<B>) -> Charges {
        self(request).into()
    }
}

/// Charges one to the key that an extractor finds.
pub struct ByKey<K> {
    limiter: Arc<dyn Limiter>,
    extractor: K,
}

impl<K> ByKey<K> {
    /// Charges `limiter` by `extractor`.
    pub fn new(limiter: Arc<dyn Limiter>, extractor: K) -> Self {
        Self { limiter, extractor }
    }
}

impl<B, K: KeyExtractor<B>> Policy<B> for ByKey<K> {
    fn charges(&self, request: &Request<B>) -> Charges {
        let key = self.extractor.key(request);
        if key.is_uncounted() { Charges::none() } else { Charge::new(Arc::clone(&self.limiter), key).into() }
    }
}

impl<K> fmt::Debug for ByKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").field("limiter", &self.limiter.name()).finish_non_exhaustive()
    }
}

impl<B, P: Policy<B>, Q: Policy<B>> Policy<B> for (P, Q) {
    fn charges(&self, request: &Request<B>) -> Charges {
        let mut charges = self.0.charges(request);
        charges.0.extend(self.1.charges(request).0);
        charges
    }
}

impl<B, P: Policy<B>, Q: Policy<B>, R: Policy<B>> Policy<B> for (P, Q, R) {
    fn charges(&self, request: &Request<B>) -> Charges {
        let mut charges = self.0.charges(request);
        charges.0.extend(self.1.charges(request).0);
        charges.0.extend(self.2.charges(request).0);
        charges
    }
}
