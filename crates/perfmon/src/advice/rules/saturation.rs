//! Slower at the same throughput while more are under way: something is full.

use crate::advice::kinds::{Advice, Change, Evidence, Limits, Symptom, confidence};
use crate::advice::stretch::Stretch;

use super::stampede;

pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    found(limits, stretch).into_iter().collect()
}

fn found(limits: &Limits, stretch: Stretch<'_>) -> Option<Advice> {
    let requests = stretch.sum(|signals| signals.api.map(|api| api.requests))?;
    let p99 = stretch.compare(|signals| signals.api?.p99)?;
    let rate = stretch.compare(|signals| Some(signals.api?.requests as f64))?;
    let in_flight = stretch.compare(|signals| signals.api?.in_flight)?;
    if requests < limits.samples || !p99.is_up() || !in_flight.is_up() || !rate.is_flat() {
        return None;
    }
    // What is loaded many times over fills up what is behind it: then that is to be mended.
    if !stampede::advise(limits, stretch).is_empty() {
        return None;
    }
    // The one that admits most is the one whose rate can relieve anything.
    let limiters = stretch.lately().last()?.limiters.iter();
    let limiter = limiters.filter(|limiter| !limiter.is_fixed).max_by_key(|limiter| limiter.allowed);
    Some(Advice {
        id: "saturation",
        target: "api".to_owned(),
        text: "Something is full: requests pile up and no more of them end. Admit fewer, or add what they wait for (a larger \
               pool, another node)."
            .to_owned(),
        evidence: vec![
            Evidence::seconds("P99", p99.lately, p99.before),
            Evidence::new("requests under way", in_flight.lately, in_flight.before),
            Evidence::new("requests a minute", rate.lately, rate.before),
        ],
        confidence: confidence(requests, limits.samples, p99.times().min(in_flight.times())),
        gain: format!("A P99 of {:.3} s, as it was, for those who are admitted.", p99.before),
        disproved_by: "with a tenth fewer admitted the P99 stays as it is: then what is slow is no queue, but the work itself",
        action: limiter.map(|limiter| Change {
            actuator: format!("limit:{}", limiter.name),
            factor: 0.9,
            symptom: Symptom::P99,
        }),
    })
}
