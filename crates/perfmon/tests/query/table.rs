//! The table of the statements that have run.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_perfmon::{
    By, Dialect, Health, HealthConfig, HealthMonitor, ManualClock, Queries, QueryConfig, QueryStats, RequestQueries,
    Seen, TraceContext,
};

const MS: Duration = Duration::from_millis(1);
const MINUTE: u64 = 60_000;
const MINUTES: Duration = Duration::from_secs(60);

fn seen(sql: &str, elapsed: Duration, at_unix_ms: u64) -> Seen<'_> {
    Seen { sql, dialect: Dialect::Sqlite, elapsed, rows: 2, at_unix_ms, within: None, trace: None }
}

/// A table's name without digits, so that it is kept, for any number.
fn name(number: usize) -> String {
    let letter = |place: u32| char::from(b'a' + u8::try_from(number / 26_usize.pow(place) % 26).unwrap());
    (0..4).map(letter).collect()
}

#[test]
fn statements_alike_are_counted_together() {
    let queries = Queries::default();
    for id in 1..=100_u64 {
        let sql = format!("SELECT name FROM users WHERE id = {id}");
        queries.record(&seen(&sql, MS * u32::try_from(id).unwrap(), id));
    }
    queries.record(&seen("DELETE FROM users", Duration::from_secs(2), 5));
    let top = queries.top(By::Total, 10);
    let [users, deletion] = &top[..] else { panic!("{top:?}") };
    assert_eq!(users.text, "select name from users where id = ?");
    assert_eq!((users.calls, users.slow, users.rows), (100, 0, 200));
    assert_eq!((users.total, users.mean, users.max), (MS * 5_050, MS * 101 / 2, MS * 100));
    assert!(users.p99 >= MS * 99 && users.p99 <= MS * 99 * 1016 / 1000, "{:?}", users.p99);
    assert!((users.share - 5_050.0 / 7_050.0).abs() < 1e-9, "{}", users.share);
    assert_eq!((users.first_unix_ms, users.last_unix_ms), (1, 100));
    assert_eq!((deletion.slow, queries.totals(), queries.forgotten()), (1, (101, MS * 7_050), 0));

    let first = |by| queries.top(by, 1).remove(0).text;
    assert_eq!(first(By::Mean), "delete from users");
    assert_eq!(first(By::P99), "delete from users");
    assert_eq!(first(By::Calls), users.text);
    let json = serde_json::to_value(users).unwrap();
    assert_eq!((&json["total_ms"], &json["dialect"]), (&5_050.0.into(), &"sqlite".into()));
    assert_eq!(json["fingerprint"].as_str().unwrap().len(), 16);
}

#[test]
fn heavy_hitters_survive_ten_thousand_shapes() {
    let queries = Queries::new(QueryConfig { shapes: 100, ..QueryConfig::default() });
    let mut flood = (0..10_000).map(|number| format!("SELECT {} FROM t", name(number)));
    // Each has more than a hundredth of all weight: frequent and short, or rare and long.
    for round in 0..100 {
        for sql in flood.by_ref().take(100) {
            queries.record(&seen(&sql, Duration::from_micros(10), round));
        }
        for _ in 0..20 {
            queries.record(&seen("SELECT often FROM t", Duration::from_micros(50), round));
        }
        queries.record(&seen("SELECT rarely FROM t", MS * 10, round));
    }
    let calls = |text: &str, all: &[QueryStats]| all.iter().find(|stats| stats.text == text).map(|stats| stats.calls);
    let all = queries.top(By::Total, usize::MAX);
    assert_eq!(all.len(), 100);
    assert_eq!(calls("select often from t", &all), Some(2_000));
    assert_eq!(calls("select rarely from t", &all), Some(100));
    assert_eq!(queries.forgotten(), 10_002 - 100);
    assert_eq!(queries.totals().0, 12_100);
}

#[test]
fn many_shapes_take_bounded_memory() {
    let queries = Queries::default();
    let used = allocation_counter::measure(|| {
        for number in 0..5_000 {
            queries.record(&seen(&format!("SELECT {} FROM t", name(number)), MS, 0));
        }
    });
    assert!(used.bytes_max < 1_000 * 10_000, "{} bytes", used.bytes_max);
    assert_eq!(queries.top(By::Calls, usize::MAX).len(), 1_000);
}

