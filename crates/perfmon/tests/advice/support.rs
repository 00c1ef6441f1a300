//! Minutes in which nothing is wrong, and what is advised.

use tidegate_perfmon::advice::{
    Advice, ApiSignals, CacheSignals, LimiterSignals, Limits, QuerySignals, QueueSignals, Signals, advise,
};

/// An API, a cache, a queue, a limiter and two statements without any problem.
pub(crate) fn calm(minute: u64) -> Signals {
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

/// Half an hour without problems, then five minutes with a change.
pub(crate) fn trace(change: impl Fn(&mut Signals)) -> Vec<Signals> {
    let mut minutes: Vec<Signals> = (0..35).map(calm).collect();
    minutes[30..].iter_mut().for_each(change);
    minutes
}

pub(crate) fn ids(minutes: &[Signals]) -> Vec<(&'static str, String)> {
    advise(&Limits::default(), minutes).into_iter().map(|advice| (advice.id, advice.target)).collect()
}

/// Returns the only advice. None of its fields is empty.
pub(crate) fn only(id: &str, target: &str, minutes: &[Signals]) -> Advice {
    let mut advice = advise(&Limits::default(), minutes);
    assert_eq!(advice.len(), 1, "{advice:?}");
    let advice = advice.remove(0);
    assert_eq!((advice.id, advice.target.as_str()), (id, target));
    assert!(!advice.evidence.is_empty() && !advice.gain.is_empty() && !advice.disproved_by.is_empty(), "{advice:?}");
    assert!((0.0..=1.0).contains(&advice.confidence), "{advice:?}");
    advice
}

pub(crate) fn silent(minutes: &[Signals]) {
    assert_eq!(ids(minutes), []);
}

pub(crate) fn api(signals: &mut Signals) -> &mut ApiSignals {
    signals.api.as_mut().unwrap()
}

pub(crate) fn full_cache(signals: &mut Signals) {
    signals.caches[0] = CacheSignals { hits: 700, misses: 300, evictions: 250, expiries: 20, ..CacheSignals::new("c") };
}

pub(crate) fn waiting(signals: &mut Signals) {
    signals.queues[0].wait = Some(2.0);
}

pub(crate) fn repeating(signals: &mut Signals) {
    signals.queries[0].most_in_a_request = 40;
    signals.queries[0].repeated_in = 10;
}
