//! What an example can't do is refused with a reason, and changes nothing.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_load::{Api, ExampleOptions, ExampleProcesses, scenario};
use tidegate_testkit::poll_until;

/// One process of an example, on memory and SQLite.
async fn start(name: &str) -> ExampleProcesses {
    let scenario = scenario::all().into_iter().find(|scenario| scenario.name() == name).unwrap();
    ExampleProcesses::start(&*scenario, ExampleOptions { processes: 1, embedded: true, fsync_always: false })
        .await
        .unwrap()
}

/// Sends a request that must be refused with this status, and a reason that contains `why`.
async fn refuses(
    api: &Api,
    (method, path): (Method, &str),
    key: Option<&str>,
    body: Value,
    (status, why): (u16, &str),
) {
    let answer = api.send(method, path, key, Some(&body)).await.unwrap();
    let reason = answer.body["error"].as_str().unwrap_or_default();
    assert!(
        answer.status.as_u16() == status && reason.contains(why),
        "{path} {body} was answered {} {}, not {status} `{why}`",
        answer.status,
        answer.body
    );
}

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
    refuses(api, post.clone(), Some("k"), more, (422, "used for another payment")).await;
    refuses(api, post, Some("m"), all, (409, "order `o-1` has been paid for")).await;
    let totals = api.get("/totals").await.unwrap();
    assert_eq!(totals.body, json!({ "payments": 1, "paid": 1_000_000, "debited": 1_000_000 }));
}

#[tokio::test]
async fn coupons_refuse_unknown_users_and_more_than_there_are() {
    let example = start("coupons").await;
    let api = example.api();
    let create = (Method::POST, "/campaigns");
    let campaign = |coupons: Value| json!({ "campaign": "spring", "coupons": coupons });
    let refused = [
        (campaign(json!(0)), (422, "quantity 0 is not between 1 and")),
        (campaign(json!(-1)), (422, "coupons: invalid value")),
        (campaign(json!(u64::MAX)), (422, "quantity 18446744073709551615 is not")),
        (json!({ "coupons": 1 }), (422, "missing field `campaign`")),
    ];
    for (body, why) in refused {
        refuses(api, create.clone(), None, body, why).await;
    }
    let wish = (Method::POST, "/campaigns/spring/coupons");
    let user = |user: &str| json!({ "user": user });
    refuses(api, wish.clone(), None, user("user-1"), (404, "there is no stock `spring`")).await;
    refuses(api, (Method::GET, "/campaigns/spring"), None, Value::Null, (404, "there is no stock `spring`")).await;

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
    let nobody = (Method::POST, "/accounts/nobody/transfers");
    refuses(api, nobody, Some("k"), to("bob", json!(5)), (404, "there is no account `nobody`")).await;
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

#[tokio::test]
async fn a_product_page_refuses_prices_and_versions_that_cannot_be() {
    let example = start("product_page").await;
    let api = example.api();
    let put = (Method::PUT, "/products/7");
    let price = |price: Value| json!({ "price": price });
    let refused = [
        (price(json!(-1)), (422, "price is -1")),
        (price(json!(0)), (422, "price is 0")),
        (price(json!(1_000_001)), (422, "from 1 to 1000000")),
        (price(json!(u64::MAX)), (422, "price: invalid value")),
        (json!({}), (422, "missing field `price`")),
    ];
    for (body, why) in refused {
        refuses(api, put.clone(), Some("k"), body, why).await;
    }
    refuses(api, put.clone(), None, price(json!(5)), (400, "Idempotency-Key is missing")).await;
    refuses(api, (Method::PUT, "/products/0"), Some("k"), price(json!(5)), (404, "no product `0`")).await;
    for (path, why) in [
        ("/products/1001", (404, "there is no product `1001`")),
        ("/products/seven", (404, "there is no product `seven`")),
        ("/products/7?at_least=new", (400, "at_least is not a version")),
        ("/products/7?at_least=2", (404, "product 7 has no version 2 yet")),
    ] {
        refuses(api, (Method::GET, path), None, Value::Null, why).await;
    }

    api.send(Method::PUT, "/products/7", Some("k"), Some(&price(json!(5)))).await.unwrap().expect(200).unwrap();
    refuses(api, put, Some("k"), price(json!(6)), (422, "used for another update")).await;
    refuses(api, (Method::PUT, "/products/8"), Some("k"), price(json!(5)), (422, "used for another update")).await;
    let page = api.get("/products/7").await.unwrap();
    assert_eq!((&page.body["price"], &page.body["version"]), (&json!(5), &json!(2)), "{}", page.body);
}

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
    refuses(api, (Method::GET, "/users/nobody/balance"), None, Value::Null, (404, "no account `user:nobody`")).await;
    refuses(api, spend.clone(), Some("k"), points(json!(5)), (409, "`ada` has 0 points, and needs 100")).await;
    let balance = async |user: &str| {
        let (path, off) = (format!("/users/{user}/balance"), format!("/users/{user}/balance?cache=off"));
        let cached = api.get(&path).await.unwrap().number("balance").unwrap();
        assert_eq!(api.get(&off).await.unwrap().number("balance").unwrap(), cached);
        cached
    };
    assert_eq!((balance("ada").await, balance("issuer").await), (0, 0));

    api.post("/users/ada/earnings", Some("k"), &points(json!(150))).await.unwrap().expect(201).unwrap();
    refuses(api, spend.clone(), Some("l"), points(json!(151)), (409, "`ada` has 150 points, and needs 151")).await;
    refuses(api, earn.clone(), Some("k"), points(json!(151)), (422, "was used for another posting")).await;
    refuses(api, spend.clone(), Some("k"), points(json!(150)), (422, "was used for another posting")).await;
    api.post("/users/ada/uses", Some("l"), &points(json!(100))).await.unwrap().expect(201).unwrap();
    refuses(api, spend.clone(), Some("l"), points(json!(99)), (422, "was used for another posting")).await;
    refuses(api, earn, Some("l"), points(json!(100)), (422, "was used for another posting")).await;
    refuses(api, spend, Some("m"), points(json!(1)), (409, "`ada` has 50 points, and needs 100")).await;
    // All points that there can be, and one more.
    let rest = points(json!(MOST - 150));
    api.post("/users/eve/earnings", Some("k"), &rest).await.unwrap().expect(201).unwrap();
    let more = (Method::POST, "/users/eve/earnings?batch=off");
    refuses(api, more, Some("l"), points(json!(1)), (409, "account `issuer` has only 0")).await;
    assert_eq!((balance("ada").await, balance("eve").await), (50, i64::try_from(MOST - 150).unwrap()));
}

