//! Two APIs on one Redis: what is done at one counts at the other.

use serde_json::json;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use super::{block, change, decide, left, shown, unblock};
use crate::backend::Servers;
use crate::harness::{Api, DEADLINE};

async fn two_apis() -> [Api; 2] {
    let first = Api::start_on(Servers::Single(RedisServer::start().await), &[]).await;
    let second = first.start_beside(&[]).await;
    [first, second]
}

#[tokio::test]
async fn a_block_and_its_end_reach_the_other() {
    let [one, other] = two_apis().await;
    decide(&other, "api", "mallory").await;
    block(&one, "api", "mallory", 3_600).await;
    assert_eq!(decide(&other, "api", "mallory").await["allowed"], false);
    assert_eq!(decide(&other, "api", "alice").await["allowed"], true);
    assert_eq!(unblock(&one, "api", "mallory").await, true);
    // The other remembers the denial for a second at most.
    let free = poll_until(DEADLINE, async || (decide(&other, "api", "mallory").await["allowed"] == true).then_some(()));
    free.await.expect("the block has ended there too");
}

#[tokio::test]
async fn another_quota_reaches_the_other_and_outlives_a_restart() {
    let [mut one, other] = two_apis().await;
    for _ in 0..3 {
        decide(&one, "report", "acme|ada").await;
    }
    change(&one, &json!({"limiter": "report", "quota": "20/hour"})).await;
    assert_eq!(left(&one, "report", "acme|ada").await, 17);
    let told = poll_until(DEADLINE, async || (shown(&other, "report").await["quota"] == "20/hour").then_some(()));
    told.await.expect("the other hears of it");
    assert_eq!(left(&other, "report", "acme|ada").await, 17);

    one.kill_and_restart().await;
    let kept = poll_until(DEADLINE, async || (shown(&one, "report").await["quota"] == "20/hour").then_some(()));
    kept.await.expect("it is there after a restart");
    assert_eq!(decide(&one, "report", "acme|ada").await["remaining"], 16);
}
