use tidegate_model::alert_rules::parse;
use tidegate_queue::Broker;

use super::*;
use crate::Section;
use crate::test_ground::Ground;

fn rules(text: &str) -> OwnRules {
    OwnRules::new(&parse(text, &[]).unwrap().own)
}

fn observed(rules: &OwnRules, now: Instant) -> Vec<(String, Option<bool>, f64)> {
    let observations = rules.observations(now).into_iter();
    observations.map(|seen| (seen.subject.into_owned(), seen.breached, seen.value)).collect()
}

const QUEUES: &str = "# TYPE tidegate_queue_length gauge\ntidegate_queue_length{queue=\"import\"} 612\n\
    tidegate_queue_length{queue=\"email\"} 3\n";

#[test]
fn each_series_that_a_rule_covers_is_compared() {
    let now = Instant::now();
    let all = rules("mine: tidegate_queue_length > 500 for 2m");
    assert!(observed(&all, now).is_empty(), "nothing is read yet");
    all.take(QUEUES, now);
    let expected = [("queue=email".to_owned(), Some(false), 3.0), ("queue=import".to_owned(), Some(true), 612.0)];
    assert_eq!(observed(&all, now), expected);
    let detail = all.observations(now).remove(1).detail;
    assert_eq!(detail, "tidegate_queue_length (queue=import) is 612, above 500 for 2 minutes");

    let one = rules("mine: tidegate_queue_length{queue!=import} < 5");
    one.take(QUEUES, now);
    assert_eq!(observed(&one, now), [("queue=email".to_owned(), Some(true), 3.0)]);
    assert_eq!(one.observations(now)[0].detail, "tidegate_queue_length (queue=email) is 3, below 5");
}

#[test]
fn an_old_reading_and_a_missing_series_say_nothing() {
    let now = Instant::now();
    let rules = rules("mine: tidegate_queue_length > 500");
    rules.take(QUEUES, now);
    assert!(observed(&rules, now + STALE).is_empty());
    rules.take("# TYPE tidegate_queue_length gauge\ntidegate_queue_length{queue=\"email\"} 3\n", now + PERIOD);
    assert_eq!(observed(&rules, now + PERIOD).len(), 1);
}

#[test]
fn a_metric_without_series_is_shown() {
    let (now, rules) = (Instant::now(), rules("mine: tidegate_queue_lenght > 5, other: tidegate_queue_length > 5"));
    assert!(rules.without_data().is_empty(), "nothing is read yet");
    rules.take(QUEUES, now);
    assert_eq!(rules.without_data(), [json!({"rule": "mine", "metric": "tidegate_queue_lenght"})]);
    for (metric, known) in [
        ("jobs_total", true),
        ("jobs", false),
        ("time_bucket", true),
        ("time", false),
        ("depth", true),
        ("depth_total", false),
    ] {
        let families = "# TYPE jobs counter\n# TYPE time histogram\n# TYPE depth gauge\n";
        assert_eq!(is_known(families, metric), known, "{metric}");
    }
}

#[test]
fn an_increase_looks_back_and_outlives_resets_and_gaps() {
    let (start, rules) = (Instant::now(), rules("mine: increase(failed_total[1m]) > 5"));
    let at = |second: u64| start + Duration::from_secs(second);
    let read = |second: u64, value: &str| {
        rules.take(value, at(second));
        observed(&rules, at(second)).pop().map(|(_, breached, value)| (breached.unwrap(), value))
    };
    assert_eq!(read(0, "failed_total 100"), Some((false, 0.0)), "what was before counts nothing");
    assert_eq!(read(10, "failed_total 104"), Some((false, 4.0)));
    assert_eq!(read(20, "failed_total 106"), Some((true, 6.0)));
    assert_eq!(read(30, ""), None);
    assert_eq!(read(40, "failed_total 107"), Some((true, 7.0)));
    assert_eq!(read(50, "failed_total 2"), Some((true, 9.0)), "it has begun anew");
    assert_eq!(read(60, "failed_total 2"), Some((true, 9.0)));
    assert_eq!(read(80, "failed_total 2"), Some((false, 3.0)));
    assert_eq!(read(120, "failed_total 2"), Some((false, 0.0)));
}

#[test]
fn of_too_many_series_the_first_are_read() {
    let (now, rules) = (Instant::now(), rules("mine: depth > 5"));
    let text: String = (0..=series::MOST).map(|number| format!("depth{{n=\"{number}\"}} 9\n")).collect();
    rules.take(&text, now);
    assert_eq!(observed(&rules, now).len(), series::MOST);
}

#[tokio::test]
async fn a_rule_on_a_metric_of_the_node_fires_and_clears() {
    let rules = "mine: tidegate_queue_paused{queue=email} > 0 for 30s critical, wrong: tidegate_nothing > 1";
    let ground = Ground::with(&[("TIDEGATE_ALERTS_RULES", rules)]).await;
    let own = Arc::clone(ground.telemetry.alerts().own_rules());
    // The reading task of this node has ended before it begins.
    let read = async |from: u64| {
        own.take(&ground.telemetry.exposition().await, Instant::now());
        ground.pass(from..from + 70);
        ground.phase("mine", "queue=email")
    };
    assert_eq!(read(0).await, "");
    ground.broker.pause("email").await.unwrap();
    assert_eq!(read(100).await, "firing");
    let alert = ground.alert("mine", "queue=email").unwrap();
    assert_eq!(alert["detail"], "tidegate_queue_paused (queue=email) is 1, above 0 for 30 seconds");
    assert_eq!(alert["severity"], "critical");
    ground.broker.resume("email").await.unwrap();
    assert_eq!(read(200).await, "resolved");
    let told = ground.telemetry.alerts().json(10);
    assert_eq!(told["without_data"], json!([{"rule": "wrong", "metric": "tidegate_nothing"}]));
    let figures = ground.telemetry.exposition().await;
    assert!(figures.contains("tidegate_alerts_firing{rule=\"mine\",severity=\"critical\"} 0\n"), "{figures}");
}
