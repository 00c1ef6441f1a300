//! Rules about queues.

use tidegate_perfmon::advice::Signals;

use crate::support::{only, silent, trace, waiting};

#[test]
fn more_workers_fires() {
    let change = only("more-workers", "q", &trace(waiting)).action.unwrap();
    assert_eq!((change.actuator.as_str(), change.factor), ("workers:q", 1.25));
    assert_eq!(change.symptom.of(&trace(waiting)[34]), Some(2.5));
}

#[test]
fn more_workers_near_miss() {
    silent(&trace(|signals| signals.queues[0].wait = Some(0.5))); // as long as they run
    silent(&trace(|signals| {
        signals.queues[0].wait = Some(0.09); // longer than they run, and nobody's trouble
        signals.queues[0].service = Some(0.01);
    }));
    silent(&trace(|signals| {
        waiting(signals);
        signals.queues[0].retries = 50; // they would only fail sooner
    }));
}

fn failing(signals: &mut Signals) {
    signals.queues[0].retries = 30;
    signals.queues[0].failures = 40;
}

#[test]
fn retry_storm_fires() {
    assert_eq!(only("retry-storm", "q", &trace(failing)).action, None);
}

#[test]
fn retry_storm_near_miss() {
    silent(&trace(|signals| {
        failing(signals);
        signals.queues[0].retries = 10; // exactly one in ten
    }));
    silent(&trace(|signals| {
        failing(signals);
        signals.queues[0].failures = 5; // retries that succeed
    }));
}
