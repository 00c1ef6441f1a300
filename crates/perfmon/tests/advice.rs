//! Each rule speaks where it should, and is silent where one thing is otherwise.

#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use proptest::prelude::*;
use tidegate_perfmon::advice::{
    Advice, ApiSignals, CacheSignals, LimiterSignals, Limits, QuerySignals, QueueSignals, Signals, Symptom, advise,
};

/// An API, a cache, a queue, a limiter and two statements with which nothing is the matter.
fn calm(minute: u64) -> Signals {
    let swing = minute % 3;
    let mut signals = Signals::new(minute);
    signals.api = Some(ApiSignals {
        requests: 1000 + 20 * swing,
        errors: 2 + swing,
        p99: Some(0.100 + 0.005 * swing as f64),
        in_flight: Some(4.0 + 0.5 * swing as f64),
    });
    signals.caches =
        vec![CacheSignals { hits: 900, misses: 100 + swing, evictions: 20, expiries: 20, ..CacheSignals::new("c") }];
    let queue = QueueSignals::new("q");
    signals.queues =
        vec![QueueSignals { runs: 100, retries: 4, failures: 4 + swing, wait: Some(0.2), service: Some(0.5), ..queue }];
    signals.limiters = vec![
        LimiterSignals { allowed: 1000, denied: 20, largest_share: Some(0.1), ..LimiterSignals::new("l") },
        LimiterSignals { allowed: 10, ..LimiterSignals::new("small") },
    ];
    signals.queries = vec![
        QuerySignals {
            calls: 500,
            total: 2.0,
            most_in_a_request: 2,
            ..QuerySignals::new("SELECT a FROM t WHERE id = ?")
        },
        QuerySignals {
            calls: 500,
            total: 2.0,
            most_in_a_request: 1,
            ..QuerySignals::new("SELECT b FROM u WHERE id = ?")
        },
        QuerySignals {
            calls: 500,
            total: 2.0,
            most_in_a_request: 1,
            ..QuerySignals::new("SELECT c FROM v WHERE id = ?")
        },
        QuerySignals {
            calls: 500,
            total: 2.0,
            most_in_a_request: 1,
            ..QuerySignals::new("SELECT d FROM w WHERE id = ?")
        },
    ];
    signals
}

/// Half an hour of calm, and five minutes in which something is otherwise.
fn trace(change: impl Fn(&mut Signals)) -> Vec<Signals> {
    let mut minutes: Vec<Signals> = (0..35).map(calm).collect();
    minutes[30..].iter_mut().for_each(change);
    minutes
}

fn ids(minutes: &[Signals]) -> Vec<(&'static str, String)> {
    advise(&Limits::default(), minutes).into_iter().map(|advice| (advice.id, advice.target)).collect()
}

/// The only advice, which all of its parts have something to say for.
fn only(id: &str, target: &str, minutes: &[Signals]) -> Advice {
    let mut advice = advise(&Limits::default(), minutes);
    assert_eq!(advice.len(), 1, "{advice:?}");
    let advice = advice.remove(0);
    assert_eq!((advice.id, advice.target.as_str()), (id, target));
    assert!(!advice.evidence.is_empty() && !advice.gain.is_empty() && !advice.disproved_by.is_empty(), "{advice:?}");
    assert!((0.0..=1.0).contains(&advice.confidence), "{advice:?}");
    advice
}

fn silent(minutes: &[Signals]) {
    assert_eq!(ids(minutes), []);
}

fn api(signals: &mut Signals) -> &mut ApiSignals {
    signals.api.as_mut().unwrap()
}

#[test]
fn calm_minutes_say_nothing() {
    silent(&trace(|_| ()));
    silent(&[]);
    silent(&(0..100).map(Signals::new).collect::<Vec<_>>());
}

fn full_cache(signals: &mut Signals) {
    signals.caches[0] = CacheSignals { hits: 700, misses: 300, evictions: 250, expiries: 20, ..CacheSignals::new("c") };
}

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
fn a_limiter_whose_rate_only_people_change_is_not_named() {
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

fn waiting(signals: &mut Signals) {
    signals.queues[0].wait = Some(2.0);
}

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

fn repeating(signals: &mut Signals) {
    signals.queries[0].most_in_a_request = 40;
    signals.queries[0].repeated_in = 10;
}

#[test]
fn batch_fires() {
    let advice = only("batch", "SELECT a FROM t WHERE id = ?", &trace(repeating));
    assert_eq!(advice.gain, "Up to 39 round trips less in such a request.");
}

#[test]
fn batch_near_miss() {
    silent(&trace(|signals| {
        repeating(signals);
        signals.queries[0].most_in_a_request = 5; // as often as may be
    }));
    let mut once = trace(|_| ());
    once[34].queries[0].most_in_a_request = 40;
    once[34].queries[0].repeated_in = 2; // hardly a habit
    silent(&once);
}

#[test]
fn heaviest_query_fires() {
    let advice =
        only("heaviest-query", "SELECT b FROM u WHERE id = ?", &trace(|signals| signals.queries[1].total = 6.0));
    assert_eq!(advice.gain, "Up to 50 % of the time that all statements take.");
}

#[test]
fn statements_without_rows_are_never_the_heaviest() {
    for text in ["commit", "begin immediate", "rollback", "savepoint a", "release a", "pragma wal_checkpoint (?)"] {
        silent(&trace(|signals| {
            signals.queries[1].fingerprint = text.to_owned();
            signals.queries[1].total = 6.0;
        }));
    }
}

#[test]
fn heaviest_query_near_miss() {
    silent(&trace(|signals| signals.queries[1].total = 2.5)); // 29 %
    silent(&trace(|signals| {
        signals.queries.iter_mut().for_each(|query| query.total = 0.02); // idle
        signals.queries[1].total = 0.9;
    }));
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
fn a_minute_or_two_are_no_reason() {
    for unknown in 1..=5 {
        let mut minutes = trace(full_cache);
        minutes[30..30 + unknown].iter_mut().for_each(|signals| signals.caches.clear());
        assert_eq!(ids(&minutes).is_empty(), unknown > 2, "{unknown} of five say nothing");
    }
}

#[test]
fn the_surest_comes_first_and_each_once() {
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
    fn no_signals_are_too_strange(minutes in prop::collection::vec(any_signals(), 0..40), odd in any::<f64>()) {
        let mut limits = Limits::default();
        for limits in [limits, { limits.hit_rate = odd; limits.retries = odd; limits.denied = odd; limits.repeats = 0; limits.samples = 0; limits }] {
            for advice in advise(&limits, &minutes) {
                prop_assert!((0.0..=1.0).contains(&advice.confidence), "{advice:?}");
                prop_assert!(advice.action.is_none_or(|change| (0.75..=1.25).contains(&change.factor)));
            }
        }
    }
}
