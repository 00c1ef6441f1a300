use reqwest::Method;
use serde_json::{Value, json};
use tidegate_load::{ExampleOptions, ExampleProcesses, scenario};

use crate::refuses;

/// One process of an example, on PostgreSQL, which refuses some input that SQLite would accept.
async fn start_on_servers(name: &str) -> ExampleProcesses {
    let scenario = scenario::find(name).unwrap();
    ExampleProcesses::start(&*scenario, ExampleOptions { processes: 1, embedded: false, fsync_always: true })
        .await
        .unwrap()
}

#[tokio::test]
async fn names_that_postgresql_cannot_have_are_refused() {
    let long = "x".repeat(3_000);
    let example = start_on_servers("payment").await;
    let api = example.api();
    for name in ["", "a\0b", &long] {
        for (order, user) in [(name, "user-1"), ("o-1", name)] {
            let body = json!({ "order": order, "user": user, "amount": 5 });
            refuses(api, (Method::POST, "/payments"), Some("k"), body, (422, "is no name: 1 to 100 bytes")).await;
        }
    }
    let body = json!({ "order": "o-1", "user": "user-1", "amount": 5 });
    refuses(api, (Method::POST, "/payments"), Some(&long), body, (400, "Idempotency-Key is missing, or too long"))
        .await;
    refuses(api, (Method::GET, "/payments/a%00b"), None, Value::Null, (422, "is no name")).await;

    let example = start_on_servers("coupons").await;
    let api = example.api();
    let campaign = json!({ "campaign": "spring", "coupons": 5 });
    api.post("/campaigns", None, &campaign).await.unwrap().expect(201).unwrap();
    for name in ["", "a\0b", &long] {
        let create = json!({ "campaign": name, "coupons": 5 });
        refuses(api, (Method::POST, "/campaigns"), None, create, (422, "is no name: 1 to 100 bytes")).await;
        let issue = (Method::POST, "/campaigns/spring/coupons");
        refuses(api, issue, None, json!({ "user": name }), (422, "is no name: 1 to 100 bytes")).await;
    }
    refuses(api, (Method::GET, "/campaigns/a%00b"), None, Value::Null, (422, "is no name")).await;

    let example = start_on_servers("leaderboard").await;
    let award = (Method::POST, "/players/ada/awards");
    refuses(example.api(), award, Some(&long), json!({ "points": 5 }), (400, "or too long")).await;
    let example = start_on_servers("feed").await;
    let api = example.api();
    let path = format!("/users/{long}");
    refuses(api, (Method::PUT, &path), None, Value::Null, (400, "a path at most 1000 bytes")).await;
    let example = start_on_servers("product_page").await;
    let put = (Method::PUT, "/products/7");
    refuses(example.api(), put, Some(&long), json!({ "price": 5 }), (400, "or too long")).await;
}
