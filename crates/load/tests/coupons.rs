//! A process dies while it issues coupons, and no client repeats its request.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends where it is surprised")]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, binary, poll_until, scale};
use tokio::time::sleep;

const HOLD: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(30);
const USERS: u64 = 400;
/// Users that know of their coupon when the process is killed.
const SOME: i64 = 10;

async fn counts(api: &Api, campaign: &str) -> Option<Value> {
    api.get(campaign).await.ok().map(|answer| answer.body)
}

/// All users want a coupon at once. Returns how many were answered that they have one; `kill` is
/// called as soon as some of them were.
async fn issue(api: &Api, campaign: &str, mut kill: impl FnMut()) -> i64 {
    let posts = (0..USERS).map(async |user| {
        let body = json!({ "user": format!("user-{user}") });
        let answer = api.post(&format!("{campaign}/coupons"), None, &body).await;
        answer.is_ok_and(|answer| answer.status == 201)
    });
    let mut posts: FuturesUnordered<_> = posts.collect();
    let mut answered = 0;
    while let Some(has_coupon) = posts.next().await {
        answered += i64::from(has_coupon);
        if has_coupon && answered == SOME {
            kill();
        }
    }
    answered
}

#[tokio::test]
async fn what_a_killed_process_has_begun_is_completed_or_given_back() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let process =
        Process::builder(binary("examples/coupons")).env("PORT", "0").env("HOLD_SECONDS", HOLD.as_secs().to_string());
    let process = process.env("REDIS_URL", redis.url()).env("DATABASE_URL", postgres.url());
    let mut process = process.start().unwrap();
    let mut api = Api::of(&mut process).await.unwrap();

    for round in 0..scale(4, 20) {
        let body = json!({ "campaign": round.to_string(), "coupons": USERS });
        api.post("/campaigns", None, &body).await.unwrap().expect(201).unwrap();
        let campaign = format!("/campaigns/{round}");
        let answered = issue(&api, &campaign, || {
            process.kill9().unwrap();
        })
        .await;
        if round % 2 == 1 {
            // Rows without a confirmation lose their reservation.
            sleep(HOLD).await;
        }
        process.restart().unwrap();
        api = Api::of(&mut process).await.unwrap();
        let left = counts(&api, &campaign).await.unwrap();
        println!("{answered} answers; left behind: {left}");
        let is_settled = |counts: &Value| counts["reserved"] == 0 && counts["unsettled_rows"] == 0;
        let settled = poll_until(LONG, async || counts(&api, &campaign).await.filter(is_settled)).await.unwrap();
        assert_eq!(settled["rows"], settled["issued"], "{settled}");
        assert!(settled["issued"].as_i64().unwrap() >= answered, "{settled} after {answered} answers");

        // Those who come again have theirs, and those who had none get one.
        assert_eq!(issue(&api, &campaign, || ()).await, i64::try_from(USERS).unwrap());
        let all = counts(&api, &campaign).await.unwrap();
        assert_eq!(
            (&all["issued"], &all["rows"], &all["remaining"]),
            (&json!(USERS), &json!(USERS), &json!(0)),
            "{all}"
        );
    }
}
