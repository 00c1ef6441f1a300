//! The statement that takes the most time in all.

use std::collections::BTreeMap;

use crate::advice::kinds::{Advice, Evidence, Limits, confidence};
use crate::advice::stretch::Stretch;
use crate::query::is_on_rows;

/// Query time in seconds over five minutes. Less than a second a minute for all statements is not
/// worth an optimisation.
const LEAST: f64 = 5.0;

pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    found(limits, stretch).into_iter().collect()
}

fn found(limits: &Limits, stretch: Stretch<'_>) -> Option<Advice> {
    // Minutes without a statement count as such, but there must be minutes.
    stretch.sum(|_| Some(0))?;
    let mut spent: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for query in stretch.lately().iter().flat_map(|signals| &signals.queries) {
        let (calls, total) = spent.entry(&query.fingerprint).or_default();
        *calls = calls.saturating_add(query.calls);
        *total += if query.total.is_finite() { query.total.max(0.0) } else { 0.0 };
    }
    let all: f64 = spent.values().map(|(_, total)| total).sum();
    // The time of a `COMMIT` counts, but no index or cache would spare it.
    let spent = spent.into_iter().filter(|(fingerprint, _)| is_on_rows(fingerprint));
    let (fingerprint, (calls, total)) = spent.max_by(|(_, one), (_, other)| one.1.total_cmp(&other.1))?;
    if all < LEAST || total <= limits.query_share * all || calls < limits.samples {
        return None;
    }
    let mean = total / calls as f64;
    Some(Advice {
        id: "heaviest-query",
        target: fingerprint.to_owned(),
        text: format!(
            "Index or cache this statement first: no other takes as much time in all ({calls} times {mean:.4} s in five minutes)."
        ),
        evidence: vec![
            Evidence::new("share of all query time", total / all, limits.query_share),
            Evidence::seconds("total", total, all),
        ],
        confidence: confidence(calls, limits.samples, total / all / limits.query_share.max(0.01)),
        gain: format!("Up to {:.0} % of the time that all statements take.", 100.0 * total / all),
        disproved_by: "its plan already uses an index and its answer changes with each call",
        action: None,
    })
}
