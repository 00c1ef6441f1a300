//! What a request costs Redis: how many commands for its limits, one after the other.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::redis::RedisServer;

use super::shown;
use crate::backend::Servers;
use crate::harness::{Api, success_json};

/// An API on a server that notes every command that it is sent.
async fn noted(variables: &[(&str, &str)]) -> Api {
    let server = RedisServer::start().await;
    server.cli(&["CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "100000"]).await;
    Api::start_on(Servers::Single(server), variables).await
}

fn server(api: &Api) -> &RedisServer {
    match &*api.servers {
        Servers::Single(server) => server,
        _ => unreachable!("it was started on one"),
    }
}

/// Sends that many requests of a tenant, one after the other. Returns their statuses, and the
/// number of commands for its quota and for its limit `api`.
async fn ask(api: &Api, tenant: &str, count: usize) -> (Vec<StatusCode>, [usize; 2]) {
    server(api).cli(&["SLOWLOG", "RESET"]).await;
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(api.get_as(tenant, "/api/schedules").send().await.expect("an answer").status());
    }
    // One line per argument. Calls inside a script are logged too. The script's command has the
    // number of its keys.
    let log = server(api).cli(&["SLOWLOG", "GET", "-1"]).await;
    let lines: Vec<&str> = log.lines().collect();
    let over =
        |key: String| lines.windows(2).filter(|pair| pair[0].parse::<u32>().is_ok() && pair[1].ends_with(&key)).count();
    (statuses, [over(format!("{{rt:tenant:{tenant}}}")), over(format!("{{rl:api:tenant%3A{tenant}}}"))])
}

async fn create(api: &Api, id: &str, tier: &str, limits: Value) {
    let body = json!({"id": id, "name": id, "tier": tier, "limits": limits});
    success_json(api.request(Method::POST, "/api/tenants").json(&body)).await;
    // The server learns the scripts, which is a command more.
    ask(api, id, 1).await;
}

async fn used(api: &Api, tenant: &str) -> [u64; 3] {
    let body = api.json(&format!("/api/rate-limit/tenants/{tenant}")).await;
    [0, 1, 2].map(|window| body["windows"][window]["used"].as_u64().expect("a number"))
}

#[tokio::test]
async fn an_admitted_request_is_two_commands_and_one_above_the_smallest_plan() {
    let api = noted(&[]).await;
    create(&api, "small", "free", json!({})).await;
    assert_eq!(ask(&api, "small", 10).await, (vec![StatusCode::OK; 10], [10, 10]));
    for (id, tier, limits) in [("basic", "basic", json!({})), ("own", "free", json!({"per_minute": 61}))] {
        create(&api, id, tier, limits).await;
        assert_eq!(ask(&api, id, 10).await, (vec![StatusCode::OK; 10], [10, 0]), "{id}");
    }
}

#[tokio::test]
async fn what_the_quota_refuses_is_one_command_and_no_strike() {
    let api = noted(&[]).await;
    create(&api, "small", "free", json!({"per_day": 3})).await;
    assert_eq!(ask(&api, "small", 2).await, (vec![StatusCode::OK; 2], [2, 2]));
    // More than `api` admits, and none of them reaches it.
    assert_eq!(ask(&api, "small", 110).await, (vec![StatusCode::TOO_MANY_REQUESTS; 110], [110, 0]));
    let stats = &shown(&api, "api").await["stats"];
    let told = ["allowed", "denied", "blocked_keys"].map(|field| stats[field].clone());
    assert_eq!(told, [json!(3), json!(0), json!(0)]);
}

#[tokio::test]
async fn what_the_limit_api_refuses_is_given_back_and_then_refused_from_memory() {
    let api = noted(&[("TIDEGATE_LIMIT_API", "4/day, block=1h")]).await;
    create(&api, "small", "free", json!({})).await;
    assert_eq!(ask(&api, "small", 3).await, (vec![StatusCode::OK; 3], [3, 3]));
    // Charged, refused by the other, given back.
    assert_eq!(ask(&api, "small", 1).await, (vec![StatusCode::TOO_MANY_REQUESTS], [2, 1]));
    let (statuses, [of_quota, of_api]) = ask(&api, "small", 30).await;
    assert_eq!(statuses, [StatusCode::TOO_MANY_REQUESTS; 30]);
    // A denial is remembered for a second: how many end meanwhile is up to the machine.
    assert!(of_quota == 2 * of_api && of_api < 15, "{of_quota} {of_api}");
    // A window may have begun on the way.
    let used = used(&api, "small").await;
    assert!(used.iter().all(|used| *used <= 4), "the refused cost nothing: {used:?}");
    assert_eq!(shown(&api, "api").await["stats"]["denied"], 31);
}
