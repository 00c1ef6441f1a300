//! `docs/reference/keyspace.md` lists every key of a busy server, with the expiry that it has.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Method;
use serde_json::json;
use tidegate_testkit::redis::RedisServer;

use crate::backend::Servers;
use crate::harness::{Api, csv, schedule, success_json};

/// A line of the page.
struct Listed {
    /// Such as `tidegate:{q:<queue>:<partition>}:lease`; `<…>` stands for anything without braces.
    pattern: String,
    never_expires: bool,
}

/// The tables of the page whose first column is a pattern of keys.
fn listed() -> Vec<Listed> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/keyspace.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let mut expiry = None;
    let mut listed = Vec::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        if let Some(column) = cells.iter().position(|cell| cell.eq_ignore_ascii_case("expiry")) {
            expiry = Some(column);
        } else if !line.starts_with('|') {
            expiry = None;
        } else if let (Some(column), Some(pattern)) = (expiry, cells[0].strip_prefix('`')) {
            let pattern = pattern.strip_suffix('`').expect(line);
            let expiry = cells.get(column).expect(line);
            listed.push(Listed { pattern: pattern.to_owned(), never_expires: *expiry == "never" });
        }
    }
    listed
}

/// Whether the key has the form of the pattern.
fn matches(pattern: &str, key: &str) -> bool {
    let Some((literal, rest)) = pattern.split_once('<') else { return pattern == key };
    let (_, rest) = rest.split_once('>').expect("a closed placeholder");
    let Some(key) = key.strip_prefix(literal) else { return false };
    let longest = key.find(['{', '}']).unwrap_or(key.len());
    (1..=longest).filter(|end| key.is_char_boundary(*end)).any(|end| matches(rest, &key[end..]))
}

#[test]
fn a_placeholder_stands_for_what_is_between_braces() {
    assert!(matches("t:{q:<queue>:<partition>}:lease", "t:{q:email:0}:lease"));
    assert!(matches("t:c:{<key>}", "t:c:{schedule:acme:1}"));
    assert!(!matches("t:{q:<queue>:<partition>}:lease", "t:{q:email:0}:job"));
    assert!(!matches("t:{q:<queue>}", "t:{q:}"));
    assert!(!matches("t:{q:<queue>}", "t:{q:a}:x{b}"));
}

/// All keys of the server, each with the milliseconds that are left to it, or -1.
async fn keys(server: &RedisServer) -> Vec<(String, i64)> {
    const WALK: &str = "local all, cursor = {}, '0' repeat local page = redis.call('SCAN', cursor, 'COUNT', 1000) \
        cursor = page[1] for _, key in ipairs(page[2]) do \
        all[#all + 1] = redis.call('PTTL', key) .. ' ' .. key end until cursor == '0' return all";
    let text = server.cli(&["EVAL", WALK, "0"]).await;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (left, key) = line.split_once(' ').expect(line);
            (key.to_owned(), left.parse().expect("a number"))
        })
        .collect()
}

/// Does everything once that leaves a key.
async fn use_all_of(api: &Api) {
    api.create_tenant("acme", "enterprise").await;
    api.create_tenant("small", "free").await;
    let create =
        |title: &str| api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule(title));
    let made = success_json(create("one")).await;
    let one = format!("/api/schedules/{}", made["id"].as_str().expect("an id"));
    for path in
        [&*one, "/api/schedules", "/api/schedules?limit=1", "/api/schedules/00000000-0000-7000-8000-000000000000"]
    {
        for _ in 0..2 {
            api.get_as("acme", path).send().await.expect("an answer");
        }
    }
    // A limit that is used up, a block, an unknown key.
    for _ in 0..61 {
        api.get_as("small", "/api/schedules").send().await.expect("an answer");
    }
    for _ in 0..101 {
        let guess = api.request(Method::GET, "/api/schedules").bearer_auth("tk_0123456789abcdef");
        guess.send().await.expect("an answer");
    }
    // Jobs in every state, on two partitions.
    let done = api.import_csv("acme", csv(50, &[3])).await;
    api.job_in_state(&done, "done").await;
    success_json(api.request(Method::POST, "/api/queue/import/pause")).await;
    let mut waiting = Vec::new();
    for _ in 0..6 {
        waiting.push(api.import_csv("acme", csv(2_000, &[])).await);
    }
    let cancel = api.request(Method::DELETE, &format!("/api/queue/import/jobs/{}", waiting[0]));
    assert!(cancel.send().await.expect("an answer").status().is_success());
    std::fs::remove_file(api.scratch.join("spool").join(&waiting[1])).expect("the upload");
    success_json(api.request(Method::POST, "/api/queue/import/resume")).await;
    api.job_in_state(&waiting[1], "dead").await;
    api.job_when(&waiting[2], |job| job["progress"].is_object()).await;
    // Every way to make the cache forget.
    success_json(create("two")).await;
    for selection in [
        json!({"keys": [format!("schedule:acme:{}", made["id"].as_str().expect("an id"))]}),
        json!({"tags": ["schedules-of:acme"]}),
        json!({"pattern": "schedule:acme:*"}),
        json!({"type": "schedule"}),
    ] {
        success_json(api.request(Method::DELETE, "/api/cache").json(&selection)).await;
        api.get_as("acme", "/api/schedules").send().await.expect("an answer");
        api.get_as("acme", &one).send().await.expect("an answer");
    }
}

#[tokio::test]
async fn a_busy_server_holds_no_key_that_the_page_does_not_list() {
    let listed = listed();
    assert!(listed.len() >= 15, "the page lists {} patterns", listed.len());
    let variables = [
        ("TIDEGATE_QUEUE_PARTITIONS", "2"),
        ("TIDEGATE_IMPORT", "chunk=50, pause=50ms"),
        ("TIDEGATE_LIMIT_API", "block=1h"),
    ];
    let server = RedisServer::start().await;
    let api = Api::start_on(Servers::At(server.url()), &variables).await;
    use_all_of(&api).await;

    let mut seen = BTreeSet::new();
    for (key, left) in keys(&server).await {
        let found = listed.iter().filter(|listed| matches(&listed.pattern, &key)).collect::<Vec<_>>();
        assert!(!found.is_empty(), "`{key}` is not listed");
        for listed in &found {
            assert_eq!(left == -1, listed.never_expires, "`{key}`, listed as `{}`, has {left} ms left", listed.pattern);
            seen.insert(listed.pattern.as_str());
        }
    }
    for area in [":{q:", ":{rl:", ":{rt:"] {
        assert!(seen.iter().any(|pattern| pattern.contains(area)), "{area} was not used: {seen:?}");
    }
    assert!(seen.len() >= 12, "the walk saw {seen:?}");
}
