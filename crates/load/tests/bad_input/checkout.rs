use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

#[tokio::test]
async fn a_checkout_refuses_what_no_user_can_have() {
    const MOST: u64 = (1 << 53) - 1;
    let example = start("checkout").await;
    let api = example.api();
    api.send(Method::PUT, "/users/ada", None, None).await.unwrap().expect(201).unwrap();
    let points = |points: Value| json!({ "points": points });
    let quantity = |quantity: Value| json!({ "quantity": quantity });
    let (earn, order) = ((Method::POST, "/users/ada/earnings"), (Method::POST, "/users/ada/orders"));
    let refused = [
        (&earn, points(json!(-5)), (422, "points: invalid value: integer `-5`")),
        (&earn, points(json!(0)), (422, "quantity 0 is not between 1 and 9007199254740991")),
        (&earn, points(json!(MOST + 1)), (422, "quantity 9007199254740992 is not between")),
        (&earn, points(json!("5")), (422, "points: invalid type")),
        (&earn, json!({}), (422, "missing field `points`")),
        (&order, quantity(json!(-1)), (422, "quantity: invalid value")),
        (&order, quantity(json!(0)), (422, "quantity 0 is not between 1 and 10")),
        (&order, quantity(json!(11)), (422, "quantity 11 is not between 1 and 10")),
        (&order, quantity(json!(u64::MAX)), (422, "quantity 18446744073709551615 is not")),
        (&order, json!({}), (422, "missing field `quantity`")),
    ];
    for (request, body, why) in refused {
        refuses(api, request.clone(), Some("k"), body, why).await;
    }
    for key in [None, Some("")] {
        refuses(api, earn.clone(), key, points(json!(5)), (400, "Idempotency-Key is missing")).await;
        refuses(api, order.clone(), key, quantity(json!(5)), (400, "Idempotency-Key is missing")).await;
    }
    let unknown = [
        (Method::POST, "/users/nobody/coupon", Value::Null, "there is no user `nobody`"),
        (Method::POST, "/users/nobody/earnings", points(json!(5)), "there is no account `user:nobody`"),
        (Method::POST, "/users/till/earnings", points(json!(5)), "there is no account `user:till`"),
        (Method::GET, "/users/nobody/balance", Value::Null, "there is no user `nobody`"),
        (Method::POST, "/users/nobody/orders", quantity(json!(5)), "there is no account `user:nobody`"),
        (Method::PUT, "/services/nothing/delay", json!({ "ms": 5 }), "there is no service `nothing`"),
    ];
    for (method, path, body, why) in unknown {
        refuses(api, (method, path), Some("k"), body, (404, why)).await;
    }
    let slow = (Method::PUT, "/services/order/delay");
    refuses(api, slow, None, json!({ "ms": 60_001 }), (422, "ms is 60001, and at most 60000")).await;
    refuses(api, (Method::PUT, "/users/ada%0Ak"), None, Value::Null, (422, "no line break")).await;
    let long = format!("/users/{}", "a".repeat(101));
    for path in [&long, "/users/a%00b"] {
        refuses(api, (Method::PUT, path), None, Value::Null, (422, "user has from 1 to 100 bytes")).await;
        let balance = format!("{path}/balance");
        refuses(api, (Method::GET, &balance), None, Value::Null, (422, "user has from 1 to 100 bytes")).await;
    }
    refuses(api, (Method::PUT, "/users/%FF"), None, Value::Null, (400, "Invalid UTF-8 in `user`")).await;
    refuses(api, order.clone(), Some("l"), quantity(json!(1)), (409, "account `user:ada` has only 0")).await;
    let nothing = json!({
        "coupons": { "total": 5_000, "reserved": 0, "issued": 0 },
        "pieces": { "total": 30_000, "reserved": 0, "sold": 0 },
        "points": { "earned": 0, "used": 0 },
    });
    assert_eq!(api.get("/totals").await.unwrap().body, nothing);

    api.post("/users/ada/earnings", Some("k"), &points(json!(250))).await.unwrap().expect(201).unwrap();
    api.post("/users/ada/orders", Some("m"), &quantity(json!(1))).await.unwrap().expect(201).unwrap();
    refuses(api, earn.clone(), Some("k"), points(json!(251)), (422, "was used for another posting")).await;
    refuses(api, earn.clone(), Some("m"), points(json!(100)), (422, "was used for another posting")).await;
    refuses(api, order.clone(), Some("k"), quantity(json!(1)), (422, "was used for another posting")).await;
    refuses(api, order.clone(), Some("m"), quantity(json!(2)), (422, "was used for another posting")).await;
    refuses(api, order, Some("n"), quantity(json!(2)), (409, "account `user:ada` has only 150")).await;
    // The order that was refused for want of points has reserved nothing, so its key is free.
    api.post("/users/ada/orders", Some("l"), &quantity(json!(1))).await.unwrap().expect(201).unwrap();
    // All points that there can be, and one more.
    api.send(Method::PUT, "/users/eve", None, None).await.unwrap().expect(201).unwrap();
    let all = (Method::POST, "/users/eve/earnings");
    refuses(api, all, Some("k"), points(json!(MOST)), (409, "account `issuer` has only 9007199254740741")).await;
    let balance =
        async |user: &str| api.get(&format!("/users/{user}/balance")).await.unwrap().number("balance").unwrap();
    assert_eq!((balance("ada").await, balance("eve").await), (50, 0));
    let totals = api.get("/totals").await.unwrap().body;
    assert_eq!(totals["pieces"], json!({ "total": 30_000, "reserved": 0, "sold": 2 }));
    assert_eq!(totals["points"], json!({ "earned": 250, "used": 200 }));
}
