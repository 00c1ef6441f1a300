//! A tenant's keys, users, their sessions and preferences.

mod analytics;
mod logins;
mod streams;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::{PostgresServer, poll_until};

use crate::harness::{Api, DEADLINE, header, problem, success_json};
use crate::start::{ADMIN, READ, TOKENS};

const PASSWORD: &str = "correct horse battery";

/// A tenant on an API with tokens, and its key.
async fn tenant(api: &Api, id: &str, tier: &str) -> String {
    let body = json!({"id": id, "name": id, "tier": tier});
    let made = success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&body)).await;
    made["api_key"].as_str().expect("a key").to_owned()
}

/// A user of that tenant, and its id.
async fn user(api: &Api, tenant: &str, key: &str, email: &str) -> String {
    let body = json!({"email": email, "name": "Ada", "password": PASSWORD});
    let path = format!("/api/tenants/{tenant}/users");
    let made = success_json(api.request(Method::POST, &path).bearer_auth(key).json(&body)).await;
    made["id"].as_str().expect("an id").to_owned()
}

fn login(api: &Api, tenant: &str, email: &str, password: &str) -> RequestBuilder {
    let body = json!({"tenant_id": tenant, "email": email, "password": password});
    api.request(Method::POST, "/api/session").json(&body)
}

