//! Limits: exactly as many requests as allowed, clear refusals, each charged once.

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, header, problem, schedule, success_json};

const ADMIN: &str = "admin-token-0123456789";

async fn list(api: &Api, tenant: &str) -> Response {
    api.get_as(tenant, "/api/schedules").send().await.expect("an answer")
}

/// Spends the tenant's whole minute on reads.
async fn spend(api: &Api, tenant: &str, count: usize) {
    for number in 1..=count {
        assert_eq!(list(api, tenant).await.status(), 200, "request {number} of {tenant}");
    }
}

/// The tenant's usage by window: minute, hour, day.
async fn usage(api: &Api, tenant: &str) -> [Value; 3] {
    let body = api.json(&format!("/api/rate-limit/tenants/{tenant}")).await;
    let windows: Vec<Value> = body["windows"].as_array().expect("windows").clone();
    assert_eq!(windows.iter().map(|window| &window["window"]).collect::<Vec<_>>(), ["minute", "hour", "day"]);
    windows.try_into().expect("three windows")
}

/// Returns the counts of that limiter.
async fn stats(api: &Api, limiter: &str) -> Value {
    let body = success_json(api.request(Method::GET, "/api/rate-limit").bearer_auth(ADMIN)).await;
    let limiters = body["limiters"].as_array().expect("limiters");
    limiters.iter().find(|found| found["name"] == limiter).expect("the limiter")["stats"].clone()
}

fn seconds(answer: &Response) -> u64 {
    header(answer, "retry-after").parse().expect("whole seconds")
}

async fn set_plan(api: &Api, plan: &Value) -> Value {
    success_json(api.request(Method::POST, "/api/rate-limit").json(plan)).await
}

#[tokio::test]
pub(crate) async fn a_free_tenant_gets_sixty_requests_and_then_a_reason() {
    let api = Api::start().await;
    api.create_tenant("small", "free").await;
    let mut etag = String::new();
    for number in 1..=60_u64 {
        let request = match number % 3 {
            0 => api.request(Method::POST, "/api/schedules").header("x-tenant-id", "small").json(&schedule("one")),
            1 => api.get_as("small", "/api/schedules"),
            _ => api.get_as("small", "/api/schedules").header("if-none-match", &etag),
        };
        let answer = request.send().await.unwrap();
        let wanted = [201, 200, 304][usize::try_from(number % 3).unwrap()];
        assert_eq!(answer.status(), wanted, "request {number}");
        let left = format!("\"minute\";r={};", 60 - number);
        assert!(header(&answer, "ratelimit").contains(&left), "request {number}: {:?}", answer.headers());
        assert_eq!(header(&answer, "retry-after"), "");
        etag = header(&answer, "etag");
    }

    let refused = list(&api, "small").await;
    assert_eq!(header(&refused, "cache-control"), "no-store");
    assert!(header(&refused, "ratelimit-policy").contains("\"minute\";q=60;w=60"), "{:?}", refused.headers());
    assert!(header(&refused, "ratelimit").contains("\"minute\";r=0;t="), "{:?}", refused.headers());
    let wait = seconds(&refused);
    assert!((1..=61).contains(&wait), "{wait}");
    let body = problem(refused, 429, "rate-limited").await;
    assert_eq!(
        (&body["limiter"], &body["window"], &body["tier"]),
        (&json!("tenant"), &json!("minute"), &json!("free"))
    );
    assert!(body["detail"].as_str().unwrap().contains(&format!("{wait} s")), "{body}");
}

#[tokio::test]
pub(crate) async fn of_two_hundred_at_once_exactly_sixty_pass_and_the_refused_are_free() {
    // However long a busy machine takes: this is about the count.
    let api = Api::start_with(&[("TIDEGATE_REDIS_TIMEOUTS", "request=10s")]).await;
    api.create_tenant("small", "free").await;
    let answers = join_all((0..200).map(|_| list(&api, "small"))).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(200), count(429)), (60, 140));

    let before = usage(&api, "small").await;
    assert_eq!(before.each_ref().map(|window| &window["limit"]), [&json!(60), &json!(1_000), &json!(10_000)]);
    assert_eq!((&before[0]["used"], &before[0]["remaining"]), (&json!(60), &json!(0)));
    for _ in 0..20 {
        problem(list(&api, "small").await, 429, "rate-limited").await;
    }
    // An hour may have begun on the way, but nothing was added.
    let after = usage(&api, "small").await;
    assert!(after.iter().all(|window| window["used"].as_u64().unwrap() <= 60), "{after:?}");
    assert_eq!(after[0]["used"], 60);
    let tenant = stats(&api, "tenant").await;
    assert_eq!((&tenant["allowed"], &tenant["denied"]), (&json!(60), &json!(160)));
    assert_eq!(tenant["top_denied"], json!([["small", 160]]));
    let api_stats = stats(&api, "api").await;
    assert_eq!(api_stats["allowed"], 60, "a client that the quota refuses is not charged here either");
    assert_eq!((&api_stats["denied"], &api_stats["blocked_keys"]), (&json!(0), &json!(0)), "nor struck");
}