#[test]
fn a_known_text_is_recorded_without_an_allocation() {
    let queries = Queries::default();
    queries.record(&seen("SELECT 'x' FROM t", MS, 0));
    let used = allocation_counter::measure(|| {
        queries.record(&seen("SELECT 'x' FROM t", MS, 0));
    });
    assert_eq!(used.count_total, 0);
}

#[test]
fn threads_lose_nothing() {
    let queries = Queries::new(QueryConfig { shapes: 20, ..QueryConfig::default() });
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let queries = queries.clone();
            scope.spawn(move || {
                for call in 0..2_000 {
                    let sql = format!("SELECT {} FROM t WHERE a = {call}", name(call % 10));
                    queries.record(&seen(&sql, MS, thread));
                }
            });
        }
    });
    let all = queries.top(By::Calls, usize::MAX);
    assert_eq!(all.len(), 10);
    assert!(all.iter().all(|stats| stats.calls == 800 && stats.total == MS * 800), "{all:?}");
}

#[test]
fn extreme_values_and_settings_are_accepted() {
    let queries =
        Queries::new(QueryConfig { shapes: 0, slow_entries: 0, alike: 0, requests: 0, ..QueryConfig::default() });
    for _ in 0..3 {
        let absurd = Seen { rows: u64::MAX, at_unix_ms: u64::MAX, ..seen("SELECT 1", Duration::MAX, 0) };
        queries.record(&absurd);
    }
    queries.record(&seen("", Duration::ZERO, 0));
    let top = queries.top(By::Total, usize::MAX);
    assert_eq!((top.len(), top[0].text.as_str()), (1, " …"));
    assert!(queries.slow(10).is_empty());
    let [reading] = &queries.readings(0)[..] else { panic!("one shape has run") };
    assert!(format!("{reading:?}").contains("0 of 1 calls"), "{reading:?}");
    queries.finish(&"x".repeat(10_000), &RequestQueries::new(), 0, None);
}

#[test]
fn the_slowest_of_the_hour_are_listed_five_of_a_shape() {
    let queries = Queries::new(QueryConfig { slow_entries: 8, ..QueryConfig::default() });
    let second = Duration::from_secs(1);
    queries.record(&seen("SELECT exact FROM t", second, 0));
    assert!(queries.slow(10).is_empty(), "a second is not above a second");
    let trace = TraceContext::new(7, 9, true);
    for number in 1..=20 {
        let slow = Seen { trace, ..seen("SELECT 'secret' FROM t", second + MS * number, 0) };
        queries.record(&slow);
    }
    let listed = queries.slow(10);
    let elapsed: Vec<_> = listed.iter().map(|slow| (slow.elapsed - second).as_millis()).collect();
    assert_eq!(elapsed, [20, 19, 18, 17, 16]);
    let json = serde_json::to_string(&listed).unwrap();
    assert!(json.contains(r#""trace_id":"00000000000000000000000000000007""#), "{json}");
    assert!(json.contains("select ? from t") && !json.contains("secret"), "{json}");

    // A full list keeps the slowest …
    for number in 0..10_u8 {
        queries.record(&seen(
            &format!("SELECT {} FROM t", name(number.into())),
            second * (u32::from(number) + 2),
            MINUTE,
        ));
    }
    let longest: Vec<_> = queries.slow(10).iter().map(|slow| slow.elapsed.as_secs()).collect();
    assert_eq!(longest, [11, 10, 9, 8, 7, 6, 5, 4]);
    // … of an hour.
    for number in 10..14 {
        queries.record(&seen(&format!("SELECT {} FROM t", name(number)), second * 2, 62 * MINUTE));
    }
    let longest: Vec<_> = queries.slow(10).iter().map(|slow| slow.elapsed.as_secs()).collect();
    assert_eq!(longest.iter().filter(|&&secs| secs == 2).count(), 4, "{longest:?}");
}

#[test]
fn six_equal_statements_in_three_requests_of_a_route_are_reported() {
    let queries = Queries::default();
    let request = |calls: u32, sql: &str, at: u64| {
        let request = RequestQueries::new();
        queries.record(&Seen { within: Some(&request), ..seen("SELECT id FROM schedule", MS, at) });
        for id in 0..calls {
            let sql = format!("{sql} {id}");
            queries.record(&Seen { within: Some(&request), ..seen(&sql, MS, at) });
        }
        assert_eq!(request.totals(), (u64::from(calls) + 1, MS * (calls + 1)));
        queries.finish("/api/schedules", &request, at, None);
    };
    let each = "SELECT name FROM tenant WHERE id =";
    for at in 0..10 {
        request(5, each, at); // five are not too many
    }
    request(6, each, 10);
    request(9, each, 11);
    assert!(queries.repeated(10).is_empty(), "twice may be chance");
    request(6, each, 12);
    request(50, "RELEASE s", 13); // no work that could be joined
    let told = queries.repeated(10);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].route.as_str(), told[0].text.as_str()),
        ("/api/schedules", "select name from tenant where id = ?")
    );
    assert_eq!((told[0].requests, told[0].calls, told[0].most, told[0].total), (3, 21, 9, MS * 21));
    assert_eq!(told[0].last_unix_ms, 12);
}

