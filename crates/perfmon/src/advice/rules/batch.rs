//! One statement many times in a request.

use std::collections::BTreeMap;

use crate::advice::kinds::{Advice, Evidence, Limits, confidence};
use crate::advice::stretch::Stretch;

/// Requests in which it must have happened: one alone may be chance.
const AGAIN: u64 = 3;

pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    let mut repeated: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for query in stretch.lately().iter().flat_map(|signals| &signals.queries) {
        let (most, requests) = repeated.entry(&query.fingerprint).or_default();
        *most = query.most_in_a_request.max(*most);
        *requests = requests.saturating_add(query.repeated_in);
    }
    repeated
        .into_iter()
        .filter(|(_, (most, requests))| *most > limits.repeats && *requests >= AGAIN)
        .map(|(fingerprint, (most, requests))| Advice {
            id: "batch",
            target: fingerprint.to_owned(),
            text: "Ask once for all in place of once for each: this statement runs again and again in one request."
                .to_owned(),
            evidence: vec![
                Evidence::new("times in one request", most as f64, limits.repeats as f64),
                Evidence::new("requests of that kind", requests as f64, AGAIN as f64),
            ],
            confidence: confidence(requests, AGAIN, most as f64 / limits.repeats.max(1) as f64),
            gain: format!("Up to {} round trips less in such a request.", most - 1),
            disproved_by: "each of them depends on the answer before it",
            action: None,
        })
        .collect()
}
