//! A process dies while it issues coupons, and no client repeats its request; and Redis loses
//! reservations.
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

fn start(redis: &RedisServer, postgres: &PostgresServer) -> Process {
    let process =
        Process::builder(binary("examples/coupons")).env("PORT", "0").env("HOLD_SECONDS", HOLD.as_secs().to_string());
    process.env("REDIS_URL", redis.url()).env("DATABASE_URL", postgres.url()).start().unwrap()
}

#[tokio::test]
async fn what_a_killed_process_has_begun_is_completed_or_given_back() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let mut process = start(&redis, &postgres);
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

        // Users that come again have theirs, and users without one get one.
        assert_eq!(issue(&api, &campaign, || ()).await, i64::try_from(USERS).unwrap());
        let all = counts(&api, &campaign).await.unwrap();
        assert_eq!(
            (&all["issued"], &all["rows"], &all["remaining"]),
            (&json!(USERS), &json!(USERS), &json!(0)),
            "{all}"
        );
    }
}

#[tokio::test]
async fn rows_whose_reservations_redis_has_lost_hold_up_no_other_row() {
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start_tcp(&[]).await);
    let mut process = start(&redis, &postgres);
    let api = Api::of(&mut process).await.unwrap();
    for (campaign, coupons) in [("a", 2_000), ("z", 1)] {
        let body = json!({ "campaign": campaign, "coupons": coupons });
        api.post("/campaigns", None, &body).await.unwrap().expect(201).unwrap();
    }
    // More rows than one step settles, all before those of the other campaign.
    postgres
        .psql("INSERT INTO coupons (campaign, user_id, attempt) SELECT 'a', 'user-' || i, 1 FROM generate_series(1, 1500) i")
        .await;
    let wish = json!({ "user": "user-1" });
    api.post("/campaigns/z/coupons", None, &wish).await.unwrap().expect(201).unwrap();

    let is_settled = |counts: &Value| counts["unsettled_rows"] == 0;
    for campaign in ["/campaigns/a", "/campaigns/z"] {
        poll_until(LONG, async || counts(&api, campaign).await.filter(is_settled)).await.unwrap();
    }
    let lost = postgres.psql("SELECT COUNT(*) FROM coupons WHERE is_settled = 2 AND campaign = 'a'").await;
    assert_eq!(lost, "1500");
    // The campaign that has issued all leaves the loop, the other one does not.
    let ended = async || postgres.psql("SELECT name FROM campaigns WHERE has_ended = 1").await;
    poll_until(LONG, async || (ended().await == "z").then_some(())).await.unwrap();

    // A user whose coupon was lost gets another one.
    api.post("/campaigns/a/coupons", None, &wish).await.unwrap().expect(201).unwrap();
    let state =
        async || postgres.psql("SELECT is_settled FROM coupons WHERE campaign = 'a' AND user_id = 'user-1'").await;
    poll_until(LONG, async || (state().await == "1").then_some(())).await.unwrap();
    assert_eq!(counts(&api, "/campaigns/a").await.unwrap()["issued"], 1);
}
