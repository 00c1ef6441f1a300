//! Recipients of a stream of notifications, and its duration.

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, cookie, status, tenant, user};
use crate::alerts::listener::Listener;
use crate::harness::{Api, success_json};
use crate::start::{ADMIN, TOKENS};

const EVENTS: &str = "/api/notifications/events";

async fn tell(api: &Api, tenant: &str, user: Option<&str>, text: &str) {
    let notice = json!({"payload": {"tenant": tenant, "user": user, "kind": "greeting", "body": {"text": text}}});
    success_json(api.request(Method::POST, "/api/queue/notification/jobs").bearer_auth(ADMIN).json(&notice)).await;
}

async fn text(listener: &mut Listener) -> Value {
    listener.next().await.data["body"]["text"].clone()
}

#[tokio::test]
async fn a_user_gets_its_own_and_the_common_notifications() {
    let api = Api::start_with(&TOKENS).await;
    let key = tenant(&api, "acme", "enterprise").await;
    let ada = user(&api, "acme", &key, "ada@example.org").await;
    let bob = user(&api, "acme", &key, "bob@example.org").await;
    let session = cookie(&api, "acme", "ada@example.org", PASSWORD).await;
    let as_ada = |path: &str| api.request(Method::GET, path).header("cookie", &session);
    let mut hers = Listener::read_from(as_ada(EVENTS), None).await;
    let mut all = Listener::read_from(api.request(Method::GET, EVENTS).bearer_auth(&key), None).await;

    for (user, what) in [(Some(&bob), "for Bob"), (Some(&ada), "for Ada"), (None, "for all")] {
        tell(&api, "acme", user.map(String::as_str), what).await;
        // One after the other, since two workers may swap two jobs.
        assert_eq!(text(&mut all).await, what, "the tenant itself gets everything");
    }
    // A notification for Bob would come first.
    assert_eq!((text(&mut hers).await, text(&mut hers).await), (json!("for Ada"), json!("for all")));
    let page = success_json(as_ada("/api/notifications")).await;
    let told: Vec<&Value> = page["items"].as_array().expect("items").iter().map(|item| &item["body"]["text"]).collect();
    assert_eq!(told, ["for Ada", "for all"]);
    // So that the next page goes on behind what was read past.
    assert_eq!((&page["next_after"], &page["last"]), (&json!(3), &json!(3)));
}

#[tokio::test]
async fn a_stream_ends_with_what_opened_it() {
    let api = Api::start_with(&TOKENS).await;
    let first = tenant(&api, "acme", "enterprise").await;
    user(&api, "acme", &first, "ada@example.org").await;
    let keys = "/api/tenants/acme/keys";
    let made = success_json(api.request(Method::POST, keys).bearer_auth(&first).json(&json!({"name": "laptop"}))).await;
    let session = cookie(&api, "acme", "ada@example.org", PASSWORD).await;
    let events = || api.request(Method::GET, EVENTS);
    let mut by_key = Listener::read_from(events().bearer_auth(made["api_key"].as_str().expect("a key")), None).await;
    let mut by_session = Listener::read_from(events().header("cookie", &session), None).await;
    let mut stays = Listener::read_from(events().bearer_auth(&first), None).await;

    let path = format!("{keys}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(status(api.request(Method::DELETE, &path).bearer_auth(&first)).await, 204);
    let logout = api.request(Method::DELETE, "/api/session").header("cookie", &session);
    assert_eq!(status(logout).await, 204);
    by_key.end().await;
    by_session.end().await;
    tell(&api, "acme", None, "who is left").await;
    assert_eq!(text(&mut stays).await, "who is left");
    assert!(by_key.seen().is_empty() && by_session.seen().is_empty());
}
