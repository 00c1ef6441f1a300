//! Cached reads: where an answer came from, and that no write is ever missed.

use std::collections::BTreeSet;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use crate::backend::{Servers, is_shared};
use crate::harness::{Api, DEADLINE, csv, header, problem, schedule, success_json};

/// An API with the tenant `acme`, whom no quota holds up.
async fn api_with_acme() -> Api {
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    api
}

async fn create(api: &Api, tenant: &str, body: &Value) -> Value {
    success_json(api.request(Method::POST, "/api/schedules").header("x-tenant-id", tenant).json(body)).await
}

async fn replace(api: &Api, tenant: &str, path: &str, body: &Value) -> Response {
    let request = api.request(Method::PUT, path).header("x-tenant-id", tenant).json(body);
    request.send().await.expect("an answer")
}

async fn delete(api: &Api, tenant: &str, path: &str) -> Response {
    api.request(Method::DELETE, path).header("x-tenant-id", tenant).send().await.expect("an answer")
}

fn path_of(schedule: &Value) -> String {
    format!("/api/schedules/{}", schedule["id"].as_str().expect("an id"))
}

async fn delete_all_cached(api: &Api) {
    success_json(api.request(Method::DELETE, "/api/cache").json(&json!({"all": true}))).await;
}

/// The response to a cached read.
struct Read {
    status: StatusCode,
    etag: String,
    cache_status: String,
    body: String,
}

