//! Retries make up much of the work, and more of it fails.

use crate::advice::kinds::{Advice, Evidence, Limits, confidence, share};
use crate::advice::stretch::Stretch;

/// No action: what fails has to be mended, and how soon to try again is the job's to say.
pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    let names = stretch.names(|signals| &signals.queues, |queue| &queue.name);
    names.into_iter().filter_map(|name| found(limits, stretch, name)).collect()
}

fn found(limits: &Limits, stretch: Stretch<'_>, name: &str) -> Option<Advice> {
    let runs = stretch.sum(|signals| signals.queue(name).map(|queue| queue.runs))?;
    let retries = share(stretch.sum(|signals| signals.queue(name).map(|queue| queue.retries))?, runs)?;
    let failures = stretch.compare(|signals| {
        let queue = signals.queue(name)?;
        share(queue.failures, queue.runs)
    })?;
    if runs < limits.samples || retries <= limits.retries || !failures.is_up() {
        return None;
    }
    Some(Advice {
        id: "retry-storm",
        target: name.to_owned(),
        text: format!(
            "Slow the retries of the queue `{name}` down (longer backoff with jitter, fewer attempts), and mend what fails: \
             they take the room of first runs."
        ),
        evidence: vec![
            Evidence::new("retries a run", retries, limits.retries),
            Evidence::new("failures a run", failures.lately, failures.before),
        ],
        confidence: confidence(runs, limits.samples, (retries / limits.retries).min(failures.times())),
        gain: format!("Up to {:.0} % of the runs for jobs that were not tried yet.", 100.0 * retries),
        disproved_by: "retries mostly succeed: then backoff works as it should, and the errors pass by themselves",
        action: None,
    })
}
