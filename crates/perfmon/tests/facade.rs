//! What libraries count through the facade `metrics`, whatever they do.
#![cfg(feature = "metrics")]

use metrics::{Key, Label, Level, Metadata, Recorder, Unit, with_local_recorder};
use tidegate_perfmon::{Bridge, BridgedFigure};

const METADATA: Metadata<'static> = Metadata::new("a library", Level::INFO, None);

fn key(name: impl Into<String>, labels: &[(&str, &str)]) -> Key {
    let labels: Vec<_> = labels.iter().map(|(name, value)| Label::new(name.to_string(), value.to_string())).collect();
    Key::from_parts(name.into(), labels)
}

#[test]
fn metrics_of_a_library_are_exposed() {
    let bridge = Bridge::new();
    with_local_recorder(&bridge, || {
        metrics::describe_histogram!("wait", Unit::Milliseconds, "How long one waits");
        metrics::counter!("requests_total", "b" => "2", "a" => "1").increment(1);
        metrics::counter!("requests_total", "a" => "1", "b" => "2").increment(2);
        metrics::counter!("seen").absolute(7);
        metrics::counter!("seen").absolute(5);
        let level = metrics::gauge!("level");
        level.set(10.0);
        level.increment(2.5);
        level.decrement(20.0);
        for millis in [0.5, 20.0, 20_000.0] {
            metrics::histogram!("wait").record(millis);
        }
        metrics::histogram!("batch").record(3.0);
        metrics::histogram!("batch").record(0.25);
        metrics::histogram!("body_bytes").record(1_024.0);
    });
    let series = bridge.series();
    let names: Vec<_> = series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["batch", "body_bytes", "level", "requests", "seen", "wait_seconds"]);
    let figure = |name: &str| &series.iter().find(|series| series.name == name).unwrap().figure;
    assert_eq!(figure("requests"), &BridgedFigure::Counter(3));
    assert_eq!(series[3].labels, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    assert_eq!(figure("seen"), &BridgedFigure::Counter(7));
    assert_eq!(figure("level"), &BridgedFigure::Gauge(-7.5));
    let histogram = |name: &str, bound: f64| {
        let BridgedFigure::Histogram { buckets, count, sum } = figure(name) else { panic!("{name}") };
        let up_to = buckets.iter().find(|(upper, _)| *upper == bound).map(|(_, up_to)| *up_to);
        (up_to.unwrap(), *count, *sum)
    };
    assert_eq!(histogram("wait_seconds", 0.025), (2, 3, 20.0205));
    assert_eq!(histogram("batch", 1.0), (1, 2, 3.25));
    assert_eq!((histogram("body_bytes", 256.0), histogram("body_bytes", 1_024.0)), ((0, 1, 1_024.0), (1, 1, 1_024.0)));
    assert_eq!(series[5].help, "How long one waits");
    assert_eq!((bridge.dropped(), bridge.refused(), bridge.rejected()), (0, 0, 0));
}

#[test]
fn a_hostile_recorder_call_is_counted_and_never_panics() {
    let bridge = Bridge::with_cap(100);
    let long = "ä".repeat(5_000);
    let secret = format!("Bearer {}", "s3cr3t".repeat(2_000));
    let hostile = key("\0\n{}\"; drop", &[(&long, &long), ("le", &secret), ("le", "twice"), ("", "")]);
    bridge.register_counter(&hostile, &METADATA).increment(u64::MAX);
    bridge.register_counter(&hostile, &METADATA).increment(2);
    let told = &bridge.series()[0];
    assert_eq!(
        (told.name.as_str(), &told.figure),
        ("_______drop", &BridgedFigure::Counter(1)),
        "it wraps as counters do"
    );
    assert!(told.labels.iter().all(|(name, value)| name.len() <= 264 && value.len() <= 256), "{told:?}");
    assert!(!format!("{told:?}").contains("s3cr3t"), "{told:?}");

    let samples = bridge.register_histogram(&key("samples", &[]), &METADATA);
    let level = bridge.register_gauge(&key("level", &[]), &METADATA);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        samples.record(bad);
        level.set(bad);
        level.increment(bad);
    }
    samples.record(-1.0);
    assert_eq!(bridge.rejected(), 10);
    samples.record(f64::MAX);
    samples.record(0.0);
    samples.record_many(1.0, usize::MAX);
    let figure = |name: &str| bridge.series().into_iter().find(|series| series.name == name).unwrap().figure;
    assert!(matches!(figure("samples"), BridgedFigure::Histogram { count: 10_002, .. }));
    level.set(f64::MAX);
    level.increment(f64::MAX);
    assert_eq!(figure("level"), BridgedFigure::Gauge(f64::MAX));

    // Ours, and one of another kind.
    for name in ["tidegate_x", "cache_hits", "process.cpu"] {
        bridge.register_counter(&key(name, &[]), &METADATA).increment(1);
    }
    bridge.register_histogram(&key("level", &[]), &METADATA).record(1.0);
    bridge.register_gauge(&key("samples", &[]), &METADATA).set(1.0);
    assert_eq!(bridge.refused(), 5);

    for number in 0..10_000 {
        let user = number.to_string();
        bridge.register_counter(&key("logins", &[("user", &user)]), &METADATA).increment(1);
    }
    assert_eq!((bridge.series().len(), bridge.dropped()), (100, 9_903));
    assert_eq!(figure("level"), BridgedFigure::Gauge(f64::MAX), "those that were there go on");
    bridge.register_counter(&key("logins", &[("user", "0")]), &METADATA).increment(1);
    let first = bridge.series().into_iter().find(|series| series.labels.iter().any(|(_, value)| value == "0")).unwrap();
    assert_eq!(first.figure, BridgedFigure::Counter(2));
}
