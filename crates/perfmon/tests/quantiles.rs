//! Histograms against sorted lists.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_perfmon::{EXPOSITION_BOUNDS, Histogram, Layout, Registry, StatusClass, Window};

/// Durations of every magnitude, and the neighbourhood of bounds.
fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u32..37, any::<u64>()).prop_map(|(bits, noise)| Duration::from_nanos((1 << bits) + noise % (1 << bits))),
        (prop::sample::select(&EXPOSITION_BOUNDS[..]), 0u64..3)
            .prop_map(|(bound, step)| bound + Duration::from_nanos(step) - Duration::from_nanos(1)),
        (0u64..300).prop_map(Duration::from_nanos),
    ]
}

proptest! {
    #[test]
    fn a_quantile_is_never_below_the_true_sample_and_at_most_1_6_percent_above(
        mut samples in prop::collection::vec(duration(), 1..400),
        per_mille in 0u32..=1000,
    ) {
        let histogram = Histogram::default();
        for &sample in &samples {
            histogram.record(sample);
        }
        samples.sort_unstable();
        let n = samples.len();
        let rank = (n * per_mille as usize).div_ceil(1000).max(1);
        let snapshot = histogram.snapshot();
        for (read, truth) in [
            (snapshot.quantile(f64::from(per_mille) / 1000.0), samples[rank - 1]),
            (snapshot.max(), samples[n - 1]),
        ] {
            let read = read.unwrap();
            prop_assert!(read >= truth);
            prop_assert!(read.as_nanos() * 1000 <= truth.as_nanos() * 1016, "{read:?} for {truth:?}");
        }
        prop_assert_eq!(snapshot.sum(), samples.iter().sum::<Duration>());
        prop_assert_eq!(snapshot.mean().unwrap().as_nanos(), snapshot.sum().as_nanos() / n as u128);
    }

    #[test]
    fn counts_at_edges_are_exact(
        samples in prop::collection::vec(duration(), 0..300),
        edges in prop::collection::vec(duration(), 0..20),
    ) {
        let histogram = Histogram::new(Arc::new(Layout::new(edges.iter().copied().chain(EXPOSITION_BOUNDS))));
        for &sample in &samples {
            histogram.record(sample);
        }
        let snapshot = histogram.snapshot();
        let at_most = |bound: Duration| samples.iter().filter(|&&sample| sample <= bound).count() as u64;
        for &edge in &edges {
            prop_assert_eq!(snapshot.at_most(edge), at_most(edge));
            prop_assert_eq!(snapshot.over(edge), samples.len() as u64 - at_most(edge));
        }
        let exposed: Vec<_> = snapshot.cumulative().collect();
        let expected: Vec<_> = EXPOSITION_BOUNDS.iter().map(|&bound| (bound.as_secs_f64(), at_most(bound))).collect();
        prop_assert_eq!(exposed, expected);
    }

    #[test]
    fn windows_and_totals_hold_the_same_samples(
        samples in prop::collection::vec((duration(), 100u16..700), 0..200),
        threshold in duration(),
    ) {
        let registry = Registry::builder().thresholds([threshold]).build();
        let endpoint = registry.endpoint("GET", "/");
        for &(sample, code) in &samples {
            endpoint.record(StatusClass::of(code), sample);
        }
        let before_tick = registry.totals();
        registry.tick(registry.now());
        prop_assert_eq!(&before_tick, &registry.totals());
        let snapshot = &registry.endpoints(Window::Hours(1))[0];
        prop_assert_eq!(snapshot.count, samples.len() as u64);
        prop_assert_eq!(snapshot.classes.total(), samples.len() as u64);
        let errors = samples.iter().filter(|(_, code)| *code >= 500).count() as u64;
        prop_assert_eq!(snapshot.errors, errors);
        let over = samples.iter().filter(|(sample, _)| *sample > threshold).count() as u64;
        prop_assert_eq!(snapshot.latency.over[0].count, over);
        let totals = &before_tick[0].latency;
        prop_assert_eq!(totals.count, samples.len() as u64);
        for &(le, count) in &totals.buckets {
            let truth = samples.iter().filter(|(sample, _)| sample.as_secs_f64() <= le).count() as u64;
            prop_assert_eq!(count, truth, "le {}", le);
        }
    }
}
