use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

#[tokio::test]
async fn points_refuse_what_no_user_can_earn_or_use() {
    const MOST: u64 = (1 << 53) - 1;
    let example = start("points").await;
    let api = example.api();
    for user in ["ada", "eve", "issuer"] {
        api.send(Method::PUT, &format!("/users/{user}"), None, None).await.unwrap().expect(201).unwrap();
    }
    let points = |points: Value| json!({ "points": points });
    let earn = (Method::POST, "/users/ada/earnings");
    let spend = (Method::POST, "/users/ada/uses");
    let refused = [
        (points(json!(-5)), "points: invalid value: integer `-5`"),
        (points(json!(0)), "points is 0"),
        (points(json!(MOST + 1)), "from 1 to 9007199254740991"),
        (points(json!(u64::MAX)), "from 1 to 9007199254740991"),
        (points(json!("5")), "points: invalid type"),
        (json!({}), "missing field `points`"),
    ];
    for (body, why) in refused {
        refuses(api, earn.clone(), Some("k"), body.clone(), (422, why)).await;
        refuses(api, spend.clone(), Some("k"), body, (422, why)).await;
    }
    for key in [None, Some("")] {
        refuses(api, earn.clone(), key, points(json!(5)), (400, "Idempotency-Key is missing")).await;
    }
    for path in ["/users/nobody/earnings", "/users/nobody/uses", "/users//uses"] {
        let answer = api.post(path, Some("k"), &points(json!(5))).await.unwrap();
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    let long = format!("/users/{}", "a".repeat(101));
    for path in [&long, "/users/a%00b", "/users/a%0Ab"] {
        refuses(api, (Method::PUT, path), None, Value::Null, (422, "user has from 1 to 100 bytes")).await;
        let (earn, why) = (format!("{path}/earnings"), "user has from 1 to 100 bytes");
        refuses(api, (Method::POST, &earn), Some("k"), points(json!(5)), (422, why)).await;
    }
    refuses(api, (Method::GET, "/users/%FF/balance"), None, Value::Null, (400, "Invalid UTF-8")).await;
    refuses(api, (Method::GET, "/users/nobody/balance"), None, Value::Null, (404, "no account `user:nobody`")).await;
    refuses(api, spend.clone(), Some("k"), points(json!(5)), (409, "`user:ada` has 0 points, and needs 100")).await;
    let balance = async |user: &str| {
        let (path, off) = (format!("/users/{user}/balance"), format!("/users/{user}/balance?cache=off"));
        let cached = api.get(&path).await.unwrap().number("balance").unwrap();
        assert_eq!(api.get(&off).await.unwrap().number("balance").unwrap(), cached);
        cached
    };
    assert_eq!((balance("ada").await, balance("issuer").await), (0, 0));

    api.post("/users/ada/earnings", Some("k"), &points(json!(150))).await.unwrap().expect(201).unwrap();
    refuses(api, spend.clone(), Some("l"), points(json!(151)), (409, "`user:ada` has 150 points, and needs 151")).await;
    refuses(api, earn.clone(), Some("k"), points(json!(151)), (422, "was used for another posting")).await;
    refuses(api, spend.clone(), Some("k"), points(json!(150)), (422, "was used for another posting")).await;
    api.post("/users/ada/uses", Some("l"), &points(json!(100))).await.unwrap().expect(201).unwrap();
    refuses(api, spend.clone(), Some("l"), points(json!(99)), (422, "was used for another posting")).await;
    refuses(api, earn, Some("l"), points(json!(100)), (422, "was used for another posting")).await;
    refuses(api, spend, Some("m"), points(json!(1)), (409, "`user:ada` has 50 points, and needs 100")).await;
    // All points that there can be, and one more.
    let rest = points(json!(MOST - 150));
    api.post("/users/eve/earnings", Some("k"), &rest).await.unwrap().expect(201).unwrap();
    let more = (Method::POST, "/users/eve/earnings?batch=off");
    refuses(api, more, Some("l"), points(json!(1)), (409, "account `issuer` has only 0")).await;
    assert_eq!((balance("ada").await, balance("eve").await), (50, i64::try_from(MOST - 150).unwrap()));
}