#[tokio::test]
async fn an_exchange_rate_refuses_what_is_no_pair_and_no_amount() {
    let example = start("exchange_rate").await;
    let api = example.api();
    for (path, why) in [
        ("/rates/eur/USD", (422, "`eur` is no currency code")),
        ("/rates/EUR/usd", (422, "`usd` is no currency code")),
        ("/rates/EURO/USD", (422, "`EURO` is no currency code")),
        ("/rates/EUR/%E2%82%AC", (422, "`€` is no currency code")),
        ("/rates/EUR/%2E%2E%2F", (422, "`../` is no currency code")),
        ("/rates/EUR/XXX", (404, "there is no currency `XXX`")),
        ("/rates/XXX/XXX", (404, "there is no currency `XXX`")),
        ("/rates/EUR/EUR", (422, "both currencies are EUR")),
        ("/rates/EUR/USD?amount=-5", (422, "amount: invalid digit")),
        ("/rates/EUR/USD?amount=1.5", (422, "amount: invalid digit")),
        ("/rates/EUR/USD?amount=", (422, "amount: cannot parse integer from empty string")),
        ("/rates/EUR/USD?amount=18446744073709551616", (422, "amount: number too large")),
    ] {
        refuses(api, (Method::GET, path), None, Value::Null, why).await;
    }
    let mode = (Method::PUT, "/upstream/mode");
    refuses(api, mode, None, json!({ "mode": "off" }), (422, "mode: unknown variant `off`")).await;
    // None of them cost a call.
    let calls = api.get("/upstream/calls").await.unwrap();
    assert_eq!(calls.body, json!({ "count": 0, "calls": [] }));

    let most = format!("/rates/EUR/USD?amount={}", u64::MAX);
    refuses(api, (Method::GET, &most), None, Value::Null, (422, "amount 18446744073709551615 is too large")).await;
    let answer = api.get("/rates/EUR/USD?amount=1999").await.unwrap().expect(200).unwrap();
    let expected = (1_999 * answer.number("rate_millionths").unwrap() + 500_000) / 1_000_000;
    assert_eq!(answer.number("converted").unwrap(), expected, "{}", answer.body);
    let nothing = api.get("/rates/EUR/USD?amount=0").await.unwrap().expect(200).unwrap();
    assert_eq!(nothing.number("converted").unwrap(), 0);
    assert_eq!(api.get("/upstream/calls").await.unwrap().number("count").unwrap(), 1);
}

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
        (&order, quantity(json!(0)), (422, "quantity 0 is not between 1 and")),
        (&order, quantity(json!(u64::MAX)), (422, "quantity 18446744073709551615 is not")),
        (&order, quantity(json!(MOST)), (409, "there are only 30000 pieces left")),
        (&order, quantity(json!(30_001)), (409, "there are only 30000 pieces left")),
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
    refuses(api, order.clone(), Some("m"), quantity(json!(2)), (422, "was used in stock `pieces`")).await;
    refuses(api, order.clone(), Some("l"), quantity(json!(1)), (409, "this order was given up")).await;
    refuses(api, order, Some("n"), quantity(json!(2)), (409, "account `user:ada` has only 150")).await;
    // All points that there can be, and one more.
    api.send(Method::PUT, "/users/eve", None, None).await.unwrap().expect(201).unwrap();
    let all = (Method::POST, "/users/eve/earnings");
    refuses(api, all, Some("k"), points(json!(MOST)), (409, "account `issuer` has only 9007199254740741")).await;
    let balance =
        async |user: &str| api.get(&format!("/users/{user}/balance")).await.unwrap().number("balance").unwrap();
    assert_eq!((balance("ada").await, balance("eve").await), (150, 0));
    let totals = api.get("/totals").await.unwrap().body;
    assert_eq!(totals["pieces"], json!({ "total": 30_000, "reserved": 0, "sold": 1 }));
    assert_eq!(totals["points"], json!({ "earned": 250, "used": 100 }));
}

