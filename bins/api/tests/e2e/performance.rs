//! `/api/performance`: every type, in both formats, and the required permissions.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, header, problem, schedule, success_json};
use crate::start::{ADMIN, READ, TOKENS};
use crate::stuck::Stuck;

/// Types that are registered from the start, and those of the API itself.
const ALWAYS: [&str; 13] = [
    "advice",
    "anomalies",
    "endpoints",
    "export",
    "health",
    "in-flight",
    "operations",
    "overall",
    "process",
    "redis",
    "slow-apis",
    "slow-operations",
    "trends",
];

/// Every type, as a refusal of an unknown one lists them.
pub(crate) async fn types(api: &Api) -> BTreeSet<String> {
    let answer =
        api.request(Method::GET, "/api/performance?type=gossip").bearer_auth(ADMIN).send().await.expect("an answer");
    let refusal = problem(answer, 422, "bad-type").await;
    let (known, sent) = refusal["detail"].as_str().expect("text").split_once("; not ").expect("what was sent");
    assert_eq!(sent, "`gossip`");
    known.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

async fn records(answer: Response) -> Vec<BTreeMap<String, String>> {
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "text/csv; charset=utf-8");
    let text = answer.text().await.expect("text");
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.expect("a row as long as its head")).collect()
}

async fn csv_of(api: &Api, query: &str) -> Vec<BTreeMap<String, String>> {
    records(api.request(Method::GET, &format!("/api/performance?format=csv&{query}")).send().await.expect("an answer"))
        .await
}

async fn json_of(api: &Api, query: &str) -> Value {
    api.json(&format!("/api/performance?{query}")).await
}

/// A member as a cell shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a cell shows that member. What reads JSON here may miss the last digit of a fraction.
fn is_same(cell: &str, member: &Value) -> bool {
    match (cell.parse::<f64>(), member.as_f64()) {
        (Ok(told), Some(known)) => (told - known).abs() <= known.abs() * 1e-12,
        _ => cell == shown(member),
    }
}

/// Sends a write while the database is locked, so that it is slow and fails.
async fn fail_slowly(api: &Api, id: &str) {
    let _stuck = Stuck::beside(api).await;
    let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
    let request = request.header("x-request-id", id).json(&schedule("slow"));
    problem(request.send().await.expect("an answer"), 503, "timeout").await;
}

