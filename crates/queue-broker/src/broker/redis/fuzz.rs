//! Reading never panics, whatever a server answers, and whatever others wrote under our keys.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tidegate_redis::Value;
use tidegate_testkit::scale;

use super::documents::parsed;
use super::envelope::Envelope;
use super::read::counts_of;
use super::reply::{Fields, leased_job, settled, shown};
use super::settings::{event, line};
use super::stored::stored;
use super::upkeep::moved_and_due;
use crate::id::WorkerId;
use crate::timestamp::Timestamp;

/// Texts as the scripts return them, and faulty ones.
const LIKELY: &[&str] = &[
    "",
    "0",
    "-1",
    "7",
    "9223372036854775807",
    "-9223372036854775808",
    "1e400",
    "job-1",
    "job~0000000g",
    "ready",
    "leased",
    "done",
    "r",
    "012x",
    "12 1000/2000 3 2 1 0 0 kind {}!",
    "l12 1000 3 4{\"o\":\"k\",\"x\":-9223372036854775808} 1 7 18446744073709551615 kind {}!",
    "12 1000 3 2{\"e\":18446744073709551615} 4294967295 4294967295 1 kind \u{fc}!",
    "|1 0 0 -|12 1000 3 2 1 0 0 kind {}!",
    "|2 1 9223372036854775807 3|\u{fc}x12 1000 3 2 1 0 0 kind {}!",
    "|2 1 5 2|\u{20ac}12 1000 3 2 1 0 0 kind {}!",
    "|1 2 3 18446744073709551615|",
    "|",
    "2 body",
    "=job-2",
    "progress:101",
    "1-0",
    "18446744073709551615-1",
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => select(LIKELY).prop_map(|text| Value::Bytes(text.into())),
        2 => any::<i64>().prop_map(Value::Int),
        2 => (-2..20_i64).prop_map(Value::Int),
        1 => select(&[i64::MIN, i64::MAX][..]).prop_map(Value::Int),
        2 => any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
        1 => any::<String>().prop_map(|text| Value::Bytes(text.into())),
        1 => any::<f64>().prop_map(Value::Double),
        1 => any::<bool>().prop_map(Value::Bool),
        2 => Just(Value::Nil),
    ]
}

fn reply() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 64, 18, |inner| {
        prop_oneof![
            6 => vec(inner.clone(), 0..18).prop_map(Value::Array),
            1 => vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

/// A record as the script `show` returns it, with one element that it would not return.
fn nearly_a_record() -> impl Strategy<Value = Value> {
    (0..16_usize, reply()).prop_map(|(place, strange)| {
        let text = |text: &'static str| Value::Bytes(text.into());
        let attempt = Value::Array(vec![Value::Int(1), Value::Int(2), Value::Nil]);
        let mut fields = vec![
            text("job-1"),
            text("done"),
            Value::Int(3_000),
            text("12 1000/2000 3 2 1 0 0 kind {}!"),
            Value::Int(1),
            text("2000"),
            Value::Int(0),
            text(""),
            Value::Int(50),
            text("half"),
            Value::Nil,
            text("{}"),
            Value::Nil,
            Value::Array(vec![attempt]),
        ];
        if let Some(field) = fields.get_mut(place) {
            *field = strange;
        }
        Value::Array(fields)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(u32::try_from(scale(300, 100_000)).unwrap()))]

    #[test]
    fn no_reply_panics(reply in reply(), text in any::<String>(), now in any::<i64>()) {
        let now = Timestamp::from_unix_ms(now);
        if let Ok(mut fields) = Fields::of(reply.clone()) {
            while !fields.is_empty() {
                if let Ok(Some(job)) = leased_job(&mut fields, &WorkerId::from_stored("w"), now) {
                    let _ = (job.leased_at.since(job.ready_at), job.expires_at.map(|at| at.since(now)));
                }
            }
        }
        for count in [0, 1, 3] {
            let _ = stored(reply.clone(), count);
        }
        let _ = (shown(reply.clone(), "queue"), counts_of(reply.clone()), moved_and_due(reply.clone()));
        let _ = (event(reply.clone()), line(reply.clone()), parsed(reply), settled(&text));
    }

    #[test]
    fn no_record_panics(record in nearly_a_record()) {
        if let Ok(shown) = shown(record, "queue") {
            prop_assert!(serde_json::to_string(&shown.record).is_ok());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), at in 0..40_usize, likely in select(LIKELY)) {
        let _ = Envelope::parse(&String::from_utf8_lossy(&bytes));
        // A valid one with a part removed.
        let mut text = likely.as_bytes().to_vec();
        text.splice(at.min(text.len())..(at + 1).min(text.len()), bytes);
        let _ = Envelope::parse(&String::from_utf8_lossy(&text));
        let fields = vec![Value::Bytes("job-1".into()), Value::Bytes(text.into())];
        if let Ok(mut fields) = Fields::of(Value::Array(fields)) {
            let _ = leased_job(&mut fields, &WorkerId::from_stored("w"), Timestamp::default());
        }
    }
}

#[test]
fn a_record_without_faults_is_read() {
    let good = nearly_a_record();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let read = (0..200).filter(|_| {
        let record = good.new_tree(&mut runner).map(|tree| proptest::strategy::ValueTree::current(&tree));
        record.is_ok_and(|record| shown(record, "queue").is_ok())
    });
    assert!(read.count() > 20);
}