#[tokio::test]
pub(crate) async fn of_fifty_at_once_those_that_api_refuses_cost_their_tenant_nothing() {
    let api = Api::start_with(&[("TIDEGATE_REDIS_TIMEOUTS", "request=10s"), ("TIDEGATE_LIMIT_API", "5/day")]).await;
    api.create_tenant("small", "free").await;
    let answers = join_all((0..50).map(|_| list(&api, "small"))).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status() == status).count();
    assert_eq!((count(200), count(429)), (5, 45));
    let refused = answers.into_iter().find(|answer| answer.status() == 429).expect("one of them");
    assert_eq!(problem(refused, 429, "rate-limited").await["limiter"], "api");
    let windows = usage(&api, "small").await;
    // A window may have begun on the way.
    assert!(windows.iter().all(|window| window["used"].as_u64().unwrap() <= 5), "{windows:?}");
    let stats = stats(&api, "api").await;
    assert_eq!((&stats["allowed"], &stats["denied"]), (&json!(5), &json!(45)));
}

#[tokio::test]
pub(crate) async fn each_tenant_has_its_own_limit() {
    let api = Api::start().await;
    for tenant in ["small", "small.2", "large"] {
        api.create_tenant(tenant, if tenant == "large" { "premium" } else { "free" }).await;
    }
    spend(&api, "small", 60).await;
    problem(list(&api, "small").await, 429, "rate-limited").await;
    spend(&api, "small.2", 60).await;
    spend(&api, "large", 61).await;
    let used = [usage(&api, "small").await, usage(&api, "small.2").await, usage(&api, "large").await];
    assert_eq!(used.each_ref().map(|windows| &windows[0]["used"]), [&json!(60), &json!(60), &json!(61)]);
}

#[tokio::test]
async fn a_plan_with_more_than_api_admits_is_reached() {
    let api = Api::start().await;
    api.create_tenant("basic", "basic").await;
    api.create_tenant("own", "free").await;
    set_plan(&api, &json!({"tenant_id": "own", "limits": {"per_minute": 110}})).await;
    for (tenant, minute) in [("basic", 120), ("own", 110)] {
        spend(&api, tenant, minute).await;
        let body = problem(list(&api, tenant).await, 429, "rate-limited").await;
        assert_eq!((&body["limiter"], &body["window"]), (&json!("tenant"), &json!("minute")));
    }
}

