//! Rules about limiters.

use tidegate_perfmon::advice::{Signals, Symptom};

use crate::support::{api, ids, only, silent, trace};

fn saturated(signals: &mut Signals) {
    api(signals).p99 = Some(0.4);
    api(signals).in_flight = Some(40.0);
}

#[test]
fn saturation_fires() {
    let advice = only("saturation", "api", &trace(saturated));
    let change = advice.action.unwrap();
    assert_eq!((change.actuator.as_str(), change.factor, change.symptom), ("limit:l", 0.9, Symptom::P99));
}

#[test]
fn a_limiter_that_only_operators_change_is_not_named() {
    let advice = only(
        "saturation",
        "api",
        &trace(|signals| {
            saturated(signals);
            signals.limiters.iter_mut().for_each(|limiter| limiter.is_fixed = true);
        }),
    );
    assert_eq!(advice.action, None);
}

#[test]
fn saturation_near_miss() {
    silent(&trace(|signals| {
        saturated(signals);
        api(signals).requests = 3000; // more come and more end: that is load, not a wall
    }));
    silent(&trace(|signals| {
        saturated(signals);
        api(signals).in_flight = Some(5.0); // slow, and nothing piles up
    }));
    silent(&trace(|signals| {
        saturated(signals);
        api(signals).p99 = Some(0.15); // half as high again, and no more
    }));
    let mut short = trace(saturated);
    short.drain(..21); // nine minutes to compare with
    silent(&short);
}

fn tight(signals: &mut Signals) {
    signals.limiters[0].denied = 500;
}

#[test]
fn limit_too_tight_fires() {
    let change = only("limit-too-tight", "l", &trace(tight)).action.unwrap();
    assert_eq!((change.actuator.as_str(), change.factor), ("limit:l", 1.1));
}

#[test]
fn limit_too_tight_near_miss() {
    silent(&trace(|signals| signals.limiters[0].denied = 250)); // exactly one in five
    for largest_share in [Some(0.9), None] {
        silent(&trace(|signals| {
            tight(signals);
            signals.limiters[0].largest_share = largest_share; // one client, or who knows
        }));
    }
    let busy = trace(|signals| {
        tight(signals);
        saturated(signals);
    });
    assert_eq!(ids(&busy), [("saturation", "api".to_owned())], "what is full wants no more");
}
