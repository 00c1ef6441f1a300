//! Properties of all advice.

use proptest::prelude::*;
use tidegate_perfmon::advice::{
    ApiSignals, CacheSignals, LimiterSignals, Limits, QuerySignals, QueueSignals, Signals, advise,
};

use crate::support::{full_cache, ids, only, repeating, silent, trace, waiting};

#[test]
fn calm_minutes_give_no_advice() {
    silent(&trace(|_| ()));
    silent(&[]);
    silent(&(0..100).map(Signals::new).collect::<Vec<_>>());
}

#[test]
fn few_samples_and_weak_evidence_are_less_sure() {
    let confidence = |change: fn(&mut CacheSignals)| {
        let minutes = trace(|signals| {
            full_cache(signals);
            change(&mut signals.caches[0]);
        });
        only("more-room", "c", &minutes).confidence
    };
    let sure = confidence(|_| ());
    let few =
        confidence(|cache| *cache = CacheSignals { hits: 14, misses: 6, evictions: 5, expiries: 0, ..cache.clone() });
    let weak = confidence(|cache| cache.hits = 1150);
    assert!(few < sure / 1.5 && weak < sure / 1.2, "{sure} {few} {weak}");
}

#[test]
fn one_or_two_minutes_give_no_advice() {
    for unknown in 1..=5 {
        let mut minutes = trace(full_cache);
        minutes[30..30 + unknown].iter_mut().for_each(|signals| signals.caches.clear());
        assert_eq!(ids(&minutes).is_empty(), unknown > 2, "{unknown} of five say nothing");
    }
}

#[test]
fn advice_is_sorted_by_confidence_without_duplicates() {
    let minutes = trace(|signals| {
        full_cache(signals);
        waiting(signals);
        repeating(signals);
        signals.caches.push(CacheSignals { hits: 10, misses: 90, evictions: 90, ..CacheSignals::new("d") });
    });
    let advice = advise(&Limits::default(), &minutes);
    assert!(advice.windows(2).all(|pair| pair[0].confidence >= pair[1].confidence));
    let mut names: Vec<_> = advice.iter().map(|advice| (advice.id, advice.target.as_str())).collect();
    names.sort_unstable();
    let batch = ("batch", "SELECT a FROM t WHERE id = ?");
    assert_eq!(names, [batch, ("more-room", "c"), ("more-room", "d"), ("more-workers", "q")]);
    assert_eq!(advice, advise(&Limits::default(), &minutes), "a pure function");
}

#[test]
fn advice_is_readable_as_json() {
    let json = serde_json::to_value(&advise(&Limits::default(), &trace(full_cache))[0]).unwrap();
    assert_eq!(json["id"], "more-room");
    assert_eq!(json["action"]["symptom"], serde_json::json!({"of": "misses", "name": "c"}));
    assert_eq!(json["evidence"][0]["against"], 0.8);
    assert!(json["text"].as_str().unwrap().contains("`c`"));
}

/// Any number, where it may be NaN or absurd.
fn strange() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(any::<f64>())
}

prop_compose! {
    fn any_signals()(
        minute in any::<u64>(),
        cache in any::<(u64, u64, u64, u64)>(),
        api in (any::<u64>(), any::<u64>(), strange(), strange()),
        queue in (any::<u64>(), any::<u64>(), any::<u64>(), strange(), strange()),
        limiter in (any::<u64>(), any::<u64>(), strange()),
        queries in prop::collection::vec((0..3_u8, any::<u64>(), any::<f64>(), any::<u64>(), any::<u64>()), 0..4),
    ) -> Signals {
        let mut signals = Signals::new(minute);
        let (hits, misses, evictions, expiries) = cache;
        signals.caches = vec![CacheSignals { hits, misses, evictions, expiries, ..CacheSignals::new("c") }];
        let (requests, errors, p99, in_flight) = api;
        signals.api = Some(ApiSignals { requests, errors, p99, in_flight });
        let (runs, retries, failures, wait, service) = queue;
        signals.queues = vec![QueueSignals { runs, retries, failures, wait, service, ..QueueSignals::new("q") }];
        let (allowed, denied, largest_share) = limiter;
        signals.limiters = vec![LimiterSignals { allowed, denied, largest_share, ..LimiterSignals::new("l") }];
        signals.queries = queries
            .into_iter()
            .map(|(name, calls, total, most_in_a_request, repeated_in)| {
                QuerySignals { calls, total, most_in_a_request, repeated_in, ..QuerySignals::new(name.to_string()) }
            })
            .collect();
        signals
    }
}

proptest! {
    #[test]
    fn any_signals_are_accepted(minutes in prop::collection::vec(any_signals(), 0..40), odd in any::<f64>()) {
        let mut limits = Limits::default();
        for limits in [limits, { limits.hit_rate = odd; limits.retries = odd; limits.denied = odd; limits.repeats = 0; limits.samples = 0; limits }] {
            for advice in advise(&limits, &minutes) {
                prop_assert!((0.0..=1.0).contains(&advice.confidence), "{advice:?}");
                prop_assert!(advice.action.is_none_or(|change| (0.75..=1.25).contains(&change.factor)));
            }
        }
    }
}
