use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

#[tokio::test]
async fn a_time_sale_refuses_quantities_that_cannot_be() {
    let example = start("time_sale").await;
    let api = example.api();
    let opening = api.get("/stock").await.unwrap().body;
    let pieces = opening["total"].as_u64().unwrap();
    let order = (Method::POST, "/orders");
    let wish = |user: &str, quantity: Value| json!({ "user": user, "quantity": quantity });
    let refused = [
        (wish("ada", json!(-1)), (422, "quantity: invalid value")),
        (wish("ada", json!(0)), (422, "quantity 0 is not between 1 and")),
        (wish("ada", json!(11)), (422, "quantity is 11, and at most 10")),
        (wish("ada", json!(u64::MAX)), (422, "quantity is 18446744073709551615")),
        (wish("ada", json!("2")), (422, "quantity: invalid type")),
        (wish("", json!(2)), (422, "must have a name without `:`")),
        (wish("ada:1", json!(2)), (422, "must have a name without `:`")),
        (wish(&"a".repeat(101), json!(2)), (422, "user must have a name")),
        (wish("a\0b", json!(2)), (422, "user must have a name")),
        (wish("a\nb", json!(2)), (422, "user must have a name")),
        (json!({ "user": "ada" }), (422, "missing field `quantity`")),
    ];
    for (body, why) in refused {
        refuses(api, order.clone(), Some("k"), body, why).await;
    }
    let long = "k".repeat(101);
    for key in [None, Some(""), Some("a\tb"), Some(long.as_str())] {
        refuses(api, order.clone(), key, wish("ada", json!(2)), (400, "Idempotency-Key is missing")).await;
    }
    for path in ["/orders/nobody:1/payment", "/orders/nobody:1/cancellation"] {
        refuses(api, (Method::POST, path), None, Value::Null, (404, "nobody:1")).await;
    }
    refuses(api, (Method::POST, "/orders/%FF/payment"), None, Value::Null, (400, "Invalid UTF-8")).await;
    let batch = (Method::PUT, "/stock/second");
    let long = format!("/stock/{}", "b".repeat(101));
    refuses(api, (Method::PUT, &long), None, json!({ "pieces": 5 }), (422, "a name of 1 to 100 bytes")).await;
    refuses(api, batch.clone(), None, json!({ "pieces": -1 }), (422, "pieces: invalid value")).await;
    refuses(api, batch.clone(), None, json!({ "pieces": 0 }), (422, "quantity 0 is not between 1 and")).await;
    refuses(api, batch.clone(), None, json!({ "pieces": (1_u64 << 53) - 1 }), (422, "9007199254740991")).await;
    assert_eq!(api.get("/stock").await.unwrap().body, opening);

    // The same order again, and another one under its key.
    for _ in 0..2 {
        api.post("/orders", Some("k"), &wish("ada", json!(2))).await.unwrap().expect(201).unwrap();
    }
    refuses(api, order.clone(), Some("k"), wish("ada", json!(3)), (422, "was used")).await;
    // The same batch again, and another one under its name.
    for _ in 0..2 {
        api.send(Method::PUT, "/stock/second", None, Some(&json!({ "pieces": 5 }))).await.unwrap().expect(200).unwrap();
    }
    refuses(api, batch, None, json!({ "pieces": 6 }), (422, "was used")).await;
    let stock = api.get("/stock").await.unwrap().body;
    assert_eq!((&stock["total"], &stock["reserved"]), (&json!(pieces + 5), &json!(2)), "{stock}");
}
