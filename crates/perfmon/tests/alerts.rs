//! The life of alerts, against a plain model and by example.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tidegate_perfmon::{
    AlertRule, AlertRuleError, Alerts, HealthConfig, HealthMonitor, Observation, Phase, Reading, Severity, Silence,
    SilenceError, TraceContext, Transition,
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn rule(hold: u64, keep: u64, expire: u64) -> AlertRule {
    AlertRule::new("r", Severity::Warning).hold(secs(hold)).keep(secs(keep)).expire(secs(expire))
}

fn alerts(rules: impl IntoIterator<Item = AlertRule>) -> Alerts {
    Alerts::new(rules.into_iter().collect(), 200).expect("sound rules")
}

fn seen(breached: Option<bool>) -> Observation<'static> {
    Observation::new("r", breached, 2.0, 1.0)
}

fn at(alerts: &mut Alerts, at: u64, seen: &[Observation<'_>]) -> Vec<Transition> {
    alerts.evaluate(secs(at), at * 1000, seen)
}

fn phases(transitions: &[Transition]) -> Vec<(Option<Phase>, Phase, bool)> {
    transitions.iter().map(|step| (step.from, step.alert.phase, step.notify)).collect()
}

fn silence(rule: &str, subject: Option<&str>, until_secs: u64) -> Silence {
    let (rule, subject, until_unix_ms) = (rule.to_owned(), subject.map(str::to_owned), until_secs * 1000);
    Silence { rule, subject, until_unix_ms, reason: "planned".to_owned() }
}

/// What the life of one alert is, said over the whole past at each moment.
struct Model<'a> {
    gaps: &'a [u64],
    words: &'a [Option<bool>],
    hold: u64,
    keep: u64,
    expire: u64,
}

impl Model<'_> {
    /// Seconds up to `to` that lie between two words that both are `word`, behind `from`.
    fn agreed(&self, from: usize, to: usize, word: bool) -> u64 {
        let both = |at: &usize| self.words[*at] == Some(word) && self.words[*at - 1] == Some(word);
        (from + 1..=to).filter(both).map(|at| self.gaps[at]).sum()
    }

    /// Seconds of nothing known that end at `to`.
    fn unknown(&self, to: usize) -> u64 {
        let known = self.words[..=to].iter().rposition(Option::is_some).map_or(0, |known| known + 1);
        self.gaps[known..=to].iter().sum()
    }

    fn after(&self, phase: Option<Phase>, began: usize, at: usize) -> Option<Phase> {
        let word = self.words[at];
        match phase {
            Some(Phase::Firing) => Some(match word {
                None if self.unknown(at) >= self.expire => Phase::Expired,
                Some(false) => {
                    let bad = self.words[..=at].iter().rposition(|word| *word == Some(true)).expect("it fired");
                    if self.agreed(bad, at, false) >= self.keep { Phase::Resolved } else { Phase::Firing }
                }
                _ => Phase::Firing,
            }),
            Some(Phase::Pending) => Some(match word {
                None if self.unknown(at) < self.expire => Phase::Pending,
                None | Some(false) => Phase::Withdrawn,
                Some(true) if self.agreed(began, at, true) >= self.hold => Phase::Firing,
                Some(true) => Phase::Pending,
            }),
            _ if word == Some(true) => Some(if self.hold == 0 { Phase::Firing } else { Phase::Pending }),
            _ => None,
        }
    }
}

fn is_over(phase: Phase) -> bool {
    matches!(phase, Phase::Resolved | Phase::Expired | Phase::Withdrawn)
}

