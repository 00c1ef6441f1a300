//! Histograms against sorted lists.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_perfmon::{EXPOSITION_BOUNDS, Histogram, Layout, ManualClock, Registry, StatusClass, Window};

/// Durations of every magnitude, and the neighbourhood of bounds.
fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u32..37, any::<u64>()).prop_map(|(bits, noise)| Duration::from_nanos((1 << bits) + noise % (1 << bits))),
        (prop::sample::select(&EXPOSITION_BOUNDS[..]), 0u64..3)
            .prop_map(|(bound, step)| bound + Duration::from_nanos(step) - Duration::from_nanos(1)),
        (0u64..300).prop_map(Duration::from_nanos),
    ]
}

/// Latencies as they come: by how they are distributed, in seconds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    LogNormal { median: f64, sigma: f64 },
    Pareto { least: f64, shape: f64 },
    Bimodal { fast: f64, slow: f64, share: f64 },
    Constant(f64),
    Uniform { to: f64 },
}

impl Kind {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            (1e-4..1.0, 0.1..2.0).prop_map(|(median, sigma)| Self::LogNormal { median, sigma }),
            (1e-4..0.1, 0.8..4.0).prop_map(|(least, shape)| Self::Pareto { least, shape }),
            (1e-4..1e-2, 0.1..10.0, 0.001..0.5).prop_map(|(fast, slow, share)| Self::Bimodal { fast, slow, share }),
            (1e-6..100.0).prop_map(Self::Constant),
            (1e-4..100.0).prop_map(|to| Self::Uniform { to }),
        ]
    }

    /// Draws a duration within the range of the buckets, from two numbers between 0 and 1.
    fn draw(self, at: f64, beside: f64) -> Duration {
        let secs = match self {
            Self::LogNormal { median, sigma } => {
                let normal = (-2.0 * (1.0 - at).ln()).sqrt() * (std::f64::consts::TAU * beside).cos();
                median * (sigma * normal).exp()
            }
            Self::Pareto { least, shape } => least * (1.0 - at).powf(-1.0 / shape),
            Self::Bimodal { fast, slow, share } => (if at < share { slow } else { fast }) * (0.9 + 0.2 * beside),
            Self::Constant(secs) => secs,
            Self::Uniform { to } => to * at,
        };
        Duration::from_secs_f64(secs.min(137.0))
    }
}

proptest! {
    // Each case is up to 3,000 samples.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_window_agrees_with_an_exact_oracle(
        kind in Kind::any(),
        seconds in prop::collection::vec(prop::collection::vec((0.0..1.0, 0.0..1.0), 0..60), 1..50),
        units in 1u8..=60,
    ) {
        let clock = ManualClock::new();
        let registry = Registry::builder().clock(clock.clone()).build();
        let endpoint = registry.endpoint("GET", "/");
        let mut filed = Vec::new();
        for (second, draws) in (1u64..).zip(&seconds) {
            for &(at, beside) in draws {
                let latency = kind.draw(at, beside);
                endpoint.record(StatusClass::Success, latency);
                filed.push((second, latency));
            }
            clock.advance(Duration::from_secs(1));
            registry.tick(registry.now());
        }
        let last = seconds.len() as u64;
        let oldest = last.saturating_sub(units.into());
        let mut truth: Vec<Duration> =
            filed.into_iter().filter(|(second, _)| *second >= oldest).map(|(_, latency)| latency).collect();
        truth.sort_unstable();
        let page = &registry.endpoints(Window::Seconds(units))[0];
        prop_assert_eq!(page.count, truth.len() as u64);
        let exact = |percent: usize| truth.get((truth.len() * percent).div_ceil(100).max(1) - 1).copied();
        let latency = &page.latency;
        for (read, truth) in [(latency.p50, exact(50)), (latency.p95, exact(95)), (latency.p99, exact(99)), (latency.max, exact(100))] {
            prop_assert_eq!(read.is_some(), truth.is_some());
            let (Some(read), Some(truth)) = (read, truth) else { continue };
            prop_assert!(read >= truth, "{:?} for {:?}", read, truth);
            prop_assert!(read.as_nanos() * 1000 <= truth.as_nanos() * 1016, "{:?} for {:?}", read, truth);
        }
        let sum: u128 = truth.iter().map(Duration::as_nanos).sum();
        prop_assert_eq!(latency.mean.map(|mean| mean.as_nanos()), sum.checked_div(truth.len() as u128));
        for over in &latency.over {
            let exact = truth.iter().filter(|latency| **latency > over.threshold).count();
            prop_assert_eq!(over.count, exact as u64);
        }
    }
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
