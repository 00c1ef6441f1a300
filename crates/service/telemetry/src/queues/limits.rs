//! Measurements of a queue for alert rules.

use tidegate_model::alert_rules::Measurement;
use tidegate_queue::QueueCounts;
use tokio::time::Instant;

use super::samples::{PERIOD, Samples, float};

/// Minimum number of runs within five minutes. With fewer, the share of failures is not meaningful.
const FEWEST_RUNS: u64 = 20;

/// Returns the measurements of the last reading. Empty if it is old, since the job store then does
/// not answer.
pub(super) fn measurements(queue: &str, samples: &Samples) -> Vec<Measurement> {
    let (Some((_, before)), Some((at, now))) = (samples.first(), samples.last()) else { return Vec::new() };
    if Instant::now().duration_since(*at) > 3 * PERIOD {
        return Vec::new();
    }
    // Jobs of a paused queue wait on purpose.
    let waits = now.oldest_ready_age.filter(|_| !now.paused).unwrap_or_default();
    vec![
        Measurement::new("dead_letters", queue, float(now.dead)),
        Measurement::new("backlog", queue, float(now.ready)),
        Measurement::new("oldest_job", queue, waits.as_secs_f64()),
        Measurement::new("job_failures", queue, failed_share(before, now)),
    ]
}

/// Returns the share of failed runs, including those that are retried. 0 if there were too few
/// runs.
fn failed_share(before: &QueueCounts, now: &QueueCounts) -> f64 {
    let since = |total: fn(&QueueCounts) -> u64| total(now).saturating_sub(total(before));
    let failed = since(|counts| counts.failed_total) + since(|counts| counts.retried_total);
    let runs = failed + since(|counts| counts.completed_total);
    if runs < FEWEST_RUNS { 0.0 } else { float(failed) / float(runs) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_queue::{Broker, EnqueueOptions, NewJob};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::test_ground::Ground;

    /// A node that follows its queues. The test provides the totals.
    async fn ground(rules: &str) -> Ground {
        let ground = Ground::with(&[("TIDEGATE_ALERTS_RULES", rules)]).await;
        let ended = CancellationToken::new();
        ended.cancel();
        ground.telemetry.follow_queues(ended);
        tokio::time::pause();
        ground
    }

    /// Files these totals `times` times, with 5 s after each.
    async fn read(ground: &Ground, from: &mut u64, times: usize, counts: &QueueCounts) {
        for _ in 0..times {
            tokio::time::advance(PERIOD).await;
            ground.telemetry.rates.file("email", counts.clone());
            ground.pass(*from..*from + PERIOD.as_secs());
            *from += PERIOD.as_secs();
        }
    }

    #[tokio::test]
    async fn each_rule_of_queues_fires_and_clears() {
        type Change = fn(&mut QueueCounts);
        let cases: [(&str, Change, Change, &str); 4] = [
            (
                "dead_letters",
                |counts| counts.dead = 12,
                |counts| counts.dead = 10,
                "number of dead letters of queue email is 12, above 10 for 2 minutes",
            ),
            (
                "backlog",
                |counts| counts.ready = 1_001,
                |counts| counts.ready = 1_000,
                "number of waiting jobs of queue email is 1001, above 1000 for 2 minutes",
            ),
            (
                "oldest_job",
                |counts| counts.oldest_ready_age = Some(Duration::from_secs(301)),
                |counts| counts.paused = true,
                "wait of the oldest job of queue email is 5 minutes 1 second, above 5 minutes for 1 minute",
            ),
            (
                "job_failures",
                |counts| (counts.completed_total, counts.retried_total, counts.failed_total) = (36, 3, 2),
                |counts| counts.completed_total = 100,
                "share of failed runs of queue email within 5 minutes is 12.2 %, above 10 % for 1 minute",
            ),
        ];
        for (rule, worsen, improve, sentence) in cases {
            let (ground, mut from, mut counts) = (ground("").await, 0, QueueCounts::default());
            read(&ground, &mut from, 2, &counts).await;
            assert_eq!(ground.phase(rule, "email"), "", "{rule}");
            worsen(&mut counts);
            read(&ground, &mut from, 2, &counts).await;
            assert_eq!(ground.phase(rule, "email"), "pending", "{rule}");
            read(&ground, &mut from, 24, &counts).await;
            assert_eq!(ground.phase(rule, "email"), "firing", "{rule}");
            assert_eq!(ground.alert(rule, "email").unwrap()["detail"], sentence);
            improve(&mut counts);
            read(&ground, &mut from, 14, &counts).await;
            assert_eq!(ground.phase(rule, "email"), "resolved", "{rule}");
            tokio::time::resume();
        }
    }

    #[tokio::test]
    async fn few_runs_and_failures_of_long_ago_say_nothing() {
        let (ground, mut from, mut counts) = (ground("").await, 0, QueueCounts::default());
        read(&ground, &mut from, 1, &counts).await;
        counts.failed_total = 19;
        read(&ground, &mut from, 30, &counts).await;
        assert_eq!(ground.phase("job_failures", "email"), "", "too few");
        counts.failed_total = 20;
        read(&ground, &mut from, 20, &counts).await;
        assert_eq!(ground.phase("job_failures", "email"), "firing");
        read(&ground, &mut from, 60, &counts).await;
        assert_eq!(ground.phase("job_failures", "email"), "resolved", "nothing failed within five minutes");
    }

    #[tokio::test]
    async fn a_changed_rule_applies_to_the_figures_of_the_job_store() {
        let (ground, mut from) = (ground("backlog: > 2 for 10s critical, dead_letters: off").await, 0);
        tokio::time::resume();
        let job = || NewJob::new("k", &serde_json::json!(1), EnqueueOptions::new(), 10).unwrap();
        ground.broker.enqueue("email", (0..3).map(|_| job()).collect()).await.unwrap();
        let mut counts = ground.broker.counts("email").await.unwrap();
        counts.dead = 1_000;
        tokio::time::pause();
        read(&ground, &mut from, 3, &counts).await;
        let alert = ground.alert("backlog", "email").unwrap();
        assert_eq!((&alert["phase"], &alert["severity"]), (&"firing".into(), &"critical".into()), "{alert}");
        assert_eq!(alert["detail"], "number of waiting jobs of queue email is 3, above 2 for 10 seconds");
        assert_eq!(ground.phase("dead_letters", "email"), "", "it is off");
        tokio::time::resume();
        ground.broker.drain("email", 10).await.unwrap();
        let counts = ground.broker.counts("email").await.unwrap();
        tokio::time::pause();
        read(&ground, &mut from, 14, &counts).await;
        assert_eq!(ground.phase("backlog", "email"), "resolved");
    }

    #[tokio::test]
    async fn a_job_store_that_does_not_answer_clears_nothing() {
        let (ground, mut from, mut counts) = (ground("").await, 0, QueueCounts::default());
        counts.dead = 12;
        read(&ground, &mut from, 30, &counts).await;
        tokio::time::advance(4 * PERIOD).await;
        ground.pass(from..from + 300);
        assert_eq!(ground.phase("dead_letters", "email"), "firing");
        assert!(ground.telemetry.rates.measurements().is_empty());
    }
}
