//! A limiter refuses much while the service has room.

use crate::advice::kinds::{Advice, Change, Evidence, Limits, Symptom, confidence, share};
use crate::advice::stretch::Stretch;

/// One key with more than that share of the refusals is a client that is rightly refused.
const ONE_KEY: f64 = 0.5;

pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    let names = stretch.names(|signals| &signals.limiters, |limiter| &limiter.name);
    names.into_iter().filter_map(|name| found(limits, stretch, name)).collect()
}

fn found(limits: &Limits, stretch: Stretch<'_>, name: &str) -> Option<Advice> {
    let allowed = stretch.sum(|signals| signals.limiter(name).map(|limiter| limiter.allowed))?;
    let charges = stretch.sum(|signals| signals.limiter(name).map(|limiter| limiter.denied))?.saturating_add(allowed);
    let denied = 1.0 - share(allowed, charges)?;
    // Unless it is known that many are refused, one may be all of them.
    let largest = stretch.middle(|signals| signals.limiter(name)?.largest_share)?;
    // As quick as ever, that is: there is room.
    let p99 = stretch.compare(|signals| signals.api?.p99)?;
    let in_flight = stretch.compare(|signals| signals.api?.in_flight)?;
    let has_room = !p99.is_up() && !in_flight.is_up();
    let is_fixed = stretch.lately().last()?.limiter(name)?.is_fixed;
    if charges < limits.samples || denied <= limits.denied || largest > ONE_KEY || !has_room {
        return None;
    }
    Some(Advice {
        id: "limit-too-tight",
        target: name.to_owned(),
        text: format!("Raise the limit `{name}`: it refuses many different clients while the service has room."),
        evidence: vec![
            Evidence::new("refused a charge", denied, limits.denied),
            Evidence::new("largest share of one key", largest, ONE_KEY),
            Evidence::seconds("P99", p99.lately, p99.before),
        ],
        confidence: confidence(charges, limits.samples, denied / limits.denied.max(0.01)),
        gain: format!("Up to {:.0} % more requests are served.", 100.0 * denied / (1.0 - denied).max(0.01)),
        disproved_by: "the P99 rises with the rate, or the limit is what a plan promises and not what the service can do",
        action: (!is_fixed).then(|| Change {
            actuator: format!("limit:{name}"),
            factor: 1.1,
            symptom: Symptom::Denied(name.to_owned()),
        }),
    })
}