proptest! {
    #[test]
    fn the_life_of_an_alert_agrees_with_its_model(
        steps in prop::collection::vec((0u64..20, prop::sample::select(vec![Some(true), Some(true), Some(false), None])), 1..150),
        (hold, keep, expire) in (0u64..40, 0u64..40, 1u64..60),
        silences in prop::collection::vec((0usize..150, 1u64..200), 0..6),
    ) {
        let (gaps, words): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let model = Model { gaps: &gaps, words: &words, hold, keep, expire };
        let mut alerts = alerts([rule(hold, keep, expire)]);
        let (mut now, mut phase, mut began, mut told, mut silent_until, mut last_seq) = (1, None, 0, false, 0, 0);
        for at in 0..words.len() {
            now += if at == 0 { 0 } else { gaps[at] };
            for (_, lasts) in silences.iter().filter(|(from, _)| *from == at) {
                alerts.silence(silence("r", None, now + lasts), now * 1000).expect("in order");
                silent_until = now + lasts;
            }
            let happened = alerts.evaluate(secs(now), now * 1000, &[seen(words[at])]);

            let before = phase;
            phase = model.after(phase, began, at);
            if before.is_none() && phase.is_some() {
                began = at;
            }
            let is_silent = now < silent_until;
            let mut expected = Vec::new();
            if before.is_none() && phase.is_some() {
                expected.push((None, Phase::Pending, false));
            }
            let from = before.or(Some(Phase::Pending));
            match phase {
                Some(Phase::Firing) => {
                    let notify = !told && !is_silent;
                    told |= notify;
                    if before != Some(Phase::Firing) || notify {
                        expected.push((from, Phase::Firing, notify));
                    }
                }
                Some(over) if is_over(over) => {
                    expected.push((from, over, told));
                    (phase, told) = (None, false);
                }
                _ => {}
            }
            prop_assert_eq!(phases(&happened), expected, "at {}", at);
            for step in &happened {
                last_seq += 1;
                prop_assert_eq!((step.seq, step.at_unix_ms), (last_seq, now * 1000));
            }
            let alive = alerts.list(1).into_iter().find(|alert| !is_over(alert.phase));
            prop_assert_eq!(alive.as_ref().map(|alert| alert.phase), phase);
            if let Some(alert) = alive {
                prop_assert_eq!(alert.silenced, is_silent);
            }
        }
    }

    /// Two subjects under one rule live as if each were alone.
    #[test]
    fn subjects_do_not_know_of_each_other(
        steps in prop::collection::vec((0u64..20, prop::option::of(any::<bool>()), prop::option::of(any::<bool>())), 1..100),
    ) {
        let together = &mut alerts([rule(10, 15, 40)]);
        let alone = &mut [alerts([rule(10, 15, 40)]), alerts([rule(10, 15, 40)])];
        let mut now = 0;
        for (gap, a, b) in steps {
            now += gap;
            let [a, b] = [("a", a), ("b", b)].map(|(subject, word)| seen(word).subject(subject));
            let both = at(together, now, &[b.clone(), a.clone()]);
            for (subject, (alone, seen)) in ["a", "b"].into_iter().zip(alone.iter_mut().zip([a, b])) {
                let mine: Vec<_> = both.iter().filter(|step| step.alert.subject == subject).cloned().collect();
                prop_assert_eq!(phases(&mine), phases(&at(alone, now, &[seen])));
            }
        }
    }
}

#[test]
fn a_pending_alert_that_clears_never_fires() {
    let mut alerts = alerts([rule(10, 0, 60)]);
    assert_eq!(phases(&at(&mut alerts, 0, &[seen(Some(true))])), [(None, Phase::Pending, false)]);
    assert_eq!(at(&mut alerts, 9, &[seen(Some(true))]), []);
    let cleared = at(&mut alerts, 10, &[seen(Some(false))]);
    assert_eq!(phases(&cleared), [(Some(Phase::Pending), Phase::Withdrawn, false)]);
    assert_eq!(alerts.list(10), [], "and is not remembered as an alert");
    // The next breach begins anew.
    at(&mut alerts, 11, &[seen(Some(true))]);
    assert_eq!(at(&mut alerts, 20, &[seen(Some(true))]), []);
    assert_eq!(phases(&at(&mut alerts, 21, &[seen(Some(true))])), [(Some(Phase::Pending), Phase::Firing, true)]);
    assert_eq!(alerts.list(10)[0].id, 2);
}

#[test]
fn unknown_neither_fires_nor_resolves_and_ends_as_expired() {
    let mut alerts = alerts([rule(10, 0, 60)]);
    at(&mut alerts, 0, &[seen(Some(true))]);
    at(&mut alerts, 5, &[seen(None)]);
    assert_eq!(at(&mut alerts, 40, &[]), [], "not observed is unknown");
    assert_eq!(at(&mut alerts, 50, &[seen(Some(true))]), [], "what was unknown is no evidence");
    assert_eq!(phases(&at(&mut alerts, 60, &[seen(Some(true))])), [(Some(Phase::Pending), Phase::Firing, true)]);
    assert_eq!(at(&mut alerts, 119, &[]), []);
    assert_eq!(phases(&at(&mut alerts, 120, &[])), [(Some(Phase::Firing), Phase::Expired, true)]);
    let ended = &alerts.list(10)[0];
    assert_eq!((ended.known_at_unix_ms, ended.ended_at_unix_ms), (60_000, Some(120_000)));
}

