use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

#[tokio::test]
async fn a_product_page_refuses_prices_and_products_that_cannot_be() {
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
        ("/products/seven", (404, "Cannot parse")),
        ("/products/%FF", (404, "Invalid UTF-8")),
    ] {
        refuses(api, (Method::GET, path), None, Value::Null, why).await;
    }

    api.send(Method::PUT, "/products/7", Some("k"), Some(&price(json!(5)))).await.unwrap().expect(200).unwrap();
    refuses(api, put, Some("k"), price(json!(6)), (422, "used for another update")).await;
    // Another product has keys of its own.
    api.send(Method::PUT, "/products/8", Some("k"), Some(&price(json!(5)))).await.unwrap().expect(200).unwrap();
    let page = api.get("/products/7").await.unwrap();
    assert_eq!((&page.body["price"], &page.body["version"]), (&json!(5), &json!(2)), "{}", page.body);
}