#[tokio::test]
async fn a_leaderboard_refuses_names_points_and_cursors_that_cannot_be() {
    const MOST: i64 = (1 << 19) - 1;
    let example = start("leaderboard").await;
    let api = example.api();
    let award = (Method::POST, "/players/ada/awards");
    let points = |points: Value| json!({ "points": points });
    let refused = [
        (points(json!(-5)), (422, "points is -5")),
        (points(json!(0)), (422, "points is 0")),
        (points(json!(MOST + 1)), (422, "from 1 to 524287")),
        (points(json!(u64::MAX)), (422, "points: invalid value")),
        (points(json!("5")), (422, "points: invalid type")),
        (json!({}), (422, "missing field `points`")),
    ];
    for (body, why) in refused {
        refuses(api, award.clone(), Some("k"), body, why).await;
    }
    for key in [None, Some("")] {
        refuses(api, award.clone(), key, points(json!(5)), (400, "Idempotency-Key is missing")).await;
    }
    let long = format!("/players/{}/awards", "a".repeat(41));
    for path in ["/players/*/awards", "/players/a%0Ab/awards", "/players/%C3%A4/awards", &long] {
        refuses(api, (Method::POST, path), Some("k"), points(json!(5)), (422, "is no name: 1 to 40")).await;
    }
    for (path, why) in [
        ("/players/ada", (404, "there is no player `ada`")),
        ("/players/*", (404, "there is no player `*`")),
        ("/board?after=", (400, "not a cursor")),
        ("/board?after=-1", (400, "not a cursor")),
        ("/board?after=fffffffffffffffffffffffffffffffff", (400, "not a cursor")),
    ] {
        refuses(api, (Method::GET, path), None, Value::Null, why).await;
    }
    let empty = api.get("/board").await.unwrap().expect(200).unwrap();
    assert_eq!(empty.body, json!({ "players": [], "next": null }));

    api.post("/players/ada/awards", Some("k"), &points(json!(MOST))).await.unwrap().expect(201).unwrap();
    refuses(api, award.clone(), Some("k"), points(json!(5)), (422, "used for another award")).await;
    refuses(api, award, Some("l"), points(json!(1)), (409, "`ada` would have 524288 points")).await;
    // The key of another player is another key, and what was refused has taken no number.
    let bob = api.post("/players/bob/awards", Some("k"), &points(json!(5))).await.unwrap().expect(201).unwrap();
    assert_eq!(bob.body, json!({ "player": "bob", "points": 5, "number": 2 }));
    let board = api.get("/board").await.unwrap();
    let players = json!([{ "player": "ada", "points": MOST }, { "player": "bob", "points": 5 }]);
    assert_eq!(board.body["players"], players);
}