#[test]
fn a_process_that_slept_has_not_seen_an_hour_of_breach() {
    let mut alerts = alerts([rule(600, 0, 3600)]);
    at(&mut alerts, 0, &[seen(Some(true))]);
    assert_eq!(at(&mut alerts, 3600, &[seen(Some(true))]), []);
    assert_eq!(at(&mut alerts, 10, &[seen(Some(true))]), [], "nor one whose clock went back");
}

#[test]
fn one_alert_however_often_it_is_observed() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    let all = [seen(None), seen(Some(false)), seen(Some(true)), seen(Some(true)), seen(Some(false))];
    assert_eq!(at(&mut alerts, 0, &all).len(), 2, "pending and firing, once");
    for second in 1..100 {
        assert_eq!(at(&mut alerts, second, &all), []);
    }
    assert_eq!(alerts.list(10).len(), 1);
    assert_eq!(at(&mut alerts, 100, &[seen(None), seen(Some(false))]).len(), 1);
}

#[test]
fn a_silence_mutes_ends_by_itself_and_is_listed() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    alerts.silence(silence("r", Some("a"), 100), 0).unwrap();
    let [a, b] = ["a", "b"].map(|subject| seen(Some(true)).subject(subject));
    let fired = at(&mut alerts, 1, &[a.clone(), b.clone()]);
    let told: Vec<_> = fired.iter().filter(|step| step.notify).map(|step| step.alert.subject.as_str()).collect();
    assert_eq!(told, ["b"]);
    assert!(alerts.list(10).iter().all(|alert| alert.silenced == (alert.subject == "a")));
    assert_eq!(alerts.silences(99_999).len(), 1);
    assert_eq!(at(&mut alerts, 99, &[a.clone(), b.clone()]), []);
    // It still fires when the silence is over, so that it is told then.
    let unmuted = at(&mut alerts, 100, &[a, b]);
    assert_eq!(phases(&unmuted), [(Some(Phase::Firing), Phase::Firing, true)]);
    assert_eq!(alerts.silences(100_000), []);
    // Both were told, so that both ends are, also under a new silence.
    alerts.silence(silence("r", None, 1000), 100_000).unwrap();
    let [a, b] = ["a", "b"].map(|subject| seen(Some(false)).subject(subject));
    let ended = at(&mut alerts, 101, &[a, b]);
    assert!(ended.len() == 2 && ended.iter().all(|step| step.notify));
    assert!(alerts.lift_silence("r", None));
    assert!(!alerts.lift_silence("r", None));
}

#[test]
fn silences_that_make_no_sense_are_refused() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    let day = 24 * 3600;
    let refused = |alerts: &mut Alerts, silence| alerts.silence(silence, 5000).unwrap_err();
    assert!(
        matches!(refused(&mut alerts, silence(&"é".repeat(9999), None, 10)), SilenceError::UnknownRule { rule } if rule.len() == 64)
    );
    assert!(matches!(refused(&mut alerts, silence("r", None, 5)), SilenceError::Past { .. }));
    assert!(matches!(refused(&mut alerts, silence("r", None, 31 * day)), SilenceError::TooLong { .. }));
    let long = "x".repeat(257);
    assert!(matches!(
        refused(&mut alerts, silence("r", Some(&long), 10)),
        SilenceError::Text { field: "subject", given: 257 }
    ));
    let talkative = Silence { reason: long, ..silence("r", None, 10) };
    assert!(matches!(refused(&mut alerts, talkative), SilenceError::Text { field: "reason", .. }));
    for subject in 0..256 {
        alerts.silence(silence("r", Some(&subject.to_string()), 10), 5000).unwrap();
        alerts.silence(silence("r", Some(&subject.to_string()), 11), 5000).expect("the same again takes its place");
    }
    assert_eq!(refused(&mut alerts, silence("r", None, 10)), SilenceError::TooMany);
    alerts.silence(silence("r", None, 20), 11_000).expect("those that are over take no room");
    assert_eq!(alerts.silences(11_000).len(), 1);
}