#[tokio::test]
async fn reading_operations_charges_no_tenant() {
    let api = Api::start().await;
    api.create_tenant("small", "free").await;
    for path in ["/api/queue", "/api/cache", "/api/tenants/small", "/metrics", "/livez"] {
        let answer = api.get_as("small", path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(!header(&answer, "ratelimit").contains("minute"), "{path}");
    }
    assert_eq!(usage(&api, "small").await[0]["used"], 0);
}

#[tokio::test]
pub(crate) async fn another_tier_counts_at_once_and_keeps_what_was_used() {
    let api = Api::start().await;
    api.create_tenant("growing", "free").await;
    spend(&api, "growing", 60).await;
    problem(list(&api, "growing").await, 429, "rate-limited").await;

    let plan = set_plan(&api, &json!({"tenantId": "growing", "tier": "premium"})).await;
    assert_eq!((&plan["tenant_id"], &plan["tier"]), (&json!("growing"), &json!("premium")));
    spend(&api, "growing", 5).await;
    let minute = &usage(&api, "growing").await[0];
    assert_eq!((&minute["limit"], &minute["used"]), (&json!(300), &json!(65)));

    set_plan(&api, &json!({"tenant_id": "growing", "limits": {"per_minute": 66}})).await;
    spend(&api, "growing", 1).await;
    problem(list(&api, "growing").await, 429, "rate-limited").await;

    let back = set_plan(&api, &json!({"tenant_id": "growing", "tier": "free", "limits": {"per_minute": null}})).await;
    assert_eq!(back["effective_limits"]["per_minute"], 60, "{back}");
    let body = problem(list(&api, "growing").await, 429, "rate-limited").await;
    assert_eq!(body["tier"], "free");
}

#[tokio::test]
async fn a_plan_changes_in_what_is_named_and_null_gives_the_tiers_limit_back() {
    let api = Api::start().await;
    api.create_tenant("odd", "free").await;
    let change = |limits: Value| json!({"tenant_id": "odd", "limits": limits});
    let changes = [json!({"per_minute": 7}), json!({"per_hour": 70}), json!({"per_day": 700}), json!({"max_users": 3})];
    // All at once: none may undo another.
    join_all(changes.map(change).iter().map(|plan| set_plan(&api, plan))).await;
    let plan = set_plan(&api, &json!({"tenant_id": "odd", "tier": "basic", "limits": {}})).await;
    let own = json!({"per_minute": 7, "per_hour": 70, "per_day": 700, "max_users": 3});
    assert_eq!((&plan["tier"], &plan["limits"], &plan["effective_limits"]), (&json!("basic"), &own, &own));

    let plan = set_plan(&api, &change(json!({"per_minute": null, "max_users": null, "per_day": 800}))).await;
    assert_eq!(plan["limits"], json!({"per_hour": 70, "per_day": 800}));
    assert_eq!(plan["effective_limits"], json!({"per_minute": 120, "per_hour": 70, "per_day": 800, "max_users": 50}));
    let found = api.json("/api/tenants/odd").await;
    assert_eq!((&found["limits"], &found["effective_limits"]), (&plan["limits"], &plan["effective_limits"]));
}

#[tokio::test]
pub(crate) async fn a_tenants_own_limit_per_day_binds_and_is_named() {
    let api = Api::start().await;
    let body = json!({"id": "odd", "name": "Odd", "tier": "enterprise", "limits": {"per_day": 3}});
    success_json(api.request(Method::POST, "/api/tenants").json(&body)).await;
    spend(&api, "odd", 3).await;
    let refused = list(&api, "odd").await;
    assert!(header(&refused, "ratelimit").contains("\"day\";r=0;t="), "{:?}", refused.headers());
    let body = problem(refused, 429, "rate-limited").await;
    assert_eq!(body["window"], "day");
}

#[tokio::test]
pub(crate) async fn a_reset_forgets_what_was_used() {
    let api = Api::start().await;
    for tenant in ["small", "other"] {
        api.create_tenant(tenant, "free").await;
        spend(&api, tenant, 60).await;
    }
    let reset =
        async |query: &str| api.request(Method::DELETE, &format!("/api/rate-limit?{query}")).send().await.unwrap();
    let answer = reset("limiter=tenant&key=small").await;
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"reset": true}));
    assert_eq!(usage(&api, "small").await[0]["used"], 0);
    assert_eq!(list(&api, "small").await.status(), 200);
    problem(list(&api, "other").await, 429, "rate-limited").await;

    api.create_tenant("quiet", "free").await;
    let unused = reset("limiter=tenant&key=quiet").await;
    assert_eq!(unused.json::<Value>().await.unwrap(), json!({"reset": false}));
    problem(reset("limiter=tenant&key=nobody").await, 404, "not-found").await;
    problem(reset("limiter=nothing&key=small").await, 404, "not-found").await;
}

/// An API behind a proxy on this machine, so that a test can come from any address.
async fn behind_a_proxy(variables: &[(&str, &str)]) -> Api {
    let mut all = vec![("TIDEGATE_TRUSTED_PROXIES", "127.0.0.1/32"), ("TIDEGATE_ADMIN_TOKEN", ADMIN)];
    all.extend_from_slice(variables);
    Api::start_with(&all).await
}

async fn guess_a_key(api: &Api, address: &str) -> Response {
    let request = api.request(Method::GET, "/api/schedules").header("x-forwarded-for", address);
    request.bearer_auth("tk_0123456789abcdef").send().await.expect("an answer")
}

#[tokio::test]
pub(crate) async fn an_address_is_blocked_after_a_hundred_wrong_keys() {
    let api = behind_a_proxy(&[]).await;
    let body = json!({"id": "acme", "name": "Acme", "tier": "free"});
    let made = success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&body)).await;
    let own = || {
        let request = api.request(Method::GET, "/api/schedules").header("x-forwarded-for", "203.0.113.7");
        request.bearer_auth(made["api_key"].as_str().unwrap())
    };
    success_json(own()).await;
    for number in 1..=100 {
        assert_eq!(guess_a_key(&api, "203.0.113.7").await.status(), 401, "guess {number}");
        // On Redis, the late notice of the key's own creation may drop what the first read cached.
        if number % 20 == 0 {
            success_json(own()).await;
        }
    }
    for _ in 0..3 {
        let refused = guess_a_key(&api, "203.0.113.7").await;
        assert!((1..=60).contains(&seconds(&refused)), "{:?}", refused.headers());
        assert!(header(&refused, "ratelimit-policy").contains("\"api\";q=100;w=60"), "{:?}", refused.headers());
        assert_eq!(problem(refused, 429, "rate-limited").await["limiter"], "api");
    }
    assert_eq!(stats(&api, "api").await["blocked_keys"], 1);

    assert_eq!(guess_a_key(&api, "203.0.113.8").await.status(), 401, "another address");
    // A key that is in use is no guess.
    success_json(own()).await;

    let reset = api.request(Method::DELETE, "/api/rate-limit?limiter=api&key=203.0.113.7").bearer_auth(ADMIN);
    assert_eq!(success_json(reset).await["reset"], true);
    assert_eq!(guess_a_key(&api, "203.0.113.7").await.status(), 401);
}