#[tokio::test]
async fn a_feed_refuses_texts_users_and_cursors_that_cannot_be() {
    let example = start("feed").await;
    let api = example.api();
    for path in ["/users/ada", "/users/bob", "/users/bob/following/ada"] {
        api.send(Method::PUT, path, None, None).await.unwrap().expect(201).unwrap();
    }
    let write = (Method::POST, "/users/ada/posts");
    let text = |text: &str| json!({ "text": text });
    let refused = [
        (text(""), (422, "from 1 to 280 characters")),
        (text("  \n"), (422, "not blank")),
        (text("a\0b"), (422, "from 1 to 280 characters")),
        (text(&"é".repeat(281)), (422, "from 1 to 280 characters")),
        (json!({ "text": 5 }), (422, "text: invalid type")),
        (json!({}), (422, "missing field `text`")),
    ];
    for (body, why) in refused {
        refuses(api, write.clone(), Some("k"), body, why).await;
    }
    for key in [None, Some("")] {
        refuses(api, write.clone(), key, text("hello"), (400, "Idempotency-Key is missing")).await;
    }
    for (method, path, why) in [
        (Method::POST, "/users/nobody/posts", (404, "there is no user `nobody`")),
        (Method::PUT, "/users/nobody/following/ada", (404, "there is no user `nobody`")),
        (Method::PUT, "/users/ada/following/nobody", (404, "there is no user `nobody`")),
        (Method::PUT, "/users/ada/following/ada", (422, "`ada` can't follow itself")),
        (Method::PUT, "/users/ada%00", (400, "no character NUL")),
        (Method::GET, "/users/nobody/feed", (404, "there is no user `nobody`")),
        (Method::GET, "/users/bob/feed?before=0", (400, "before is from 1 to")),
        (Method::GET, "/users/bob/feed?before=-1", (400, "before is from 1 to")),
        (Method::GET, "/users/bob/feed?before=9007199254740991", (400, "before is from 1 to 4503599627370496")),
        (Method::GET, "/users/bob/feed?before=x", (400, "before: invalid digit")),
        (Method::GET, "/users/bob/feed?limit=0", (400, "limit from 1 to 1000")),
        (Method::GET, "/users/bob/feed?limit=1001", (400, "limit from 1 to 1000")),
    ] {
        refuses(api, (method, path), Some("k"), text("hello"), why).await;
    }
    let feed = async || api.get("/users/bob/feed").await.unwrap().expect(200).unwrap().body;
    assert_eq!(feed().await, json!({ "posts": [], "next": null }));

    let longest = text(&"é".repeat(280));
    let post = api.post("/users/ada/posts", Some("k"), &longest).await.unwrap().expect(201).unwrap();
    let post = post.number("post").unwrap();
    refuses(api, write, Some("k"), text("hello"), (422, "was used for another post")).await;
    // Keys belong to their author.
    api.post("/users/bob/posts", Some("k"), &text("hello")).await.unwrap().expect(201).unwrap();
    let only = json!({ "posts": [{ "id": post, "author": "ada", "text": longest["text"] }], "next": null });
    poll_until(Duration::from_secs(10), async || (feed().await == only).then_some(())).await.unwrap();
}

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
        (json!({ "user": "ada" }), (422, "missing field `quantity`")),
    ];
    for (body, why) in refused {
        refuses(api, order.clone(), Some("k"), body, why).await;
    }
    let long = "k".repeat(101);
    for key in [None, Some(""), Some(long.as_str())] {
        refuses(api, order.clone(), key, wish("ada", json!(2)), (400, "Idempotency-Key is missing")).await;
    }
    for path in ["/orders/nobody:1/payment", "/orders/nobody:1/cancellation"] {
        refuses(api, (Method::POST, path), None, Value::Null, (404, "nobody:1")).await;
    }
    let batch = (Method::PUT, "/stock/second");
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

/// One process of an example, on PostgreSQL. It refuses what SQLite would take.
async fn start_on_servers(name: &str) -> ExampleProcesses {
    let scenario = scenario::all().into_iter().find(|scenario| scenario.name() == name).unwrap();
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
    refuses(api, (Method::GET, "/campaigns/a%00b"), None, Value::Null, (404, "there is no stock")).await;

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