#[test]
fn rules_are_data_and_checked() {
    let rules: Vec<AlertRule> = serde_json::from_value(json!([
        {"id": "error_rate", "severity": "critical", "hold_ms": 5000, "keep_ms": 60000},
        {"id": "slow_api", "severity": "warning", "expire_ms": 1000},
    ]))
    .unwrap();
    let expected = [
        AlertRule::new("error_rate", Severity::Critical).hold(secs(5)).keep(secs(60)),
        AlertRule::new("slow_api", Severity::Warning).expire(secs(1)),
    ];
    assert_eq!(rules, expected);
    let again: Vec<AlertRule> = serde_json::from_value(serde_json::to_value(&rules).unwrap()).unwrap();
    assert_eq!(again, expected);
    assert!(serde_json::from_value::<AlertRule>(json!({"id": "a", "severity": "info", "hold": 5})).is_err());

    assert_eq!(Alerts::new(AlertRule::standard(), 1).unwrap().rules(), AlertRule::standard());
    let refused = |rules: Vec<AlertRule>| Alerts::new(rules, 1).unwrap_err();
    for id in ["", "A", "a b", "ä", &"a".repeat(65)] {
        let rule = AlertRule::new(id.to_owned(), Severity::Info);
        assert!(matches!(refused(vec![rule]), AlertRuleError::Id { .. }), "{id}");
    }
    assert_eq!(refused(vec![rule(0, 0, 1); 2]), AlertRuleError::Twice { id: "r".to_owned() });
    for (bad, named) in [(rule(86_401, 0, 1), "hold"), (rule(0, 86_401, 1), "keep"), (rule(0, 0, 0), "expire")] {
        assert!(matches!(refused(vec![bad]), AlertRuleError::Duration { field, .. } if field == named));
    }
    let many = (0..257).map(|id| AlertRule::new(id.to_string(), Severity::Info)).collect();
    assert_eq!(refused(many), AlertRuleError::TooMany { given: 257 });
}

#[test]
fn what_health_finds_becomes_an_alert() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    let mut alerts = alerts(AlertRule::standard());
    let mut second = |now: u64, errors: f64, samples| {
        let report = monitor.evaluate([
            Reading::new("error_rate", errors, 0.05).critical().samples(samples).detail("of all"),
            Reading::new("redis_unavailable", 0.0, 0.5),
        ]);
        at(&mut alerts, now, &report.observations())
    };
    assert_eq!(second(0, 0.0, 100), []);
    assert_eq!(second(1, 0.0, 3), [], "unknown is no breach");
    let pending = second(2, 0.06, 100);
    assert_eq!(pending.iter().map(|step| &*step.alert.rule).collect::<Vec<_>>(), ["error_rate"]);
    assert_eq!(second(6, 0.06, 100), []);
    let fired = second(7, 0.2, 100);
    let fired: Vec<_> = fired.iter().filter(|step| step.notify).collect();
    assert_eq!((&*fired[0].alert.rule, fired.len()), ("error_rate", 1));
    assert!(fired[0].alert.detail.contains("exceeds the threshold of 0.05 (of all)"), "{}", fired[0].alert.detail);
    let whole: Vec<_> = [8, 11, 12].into_iter().flat_map(|now| second(now, 0.2, 100)).collect();
    assert_eq!(phases(&whole), [(Some(Phase::Pending), Phase::Firing, true)], "health itself, unhealthy for 5 s");
    assert_eq!(alerts.unruled(), 8, "of redis_unavailable, which has no rule");
}

#[test]
fn a_reading_that_hovers_at_its_threshold_makes_one_alert() {
    let mut monitor = HealthMonitor::new(&HealthConfig::default());
    let mut alerts = alerts(AlertRule::standard());
    let mut told = 0;
    for second in 0..3600 {
        let value = if second % 3 == 0 { 0.051 } else { 0.049 };
        let report = monitor.evaluate([Reading::new("error_rate", value, 0.05)]);
        told += at(&mut alerts, second, &report.observations()).iter().filter(|step| step.notify).count();
    }
    assert_eq!(told, 1);
}