#[test]
fn the_list_of_repeated_statements_is_bounded() {
    let queries = Queries::default();
    for number in 0..1_000 {
        for _ in 0..if number == 3 { 5 } else { 1 } {
            let request = RequestQueries::new();
            for _ in 0..6 {
                let sql = format!("SELECT {} FROM t", name(number));
                queries.record(&Seen { within: Some(&request), ..seen(&sql, MS, number as u64) });
            }
            queries.finish(&format!("/{}", name(number)), &request, number as u64, None);
        }
    }
    let told = queries.repeated(usize::MAX);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].route.as_str(), told[0].requests), ("/daaa", 5));
}

/// Statements on a manual clock.
fn on_a_clock() -> (ManualClock, Queries) {
    let clock = ManualClock::new();
    (clock.clone(), Queries::with_clock(QueryConfig::default(), clock))
}

fn state_of(queries: &Queries) -> Option<Health> {
    let report = HealthMonitor::new(&HealthConfig::default()).evaluate(queries.readings(20));
    assert!(report.components.len() <= 1, "{report:?}");
    report.components.first().map(|component| component.state)
}

#[test]
fn a_slow_shape_is_read_as_long_as_it_is_slow() {
    let (clock, queries) = on_a_clock();
    assert_eq!(state_of(&queries), None);
    for _ in 0..1_000 {
        queries.record(&seen("SELECT fast FROM t", MS, 0));
        queries.record(&seen("SELECT rare FROM u", Duration::from_secs(9), 0));
    }
    // The slow one is judged though a fast one runs as often.
    assert_eq!(state_of(&queries), Some(Health::Unhealthy));
    let text = format!("{:?}", queries.readings(20));
    assert!(text.contains("1000 of 1000 calls in 5 min took longer than 1 s: select rare from u"), "{text}");
    clock.advance(10 * MINUTES);
    assert_eq!(state_of(&queries), None);
    for _ in 0..100 {
        queries.record(&seen("SELECT fast FROM t", MS, 0));
    }
    assert_eq!(state_of(&queries), Some(Health::Healthy));

    let (_, quiet) = on_a_clock();
    quiet.record(&seen("SELECT rare FROM u", Duration::from_secs(9), 0));
    assert_eq!(state_of(&quiet), Some(Health::Unknown), "one outlier is no incident");
}

