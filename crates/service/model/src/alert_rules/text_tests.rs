use super::*;
use crate::alert_rules::LIMITS;

fn read(text: &str) -> Result<RuleChanges, RuleTextError> {
    let others = AlertRule::standard();
    let standing: Vec<_> = LIMITS.iter().map(Limit::rule).chain(others).collect();
    parse(text, &standing)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn rules_of_the_program_are_changed() {
    let changes = read("backlog: > 5000 for 5m critical, redis_memory: >95 %, p99: for 30s, dead_letters:off").unwrap();
    let change = |threshold, hold, severity| Change::To { threshold, hold, severity };
    let expected = [
        ("backlog", change(Some(5_000.0), Some(minutes(5)), Some(Severity::Critical))),
        ("dead_letters", Change::Off),
        ("p99", change(None, Some(Duration::from_secs(30)), None)),
        ("redis_memory", change(Some(0.95), None, None)),
    ];
    let expected = expected.map(|(name, change)| (name.to_owned(), change));
    assert_eq!(changes, RuleChanges { changes: expected.into(), own: Vec::new() });
    assert_eq!(read(" ").unwrap(), RuleChanges::default());
}

#[test]
fn rules_on_metrics_are_added() {
    let text = r#"import_backlog: tidegate_queue_length{queue=import} > 500 for 2m critical,
        slow: tidegate_redis_hit_ratio{server!="a, {b}", x="" } < 80%,
        deaths: increase(tidegate_jobs_total{queue=import, outcome=failed}[10m]) > 0 info"#;
    let own = read(text).unwrap().own;
    let matcher =
        |label: &str, value: &str, is_negated| Matcher { label: label.to_owned(), value: value.to_owned(), is_negated };
    let [backlog, slow, deaths] = &own[..] else { panic!("{own:?}") };
    assert_eq!(backlog.source.labels, [matcher("queue", "import", false)]);
    assert_eq!((backlog.threshold, backlog.is_below, backlog.hold), (500.0, false, minutes(2)));
    assert_eq!(backlog.severity, Severity::Critical);
    assert_eq!(slow.source.labels, [matcher("server", "a, {b}", true), matcher("x", "", false)]);
    assert_eq!((slow.threshold, slow.is_below, slow.severity), (0.8, true, Severity::Warning));
    assert_eq!((deaths.source.within, deaths.source.labels.len()), (Some(minutes(10)), 2));
    assert_eq!((deaths.source.metric.as_str(), deaths.severity), ("tidegate_jobs_total", Severity::Info));
}

#[test]
fn a_bad_rule_is_refused_with_its_name_the_position_and_what_is_expected() {
    for (text, number, rule, position, expected, found) in [
        ("p99: off, backlog: > many", 2, "backlog", 12, "a number such as 500", "`many`"),
        ("backlog: < 5", 1, "backlog", 10, "`>`", "`<`"),
        ("backlog: > 5 for ever", 1, "backlog", 18, "a time of at most 1 day", "`ever`"),
        ("backlog: > 5 for 25h", 1, "backlog", 18, "a time of at most 1 day", "`25h`"),
        ("backlog: > 5 urgent", 1, "backlog", 14, "`for`, `info`, `warning`, `critical`", "`urgent`"),
        ("backlog: > 5 for 2m warning now", 1, "backlog", 29, "the end of the rule", "`now`"),
        ("backlog: off now", 1, "backlog", 14, "the end of the rule", "`now`"),
        ("backlog:", 1, "backlog", 9, "`off`, `> VALUE`", "the end"),
        ("backlog", 1, "backlog", 8, "a colon", "the end"),
        ("oldest_job: > 90%", 1, "oldest_job", 15, "a time such as 10m", "`90%`"),
        ("backlog: off, backlog: > 5", 2, "backlog", 1, "each rule once", "`backlog:`"),
        ("p99: > 5s", 1, "p99", 6, "another setting has the threshold", "`>`"),
        ("backlogg: > 5", 1, "backlogg", 11, "did you mean backlog?", "`>`"),
        ("backlog: tidegate_queue_length > 5", 1, "backlog", 10, "a rule of the program", "`tidegate_queue_length`"),
        ("p99: off,", 2, "", 1, "a name of 1 to 64", "the end"),
        ("Mine: up > 5", 1, "", 1, "a name of 1 to 64", "`Mine:`"),
        ("mine: 5 > 5", 1, "mine", 7, "the name of a metric", "`5`"),
        ("mine: up", 1, "mine", 9, "`>` or `<`", "the end"),
        ("mine: up{ > 5", 1, "mine", 11, "the name of a label", "`>`"),
        ("mine: up{a} > 5", 1, "mine", 11, "`=` or `!=`", "`}`"),
        ("mine: up{a=b c} > 5", 1, "mine", 14, "`,` or `}`", "`c}`"),
        ("mine: up{a=\"b} > 5", 1, "mine", 13, "`\"` at the end", "`b}`"),
        ("mine: increase(up) > 5", 1, "mine", 18, "a time from 1m to 1h", "`)`"),
        ("mine: increase(up[1s]) > 5", 1, "mine", 19, "a time from 1m to 1h", "`1s])`"),
        ("mine: increase(up[5m] > 5", 1, "mine", 23, "`)`", "`>`"),
        ("mine: up > 5, mine: up > 6", 2, "mine", 1, "each rule once", "`mine:`"),
    ] {
        let error = read(text).unwrap_err();
        let message = error.to_string();
        assert_eq!((error.number, error.rule.as_str(), error.position), (number, rule, position), "{text}: {message}");
        assert!(error.expected.contains(expected), "{text}: {message}");
        assert_eq!(error.found, found, "{text}: {message}");
        assert!(message.contains(&format!("character {position}: expected")), "{message}");
    }
    let many: Vec<_> = (0..=MOST_OWN).map(|number| format!("mine{number}: up > 5")).collect();
    let error = read(&many.join(",")).unwrap_err();
    assert_eq!((error.number, error.expected.as_str()), (51, "at most 50 rules on metrics"));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z:{}=!,\"<>()\\[\\]%0-9 é]{0,60}", tail in ".{0,40}") {
        let _ = read(&text);
        let _ = read(&format!("mine: up{tail}"));
        let _ = read(&format!("backlog: > {tail}"));
    }
}
