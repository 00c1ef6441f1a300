//! Addresses that the limit in front never counts, and those that it always refuses.

use reqwest::{Method, Response};
use serde_json::json;

use super::{ADMIN, send, shown};
use crate::harness::{Api, header, problem, success_json};

const LISTED: [(&str, &str); 5] = [
    ("TIDEGATE_TRUSTED_PROXIES", "127.0.0.1/32"),
    ("TIDEGATE_ADMIN_TOKEN", ADMIN),
    ("TIDEGATE_LIMIT_DDOS", "2/day"),
    ("TIDEGATE_LIMIT_DDOS_ALLOW", "203.0.113.0/24, 2001:db8::/32"),
    ("TIDEGATE_LIMIT_DDOS_DENY", "203.0.113.9, 198.51.100.0/24,2001:db8:0:5::7"),
];

async fn from(api: &Api, address: &str) -> Response {
    send(api.request(Method::GET, "/nowhere").header("x-forwarded-for", address)).await
}

#[tokio::test]
pub(crate) async fn listed_addresses_are_never_counted_or_always_refused() {
    let api = Api::start_with(&LISTED).await;
    for address in ["203.0.113.7", "2001:db8::7", "::ffff:203.0.113.8"] {
        for number in 0..5 {
            assert_eq!(from(&api, address).await.status(), 404, "request {number} of {address}");
        }
    }
    // On both lists; in a denied network; the neighbour of a denied address, which is the same
    // client.
    for address in ["203.0.113.9", "198.51.100.1", "2001:db8:0:5::8"] {
        let refused = from(&api, address).await;
        assert_eq!(header(&refused, "retry-after"), "86400", "{address}");
        assert_eq!(problem(refused, 429, "rate-limited").await["limiter"], "ddos", "{address}");
    }
    // A client on neither list is counted as usual.
    let others = [from(&api, "192.0.2.1").await, from(&api, "192.0.2.1").await, from(&api, "192.0.2.1").await];
    assert_eq!(others.map(|answer| answer.status().as_u16()), [404, 404, 429]);

    // A manual block does not affect an allowed client. The admin token passes even from a denied
    // one.
    let body = json!({"limiter": "ddos", "key": "203.0.113.7", "seconds": 60});
    let block = api.request(Method::POST, "/api/rate-limit/block").header("x-forwarded-for", "198.51.100.1");
    success_json(block.bearer_auth(ADMIN).json(&body)).await;
    assert_eq!(from(&api, "203.0.113.7").await.status(), 404);
}

#[tokio::test]
async fn the_lists_are_shown() {
    let api = Api::start_with(&LISTED).await;
    let ddos = shown(&api, "ddos").await;
    assert_eq!(ddos["allow"], json!(["203.0.113.0/24", "2001:db8::/32"]));
    assert_eq!(ddos["deny"], json!(["203.0.113.9/32", "198.51.100.0/24", "2001:db8:0:5::7/128"]));
    for other in ["auth", "report", "api", "tenant"] {
        let limiter = shown(&api, other).await;
        assert_eq!((&limiter["allow"], &limiter["deny"]), (&json!([]), &json!([])), "{other}");
    }
}
