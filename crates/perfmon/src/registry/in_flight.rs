//! Requests that have begun and not ended.

use std::time::Duration;

use serde::Serialize;

use crate::registry::Registry;

/// The requests of one endpoint that are under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InFlight {
    /// The HTTP method, `_OTHER` for an uncommon one.
    pub method: &'static str,
    /// The route template, or one of the reserved names.
    pub route: String,
    /// How many there are.
    pub count: usize,
    /// How long the oldest of them has been under way, without what it waited for its body.
    #[serde(rename = "oldest_ms", serialize_with = "crate::figure::millis::required")]
    pub oldest: Duration,
}

impl Registry {
    /// Returns the requests that the layer has seen begin and not end, by endpoint in the order of
    /// route and method. Endpoints without any are left out. Looks at each running request.
    pub fn in_flight(&self) -> Vec<InFlight> {
        let now = self.now();
        let mut all = Vec::new();
        for endpoint in self.inner().endpoints.all() {
            let mut count = 0;
            let mut begun = now;
            endpoint.under_way().each(now, |start| {
                count += 1;
                begun = begun.min(start);
            });
            if count > 0 {
                let oldest = now.saturating_sub(begun);
                all.push(InFlight { method: endpoint.method(), route: endpoint.route().to_owned(), count, oldest });
            }
        }
        all
    }

    /// Returns how many of them, on routes that are [judged](crate::RegistryBuilder::unjudged),
    /// have been running for longer than `limit`, without the wait for their bodies.
    /// [`readings_with`](Self::readings_with) takes this as an argument.
    pub fn in_flight_over(&self, limit: Duration) -> u64 {
        let now = self.now();
        let mut count = 0;
        for endpoint in self.judged() {
            endpoint.under_way().each(now, |start| count += u64::from(now.saturating_sub(start) > limit));
        }
        count
    }
}
