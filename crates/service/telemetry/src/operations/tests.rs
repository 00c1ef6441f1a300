use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tidegate_cache::{Event, LookupOutcome, Observer, TieredCache};
use tidegate_perfmon::{HealthConfig, HealthMonitor, Reading};
use tidegate_settings::test_ground::check_with;
use tidegate_store::Store;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::latest::LatestReport;
use crate::test_ground::Ground;
use crate::{AlertDispatcher, Tick};

const SLOW: Duration = Duration::from_millis(2);

/// Blocks the thread for the duration of something slow.
fn pass() {
    let begun = Instant::now();
    while begun.elapsed() < SLOW {
        std::hint::spin_loop();
    }
}

/// A metric that is slow to collect.
#[derive(Debug)]
struct Slow;

impl Collector for Slow {
    fn encode(&self, _: DescriptorEncoder<'_>) -> fmt::Result {
        pass();
        Ok(())
    }
}

/// Runs a receiver that closes each connection after some time, and sends it an alert.
async fn called(registry: &Registry) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let variables = [("TIDEGATE_ALERTS_WEBHOOK", url.as_str()), ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on")];
    let settings = check_with(&variables).unwrap();
    let stop = CancellationToken::new();
    let dispatcher =
        AlertDispatcher::new(&settings.performance.alerts, registry, Arc::new(LatestReport::new(registry)));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let (store, _coherence) = Store::open(&path, |_| TieredCache::builder().build(), stop.clone()).await.unwrap();
    dispatcher.share(&settings, &store, registry, stop.clone()).unwrap();
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    for second in 0..20 {
        let health = monitor.evaluate([Reading::new("job_store_unreachable", 1.0, 0.5).critical()]);
        dispatcher.tick(&Tick { now: Duration::from_secs(second), unix_ms: 0, registry, health: &health });
    }
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.read_u8().await.unwrap();
    pass();
    drop(stream);
    let webhook = receiver(registry, "webhook");
    while webhook.totals().latency.count == 0 {
        tokio::task::yield_now().await;
    }
    let totals = webhook.totals();
    assert_eq!(totals.failed, totals.latency.count, "no receiver accepted it");
    stop.cancel();
    dispatcher.unshared().await;
}

/// One operation of each kind takes longer than its limit. The others are not listed.
#[tokio::test]
async fn every_warning_lists_what_takes_longer() {
    for (kind, listed) in [("database", "app.change"), ("cache", "l1"), ("api", "webhook"), ("rendering", "metrics")] {
        let limits = format!("database=100s, cache=100s, api=100s, rendering=100s, {kind}=1ms");
        let Ground { telemetry, directory, .. } = &Ground::with(&[("TIDEGATE_PERFORMANCE_SLOW", &limits)]).await;

        let path = directory.path().join("app.db");
        let cache = |_: &str| TieredCache::builder().build();
        let (store, _coherence) = Store::open(&path, cache, CancellationToken::new()).await.unwrap();
        store.measure_changes(Arc::clone(&telemetry.operations().changes));
        let change = store.begin().await.unwrap();
        pass();
        change.commit().await.unwrap();
        drop(store.begin().await.unwrap());
        let lookup = Event::Lookup { class: "api", tier: "l1", outcome: LookupOutcome::Hit, latency: Some(SLOW) };
        telemetry.cache_watch.on(&lookup);
        called(telemetry.registry()).await;
        telemetry.sources().figures(|| Box::new(Slow));
        telemetry.exposition().await;

        let slow = telemetry.registry().slow_operations(100);
        let names: Vec<_> = slow.iter().map(|slow| slow.operation.as_str()).collect();
        assert_eq!(names, [listed], "{kind}");
        for (name, count) in [("app.change", 1), ("l1", 1), ("webhook", 1), ("metrics", 1)] {
            let all = telemetry.registry().operation_totals();
            let found = all.iter().find(|operation| operation.operation == name).expect(name);
            assert_eq!(found.latency.count, count, "{name}: a change that was dropped is none");
        }
    }
}