#[test]
fn a_transition_is_what_a_webhook_sends() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    let trace = TraceContext::new(0x4bf9, 7, true);
    let first = seen(Some(true)).subject("GET /a").detail("P95 of GET /a").trace(trace);
    let fired = at(&mut alerts, 3, &[first]);
    assert_eq!(
        serde_json::to_value(&fired[1]).unwrap(),
        json!({"seq": 2, "at_unix_ms": 3000, "from": "pending", "notify": true, "alert": {
            "id": 1, "rule": "r", "subject": "GET /a", "severity": "warning", "phase": "firing",
            "pending_at_unix_ms": 3000, "fired_at_unix_ms": 3000, "ended_at_unix_ms": null, "known_at_unix_ms": 3000,
            "value": 2.0, "peak": 2.0, "threshold": 1.0, "detail": "P95 of GET /a",
            "trace_id": "00000000000000000000000000004bf9", "silenced": false,
        }})
    );
}

#[test]
fn who_lost_the_stream_finds_on_or_is_told_of_the_gap() {
    let mut alerts = Alerts::new(vec![rule(0, 0, 60)], 10).unwrap();
    assert!(!alerts.since(0).missed);
    assert!(alerts.since(1).missed, "a number of another process");
    for second in 0..20 {
        at(&mut alerts, second, &[seen(Some(second % 2 == 0))]);
    }
    // Ten alerts: pending, firing and resolved each.
    let seqs = |since: u64| alerts.since(since).transitions.iter().map(|step| step.seq).collect::<Vec<_>>();
    assert_eq!(seqs(27), [28, 29, 30]);
    assert_eq!((seqs(30), alerts.since(30).missed), (vec![], false));
    assert_eq!((alerts.since(20).missed, seqs(20).len()), (false, 10));
    assert!(alerts.since(19).missed);
    let ended: Vec<_> = alerts.list(100).iter().map(|alert| alert.id).collect();
    assert_eq!(ended, (1..=10).rev().collect::<Vec<_>>());
    let ids: Vec<_> = alerts.list(3).iter().map(|alert| alert.id).collect();
    assert_eq!(ids, [10, 9, 8]);
}

#[test]
fn absurd_input_is_bounded() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    let long = "é".repeat(5_000);
    let nan = Observation::new("r", Some(true), f64::NAN, f64::INFINITY).subject(long.as_str()).detail(long.as_str());
    let fired = at(&mut alerts, 0, &[nan]);
    assert_eq!((fired[1].alert.subject.len(), fired[1].alert.detail.len()), (256, 1024));
    let body = serde_json::to_value(&fired[1]).unwrap();
    assert_eq!((&body["alert"]["value"], &body["alert"]["threshold"]), (&json!(null), &json!(null)));
    let subjects: Vec<String> = (0..2_000).map(|subject| subject.to_string()).collect();
    let many: Vec<_> = subjects.iter().map(|subject| seen(Some(true)).subject(subject.as_str())).collect();
    at(&mut alerts, 1, &many);
    assert_eq!(alerts.list(usize::MAX).len(), 1_000);
    assert_eq!(alerts.overflowed(), 1_001);
    assert_eq!(
        alerts.evaluate(Duration::MAX, u64::MAX, &[]).len(),
        1_000,
        "two minutes of a step are enough to expire"
    );
    assert_eq!(alerts.list(usize::MAX).len(), 200);
}

#[test]
fn what_fires_is_told_without_what_has_ended() {
    let mut alerts = alerts([rule(0, 0, 60), AlertRule::new("slow", Severity::Info).hold(secs(60))]);
    assert_eq!(alerts.firing().count(), 0);
    let of = |subject: &'static str, breached| seen(Some(breached)).subject(subject);
    at(&mut alerts, 0, &[of("a", true), of("b", true), Observation::new("slow", Some(true), 2.0, 1.0)]);
    at(&mut alerts, 1, &[of("a", true), of("b", false)]);
    let firing: Vec<_> = alerts.firing().map(|alert| (alert.rule.as_str(), alert.subject.as_str())).collect();
    assert_eq!(firing, [("r", "a")], "`b` is over and `slow` is pending");
}

#[test]
fn words_are_those_of_the_json() {
    for severity in Severity::ALL {
        assert_eq!(json!(severity), severity.name());
    }
    for phase in [Phase::Pending, Phase::Firing, Phase::Resolved, Phase::Expired, Phase::Withdrawn] {
        assert_eq!((json!(phase), phase.to_string().as_str()), (json!(phase.name()), phase.name()));
    }
    assert!(AlertRule::standard().iter().any(|rule| rule.id == "slow_statements"), "as `Queries` reads it");
}
