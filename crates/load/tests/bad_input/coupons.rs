use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

#[tokio::test]
async fn coupons_refuse_unknown_users_and_more_than_there_are() {
    let example = start("coupons").await;
    let api = example.api();
    let create = (Method::POST, "/campaigns");
    let campaign = |coupons: Value| json!({ "campaign": "spring", "coupons": coupons });
    let refused = [
        (campaign(json!(0)), (422, "coupons: invalid value: integer `0`")),
        (campaign(json!(-1)), (422, "coupons: invalid value")),
        (campaign(json!(u64::MAX)), (422, "coupons: invalid value: integer `18446744073709551615`")),
        (json!({ "coupons": 1 }), (422, "missing field `campaign`")),
    ];
    for (body, why) in refused {
        refuses(api, create.clone(), None, body, why).await;
    }
    let wish = (Method::POST, "/campaigns/spring/coupons");
    let user = |user: &str| json!({ "user": user });
    refuses(api, wish.clone(), None, user("user-1"), (404, "there is no stock `spring`")).await;
    // A refused campaign is in no table.
    refuses(api, (Method::GET, "/campaigns/spring"), None, Value::Null, (404, "no campaign `spring`")).await;
    refuses(api, (Method::GET, "/campaigns/%FF"), None, Value::Null, (400, "Invalid UTF-8")).await;

    api.post("/campaigns", None, &campaign(json!(1))).await.unwrap().expect(201).unwrap();
    refuses(api, create, None, campaign(json!(2)), (422, "used in stock `spring` for another quantity")).await;
    refuses(api, wish.clone(), None, user("nobody"), (404, "there is no user `nobody`")).await;
    refuses(api, wish.clone(), None, json!({ "user": 1 }), (422, "user: invalid type")).await;
    let counts = api.get("/campaigns/spring").await.unwrap();
    assert_eq!((&counts.body["remaining"], &counts.body["rows"]), (&json!(1), &json!(0)), "{}", counts.body);

    api.post("/campaigns/spring/coupons", None, &user("user-1")).await.unwrap().expect(201).unwrap();
    refuses(api, wish, None, user("user-2"), (409, "sold out")).await;
    let counts = api.get("/campaigns/spring").await.unwrap();
    assert_eq!((&counts.body["issued"], &counts.body["rows"]), (&json!(1), &json!(1)), "{}", counts.body);
}
