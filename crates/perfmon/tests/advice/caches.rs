//! Rules about caches.

use tidegate_perfmon::advice::{CacheSignals, Signals, Symptom};

use crate::support::{api, full_cache, ids, only, silent, trace};

#[test]
fn more_room_fires() {
    let advice = only("more-room", "c", &trace(full_cache));
    let change = advice.action.unwrap();
    assert_eq!((change.actuator.as_str(), change.factor), ("cache:c", 1.25));
    assert_eq!(change.symptom, Symptom::Misses("c".to_owned()));
    assert_eq!(advice.gain, "A hit rate of up to 95 %.");
    assert_eq!((advice.evidence[0].name, advice.evidence[0].value, advice.evidence[0].against), ("hit rate", 0.7, 0.8));
}

#[test]
fn more_room_near_miss() {
    silent(&trace(|signals| {
        full_cache(signals);
        signals.caches[0].hits = 1200; // exactly 80 %
    }));
    silent(&trace(|signals| {
        full_cache(signals);
        signals.caches[0].evictions = 29; // misses have another cause
    }));
    silent(&trace(|signals| {
        full_cache(signals);
        // 95 look-ups.
        signals.caches[0] = CacheSignals { hits: 13, misses: 6, evictions: 6, ..CacheSignals::new("c") };
    }));
}

fn aged_cache(signals: &mut Signals) {
    signals.caches[0] = CacheSignals { hits: 700, misses: 300, evictions: 20, expiries: 250, ..CacheSignals::new("c") };
}

#[test]
fn longer_ttl_fires() {
    assert_eq!(
        only("longer-ttl", "c", &trace(aged_cache)).action,
        None,
        "how old an answer may be is for people to say"
    );
}

#[test]
fn longer_ttl_near_miss() {
    silent(&trace(|signals| {
        aged_cache(signals);
        signals.caches[0].hits = 1200;
    }));
    silent(&trace(|signals| {
        aged_cache(signals);
        signals.caches[0].expiries = 29;
    }));
    assert_eq!(
        ids(&trace(|signals| {
            aged_cache(signals);
            signals.caches[0].evictions = 250;
        })),
        [("more-room", "c".to_owned())],
        "of two causes one is named"
    );
}

fn stampeding(signals: &mut Signals) {
    api(signals).p99 = Some(0.4);
    signals.caches[0] = CacheSignals { hits: 820, misses: 190, ..CacheSignals::new("c") };
}

#[test]
fn stampede_fires() {
    assert_eq!(only("stampede", "c", &trace(stampeding)).action, None);
    let piled_up = trace(|signals| {
        stampeding(signals);
        api(signals).in_flight = Some(40.0);
    });
    only("stampede", "c", &piled_up); // and no saturation, which has it as its cause
}

#[test]
fn stampede_near_miss() {
    silent(&trace(|signals| {
        stampeding(signals);
        api(signals).p99 = Some(0.11); // it is borne
    }));
    silent(&trace(|signals| {
        stampeding(signals);
        signals.caches[0].misses = 120; // no more than before
    }));
    silent(&trace(|signals| {
        stampeding(signals);
        // Of twice the look-ups.
        signals.caches[0] = CacheSignals { hits: 1800, misses: 210, ..CacheSignals::new("c") };
    }));
}
