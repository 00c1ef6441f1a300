//! Many figures under names.

use proptest::prelude::*;
use tidegate_perfmon::outlook::{Outlook, Settings};
use tidegate_testkit::Random;

fn after_a_day(names: &[&str]) -> (Outlook, Random) {
    let (mut outlook, mut random) = (Outlook::new(Settings::default()), Random::new(9));
    for minute in 0..1440 {
        for name in names {
            assert_eq!(outlook.push(name, minute, 100.0 + 10.0 * random.normal(), 0.0), None);
        }
    }
    (outlook, random)
}

#[test]
fn an_anomaly_has_name_and_minute_and_is_kept_with_its_end() {
    let (mut outlook, mut random) = after_a_day(&["p99", "rate"]);
    let told: Vec<_> = (1440..1450).filter_map(|minute| outlook.push("p99", minute, 500.0, 0.0)).collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].name.as_str(), told[0].minute, told[0].ended), ("p99", 1442, None));
    assert_eq!(outlook.anomalies().next().unwrap().anomaly.minutes, 10);
    for minute in 1450..1460 {
        outlook.push("p99", minute, 100.0 + 10.0 * random.normal(), 0.0);
    }
    let kept: Vec<_> = outlook.anomalies().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].ended, kept[0].anomaly.minutes), (Some(1452), 10));
    let json = serde_json::to_value(kept[0]).unwrap();
    assert_eq!((&json["name"], &json["side"], &json["minutes"]), (&"p99".into(), &"above".into(), &10.into()));
}

#[test]
fn a_minute_that_is_left_out_ends_a_row() {
    let (mut outlook, _) = after_a_day(&["p99"]);
    for minute in [1440, 1441, 1443, 1444] {
        assert_eq!(outlook.push("p99", minute, 500.0, 0.0), None);
    }
    assert!(outlook.push("p99", 1445, 500.0, 0.0).is_some());
}

/// The detector's past is a day old then, and says nothing of now.
#[test]
fn after_a_day_without_data_everything_is_new() {
    let (mut outlook, _) = after_a_day(&["p99"]);
    for minute in 4000..4050 {
        assert_eq!(outlook.push("p99", minute, 500.0, 0.0), None);
    }
}

#[test]
fn the_anomaly_of_a_name_that_is_dropped_has_ended() {
    let (mut outlook, _) = after_a_day(&["p99"]);
    assert!((1440..1443).filter_map(|minute| outlook.push("p99", minute, 500.0, 0.0)).count() == 1);
    for name in 0..64 {
        outlook.push(&name.to_string(), 3000, 1.0, 0.0);
    }
    assert_eq!(outlook.anomalies().next().unwrap().ended, Some(3000));
    assert_eq!(outlook.refused().names, 0);
}

#[test]
fn figures_have_a_trend_only_where_it_is_one() {
    let (mut outlook, mut random) = after_a_day(&["level"]);
    for minute in 1200..1440_u32 {
        outlook.push("leak", u64::from(minute), f64::from(minute) + random.normal(), 0.0);
    }
    outlook.push("young", 1439, 1.0, 0.0);
    let figures = outlook.figures();
    let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
    assert_eq!(names, ["leak", "level", "young"]);
    assert!(figures[0].trend.is_some_and(|trend| trend.slope > 0.9) && figures[0].forecast.is_some());
    assert!(figures[1].trend.is_none() && figures[1].forecast.is_some());
    assert!(figures[2].trend.is_none() && figures[2].forecast.is_none());
    assert!((20..=40).contains(&outlook.reach("leak", 1470.0).unwrap().expected));
    assert_eq!(outlook.reach("level", 1470.0), None);
    assert_eq!(outlook.reach("unknown", 1.0), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_input_is_accepted_and_memory_is_bounded(
        pushes in prop::collection::vec((0..90_u8, 0..5000_u64, any::<f64>(), any::<f64>()), 0..400),
    ) {
        let mut outlook = Outlook::new(Settings::default());
        for (name, minute, value, floor) in pushes {
            outlook.push(&name.to_string(), minute, value, floor);
        }
        prop_assert!(outlook.figures().len() <= 64);
        prop_assert!(outlook.anomalies().count() <= 200);
    }
}