/// The cookie of a login that must succeed, as a browser sends it back.
async fn cookie(api: &Api, tenant: &str, email: &str, password: &str) -> String {
    let answer = login(api, tenant, email, password).send().await.expect("an answer");
    let set = header(&answer, "set-cookie");
    assert_eq!(answer.status(), StatusCode::CREATED, "{}", answer.text().await.expect("a body"));
    let (cookie, attributes) = set.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/api; Max-Age=86400; HttpOnly; SameSite=Strict");
    cookie.to_owned()
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_key_is_shown_once_and_revoked_with_the_next_request_to_any_instance() {
    let one = Api::start_with(&TOKENS).await;
    let other = one.start_beside(&TOKENS).await;
    let first = tenant(&one, "acme", "enterprise").await;
    let foreign = tenant(&one, "other", "enterprise").await;
    let keys = "/api/tenants/acme/keys";
    let new = json!({"name": "laptop"});

    for (token, expected) in [(None, 401), (Some(READ), 403), (Some(&*foreign), 404)] {
        let request = |method| {
            let request = one.request(method, keys);
            token.iter().fold(request, RequestBuilder::bearer_auth)
        };
        assert_eq!(status(request(Method::POST).json(&new)).await, expected, "{token:?}");
        let reads = if token == Some(READ) { 200 } else { expected };
        assert_eq!(status(request(Method::GET)).await, reads, "{token:?}");
    }
    let elsewhere = one.request(Method::POST, "/api/tenants/nobody/keys").bearer_auth(ADMIN).json(&new).send().await;
    problem(elsewhere.unwrap(), 404, "not-found").await;

    for maker in [ADMIN, &first] {
        let made = success_json(one.request(Method::POST, keys).bearer_auth(maker).json(&new)).await;
        let (id, key) = (made["id"].as_str().unwrap(), made["api_key"].as_str().unwrap());
        let listed = success_json(other.request(Method::GET, keys).bearer_auth(&first)).await;
        let names: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
        assert_eq!(names, ["first", "laptop"], "{listed}");
        assert!(!listed.to_string().contains("tk_"), "{listed}");

        let list = |api: &Api| api.request(Method::GET, "/api/schedules").bearer_auth(key);
        // Both have it in their caches now.
        assert_eq!((status(list(&one)).await, status(list(&other)).await), (200, 200));
        let path = format!("{keys}/{id}");
        assert_eq!(status(one.request(Method::DELETE, &path).bearer_auth(&foreign)).await, 404);
        assert_eq!(status(one.request(Method::DELETE, &path).bearer_auth(READ)).await, 403);
        assert_eq!(status(list(&other)).await, 200);
        assert_eq!(status(one.request(Method::DELETE, &path).bearer_auth(maker)).await, 204);
        assert_eq!((status(list(&other)).await, status(list(&one)).await), (401, 401));
        assert_eq!(status(one.request(Method::DELETE, &path).bearer_auth(maker)).await, 404);
    }
    for bad in [json!({}), json!({"name": " "}), json!({"name": "a\nb"}), json!({"name": "x".repeat(101)})] {
        let refused = one.request(Method::POST, keys).bearer_auth(ADMIN).json(&bad).send().await.unwrap();
        assert!(refused.status().is_client_error(), "{bad}");
    }
}

#[tokio::test]
async fn a_session_is_known_and_ended_at_once_on_both_instances() {
    let one = Api::start_with(&TOKENS).await;
    let other = one.start_beside(&TOKENS).await;
    let key = tenant(&one, "acme", "premium").await;
    let foreign_key = tenant(&one, "other", "premium").await;
    let ada = user(&one, "acme", &key, "Ada@Example.org").await;
    let bob = user(&one, "acme", &key, "bob@example.org").await;
    let stranger = user(&one, "other", &foreign_key, "ada@example.org").await;
    let twice = json!({"email": "ADA@example.org", "name": "Ada", "password": PASSWORD});
    let twice = one.request(Method::POST, "/api/tenants/acme/users").bearer_auth(&key).json(&twice).send().await;
    problem(twice.unwrap(), 409, "exists").await;

    let session = cookie(&one, "acme", " ada@EXAMPLE.org", PASSWORD).await;
    let as_ada = |api: &Api, method, path: &str| api.request(method, path).header("cookie", &session);
    let shown = success_json(as_ada(&other, Method::GET, "/api/session")).await;
    assert_eq!((&shown["tenant_id"], &shown["user"]["id"]), (&json!("acme"), &json!(ada)), "{shown}");
    assert!(!shown.to_string().contains("argon2") && shown["user"]["password"].is_null(), "{shown}");

    // A user acts for its tenant, with no further rights.
    let schedule = crate::harness::schedule("by a user");
    success_json(as_ada(&other, Method::POST, "/api/schedules").json(&schedule)).await;
    let page = success_json(as_ada(&one, Method::GET, "/api/schedules")).await;
    assert_eq!(page["items"][0]["title"], "by a user");
    for (path, expected) in [
        (format!("/api/tenants/acme/users/{ada}"), 200),
        (format!("/api/tenants/acme/users/{bob}"), 403),
        ("/api/tenants/acme/users".to_owned(), 403),
        ("/api/tenants/acme/keys".to_owned(), 403),
        ("/api/tenants/acme".to_owned(), 200),
        ("/api/tenants/other".to_owned(), 404),
        (format!("/api/tenants/other/users/{stranger}"), 404),
        (format!("/api/tenants/acme/users/{stranger}"), 403),
        (format!("/api/preferences/{ada}"), 200),
        (format!("/api/preferences/{bob}"), 404),
        (format!("/api/preferences/{stranger}"), 404),
        ("/api/queue".to_owned(), 401),
    ] {
        assert_eq!(status(as_ada(&one, Method::GET, &path)).await, expected, "{path}");
    }
    for path in [format!("/api/tenants/acme/users/{stranger}"), format!("/api/tenants/other/users/{ada}")] {
        assert_eq!(status(one.request(Method::GET, &path).bearer_auth(&key)).await, 404, "{path}");
    }

    // Another site's page has its visitor's browser send the cookie too.
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let create = as_ada(&one, Method::POST, "/api/schedules").json(&schedule).header(name, value);
        problem(create.send().await.unwrap(), 403, "forbidden").await;
        let logout = as_ada(&one, Method::DELETE, "/api/session").header(name, value);
        problem(logout.send().await.unwrap(), 403, "forbidden").await;
        let login = login(&one, "acme", "ada@example.org", PASSWORD).header(name, value);
        problem(login.send().await.unwrap(), 403, "forbidden").await;
    }
    let form = as_ada(&one, Method::POST, "/api/schedules").header("content-type", "text/plain").body("{}");
    problem(form.send().await.unwrap(), 415, "unsupported-media-type").await;
    let ours = as_ada(&one, Method::POST, "/api/schedules").json(&schedule).header("origin", &one.url);
    assert_eq!(status(ours).await, 201);

    let logout = as_ada(&one, Method::DELETE, "/api/session").send().await.unwrap();
    assert_eq!(logout.status(), 204);
    assert!(header(&logout, "set-cookie").starts_with("tidegate_user=; Path=/api; Max-Age=0"), "{logout:?}");
    for api in [&other, &one] {
        problem(as_ada(api, Method::GET, "/api/session").send().await.unwrap(), 401, "unauthorized").await;
    }

    // A new password ends all sessions of the old one.
    let sessions = [
        cookie(&one, "acme", "ada@example.org", PASSWORD).await,
        cookie(&other, "acme", "ada@example.org", PASSWORD).await,
    ];
    let by = |api: &Api, cookie: &str| api.request(Method::GET, "/api/session").header("cookie", cookie);
    for session in &sessions {
        assert_eq!((status(by(&one, session)).await, status(by(&other, session)).await), (200, 200));
    }
    let path = format!("/api/tenants/acme/users/{ada}/password");
    let change = |body: Value| one.request(Method::PUT, &path).header("cookie", &sessions[0]).json(&body);
    let new = "another good password";
    problem(change(json!({"password": new})).send().await.unwrap(), 422, "bad-password").await;
    problem(change(json!({"password": new, "current": "wrong"})).send().await.unwrap(), 403, "forbidden").await;
    assert_eq!(status(by(&other, &sessions[1])).await, 200);
    assert_eq!(status(change(json!({"password": new, "current": PASSWORD}))).await, 204);
    for session in &sessions {
        assert_eq!((status(by(&other, session)).await, status(by(&one, session)).await), (401, 401));
    }
    assert_eq!(status(login(&other, "acme", "ada@example.org", PASSWORD)).await, 401);
    let last = cookie(&other, "acme", "ada@example.org", new).await;
    let gone = one.request(Method::DELETE, &format!("/api/tenants/acme/users/{ada}")).bearer_auth(&key);
    assert_eq!(status(gone).await, 204);
    assert_eq!((status(by(&other, &last)).await, status(by(&one, &last)).await), (401, 401));
    assert_eq!(status(login(&one, "acme", "ada@example.org", new)).await, 401);
}

