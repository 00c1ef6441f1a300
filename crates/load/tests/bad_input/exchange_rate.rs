use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

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
        ("/rates/%FF/USD", (422, "Invalid UTF-8 in `from`")),
        ("/upstream/rates/%FF/USD", (400, "Invalid UTF-8 in `from`")),
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
