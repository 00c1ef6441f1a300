//! `GET /api/cache/keys`, and what `GET /api/cache` warns of.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Api, problem, schedule, success_json};

/// An API whose memory holds three schedules of `acme` and one of `acme2`.
async fn filled() -> Api {
    let api = Api::start().await;
    for (tenant, count) in [("acme", 3), ("acme2", 1)] {
        api.create_tenant(tenant, "enterprise").await;
        for index in 0..count {
            let body = schedule(&format!("{tenant} {index}"));
            let made =
                success_json(api.request(Method::POST, "/api/schedules").header("x-tenant-id", tenant).json(&body))
                    .await;
            let path = format!("/api/schedules/{}", made["id"].as_str().expect("an id"));
            success_json(api.get_as(tenant, &path)).await;
        }
    }
    api
}

async fn page(api: &Api, query: &[(&str, &str)]) -> Value {
    api.json(&path_of(query)).await
}

/// Keys hold no character that a query can't, but for the escapes in them.
fn path_of(query: &[(&str, &str)]) -> String {
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={}", value.replace('%', "%25"))).collect();
    format!("/api/cache/keys?{}", query.join("&"))
}

fn keys(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["key"].as_str().expect("a key").to_owned()).collect()
}

#[tokio::test]
async fn keys_are_listed_page_by_page_and_never_a_value() {
    let api = filled().await;
    let all = page(&api, &[("pattern", "schedule:acme:*")]).await;
    assert_eq!((keys(&all).len(), &all["next_cursor"]), (3, &Value::Null));
    for item in all["items"].as_array().expect("items") {
        assert_eq!((&item["class"], &item["tier"], &item["stale"]), (&json!("schedule"), &json!("l1"), &json!(false)));
        let left = item["fresh_for_ms"].as_u64().expect("a number");
        assert!((1..=7_200_000).contains(&left), "{left}");
    }
    assert!(!all.to_string().contains("acme 0"), "titles are values: {all}");

    let first = page(&api, &[("pattern", "schedule:acme:*"), ("limit", "2")]).await;
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = page(&api, &[("pattern", "schedule:acme:*"), ("limit", "2"), ("cursor", cursor)]).await;
    assert_eq!([keys(&first), keys(&second)].concat(), keys(&all));
    assert_eq!(second["next_cursor"], Value::Null);
    assert!(keys(&page(&api, &[]).await).len() > 4, "without a pattern all of them, tenants among them");
}

#[tokio::test]
async fn one_key_is_shown_until_it_is_dropped() {
    let api = filled().await;
    let key = keys(&page(&api, &[("pattern", "schedule:acme2:*")]).await).remove(0);
    let one = page(&api, &[("key", &key)]).await;
    assert_eq!((&one["key"], &one["class"]), (&json!(key), &json!("schedule")));

    let purge = json!({"keys": [key]});
    let purged = success_json(api.request(Method::DELETE, "/api/cache").json(&purge)).await;
    assert_eq!(purged, json!({"removed": 1}));
    let gone = api.request(Method::GET, &path_of(&[("key", &key)]));
    problem(gone.send().await.expect("an answer"), 404, "not-found").await;
    assert_eq!(keys(&page(&api, &[("pattern", "schedule:acme:*")]).await).len(), 3, "others stay");
}

#[tokio::test]
async fn more_keys_or_tags_than_one_purge_takes_are_refused() {
    let api = Api::start().await;
    for field in ["keys", "tags"] {
        let names = |count: usize| -> Vec<String> { (0..count).map(|index| format!("user:{index}")).collect() };
        let purge = async |count| {
            api.request(Method::DELETE, "/api/cache")
                .json(&json!({field: names(count)}))
                .send()
                .await
                .expect("an answer")
        };
        let refused = problem(purge(1_001).await, 422, "bad-selection").await;
        assert_eq!(refused["limit"], json!(1_000), "{refused}");
        assert_eq!(purge(1_000).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn what_selects_no_keys_is_refused() {
    let api = Api::start().await;
    for (query, status, kind) in [
        ("?key=:", 422, "bad-selection"),
        ("?key=", 422, "bad-selection"),
        ("?key=a&pattern=*", 422, "bad-selection"),
        ("?key=a&cursor=b", 422, "bad-selection"),
        ("?pattern=", 422, "bad-selection"),
        ("?pattern=[a]", 422, "bad-selection"),
        ("?cursor=%00", 422, "bad-selection"),
        ("?limit=0", 422, "bad-limit"),
        ("?limit=201", 422, "bad-limit"),
        ("?limit=x", 400, "bad-query"),
        ("?tag=a", 400, "bad-query"),
    ] {
        let answer = api.request(Method::GET, &format!("/api/cache/keys{query}")).send().await.expect("an answer");
        problem(answer, status, kind).await;
    }
    let answer = api.request(Method::DELETE, "/api/cache/keys").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_class_that_misses_much_is_warned_of_once_there_are_enough_lookups() {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    let cache = api.json("/api/cache").await;
    assert_eq!((&cache["warnings"], &cache["redis"]), (&json!([]), &Value::Null), "{cache}");
    // Schedules that were never read, so each read is a miss.
    let miss = async |number: u32| {
        let nowhere = format!("/api/schedules/00000000-0000-7000-8000-{number:012}");
        problem(api.get_as("acme", &nowhere).send().await.expect("an answer"), 404, "not-found").await;
    };
    miss(121).await;
    let cache = api.json("/api/cache").await;
    assert_eq!((&cache["warnings"], &cache["low_hit_rate"]), (&json!([]), &json!([])), "a miss says nothing: {cache}");
    for number in 1..=120 {
        miss(number).await;
    }
    let cache = api.json("/api/cache").await;
    let warnings = cache["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1, "{cache}");
    assert_eq!(warnings[0], "class schedule: 0.0 % of its lookups are hits, less than 80 %");
    assert_eq!(cache["low_hit_rate"], json!(["schedule"]));
}