#[tokio::test]
async fn preferences_are_written_through_the_cache_and_known_to_both_instances() {
    let one = Api::start().await;
    let other = one.start_beside(&[]).await;
    one.create_tenant("acme", "premium").await;
    let body = json!({"email": "ada@example.org", "name": "Ada", "password": PASSWORD});
    let ada = success_json(one.request(Method::POST, "/api/tenants/acme/users").json(&body)).await;
    let path = format!("/api/preferences/{}", ada["id"].as_str().unwrap());
    let put = |api: &Api, body: &Value| api.request(Method::PUT, &path).header("x-tenant-id", "acme").json(body);
    assert_eq!(success_json(one.get_as("acme", &path)).await, json!({}));
    let mut written_through = 0;
    for turn in 0..5 {
        let wanted = json!({"theme": "dark", "columns": [turn, {"b": null, "a": "\u{1f30a}\u{0}"}]});
        let (api, reader) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let answer = put(api, &wanted).send().await.unwrap();
        let etag = header(&answer, "etag");
        // Not if this process saw the commit before the write had ended.
        written_through += u32::from(header(&answer, "cache-status") == "tidegate; fwd=method; stored");
        assert_eq!(answer.json::<Value>().await.unwrap(), wanted);
        let own = api.get_as("acme", &path).send().await.unwrap();
        assert!(header(&own, "cache-status").starts_with("tidegate; hit"), "{own:?}");
        let read = reader.get_as("acme", &path).header("if-none-match", &etag).send().await.unwrap();
        assert_eq!((read.status(), header(&read, "etag")), (StatusCode::NOT_MODIFIED, etag));
        assert_eq!(success_json(reader.get_as("acme", &path)).await, wanted);
    }
    assert!(written_through > 0, "no write went through the cache");
    let fits = json!({"x": "y".repeat(64 * 1024 - 8)});
    assert_eq!(success_json(put(&one, &fits)).await, fits);
    problem(put(&one, &json!({"x": "y".repeat(64 * 1024 - 7)})).send().await.unwrap(), 413, "too-large").await;
    for bad in [json!([]), json!("x"), Value::Null] {
        problem(put(&one, &bad).send().await.unwrap(), 400, "unexpected-json").await;
    }
    assert_eq!(success_json(other.get_as("acme", &path)).await, fits);
    for nobody in ["me", "00000000-0000-0000-0000-000000000000"] {
        let path = format!("/api/preferences/{nobody}");
        assert_eq!(status(one.get_as("acme", &path)).await, 404);
        let put = one.request(Method::PUT, &path).header("x-tenant-id", "acme").json(&json!({}));
        problem(put.send().await.unwrap(), 404, "not-found").await;
    }
}

