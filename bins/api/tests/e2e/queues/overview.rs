//! The report on a queue, on its page and in `/metrics`.

use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use super::{BULK, JOBS, QUEUE, counts, enqueue, job, post, send, start};
use crate::harness::{Api, DEADLINE, csv};

/// The value of a metric, by its name and labels as they are written.
async fn metric(api: &Api, name: &str) -> Option<f64> {
    let text = send(api.request(reqwest::Method::GET, "/metrics")).await.text().await.expect("text");
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
pub(crate) async fn rates_and_lengths_follow_what_comes() {
    let api = start().await;
    let queue = api.json(QUEUE).await;
    assert_eq!((&queue["latency"], &queue["workers"]), (&Value::Null, &json!([])));
    let jobs: Vec<_> = (0..100).map(|_| job()).collect();
    let known = poll_until(DEADLINE, async || api.json(QUEUE).await["rates"].is_object().then_some(()));
    known.await.expect("after a second there is a rate");
    assert_eq!(send(post(&api, BULK, &json!({"jobs": jobs}))).await.status(), 201);
    let mut delayed = job();
    delayed["delay_ms"] = json!(3_600_000);
    enqueue(&api, &delayed).await;

    let rates = api.json(QUEUE).await["rates"].clone();
    let came = rates["enqueued_per_second"].as_f64().unwrap() * rates["window_seconds"].as_f64().unwrap();
    assert!((100.9..101.1).contains(&came), "{rates}");
    assert_eq!(rates["completed_per_second"], 0.0);
    assert_eq!(metric(&api, "tidegate_queue_length{queue=\"import\"}").await, Some(100.0));
    assert_eq!(metric(&api, "tidegate_queue_jobs{queue=\"import\",state=\"delayed\"}").await, Some(1.0));
    assert_eq!(metric(&api, "tidegate_queue_jobs{queue=\"import\",state=\"waiting\"}").await, Some(0.0));
    assert_eq!(metric(&api, "tidegate_queue_workers{queue=\"import\"}").await, Some(0.0));
    assert_eq!(metric(&api, "tidegate_queue_paused{queue=\"import\"}").await, Some(0.0));
    let oldest = metric(&api, "tidegate_queue_oldest_job_seconds{queue=\"import\"}").await;
    assert!(oldest.is_some_and(|age| age > 0.0 && age < 3_600.0), "{oldest:?}");
    assert!(api.json(QUEUE).await["oldest_ready_age_seconds"].as_f64() > Some(0.0));
}

#[tokio::test]
pub(crate) async fn runs_are_timed_and_counted_by_kind_and_outcome() {
    let api = super::start_with_worker().await;
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(20, &[])).await;
    api.job_in_state(&id, "done").await;
    let broken = enqueue(&api, &json!({"payload": "no import looks like that"})).await;
    api.job_in_state(&broken, "dead").await;
    // The worker reports a run when the store has it.
    let counted = poll_until(DEADLINE, async || {
        let latency = api.json(QUEUE).await["latency"].clone();
        (latency["run_time_ms"]["samples"] == 2).then_some(latency)
    });
    let latency = counted.await.expect("both are timed");
    for of in ["queue_wait_ms", "run_time_ms"] {
        assert!(latency[of]["p50"].as_f64() <= latency[of]["p99"].as_f64(), "{latency}");
    }
    assert!(latency["run_time_ms"]["p99"].as_f64() > Some(0.0), "{latency}");
    let runs = |outcome: &str| {
        format!("tidegate_job_runs_total{{queue=\"import\",kind=\"schedule.import\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(metric(&api, &runs("done")).await, Some(1.0));
    assert_eq!(metric(&api, &runs("buried")).await, Some(1.0));
    assert_eq!(metric(&api, "tidegate_jobs_total{queue=\"import\",outcome=\"completed\"}").await, Some(1.0));
    let timed = "tidegate_job_run_seconds_count{queue=\"import\",kind=\"schedule.import\"}";
    assert_eq!(metric(&api, timed).await, Some(2.0));
    assert_eq!(metric(&api, "tidegate_job_wait_seconds_count{queue=\"import\"}").await, Some(2.0));
    assert_eq!(metric(&api, "tidegate_queue_workers{queue=\"import\"}").await, Some(1.0));
}

#[tokio::test]
pub(crate) async fn kinds_that_no_handler_knows_wait_for_one_and_make_no_labels() {
    let api = super::start_with_worker().await;
    for n in 0..5 {
        enqueue(&api, &json!({"kind": format!("stranger-{n}"), "payload": 1})).await;
    }
    let put_off = poll_until(DEADLINE, async || (counts(&api).await == json!({"delayed": 5})).then_some(()));
    assert!(put_off.await.is_ok(), "{}", counts(&api).await);
    let page = api.json(&format!("{JOBS}?state=delayed")).await;
    assert!(page["items"][0]["note"].is_string(), "{page}");
    let text = send(api.request(reqwest::Method::GET, "/metrics")).await.text().await.expect("text");
    assert!(!text.contains("stranger"), "{text}");
}
