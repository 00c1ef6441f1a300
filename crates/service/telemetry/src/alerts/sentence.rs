//! Describes an alert in a sentence for operators, with units.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use tidegate_model::alert_rules::{LIMITS, in_words, standing_rules};
use tidegate_perfmon::{Alert, BurnRate, Phase};

use super::notice::Notice;

/// Built-in rules whose sentence does not say for how long they were breached. The sentences of
/// [`LIMITS`] and of the operator's own rules do.
static WITHOUT_TIME: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let rules = standing_rules(&BurnRate::standard(OBJECTIVE)).into_iter().map(|rule| rule.id.into_owned());
    rules.filter(|id| LIMITS.iter().all(|limit| limit.id != id) && id != "health").collect()
});
/// Any objective, since the names of the rules do not depend on it.
const OBJECTIVE: f64 = 0.999;

/// Returns for example `error_rate` or `tenant_anomaly of acme`.
pub(super) fn name(alert: &Alert) -> String {
    match alert.subject.as_str() {
        "" => alert.rule.clone(),
        subject => format!("{} of {subject}", alert.rule),
    }
}

/// Returns a short title, for example `error_rate is firing`.
pub(super) fn title(alert: &Alert) -> String {
    let what = match alert.phase {
        Phase::Pending | Phase::Firing => "is firing",
        Phase::Resolved | Phase::Withdrawn => "is resolved",
        Phase::Expired => "has expired",
    };
    format!("{} {what}", name(alert))
}

/// Returns the title and the sentence of the alert.
pub(super) fn summary(alert: &Alert) -> String {
    let title = title(alert);
    match alert.phase {
        Phase::Pending | Phase::Firing if !alert.detail.is_empty() => {
            format!("{title}: {}{}", alert.detail, held(alert))
        }
        Phase::Pending | Phase::Firing if alert.value.is_finite() && alert.threshold.is_finite() => {
            format!("{title}: its value is {}, above {}{}", short(alert.value), short(alert.threshold), held(alert))
        }
        Phase::Pending | Phase::Firing => title,
        Phase::Resolved | Phase::Withdrawn => format!("{title}{}", lasted(alert)),
        Phase::Expired => format!("{title}{}: its state is unknown since then", lasted(alert)),
    }
}

/// Returns for example `Reported by tidegate-api 7c0f6b0e on node-1.`
pub(super) fn source(notice: &Notice) -> String {
    format!("Reported by {}.", notice.source.name())
}

/// Returns for how long the rule was breached before the alert fired, for example ` for 30s`.
fn held(alert: &Alert) -> String {
    let fired = alert.fired_at_unix_ms.filter(|_| WITHOUT_TIME.contains(&alert.rule));
    match fired.map(|fired| fired.saturating_sub(alert.pending_at_unix_ms) / 1_000) {
        None | Some(0) => String::new(),
        Some(seconds) => format!(" for {}", in_words(Duration::from_secs(seconds))),
    }
}

/// Formats with two decimal places, without trailing zeros.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn lasted(alert: &Alert) -> String {
    let (Some(fired), Some(ended)) = (alert.fired_at_unix_ms, alert.ended_at_unix_ms) else { return String::new() };
    let seconds = Duration::from_secs(ended.saturating_sub(fired) / 1_000);
    format!(" after {}", in_words(seconds.max(Duration::from_secs(1))))
}

#[cfg(test)]
mod tests {
    use super::super::test_alert::alert;
    use super::*;

    fn firing(rule: &str, value: f64, threshold: f64, detail: &str) -> String {
        let mut alert = alert(rule, "");
        (alert.value, alert.threshold) = (value, threshold);
        detail.clone_into(&mut alert.detail);
        alert.pending_at_unix_ms -= 120_000;
        summary(&alert)
    }

    #[test]
    fn the_sentence_of_a_built_in_rule_says_how_long_it_was_breached() {
        for (rule, detail, summary) in [
            (
                "slow_api",
                "P95 of GET /api/schedules is 2.4 s, above 2 s",
                "slow_api is firing: P95 of GET /api/schedules is 2.4 s, above 2 s for 2 minutes",
            ),
            (
                "redis_unavailable",
                "Redis is unavailable",
                "redis_unavailable is firing: Redis is unavailable for 2 minutes",
            ),
            (
                "health",
                "P99 of all responses is 6 s, above 5 s",
                "health is firing: P99 of all responses is 6 s, above 5 s",
            ),
            ("p99", "", "p99 is firing: its value is 6, above 5 for 2 minutes"),
        ] {
            assert_eq!(firing(rule, 6.0, 5.0, detail), summary);
        }
        assert_eq!(firing("health", f64::NAN, 50.0, ""), "health is firing");
    }

    #[test]
    fn a_sentence_with_a_duration_is_unchanged() {
        for (rule, value, threshold, detail) in [
            ("few_hits", 0.5, 0.8, "tidegate_redis_hit_ratio is 50 %, below 80 % for 10 minutes"),
            (
                "redis_memory",
                0.95,
                0.9,
                "share of the memory limit in use on Redis 10.0.0.1 is 95 %, above 90 % for 90 seconds",
            ),
        ] {
            assert_eq!(firing(rule, value, threshold, detail), format!("{rule} is firing: {detail}"));
        }
    }

    #[test]
    fn the_end_of_an_alert_has_its_duration_and_subject() {
        let mut alert = alert("tenant_anomaly", "acme");
        alert.phase = Phase::Resolved;
        (alert.fired_at_unix_ms, alert.ended_at_unix_ms) = (Some(1_000), Some(91_500));
        assert_eq!(summary(&alert), "tenant_anomaly of acme is resolved after 1 minute 30 seconds");
        alert.phase = Phase::Expired;
        assert_eq!(
            summary(&alert),
            "tenant_anomaly of acme has expired after 1 minute 30 seconds: its state is unknown since then"
        );
    }
}