#[tokio::test]
async fn an_unused_valid_key_passes_after_the_guesses_are_used_up() {
    let api = behind_a_proxy(&[("TIDEGATE_LIMIT_API", "3/day")]).await;
    let body = json!({"id": "acme", "name": "Acme", "tier": "free"});
    let made = success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&body)).await;
    let mut guesses = Vec::new();
    for number in 0..5 {
        let request = api.request(Method::GET, "/api/schedules").header("x-forwarded-for", "203.0.113.7");
        guesses.push(request.bearer_auth(format!("tk_{number}")).send().await.unwrap().status().as_u16());
    }
    assert_eq!(guesses, [401, 401, 401, 429, 429]);
    let own = api.request(Method::GET, "/api/schedules").header("x-forwarded-for", "203.0.113.7");
    success_json(own.bearer_auth(made["api_key"].as_str().unwrap())).await;
    let stats = stats(&api, "api").await;
    assert_eq!((&stats["allowed"], &stats["denied"]), (&json!(4), &json!(2)), "each guess counts once: {stats}");
}

#[tokio::test]
async fn guesses_are_counted_wherever_a_key_is_taken() {
    let api = behind_a_proxy(&[("TIDEGATE_LIMIT_API", "3/minute")]).await;
    let paths =
        ["/api/schedules", "/api/tenants/acme", "/api/schedules/import/1", "/api/tenants/acme", "/api/schedules"];
    let mut answers = Vec::new();
    for path in paths {
        let request = api.request(Method::GET, path).header("x-forwarded-for", "203.0.113.7");
        answers.push(request.bearer_auth("tk_guess").send().await.unwrap().status().as_u16());
    }
    assert_eq!(answers, [401, 401, 401, 429, 429]);
}

#[tokio::test]
async fn the_networks_of_ipv6_clients_are_one_client() {
    let api = behind_a_proxy(&[("TIDEGATE_LIMIT_API", "2/minute")]).await;
    for address in ["2001:db8::1", "[2001:db8::2]:4711"] {
        assert_eq!(guess_a_key(&api, address).await.status(), 401, "{address}");
    }
    assert_eq!(guess_a_key(&api, "2001:db8::ffff:1").await.status(), 429);
    assert_eq!(guess_a_key(&api, "2001:db8:0:1::1").await.status(), 401);
}

#[tokio::test]
pub(crate) async fn a_block_ends_by_itself() {
    let api = behind_a_proxy(&[("TIDEGATE_LIMIT_API", "1/second, block=1s")]).await;
    let blocked = poll_until(DEADLINE, async || (guess_a_key(&api, "203.0.113.7").await.status() == 429).then_some(()));
    blocked.await.expect("the limit is reached");
    let free = poll_until(DEADLINE, async || (guess_a_key(&api, "203.0.113.7").await.status() == 401).then_some(()));
    free.await.expect("the block ends");
}

#[tokio::test]
pub(crate) async fn the_limit_in_front_refuses_a_flood_and_never_a_probe() {
    // A day, so that no window ends while this runs.
    let api = Api::start_with(&[("TIDEGATE_LIMIT_DDOS", "5/day, block=1h")]).await;
    for path in ["/api/queue", "/api/schedules", "/nowhere", "/api/cache", "/api/queue"] {
        let answer = api.request(Method::GET, path).send().await.unwrap();
        assert_ne!(answer.status(), 429, "{path}");
        assert!(header(&answer, "ratelimit-policy").contains("\"ddos\";q=5;w=86400"), "{:?}", answer.headers());
    }
    for path in ["/api/queue", "/api/schedules", "/nowhere", "/api/tenants/acme"] {
        let refused = api.request(Method::GET, path).send().await.unwrap();
        assert!((3590..=86_400).contains(&seconds(&refused)), "{:?}", refused.headers());
        assert_eq!(header(&refused, "cache-control"), "no-store");
        assert_eq!(problem(refused, 429, "rate-limited").await["limiter"], "ddos");
    }
    for path in ["/livez", "/readyz", "/startupz", "/health", "/metrics"] {
        for _ in 0..10 {
            let answer = api.request(Method::GET, path).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(header(&answer, "ratelimit"), "", "{path}");
        }
    }
    let metrics = api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let denied = metrics.lines().find(|line| line.contains("limiter=\"ddos\"") && line.contains("\"denied\""));
    assert!(denied.is_some_and(|line| line.ends_with(" 4")), "{denied:?}");
}
