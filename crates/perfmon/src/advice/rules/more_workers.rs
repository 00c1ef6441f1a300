//! Jobs wait longer than they run.

use crate::advice::kinds::{Advice, Change, Evidence, Limits, Symptom, confidence, share};
use crate::advice::stretch::Stretch;

/// Shorter waits are no problem; in seconds.
const LEAST_WAIT: f64 = 0.1;

pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    let names = stretch.names(|signals| &signals.queues, |queue| &queue.name);
    names.into_iter().filter_map(|name| found(limits, stretch, name)).collect()
}

fn found(limits: &Limits, stretch: Stretch<'_>, name: &str) -> Option<Advice> {
    let runs = stretch.sum(|signals| signals.queue(name).map(|queue| queue.runs))?;
    let retries = stretch.sum(|signals| signals.queue(name).map(|queue| queue.retries))?;
    let wait = stretch.middle(|signals| signals.queue(name)?.wait)?;
    let service = stretch.middle(|signals| signals.queue(name)?.service)?;
    // Retries that fill the queue are another rule's: more workers would only fail faster.
    let is_storm = share(retries, runs).is_some_and(|share| share > limits.retries);
    if runs < limits.samples || wait <= service || wait < LEAST_WAIT || is_storm {
        return None;
    }
    Some(Advice {
        id: "more-workers",
        target: name.to_owned(),
        text: format!("Let more jobs of the queue `{name}` run at once: they wait longer than they run."),
        evidence: vec![
            Evidence::seconds("wait", wait, service),
            Evidence::new("runs", runs as f64, limits.samples as f64),
        ],
        confidence: confidence(runs, limits.samples, wait / service.max(1e-6)),
        gain: "A quarter more jobs in the same time, if what they use has room; the wait falls faster than that."
            .to_owned(),
        disproved_by: "jobs run longer by as much as more of them run: then what they use is full, not the workers",
        action: Some(Change {
            actuator: format!("workers:{name}"),
            factor: 1.25,
            symptom: Symptom::Sojourn(name.to_owned()),
        }),
    })
}
