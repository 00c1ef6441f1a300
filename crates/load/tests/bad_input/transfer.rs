use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

#[tokio::test]
async fn transfer_refuses_what_no_account_can_give_or_take() {
    const MOST: u64 = (1 << 53) - 1;
    let example = start("transfer").await;
    let api = example.api();
    let deposit = async |account: &str, amount: u64| {
        let path = format!("/accounts/{account}/deposits");
        api.post(&path, Some("opening"), &json!({ "amount": amount })).await.unwrap().expect(201).unwrap();
    };
    deposit("ada", 100).await;
    deposit("bob", 0).await;
    deposit("eve", MOST).await;

    let send = (Method::POST, "/accounts/ada/transfers");
    let to = |to: &str, amount: Value| json!({ "to": to, "amount": amount });
    let refused = [
        (to("bob", json!(-5)), (422, "amount: invalid value: integer `-5`")),
        (to("bob", json!(0)), (422, "amount is 0")),
        (to("bob", json!(MOST + 1)), (422, "from 1 to 9007199254740991")),
        (to("bob", json!("5")), (422, "amount: invalid type")),
        (to("bob", json!(101)), (409, "account `ada` has only 100")),
        (to("nobody", json!(5)), (404, "there is no account `nobody`")),
        (to("ada", json!(5)), (422, "`ada` can't transfer to itself")),
        (to("eve", json!(5)), (422, "the balance would be above 9007199254740991")),
        (json!({ "amount": 5 }), (422, "missing field `to`")),
    ];
    for (body, why) in refused {
        refuses(api, send.clone(), Some("k"), body, why).await;
    }
    refuses(api, send.clone(), None, to("bob", json!(5)), (400, "Idempotency-Key is missing")).await;
    refuses(api, send.clone(), Some("a\tb"), to("bob", json!(5)), (400, "Idempotency-Key is missing")).await;
    for account in ["a%00b", "a%0Ab", &"a".repeat(101)] {
        let path = format!("/accounts/{account}/deposits");
        refuses(api, (Method::POST, &path), Some("k"), json!({ "amount": 0 }), (422, "without control")).await;
    }
    let nobody = (Method::POST, "/accounts/nobody/transfers");
    refuses(api, nobody, Some("k"), to("bob", json!(5)), (404, "there is no account `nobody`")).await;
    refuses(api, (Method::GET, "/accounts/%FF"), None, Value::Null, (400, "Invalid UTF-8")).await;
    refuses(api, (Method::GET, "/accounts/nobody"), None, Value::Null, (404, "there is no account `nobody`")).await;
    let more = (Method::POST, "/accounts/eve/deposits");
    refuses(api, more.clone(), Some("k"), json!({ "amount": 1 }), (422, "the balance would be above")).await;
    refuses(api, more.clone(), Some("k"), json!({ "amount": -1 }), (422, "amount: invalid value")).await;
    refuses(api, more, Some("opening"), json!({ "amount": 1 }), (422, "used for another request")).await;
    let balance =
        async |account: &str| api.get(&format!("/accounts/{account}")).await.unwrap().number("balance").unwrap();
    assert_eq!((balance("ada").await, balance("bob").await), (100, 0));

    api.post("/accounts/ada/transfers", Some("k"), &to("bob", json!(5))).await.unwrap().expect(201).unwrap();
    refuses(api, send.clone(), Some("k"), to("bob", json!(6)), (422, "used for another request")).await;
    refuses(api, send, Some("k"), to("eve", json!(5)), (422, "used for another request")).await;
    assert_eq!((balance("ada").await, balance("bob").await), (95, 5));
    let totals = api.get("/totals").await.unwrap();
    assert_eq!(totals.body, json!({ "deposited": MOST + 100, "in_transit": 0 }));
}