#[tokio::test]
async fn every_type_of_performance_is_served_and_guarded() {
    let api = Api::start_with(&TOKENS).await;
    let types = types(&api).await;
    for name in ALWAYS {
        assert!(types.contains(name), "{name}: {types:?}");
    }
    let mut queries: Vec<_> = types.iter().map(|name| format!("type={name}&")).collect();
    queries.push(String::new());
    for query in queries {
        for format in ["json", "csv"] {
            let path = format!("/api/performance?{query}format={format}");
            let get = || api.request(Method::GET, &path);
            problem(get().send().await.unwrap(), 401, "unauthorized").await;
            problem(get().bearer_auth("wrong-token-0123456789").send().await.unwrap(), 401, "unauthorized").await;
            for token in [READ, ADMIN] {
                let answer = get().bearer_auth(token).send().await.unwrap();
                assert_eq!(answer.status(), 200, "{path}");
                let is_file = header(&answer, "content-disposition").starts_with("attachment; filename=");
                assert_eq!(is_file, query == "type=export&", "{path}");
                if format == "json" {
                    assert!(answer.json::<Value>().await.is_ok(), "{path}");
                } else {
                    records(answer).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn changes_on_advice_are_an_admins_to_switch_and_to_take_back() {
    let api = Api::start_with(&TOKENS).await;
    let post = |path: &str| api.request(Method::POST, &format!("/api/performance/actions{path}"));
    let enabled = async || {
        let advice = api.request(Method::GET, "/api/performance?type=advice").bearer_auth(READ);
        success_json(advice).await["actions"]["enabled"].clone()
    };
    for (path, body) in [("", json!({"enabled": true})), ("/1/revert", json!({}))] {
        problem(post(path).json(&body).send().await.unwrap(), 401, "unauthorized").await;
        problem(post(path).json(&body).bearer_auth(READ).send().await.unwrap(), 403, "forbidden").await;
    }
    assert_eq!(
        enabled().await,
        false,
        "off unless the settings enable it, and unchanged by callers without permission"
    );
    for on in [true, false] {
        let switched = success_json(post("").json(&json!({"enabled": on})).bearer_auth(ADMIN)).await;
        assert_eq!((&switched, enabled().await), (&json!({"enabled": on}), json!(on)));
    }
    for bad in [json!({}), json!({"enabled": "yes"}), json!({"enabled": true, "more": 1})] {
        problem(post("").json(&bad).bearer_auth(ADMIN).send().await.unwrap(), 400, "unexpected-json").await;
    }
    let answer = post("/1/revert").bearer_auth(ADMIN).send().await.unwrap();
    let told = problem(answer, 404, "not-found").await;
    assert_eq!(told["detail"], "there is no change 1 in the journal");
    problem(post("/first/revert").bearer_auth(ADMIN).send().await.unwrap(), 400, "bad-path").await;
}

#[tokio::test]
async fn csv_and_json_have_the_same_content() {
    let api = Api::start_with(&[("TIDEGATE_HTTP_TIMEOUTS", "request=600ms")]).await;
    for tenant in ["acme", "globex", "initech"] {
        api.create_tenant(tenant, "free").await;
        api.json(&format!("/api/tenants/{tenant}")).await;
    }
    api.json("/api/cache").await;
    fail_slowly(&api, "the-slow-one").await;
    let is_filed = async || {
        let told = json_of(&api, "type=endpoints&limit=100").await;
        let count = told["items"].as_array().unwrap().iter().filter(|item| item["route"] != "/api/performance");
        (count.filter_map(|item| item["count"].as_u64()).sum::<u64>() == 8).then_some(())
    };
    poll_until(DEADLINE, is_filed).await.expect("the second ends");

    // What these very requests count, and what runs on with time, differs from one to the next.
    let moves = |name: &str| matches!(name, "rate" | "covered_ms");
    for window in ["1m", "5m", "1h", "24h"] {
        for sort in ["p99", "p95", "mean", "count", "errors", "route"] {
            let query = format!("type=endpoints&limit=100&window={window}&sort={sort}");
            let (json, mut rows) = (json_of(&api, &query).await, csv_of(&api, &query).await);
            let mut items = json["items"].as_array().unwrap().clone();
            items.retain(|item| item["route"] != "/api/performance");
            rows.retain(|row| row["route"] != "/api/performance");
            assert_eq!((items.len(), rows.len()), (4, 4), "{query}: {json}");
            assert_eq!((&json["sort"], json["window_seconds"].is_u64()), (&json!(sort), true));
            for (item, row) in items.iter().zip(&rows) {
                for (column, cell) in row.iter().filter(|(column, _)| !moves(column)) {
                    let member = column.split('.').fold(item, |item, name| &item[name]);
                    assert!(is_same(cell, member), "{query}: {column} is {cell} and not that of {item}");
                    assert!(!cell.is_empty(), "{query}: {column}");
                }
            }
        }
    }
    let one = "type=endpoints&sort=errors&limit=1";
    let (json, rows) = (json_of(&api, one).await, csv_of(&api, one).await);
    assert_eq!((rows.len(), &rows[0]["classes.5xx"], &json["items"][0]["errors"]), (1, &"1".to_owned(), &json!(1)));

    let (json, rows) = (json_of(&api, "type=slow-apis").await, csv_of(&api, "type=slow-apis").await);
    assert_eq!(rows.iter().map(|row| row["list"].as_str()).collect::<Vec<_>>(), ["items", "failed"]);
    for (row, list) in rows.iter().zip(["items", "failed"]) {
        assert_eq!(json[list][0]["request_id"], "the-slow-one", "{json}");
        for (column, cell) in row.iter().filter(|(column, _)| *column != "list") {
            assert!(is_same(cell, &json[list][0][column]), "{column} is {cell} and not that of {json}");
        }
    }

    // An export has all of it, and the long form each cell by its place.
    let (json, rows) = (json_of(&api, "type=export").await, csv_of(&api, "type=export").await);
    let names: BTreeSet<_> = json["sections"].as_object().unwrap().keys().map(String::as_str).collect();
    let told: BTreeSet<_> = rows.iter().map(|row| row["section"].as_str()).collect();
    assert!(told.is_subset(&names) && told.contains("process") && told.contains("health"), "{told:?}");
    let cell = |section: &str, row: usize, column: &str| {
        let is_it = |it: &&BTreeMap<String, String>| {
            it["section"] == section && it["row"] == row.to_string() && it["column"] == column
        };
        rows.iter().find(is_it).unwrap_or_else(|| panic!("{section} {row} {column}"))["value"].clone()
    };
    for (at, item) in json["sections"]["endpoints"]["items"].as_array().unwrap().iter().enumerate() {
        assert_eq!(cell("endpoints", at + 1, "route"), item["route"].as_str().unwrap(), "{item}");
    }
    assert_eq!(cell("slow-apis", 1, "request_id"), "the-slow-one");
    assert_eq!(cell("overall", 1, "errors"), "1");
    let overview = json_of(&api, "window=1h").await;
    assert_eq!((&overview["window_seconds"], &overview["overall"]["errors"]), (&json!(3600), &json!(1)));
    assert_eq!(overview["in_flight"][0]["route"], "/api/performance", "this very request: {overview}");
    assert!(overview["sections"]["process"]["process"].is_object());
}

/// The members of an item that hold one value, by their path, as columns are named. Lists are left
/// out.
fn members(item: &Value, path: &str, into: &mut Vec<String>) {
    match item {
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            members(value, &path, into);
        }),
        Value::Array(_) => {}
        _ => into.push(path.to_owned()),
    }
}

/// Every list of items that a type has, by the name of it.
fn lists<'a>(told: &'a Value, name: &'a str, into: &mut Vec<(&'a str, &'a Vec<Value>)>) {
    match told {
        Value::Object(all) => all.iter().for_each(|(name, value)| lists(value, name, into)),
        Value::Array(items) if items.iter().all(Value::is_object) => into.push((name, items)),
        _ => {}
    }
}

#[tokio::test]
async fn each_item_of_each_list_of_each_type_is_a_row_with_all_of_its_members() {
    let api = Api::start_with(&[
        ("TIDEGATE_PERFORMANCE_SLOW", "request=1ms, database=1ms, cache=1ms"),
        ("TIDEGATE_PERFORMANCE_HEALTH", "slow_query=1us"),
        ("TIDEGATE_HTTP_TIMEOUTS", "request=600ms"),
    ])
    .await;
    api.create_tenant("acme", "enterprise").await;
    for _ in 0..3 {
        let create = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule("one"));
        success_json(create).await;
    }
    fail_slowly(&api, "the-slow-one").await;
    let silence = json!({"rule": "p99", "minutes": 60, "reason": "a test"});
    success_json(api.request(Method::POST, "/api/performance/silences").json(&silence)).await;
    let is_filed = async || {
        let told = json_of(&api, "type=endpoints").await;
        told["items"].as_array().is_some_and(|items| items.len() > 1).then_some(())
    };
    poll_until(DEADLINE, is_filed).await.expect("the second ends");
    let mut seen = BTreeSet::new();
    for name in types(&api).await.iter().filter(|name| *name != "export") {
        let told = json_of(&api, &format!("type={name}&limit=100")).await;
        let answer = api.request(Method::GET, &format!("/api/performance?format=csv&type={name}&limit=100"));
        let text = answer.send().await.expect("an answer").text().await.expect("text");
        let mut table = csv::Reader::from_reader(text.as_bytes());
        let columns: Vec<String> = table.headers().expect("a head").iter().map(str::to_owned).collect();
        if columns == ["figure", "value"] {
            continue; // each leaf is a row
        }
        let rows: Vec<Vec<String>> = table.deserialize().map(|row| row.expect("a row as long as its head")).collect();
        let mut all = Vec::new();
        lists(&told, name, &mut all);
        let are_several = columns[0] == "list";
        // A list within an item is one cell.
        all.retain(|(list, _)| !columns.iter().any(|column| column == list));
        for (list, items) in all {
            for item in items {
                let mut all = Vec::new();
                members(item, "", &mut all);
                // What is null as a whole has its columns by what it would have.
                all.retain(|member| item[member.as_str()] != Value::Null);
                let missing: Vec<_> = all.iter().filter(|member| !columns.contains(member)).collect();
                assert!(missing.is_empty(), "{name}, {list}: {missing:?} of {item} is in none of {columns:?}");
                seen.insert((name.clone(), list.to_owned()));
            }
            // Those of health are named by what they check.
            let of_it = rows.iter().filter(|row| !are_several || row[0] == list || row[1] == list);
            assert!(of_it.count() >= items.len(), "{name}, {list}: {items:?}, {rows:?}");
        }
    }
    for (name, list) in [
        ("alerts", "rules"),
        ("alerts", "silences"),
        ("alerts", "burn_rates"),
        ("alerts", "deliveries"),
        ("advice", "actuators"),
        ("endpoints", "items"),
        ("health", "reasons"),
        ("in-flight", "items"),
        ("operations", "items"),
        ("pools", "items"),
        ("slow-apis", "items"),
        ("slow-apis", "failed"),
        ("slow-operations", "items"),
        ("slow-queries", "items"),
        ("slow-queries", "top_by_total"),
    ] {
        assert!(seen.contains(&(name.to_owned(), list.to_owned())), "{name}, {list}: {seen:?}");
    }
}

#[tokio::test]
async fn a_formula_in_a_cell_is_no_formula() {
    let api = Api::start_with(&[("TIDEGATE_HTTP_TIMEOUTS", "request=600ms")]).await;
    api.create_tenant("acme", "enterprise").await;
    // Of what begins a formula, an id may have the hyphen.
    fail_slowly(&api, "-2.cmd").await;
    assert_eq!(json_of(&api, "type=slow-apis").await["items"][0]["request_id"], "-2.cmd");
    assert_eq!(csv_of(&api, "type=slow-apis").await[0]["request_id"], "'-2.cmd");
    let exported = csv_of(&api, "type=export").await;
    let ids = exported.iter().filter(|row| row["column"] == "request_id");
    assert_eq!(ids.map(|row| row["value"].as_str()).collect::<Vec<_>>(), ["'-2.cmd", "'-2.cmd"]);
}

#[tokio::test]
async fn an_unknown_type_lists_the_known() {
    let api = Api::start_with(&TOKENS).await;
    let types = types(&api).await;
    assert!(types.iter().all(|name| !name.is_empty()) && types.len() >= ALWAYS.len(), "{types:?}");
    for (query, kind, known) in [
        ("window=2m", "bad-window", "`window` is one of `1m`, `5m`, `1h`, `24h`; not `2m`"),
        ("format=xml", "bad-format", "`format` is one of `json`, `csv`; not `xml`"),
        (
            "type=endpoints&sort=luck",
            "bad-sort",
            "`sort` is one of `p99`, `p95`, `mean`, `count`, `errors`, `rate`, `route`; not `luck`",
        ),
    ] {
        let path = format!("/api/performance?{query}");
        let answer = api.request(Method::GET, &path).bearer_auth(READ).send().await.unwrap();
        assert_eq!(problem(answer, 422, kind).await["detail"], known);
    }
}
