//! Bodies: by the schema, then spoiled.

use proptest::prelude::{Strategy, any};
use proptest::strategy::{BoxedStrategy, Just};
use proptest::{collection, option, prop_oneof};
use serde_json::{Map, Number, Value, json};

use super::strange::text;
use crate::document::Document;

/// How deep schemas that name one another are followed.
const DEEPEST: usize = 6;

/// A content type, where there is one, and what is sent.
type Sent = (Option<String>, Vec<u8>);

/// Bodies of an operation: its example, what its schema allows, and neither.
pub(super) fn of(document: &Document, kind: &str, example: &Value, schema: Option<&Value>) -> BoxedStrategy<Sent> {
    let Some(schema) = schema else { return files(kind, example) };
    let example = || Just(example.clone());
    let good = prop_oneof![1 => example(), 3 => value(document, schema, 0)];
    let spoiled = (prop_oneof![1 => example(), 1 => value(document, schema, 0)], any::<u64>(), junk()).prop_map(
        |(mut value, place, junk)| {
            spoil(&mut value, place, junk);
            value
        },
    );
    let json = prop_oneof![3 => good, 4 => spoiled, 1 => junk()].prop_map(|value| value.to_string().into_bytes());
    let as_json = |body| (Some("application/json".to_owned()), body);
    prop_oneof![
        16 => json.prop_map(as_json),
        1 => nested().prop_map(as_json),
        1 => collection::vec(any::<u8>(), 0..200).prop_map(as_json),
        1 => (text(), text()).prop_map(|(kind, body)| (is_header(&kind).then_some(kind), body.into_bytes())),
        1 => Just((None, Vec::new())),
    ]
    .boxed()
}

fn is_header(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Files with lines that are right, strange, or no text at all.
fn files(kind: &str, example: &Value) -> BoxedStrategy<Sent> {
    let kind = kind.to_owned();
    let head = example.as_str().and_then(|example| example.lines().next()).unwrap_or_default().to_owned();
    let whole = example.as_str().unwrap_or_default().to_owned();
    let lines = collection::vec(collection::vec(text(), 0..7).prop_map(|cells| cells.join(",")), 0..5)
        .prop_map(move |lines| format!("{head}\n{}", lines.join("\n")).into_bytes());
    let file = prop_oneof![1 => Just(whole.into_bytes()), 3 => lines, 1 => collection::vec(any::<u8>(), 0..500)];
    file.prop_map(move |body| (Some(kind.clone()), body)).boxed()
}

/// Values that a schema allows, including its bounds.
pub(super) fn value(document: &Document, schema: &Value, depth: usize) -> BoxedStrategy<Value> {
    let schema = document.resolve(schema);
    if depth > DEEPEST {
        return Just(Value::Null).boxed();
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        if let Some(choices) = schema[word].as_array() {
            return proptest::strategy::Union::new(choices.iter().map(|choice| value(document, choice, depth + 1)))
                .boxed();
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        return proptest::sample::select(words.clone()).boxed();
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let of_kind = kinds.iter().map(|kind| {
                let mut single = schema.clone();
                single["type"] = kind.clone();
                value(document, &single, depth + 1)
            });
            proptest::strategy::Union::new(of_kind).boxed()
        }
        Value::String(kind) => of_kind(document, kind, schema, depth),
        _ => junk(),
    }
}

fn of_kind(document: &Document, kind: &str, schema: &Value, depth: usize) -> BoxedStrategy<Value> {
    match kind {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::Bool).boxed(),
        "integer" => {
            let bound = |name: &str, otherwise| schema[name].as_i64().unwrap_or(otherwise);
            let (least, most) = (bound("minimum", i64::MIN), bound("maximum", i64::MAX));
            prop_oneof![
                Just(least),
                Just(most),
                least..=most,
                (least..=most).prop_map(move |n| n.min(least.saturating_add(100)))
            ]
            .prop_map(|number| json!(number))
            .boxed()
        }
        "number" => any::<f64>().prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::Number)).boxed(),
        "array" => collection::vec(value(document, &schema["items"], depth + 1), 0..4).prop_map(Value::Array).boxed(),
        "object" => fields(document, schema, depth),
        _ => texts(schema),
    }
}

fn texts(schema: &Value) -> BoxedStrategy<Value> {
    let times =
        ["2030-01-07T09:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2031-06-30T23:59:60+02:00"];
    match schema["format"].as_str() {
        Some("date-time") => proptest::sample::select(times.to_vec()).prop_map(Value::from).boxed(),
        Some("uuid") => any::<u128>().prop_map(|bits| uuid(bits).into()).boxed(),
        _ => match schema["pattern"].as_str() {
            Some(pattern) => prop_oneof![3 => of_pattern(pattern), 1 => text()].prop_map(Value::String).boxed(),
            None => text().prop_map(Value::String).boxed(),
        },
    }
}

fn of_pattern(pattern: &str) -> BoxedStrategy<String> {
    // What is made is the whole text, so that anchors would say nothing.
    let inner = pattern.trim_start_matches('^').trim_end_matches('$');
    proptest::string::string_regex(inner).expect("a pattern that texts can be made of").boxed()
}

fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn fields(document: &Document, schema: &Value, depth: usize) -> BoxedStrategy<Value> {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let all: Vec<_> = properties
        .map(|(name, schema)| {
            let (name, value) = (name.clone(), value(document, schema, depth + 1));
            let maybe = if required.contains(&name.as_str()) {
                value.prop_map(Some).boxed()
            } else {
                option::of(value).boxed()
            };
            maybe.prop_map(move |value| value.map(|value| (name.clone(), value)))
        })
        .collect();
    all.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

/// Any JSON.
fn junk() -> BoxedStrategy<Value> {
    let numbers = ["0", "-1", "1e308", "-0.0", "9223372036854775808", "18446744073709551615", "0.1", "4294967296"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        proptest::sample::select(numbers.to_vec()).prop_map(|text| serde_json::from_str(text).expect("a number")),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            collection::vec((text(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
    .boxed()
}

/// Lists and objects within one another, deeper than any reader goes.
fn nested() -> BoxedStrategy<Vec<u8>> {
    (1_usize..50_000, any::<bool>())
        .prop_map(|(depth, is_list)| if is_list { "[".repeat(depth) } else { "{\"a\":".repeat(depth) }.into_bytes())
        .boxed()
}

/// Puts `junk` somewhere, takes something away, or adds a field.
fn spoil(value: &mut Value, place: u64, junk: Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() && !place.is_multiple_of(5) => {
            let index = usize::try_from(place / 5 % fields.len() as u64).unwrap_or(0);
            let name = fields.keys().nth(index).cloned().unwrap_or_default();
            match place % 5 {
                1 => drop(fields.remove(&name)),
                2 => drop(fields.insert("no_such_field".to_owned(), junk)),
                _ => spoil(&mut fields[&name], place / 7, junk),
            }
        }
        Value::Array(items) if !items.is_empty() && !place.is_multiple_of(3) => {
            let index = usize::try_from(place / 3 % items.len() as u64).unwrap_or(0);
            spoil(&mut items[index], place / 5, junk);
        }
        _ => *value = junk,
    }
}