/// The wall clock has no influence: that of a machine may be set back by a day.
#[test]
fn a_rare_shape_that_is_slow_three_times_a_minute_is_read() {
    let (clock, queries) = on_a_clock();
    for third in 0..3 {
        for _ in 0..100 {
            queries.record(&seen("SELECT fast FROM t", MS, 1_000_000 - third));
        }
        assert_eq!(state_of(&queries), Some(Health::Healthy), "{third} may be chance");
        queries.record(&seen("SELECT rare FROM u", Duration::from_secs(30), 1_000_000 - third));
        clock.advance(Duration::from_secs(20));
    }
    assert_eq!(state_of(&queries), Some(Health::Unhealthy));
    let text = format!("{:?}", queries.readings(20));
    assert!(
        text.contains("3 of 3 calls took longer than 1 s, 3 or more within a minute: select rare from u"),
        "{text}"
    );
    clock.advance(Duration::from_secs(41));
    assert_eq!(state_of(&queries), Some(Health::Healthy), "a minute without another");
}

#[test]
fn three_slow_calls_among_a_thousand_are_no_burst() {
    let (clock, queries) = on_a_clock();
    for call in 0..1_000 {
        let elapsed = if call % 300 == 0 { Duration::from_secs(2) } else { MS };
        queries.record(&seen("SELECT a FROM t", elapsed, 0));
        clock.advance(10 * MS);
    }
    assert_eq!(state_of(&queries), Some(Health::Healthy));
}

#[test]
fn debug_output_contains_no_values() {
    let queries = Queries::default();
    let request = RequestQueries::new();
    queries.record(&Seen { within: Some(&request), ..seen("SELECT 'secret' FROM t WHERE b = 'cut secret", MS, 0) });
    let printed = format!("{queries:?} {request:?} {:?}", queries.top(By::Calls, 9));
    assert!(!printed.contains("secret"), "{printed}");
}

proptest! {
    #[test]
    fn the_figures_agree_with_a_list(calls in prop::collection::vec((0_usize..6, 0_u64..3_000_000), 1..200)) {
        let queries = Queries::default();
        for &(shape, micros) in &calls {
            let sql = format!("SELECT {} FROM t WHERE a = {micros}", name(shape));
            queries.record(&seen(&sql, Duration::from_micros(micros), 0));
        }
        for stats in queries.top(By::Total, 10) {
            let shape = (0..6).find(|&shape| stats.text == format!("select {} from t where a = ?", name(shape))).unwrap();
            let mut own: Vec<u64> = calls.iter().filter(|call| call.0 == shape).map(|call| call.1).collect();
            own.sort_unstable();
            prop_assert_eq!(stats.calls, own.len() as u64);
            prop_assert_eq!(stats.total, Duration::from_micros(own.iter().sum()));
            prop_assert_eq!(stats.max, Duration::from_micros(*own.last().unwrap()));
            prop_assert_eq!(stats.slow, own.iter().filter(|&&micros| micros > 1_000_000).count() as u64);
            let rank = (own.len() * 99).div_ceil(100);
            let p99 = Duration::from_micros(own[rank - 1]);
            prop_assert!(stats.p99 >= p99 && stats.p99 <= p99.mul_f64(1.016) + Duration::from_nanos(1), "{:?} {p99:?}", stats.p99);
        }
    }
}

/// The first few of a thousand are those of the whole list, and only these are allocated.
#[test]
fn the_first_few_cost_no_figures_of_the_others() {
    let queries = Queries::default();
    for number in 0..900_u64 {
        let letters: String = format!("{number:03}").bytes().map(|digit| char::from(digit - b'0' + b'g')).collect();
        let sql = format!("SELECT {letters} FROM schedule");
        for call in 0..=number % 7 {
            let elapsed = Duration::from_micros(1 + (number * 7_919 + call * 104_729) % 50_000);
            let (dialect, rows, at_unix_ms) = (Dialect::Sqlite, 1, 0);
            queries.record(&Seen { sql: &sql, dialect, elapsed, rows, at_unix_ms, within: None, trace: None });
        }
    }
    for by in [By::Total, By::Mean, By::P99, By::Calls] {
        let whole = queries.top(by, usize::MAX);
        assert_eq!(whole.len(), 900);
        assert_eq!(queries.top(by, 20), whole[..20], "{by:?}");
        let used = allocation_counter::measure(|| drop(queries.top(by, 20)));
        assert!(used.bytes_total < 100_000, "{by:?}: {} bytes", used.bytes_total);
    }
    assert!(queries.top(By::Total, 0).is_empty());
}