impl Read {
    fn is_hit(&self) -> bool {
        assert!(self.cache_status.starts_with("tidegate; "), "{}", self.cache_status);
        self.cache_status.starts_with("tidegate; hit")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

async fn read(api: &Api, tenant: &str, path: &str) -> Read {
    read_unless(api, tenant, path, None).await
}

/// The answer from the cache, which the read before has to fill.
///
/// Over a shared cache, the notice of a change may come during the read after it. The result of
/// that read is then not kept, and the next read fills the cache.
async fn hit(api: &Api, tenant: &str, path: &str) -> Read {
    let again = async || Some(read(api, tenant, path).await).filter(Read::is_hit);
    let kept = if is_shared() { poll_until(DEADLINE, again).await.ok() } else { again().await };
    kept.expect("it is kept")
}

async fn read_unless(api: &Api, tenant: &str, path: &str, known: Option<&str>) -> Read {
    let request = api.get_as(tenant, path);
    let request = known.iter().fold(request, |request, etag| request.header("if-none-match", *etag));
    let answer = request.send().await.expect("an answer");
    Read {
        status: answer.status(),
        etag: header(&answer, "etag"),
        cache_status: header(&answer, "cache-status"),
        body: answer.text().await.expect("a body"),
    }
}

#[tokio::test]
pub(crate) async fn one_schedule_comes_from_the_tables_and_then_from_the_cache() {
    let api = api_with_acme().await;
    let made = create(&api, "acme", &schedule("one")).await;
    let path = path_of(&made);

    let first = read(&api, "acme", &path).await;
    assert!(first.cache_status.starts_with("tidegate; fwd=uri-miss"), "{}", first.cache_status);
    assert!(first.cache_status.ends_with("; stored") || is_shared(), "{}", first.cache_status);
    let second = hit(&api, "acme", &path).await;
    assert!(second.cache_status.contains("ttl="), "{}", second.cache_status);
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(first.body, second.body);
    assert_eq!(first.etag, second.etag);
    assert!(first.etag.starts_with("W/\"") && first.etag.len() > 4, "{}", first.etag);
    assert_eq!(first.json(), made, "a read shows what the creation answered");
}

#[tokio::test]
pub(crate) async fn a_page_comes_from_the_tables_and_then_from_the_cache() {
    let api = api_with_acme().await;
    let made = create(&api, "acme", &schedule("one")).await;
    for path in ["/api/schedules", "/api/schedules?limit=50"] {
        delete_all_cached(&api).await;
        let (first, second) = (read(&api, "acme", path).await, hit(&api, "acme", path).await);
        assert!(!first.is_hit(), "{}", first.cache_status);
        assert_eq!(first.json(), json!({"items": [made], "next_cursor": null}));
        assert_eq!((first.body, first.etag), (second.body, second.etag));
    }
}

#[tokio::test]
pub(crate) async fn responses_say_whether_a_client_may_cache_them() {
    let api = api_with_acme().await;
    let made = create(&api, "acme", &schedule("one")).await;
    let answer = api.get_as("acme", &path_of(&made)).send().await.unwrap();
    assert_eq!(header(&answer, "content-type"), "application/json");
    assert_eq!(header(&answer, "cache-control"), "private, no-cache");
    assert!(header(&answer, "vary").contains("authorization"), "{:?}", answer.headers());
    assert!(!header(&answer, "x-request-id").is_empty());
}

#[tokio::test]
pub(crate) async fn what_the_client_has_already_is_answered_304_without_body() {
    let api = api_with_acme().await;
    let made = create(&api, "acme", &schedule("one")).await;
    for path in [path_of(&made), "/api/schedules".to_owned()] {
        let first = read(&api, "acme", &path).await;
        let etag = hit(&api, "acme", &path).await.etag;
        assert_eq!(etag, first.etag);
        let strong = etag.trim_start_matches("W/");
        let list = format!("\"other\", {etag}");
        for known in [etag.as_str(), strong, &list, "*"] {
            let again = read_unless(&api, "acme", &path, Some(known)).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(again.body, "");
            assert_eq!(again.etag, etag);
            assert!(again.is_hit());
        }
        for unknown in ["\"other\"", strong.trim_matches('"'), ""] {
            let full = read_unless(&api, "acme", &path, Some(unknown)).await;
            assert_eq!(full.status, StatusCode::OK, "{unknown}");
            assert!(!full.body.is_empty());
        }
    }
}

#[tokio::test]
pub(crate) async fn an_update_is_seen_by_the_next_read() {
    let api = api_with_acme().await;
    let made = create(&api, "acme", &schedule("version 0")).await;
    let path = path_of(&made);
    let mut etags = Vec::new();
    for version in 1..=20 {
        let (one, page) = (read(&api, "acme", &path).await, read(&api, "acme", "/api/schedules").await);
        let title = format!("version {version}");
        let answer = replace(&api, "acme", &path, &schedule(&title)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json::<Value>().await.unwrap()["title"], title);

        // With the old tag, so that a stale cache could not hide behind a 304.
        let one_after = read_unless(&api, "acme", &path, Some(&one.etag)).await;
        assert_eq!((one_after.status, one_after.is_hit()), (StatusCode::OK, false));
        assert_eq!(one_after.json()["title"], title);
        assert_eq!(one_after.json()["created_at"], made["created_at"]);
        let page_after = read_unless(&api, "acme", "/api/schedules", Some(&page.etag)).await;
        assert_eq!((page_after.status, page_after.is_hit()), (StatusCode::OK, false));
        assert_eq!(page_after.json()["items"][0]["title"], title);
        etags.push(one.etag);
    }
    etags.sort_unstable();
    etags.dedup();
    assert_eq!(etags.len(), 20, "each version has a tag of its own");
}

#[tokio::test]
pub(crate) async fn a_creation_is_seen_by_the_next_list() {
    let api = api_with_acme().await;
    let empty = read(&api, "acme", "/api/schedules").await;
    assert_eq!(empty.json(), json!({"items": [], "next_cursor": null}));
    hit(&api, "acme", "/api/schedules").await;
    for count in 1..=5 {
        create(&api, "acme", &schedule("one more")).await;
        let page = read(&api, "acme", "/api/schedules").await;
        assert!(!page.is_hit());
        assert_ne!(page.etag, empty.etag);
        assert_eq!(page.json()["items"].as_array().unwrap().len(), count);
    }
}

#[tokio::test]
pub(crate) async fn a_deletion_is_seen_by_the_next_read() {
    let api = api_with_acme().await;
    let made = create(&api, "acme", &schedule("short-lived")).await;
    let path = path_of(&made);
    let etag = read(&api, "acme", &path).await.etag;
    assert_eq!(read(&api, "acme", "/api/schedules").await.json()["items"][0], made);

    assert_eq!(delete(&api, "acme", &path).await.status(), 204);
    assert_eq!(read_unless(&api, "acme", &path, Some(&etag)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(read(&api, "acme", "/api/schedules").await.json()["items"], json!([]));
    problem(delete(&api, "acme", &path).await, 404, "not-found").await;
    problem(replace(&api, "acme", &path, &schedule("again")).await, 404, "not-found").await;
}

#[tokio::test]
pub(crate) async fn what_is_not_there_is_cached_too_and_stays_right() {
    let api = api_with_acme().await;
    let nowhere = "/api/schedules/00000000-0000-7000-8000-000000000000";
    assert!(!read(&api, "acme", nowhere).await.is_hit());
    hit(&api, "acme", nowhere).await;
    problem(api.get_as("acme", nowhere).send().await.unwrap(), 404, "not-found").await;

    // A deleted one is asked for twice, and another tenant's never becomes one's own.
    let made = create(&api, "acme", &schedule("one")).await;
    let path = path_of(&made);
    api.create_tenant("bolt", "enterprise").await;
    assert_eq!(read(&api, "bolt", &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(read(&api, "acme", &path).await.status, StatusCode::OK);
    assert_eq!(read(&api, "bolt", &path).await.status, StatusCode::NOT_FOUND);
    delete(&api, "acme", &path).await;
    for _ in 0..2 {
        let gone = read(&api, "acme", &path).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        assert!(!gone.body.contains("\"title\":\"one\""), "{}", gone.body);
    }
}

/// Follows the cursors from the start, with alternating page sizes. Returns the ids in order.
async fn ids_by_pages(api: &Api, sizes: &[usize]) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    for size in sizes.iter().cycle() {
        let page = success_json(api.get_as("acme", &format!("/api/schedules?limit={size}{cursor}"))).await;
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= *size, "{} of {size}", items.len());
        ids.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert_eq!(items.len(), *size, "only the last page is short");
        cursor = format!("&cursor={next}");
    }
    ids
}

#[tokio::test]
async fn pages_hold_every_schedule_once_in_order_whatever_their_size() {
    let api = api_with_acme().await;
    let mut made = Vec::new();
    for number in 0..23_u32 {
        // Few starts, so that pages end among equal ones; and not in the order of creation.
        let hour = (number * 7) % 4;
        let body = json!({
            "title": format!("schedule {number}"),
            "starts_at": format!("2030-01-07T{hour:02}:00:00Z"),
            "ends_at": "2030-01-07T09:15:00Z",
        });
        let schedule = create(&api, "acme", &body).await;
        let text = |name: &str| schedule[name].as_str().unwrap().to_owned();
        made.push((text("starts_at"), text("id")));
    }
    made.sort_unstable();
    let wanted: Vec<String> = made.into_iter().map(|(_, id)| id).collect();
    for sizes in [&[1][..], &[2], &[22], &[23], &[24], &[200], &[1, 5, 2, 9], &[11, 1]] {
        assert_eq!(ids_by_pages(&api, sizes).await, wanted, "pages of {sizes:?}");
    }
    // The same from the cache, and after a write that no page may miss.
    assert_eq!(ids_by_pages(&api, &[2]).await, wanted);
    delete(&api, "acme", &format!("/api/schedules/{}", wanted[10])).await;
    let left: Vec<String> = wanted.iter().filter(|id| **id != wanted[10]).cloned().collect();
    assert_eq!(ids_by_pages(&api, &[2]).await, left);
}

#[tokio::test]
async fn tenants_never_see_one_another() {
    let api = Api::start().await;
    // Names that a careless key would join into one another's.
    let tenants = ["a", "a.b", "a-b", "a_b", "A", "a.b.c", "b", "limit", "1", "a.1"];
    let mut made = Vec::new();
    for tenant in tenants {
        api.create_tenant(tenant, "enterprise").await;
        made.push(create(&api, tenant, &schedule(&format!("of {tenant}"))).await);
    }
    for _ in 0..2 {
        for (tenant, own) in tenants.iter().zip(&made) {
            let page = read(&api, tenant, "/api/schedules").await.json();
            assert_eq!(page, json!({"items": [own], "next_cursor": null}), "{tenant}");
            for (other, theirs) in tenants.iter().zip(&made) {
                let wanted = if other == tenant { StatusCode::OK } else { StatusCode::NOT_FOUND };
                assert_eq!(read(&api, tenant, &path_of(theirs)).await.status, wanted, "{tenant} reads {other}");
            }
        }
    }
    let foreign = path_of(&made[1]);
    problem(replace(&api, "a", &foreign, &schedule("mine now")).await, 404, "not-found").await;
    problem(delete(&api, "a", &foreign).await, 404, "not-found").await;
    assert_eq!(read(&api, "a.b", &foreign).await.json(), made[1]);
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let api = api_with_acme().await;
    let made = create(&api, "acme", &schedule("untouched")).await;
    let bad = json!({
        "title": " ",
        "starts_at": "next Monday",
        "ends_at": "2030-13-01T00:00:00Z",
        "recurrence": "FREQ=SOMETIMES",
        "attendees": ["ada@example.org", "a;b", "@"],
    });
    let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&bad);
    let refusals = [request.send().await.unwrap(), replace(&api, "acme", &path_of(&made), &bad).await];
    for refusal in refusals {
        let body = problem(refusal, 422, "invalid-fields").await;
        let mut fields: Vec<&str> = body["fields"].as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["attendees[1]", "attendees[2]", "ends_at", "recurrence", "starts_at", "title"]);
        assert!(body["fields"].as_object().unwrap().values().all(|reason| !reason.as_str().unwrap().is_empty()));
    }
    let mut backwards = schedule("backwards");
    backwards["ends_at"] = backwards["starts_at"].clone();
    let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&backwards);
    let body = problem(request.send().await.unwrap(), 422, "invalid-fields").await;
    assert_eq!(body["fields"].as_object().unwrap().len(), 1, "{body}");
    assert!(body["fields"]["ends_at"].as_str().unwrap().contains("starts_at"), "{body}");
    assert_eq!(read(&api, "acme", "/api/schedules").await.json()["items"], json!([made]));
}

#[tokio::test]
async fn a_location_leads_to_what_was_made() {
    let api = Api::start().await;
    let tenant = json!({"id": "acme", "name": "Acme", "tier": "enterprise"});
    let answer = api.request(Method::POST, "/api/tenants").json(&tenant).send().await.unwrap();
    assert_eq!((answer.status(), header(&answer, "cache-control").as_str()), (StatusCode::CREATED, "no-store"));
    let shown = api.json(&header(&answer, "location")).await;
    assert_eq!((&shown["id"], &shown["api_key"]), (&json!("acme"), &Value::Null));

    let request = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme");
    let answer = request.json(&schedule("one")).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let location = header(&answer, "location");
    assert_eq!(success_json(api.get_as("acme", &location)).await, answer.json::<Value>().await.unwrap());

    let request = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
    let answer = request.header("content-type", "text/csv").body(csv(1, &[])).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let location = header(&answer, "location");
    let id = answer.json::<Value>().await.unwrap()["job_id"].clone();
    assert_eq!(success_json(api.get_as("acme", &location)).await["id"], id);
}

#[tokio::test]
async fn invented_cursors_fill_no_cache() {
    let redis = RedisServer::start().await;
    let api = Api::start_on(Servers::At(redis.url()), &[]).await;
    api.create_tenant("acme", "enterprise").await;
    let made = create(&api, "acme", &schedule("one")).await;
    let keys = async |of: &str| {
        let all = redis.cli(&["--scan"]).await;
        all.lines().filter(|key| key.contains(of)).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let entries = async || api.json("/api/cache").await["tiers"][0]["entries"].as_u64().expect("the figure");
    // What the keys take, and not what Redis uses: buffers of its clients come and go.
    let memory = async || {
        let (mut bytes, keys) = (0, redis.cli(&["--scan"]).await);
        for key in keys.lines() {
            let used = redis.cli(&["MEMORY", "USAGE", key, "SAMPLES", "0"]).await;
            let has_expired = used.trim().is_empty();
            bytes += if has_expired { 0 } else { used.trim().parse::<u64>().expect("a figure") };
        }
        bytes
    };
    // What is kept there is kept behind the answer.
    let page_kept = async || {
        read(&api, "acme", "/api/schedules").await;
        Some(keys(":c:{schedules:acme").await).filter(|pages| !pages.is_empty())
    };
    let pages = poll_until(DEADLINE, page_kept).await.expect("the first page is kept");
    let before = (entries().await, memory().await);
    for number in 0..300_u32 {
        let path = format!("/api/schedules?limit={}&cursor={:016x}{:032x}", number % 200 + 1, 5, number);
        let page = read(&api, "acme", &path).await;
        assert_eq!((page.status, &*page.cache_status), (StatusCode::OK, "tidegate; fwd=bypass"), "{path}");
    }
    // One that is kept behind all of them: what they had brought would be there before.
    let mark = path_of(&made);
    let mark_kept = async || {
        read(&api, "acme", &mark).await;
        Some(keys(":c:{schedule:acme").await).filter(|kept| !kept.is_empty())
    };
    poll_until(DEADLINE, mark_kept).await.expect("it is kept");
    assert_eq!((keys(":c:{schedules:acme").await, entries().await), (pages, before.0 + 1));
    // Three hundred pages with their keys would be 60 KB and more.
    assert!(before.1 > 0 && memory().await < before.1 + 30_000, "before: {before:?}");
    assert!(read(&api, "acme", "/api/schedules").await.is_hit(), "the first page is still kept");
}