#[tokio::test]
async fn on_postgresql_seats_sessions_and_keys_hold_on_both_instances() {
    let server = PostgresServer::start_tcp(&[]).await;
    let url = server.url();
    let variables =
        [&TOKENS[..], &[("DATABASE_URL", &*url), ("TIDEGATE_DATABASE_CONNECTIONS", "deadline=60s")]].concat();
    let (one, other) = tokio::join!(Api::start_with(&variables), Api::start_with(&variables));
    let key = tenant(&one, "acme", "free").await;
    let create = |number: usize| {
        let body = json!({"email": format!("user{number}@example.org"), "name": "A", "password": PASSWORD});
        let api = if number.is_multiple_of(2) { &one } else { &other };
        status(api.request(Method::POST, "/api/tenants/acme/users").bearer_auth(ADMIN).json(&body))
    };
    let answers = futures_util::future::join_all((0..50).map(create)).await;
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(201), count(409)), (10, 40), "{answers:?}");
    let users = success_json(other.request(Method::GET, "/api/tenants/acme/users?limit=3").bearer_auth(READ)).await;
    let email = users["items"][0]["email"].as_str().unwrap();
    assert!(users["next_cursor"].is_string(), "{users}");

    let session = cookie(&one, "acme", email, PASSWORD).await;
    let show = |api: &Api| api.request(Method::GET, "/api/session").header("cookie", &session);
    assert_eq!((status(show(&other)).await, status(show(&one)).await), (200, 200));
    assert_eq!(status(other.request(Method::DELETE, "/api/session").header("cookie", &session)).await, 204);
    // The cache is updated on a notice from the server, some time after the commit.
    for api in [&other, &one] {
        poll_until(DEADLINE, async || (status(show(api)).await == 401).then_some(())).await.unwrap();
    }
    let list = |api: &Api| api.request(Method::GET, "/api/schedules").bearer_auth(&key);
    assert_eq!((status(list(&one)).await, status(list(&other)).await), (200, 200));
    let keys = success_json(one.request(Method::GET, "/api/tenants/acme/keys").bearer_auth(READ)).await;
    let path = format!("/api/tenants/acme/keys/{}", keys["items"][0]["id"].as_str().unwrap());
    assert_eq!(status(one.request(Method::DELETE, &path).bearer_auth(ADMIN)).await, 204);
    for api in [&one, &other] {
        poll_until(DEADLINE, async || (status(list(api)).await == 401).then_some(())).await.unwrap();
    }
}
