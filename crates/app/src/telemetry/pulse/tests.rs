use std::sync::Mutex;

use tidegate_perfmon::{HealthReport, StatusClass};

use super::*;
use crate::telemetry::test_ground::Ground;

/// The responses that a verdict rests on.
fn samples(report: &HealthReport) -> u64 {
    let errors = report.components.iter().find(|component| component.name == "error_rate").unwrap();
    errors.samples.unwrap_or(0)
}

#[tokio::test]
async fn a_hanging_job_store_delays_no_verdict() {
    const SECONDS: u64 = 12;
    let Ground { telemetry, .. } = &Ground::new().await;
    tokio::time::pause();
    let endpoint = telemetry.registry.endpoint("GET", "/");
    let seen: Arc<Mutex<Vec<(Duration, u64)>>> = Arc::default();
    let (started, listener) = (Instant::now(), Arc::clone(&seen));
    telemetry
        .board()
        .every_second(move |beat| listener.lock().unwrap().push((started.elapsed(), samples(beat.health))));

    // One response in the midst of each second; the store never answers.
    let requests = async {
        tokio::time::sleep(BEAT / 2).await;
        for _ in 0..SECONDS {
            endpoint.record(StatusClass::Success, Duration::from_millis(1));
            tokio::time::sleep(BEAT).await;
        }
    };
    tokio::select! {
        () = requests => {}
        () = beat(telemetry) => {}
        () = ask(telemetry, std::future::pending) => {}
    }

    let seen = seen.lock().unwrap();
    for second in 3..=SECONDS {
        let at = Duration::from_secs(second);
        let verdicts: Vec<_> = seen.iter().filter(|(when, _)| *when >= at && *when < at + BEAT / 4).collect();
        assert!(verdicts.iter().any(|(_, samples)| *samples == second), "at {at:?} of {second} responses: {seen:?}");
    }
    let report = telemetry.health().unwrap();
    let store = report.components.iter().find(|component| component.name == "job_store_unreachable").unwrap();
    assert_eq!(store.observed, Some(1.0), "and it is said that the store doesn't answer");
}
