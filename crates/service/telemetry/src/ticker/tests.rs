use std::sync::Mutex;

use tidegate_cache::TieredCache;
use tidegate_perfmon::{Dialect, Health, HealthConfig, HealthReport, Kind, Seen, StatusClass};
use tidegate_queue::{QueueCounts, WorkerId, WorkerInfo};
use tidegate_store::Store;

use super::*;
use crate::Section;
use crate::test_ground::Ground;

/// Returns the number of responses behind a health report.
fn samples(report: &HealthReport) -> u64 {
    let errors = report.components.iter().find(|component| component.name == "error_rate").unwrap();
    errors.samples.unwrap_or(0)
}

#[tokio::test]
async fn a_hanging_job_store_delays_no_verdict() {
    const SECONDS: u64 = 12;
    let Ground { telemetry, .. } = &Ground::new().await;
    tokio::time::pause();
    let endpoint = telemetry.registry.endpoint("GET", "/api/schedules");
    let seen: Arc<Mutex<Vec<(Duration, u64)>>> = Arc::default();
    let (started, listener) = (Instant::now(), Arc::clone(&seen));
    telemetry
        .sources()
        .every_second(move |tick| listener.lock().unwrap().push((started.elapsed(), samples(tick.health))));

    // One response in the middle of each second. The store never answers.
    let requests = async {
        tokio::time::sleep(TICK / 2).await;
        for _ in 0..SECONDS {
            endpoint.record(StatusClass::Success, Duration::from_millis(1));
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        () = requests => {}
        () = tick(telemetry) => {}
        () = ask(telemetry, std::future::pending) => {}
    }

    let seen = seen.lock().unwrap();
    for second in 3..=SECONDS {
        let at = Duration::from_secs(second);
        let verdicts: Vec<_> = seen.iter().filter(|(when, _)| *when >= at && *when < at + TICK / 4).collect();
        assert!(verdicts.iter().any(|(_, samples)| *samples == second), "at {at:?} of {second} responses: {seen:?}");
    }
    let report = telemetry.health().unwrap();
    let store = report.components.iter().find(|component| component.name == "job_store_unreachable").unwrap();
    assert_eq!(store.observed, Some(1.0), "and it is said that the store doesn't answer");
}

/// Checks all readings of this node: a reading without a rule would never raise an alert.
#[tokio::test]
async fn every_reading_has_a_rule() {
    let Ground { telemetry, directory, .. } = &Ground::new().await;
    telemetry.registry.endpoint("GET", "/").record(StatusClass::Success, Duration::from_millis(1));
    let own: Vec<_> = telemetry.registry.operation_totals().into_iter().map(|operation| operation.kind).collect();
    for kind in Kind::ALL {
        telemetry.registry.measure(kind, "work", async {}).await;
        // Calls to other services are only made if they are configured.
        assert!(own.contains(&kind) || kind == Kind::Api, "{kind} is measured by the node itself");
    }
    telemetry.statements.queries().record(&Seen {
        sql: "SELECT 1",
        dialect: Dialect::Sqlite,
        elapsed: Duration::from_millis(1),
        rows: 1,
        at_unix_ms: clock::unix_ms(),
        within: None,
        trace: None,
    });
    let path = directory.path().join("app.db");
    let cache = |_: &str| TieredCache::builder().build();
    let (store, _coherence) = Store::open(&path, cache, CancellationToken::new()).await.unwrap();
    telemetry.watch_pools(store.pools(), &HealthConfig::default());
    telemetry.sources().readings([Named::warning("cache_misses")], || vec![HealthConfig::default().cache_hits(1, 1)]);
    telemetry.follow_queues(CancellationToken::new());
    telemetry.rates.file(QUEUES[0], QueueCounts::default());
    telemetry.registry.tick(telemetry.registry.now() + TICK);
    *telemetry.asked.lock().unwrap() =
        Some(JobStoreAnswer { at: telemetry.registry.now(), unserved: Some(Vec::new()) });
    telemetry.judge();

    let report = telemetry.health().unwrap();
    let names: Vec<_> = report.components.iter().map(|component| component.name.as_ref()).collect();
    for expected in [
        "p99",
        "slow_query",
        "database_time",
        "api_time",
        "cache_time",
        "rendering_time",
        "slow_statements",
        "cache_misses",
        "open_descriptors",
        "pool_in_use",
        "pool_wait",
        "pool_stuck",
        "failing_api",
        "queues_without_live_worker",
        "job_store_full",
        "jobs_recovered",
    ] {
        assert!(names.contains(&expected), "{names:?}");
    }
    assert_eq!(telemetry.alerts().json(1)["without_rule"], 0, "{names:?}");
}

#[tokio::test]
async fn a_part_that_panics_ends_no_pulse() {
    let Ground { telemetry, .. } = &Ground::new().await;
    tokio::time::pause();
    let (asked, ticks) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let counted = Arc::clone(&asked);
    telemetry.sources().readings([Named::warning("pool_wait")], move || {
        let mut asked = counted.lock().unwrap_or_else(PoisonError::into_inner);
        *asked += 1;
        assert!(*asked % 2 == 0, "every other time");
        Vec::new()
    });
    let counted = Arc::clone(&ticks);
    telemetry.sources().every_second(move |_| *counted.lock().unwrap() += 1);
    *telemetry.asked.lock().unwrap() =
        Some(JobStoreAnswer { at: telemetry.registry.now(), unserved: Some(Vec::new()) });
    let _ = tokio::time::timeout(Duration::from_secs(10), tick(telemetry)).await;
    assert!(*asked.lock().unwrap_or_else(PoisonError::into_inner) >= 8, "asked each second");
    assert!(*ticks.lock().unwrap() >= 4, "and the listener was called for each evaluated second");
}

#[tokio::test]
async fn a_reading_that_panics_costs_itself_alone() {
    let Ground { telemetry, .. } = &Ground::new().await;
    telemetry.sources().readings([Named::critical("broken")], || panic!("it always does"));
    telemetry.sources().readings([Named::warning("pool_wait")], || vec![HealthConfig::default().pool_wait(TICK / 10)]);
    let told: Arc<Mutex<u32>> = Arc::default();
    let counted = Arc::clone(&told);
    telemetry.sources().every_second(|_| panic!("so does who listens"));
    telemetry.sources().every_second(move |_| *counted.lock().unwrap() += 1);
    *telemetry.asked.lock().unwrap() =
        Some(JobStoreAnswer { at: telemetry.registry.now(), unserved: Some(Vec::new()) });
    for _ in 0..10 {
        telemetry.judge();
    }
    let report = telemetry.health().expect("it is judged all the same");
    let of = |name: &str| report.components.iter().find(|of| of.name == name).expect("a component").state;
    assert_eq!((of("broken"), of("pool_wait")), (Health::Unknown, Health::Healthy));
    assert!(report.reasons.iter().any(|reason| reason.message.contains("broken is unknown (reading it panicked)")));
    assert_eq!((report.status, *told.lock().unwrap()), (Health::Unknown, 10), "later listeners are called");
    let text = telemetry.exposition().await;
    assert!(text.contains("tidegate_health_status{health=\"unknown\"} 1\n"), "{text}");
    assert!(text.contains("tidegate_health_status{health=\"healthy\"} 0\n"), "{text}");
    let age = text.lines().find(|line| line.starts_with("tidegate_verdict_age_seconds")).expect("the age");
    let age: f64 = age.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((0.0..5.0).contains(&age), "{age}");
}

#[tokio::test]
async fn a_query_that_panics_counts_as_unanswered_and_the_next_one_runs() {
    let Ground { telemetry, .. } = &Ground::new().await;
    tokio::time::pause();
    let asked = Mutex::new(0_u32);
    let question = || {
        let turn = {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        assert!(turn % 2 == 0, "every other time, and before it is a future");
        std::future::ready(Ok(Vec::new()))
    };
    let mut seen = Vec::new();
    let _ = tokio::time::timeout(TICK * 3 / 2, ask(telemetry, question)).await;
    seen.push(telemetry.asked().unwrap().unserved);
    let _ = tokio::time::timeout(TICK * 3 / 2, ask(telemetry, question)).await;
    seen.push(telemetry.asked().unwrap().unserved);
    assert_eq!(seen, [None, Some(Vec::new())]);
}

#[tokio::test]
async fn a_lost_worker_serves_no_queue() {
    let Ground { telemetry, .. } = &Ground::new().await;
    let (broker, now) = (&telemetry.broker, telemetry.broker.now().await.unwrap());
    let worker = |queues: &[&str]| {
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        WorkerInfo::of_this_process(WorkerId::generate(), queues, now)
    };
    broker.announce(worker(QUEUES).with_lease(Duration::ZERO)).await.unwrap();
    broker.announce(worker(&QUEUES[1..])).await.unwrap();
    let unserved = async || telemetry.unserved_queues().await.ok().filter(|queues| !queues.is_empty());
    let unserved = tidegate_testkit::poll_until(Duration::from_secs(10), unserved).await.unwrap();
    assert_eq!(unserved, QUEUES[..1], "the worker that serves it is lost");

    *telemetry.asked.lock().unwrap() = Some(JobStoreAnswer { at: telemetry.registry.now(), unserved: Some(unserved) });
    telemetry.judge();
    let report = telemetry.health().unwrap();
    let reason = report.reasons.iter().find(|reason| reason.component == "queues_without_live_worker").unwrap();
    assert!(reason.message.contains(&format!("({})", QUEUES[0])), "{}", reason.message);
}

#[tokio::test]
async fn a_full_job_store_is_a_reason_a_figure_and_an_alert() {
    let Ground { telemetry, .. } = &Ground::new().await;
    *telemetry.asked.lock().unwrap() =
        Some(JobStoreAnswer { at: telemetry.registry.now(), unserved: Some(Vec::new()) });
    let observed = || {
        telemetry.judge();
        let report = telemetry.health().unwrap();
        report.components.iter().find(|component| component.name == "job_store_full").unwrap().observed
    };
    assert_eq!(observed(), Some(0.0));
    telemetry.job_watch.found_full();
    assert_eq!(observed(), Some(1.0));
    let alerts = telemetry.alerts().json(10);
    let firing = alerts["items"]
        .as_array()
        .unwrap()
        .iter()
        .any(|alert| alert["rule"] == "job_store_full" && alert["phase"] == "firing");
    assert!(firing, "{alerts}");
    let figures = telemetry.exposition().await;
    assert!(figures.contains("tidegate_job_store_full_total 1"), "{figures}");
}

#[tokio::test]
async fn recovered_jobs_are_a_reason_and_an_alert_for_a_minute() {
    let Ground { telemetry, .. } = &Ground::new().await;
    let ended = CancellationToken::new();
    ended.cancel();
    telemetry.follow_queues(ended);
    tokio::time::pause();
    *telemetry.asked.lock().unwrap() =
        Some(JobStoreAnswer { at: telemetry.registry.now(), unserved: Some(Vec::new()) });
    let read = async |recovered: u64| {
        tokio::time::advance(Duration::from_secs(5)).await;
        let mut counts = QueueCounts::default();
        counts.recovered_total = recovered;
        telemetry.rates.file(QUEUES[0], counts);
        telemetry.judge();
        let report = telemetry.health().unwrap();
        report.components.iter().find(|component| component.name == "jobs_recovered").unwrap().observed
    };
    assert_eq!(read(4).await, Some(0.0), "they were recovered before this process began");
    assert_eq!(read(7).await, Some(1.0));
    let report = telemetry.health().unwrap();
    let reason = report.reasons.iter().find(|reason| reason.component == "jobs_recovered").unwrap();
    assert!(reason.message.contains(&format!("({}: 3)", QUEUES[0])), "{}", reason.message);
    let alerts = telemetry.alerts().json(10);
    let alerts = alerts["items"].as_array().unwrap();
    let alert = alerts.iter().find(|alert| alert["rule"] == "jobs_recovered").expect("an alert");
    assert_eq!((&alert["phase"], &alert["severity"]), (&"firing".into(), &"warning".into()), "{alert}");
    for _ in 0..10 {
        assert_eq!(read(7).await, Some(1.0));
    }
    for _ in 0..3 {
        read(7).await;
    }
    assert_eq!(read(7).await, Some(0.0), "it was more than a minute ago");
}
