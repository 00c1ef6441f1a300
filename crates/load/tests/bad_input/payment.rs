use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

#[tokio::test]
async fn payment_refuses_what_cannot_be_paid() {
    let example = start("payment").await;
    let api = example.api();
    let pay = |user: &str, amount: Value| json!({ "order": "o-1", "user": user, "amount": amount });
    let post = (Method::POST, "/payments");
    let refused = [
        (pay("user-1", json!(-5)), (422, "amount is -5")),
        (pay("user-1", json!(0)), (422, "amount is 0")),
        (pay("user-1", json!(1_000_001)), (422, "from 1 to 1000000")),
        (pay("user-1", json!(u64::MAX)), (422, "amount: invalid value")),
        (pay("user-1", json!("5")), (422, "amount: invalid type")),
        (pay("nobody", json!(5)), (404, "there is no user `nobody`")),
        (json!({ "user": "user-1" }), (422, "missing field `order`")),
    ];
    for (body, why) in refused {
        refuses(api, post.clone(), Some("k"), body, why).await;
    }
    refuses(api, post.clone(), None, pay("user-1", json!(5)), (400, "Idempotency-Key is missing")).await;
    let untouched = api.get("/totals").await.unwrap();
    assert_eq!(untouched.body, json!({ "payments": 0, "paid": 0, "debited": 0 }));

    // All of the balance, and once more.
    let all = pay("user-1", json!(1_000_000));
    api.post("/payments", Some("k"), &all).await.unwrap().expect(201).unwrap();
    let more = json!({ "order": "o-2", "user": "user-1", "amount": 1 });
    refuses(api, post.clone(), Some("l"), more.clone(), (409, "`user-1` does not have 1")).await;
    refuses(api, (Method::GET, "/payments/o-2"), None, Value::Null, (404, "no payment for `o-2`")).await;
    refuses(api, post.clone(), Some("k"), more, (422, "used for another payment")).await;
    refuses(api, post, Some("m"), all, (409, "order `o-1` has been paid for")).await;
    refuses(api, (Method::GET, "/payments/%FF"), None, Value::Null, (400, "Invalid UTF-8")).await;
    refuses(api, (Method::POST, "/locks/%FF"), None, Value::Null, (400, "Invalid UTF-8 in `name`")).await;
    refuses(api, (Method::POST, "/locks/a%00b"), None, Value::Null, (422, "is no name: 1 to 100 bytes")).await;
    // Another user has keys of its own.
    let other = json!({ "order": "o-2", "user": "user-2", "amount": 5 });
    api.post("/payments", Some("k"), &other).await.unwrap().expect(201).unwrap();
    let totals = api.get("/totals").await.unwrap();
    assert_eq!(totals.body, json!({ "payments": 2, "paid": 1_000_005, "debited": 1_000_005 }));
}
