//! The charges of a request: limiters, keys and costs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use smallvec::{SmallVec, smallvec};

use crate::identity::{KeyExtractor, RequestKey};
use crate::layer::{Decisions, Rejection};
use crate::{Allowance, CheckError, Decision, Denial, Limiter};

/// A cost that is charged to one key of one limiter.
#[derive(Clone)]
pub struct Charge {
    limiter: Arc<dyn Limiter>,
    key: RequestKey,
    cost: u64,
}

impl Charge {
    /// A charge with a cost of 1. An [uncounted](RequestKey::uncounted) key charges nothing.
    pub fn new(limiter: Arc<dyn Limiter>, key: impl Into<RequestKey>) -> Self {
        Self { limiter, key: key.into(), cost: 1 }
    }

    /// Sets the cost. Zero charges nothing, but is refused while the key is blocked.
    #[must_use]
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    async fn take_back(&self, key: &str) {
        // If the refund fails, the charge counts until its window ends.
        let _ = self.limiter.reward(key, self.cost).await;
    }
}

impl fmt::Debug for Charge {
    /// Omits the key, which may be an address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Charge")
            .field("limiter", &self.limiter.name())
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

/// All charges of one request, in order.
///
/// The limiters are called in sequence until one refuses. The charges of the earlier ones are then
/// refunded: a refused request costs nothing, and its response shows only the refusal. Up to two
/// charges need no allocation.
#[derive(Clone, Debug, Default)]
pub struct Charges(SmallVec<[Charge; 2]>);

impl Charges {
    /// Admits the request without counting it.
    pub fn none() -> Self {
        Self::default()
    }

    /// The reason for a refusal without a call to a limiter. `None` if there is none.
    pub(super) fn rejection(&self) -> Option<Rejection<'static>> {
        self.0.iter().find_map(|charge| charge.key.rejection())
    }

    /// Whether nothing is charged and nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a charge.
    #[must_use]
    pub fn and(mut self, charge: Charge) -> Self {
        self.extend([charge]);
        self
    }

    /// Calls each limiter. An admission with a delay above `max_wait` is refunded and refused.
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
            // The other decisions are obsolete, because their charges were refunded.
            let mut decisions = Decisions::default();
            if let Refused::Denied(denial) = why {
                decisions.push(Arc::clone(&limiter), Decision::Denied(denial));
            }
            return Asked { decisions, refused: Some((limiter, why)) };
        }
        Asked { decisions, refused: None }
    }

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

fn too_late(place: &Allowance, max_wait: Duration) -> Denial {
    Denial {
        quota: place.quota,
        limit: place.limit,
        remaining: 0,
        // The length of the queue ahead of the refunded request.
        reset_after: place.delay,
        // The queue is short enough by then, if no other request joins it.
        retry_after: place.delay.saturating_sub(max_wait),
        blocked_for: None,
    }
}

/// The result of all limiters: every admission, or the one refusal.
pub(super) struct Asked {
    pub(super) decisions: Decisions,
    refused: Option<(Arc<dyn Limiter>, Refused)>,
}

enum Refused {
    Denied(Denial),
    Failed(CheckError),
}

impl Asked {
    /// The reason for the refusal. `None` if the request was admitted.
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

/// Determines the charges of each request: limiters, keys and costs, or none.
///
/// A function from a request to [`Charges`] or to one [`Charge`] is a policy, and so is a tuple of
/// two or three policies.
pub trait Policy<B> {
    /// Returns the charges of this request.
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

/// Charges a cost of one to the key that an extractor finds.
pub struct ByKey<K> {
    limiter: Arc<dyn Limiter>,
    extractor: K,
}

impl<K> ByKey<K> {
    /// Charges `limiter` with the keys of `extractor`.
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
