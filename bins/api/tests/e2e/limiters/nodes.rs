//! Two APIs on one Redis: what is done at one counts at the other.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_ratelimit::Clock;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use super::{ADMIN, ask, block, change, decide, left, shown, unblock};
use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, success_json};

async fn one_api(variables: &[(&str, &str)]) -> Api {
    Api::start_on(Servers::Single(RedisServer::start().await), &with_token(variables)).await
}

async fn two_apis_with(variables: &[(&str, &str)]) -> [Api; 2] {
    let first = one_api(variables).await;
    let second = first.start_beside(&with_token(variables)).await;
    [first, second]
}

fn with_token<'a>(variables: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [variables, &[("TIDEGATE_ADMIN_TOKEN", ADMIN)]].concat()
}

async fn two_apis() -> [Api; 2] {
    two_apis_with(&[]).await
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

/// Waits until that much of a window of the clock has passed, or less than a second more.
async fn until_in_window(period: Duration, passed: Duration) {
    let clock = Clock::system();
    let reached = poll_until(DEADLINE, async || {
        let in_window = clock.steady().as_micros() % period.as_micros();
        (passed.as_micros()..passed.as_micros() + 1_000_000).contains(&in_window).then_some(())
    });
    reached.await.expect("time passes");
}

#[tokio::test]
async fn a_flood_is_blocked_whatever_the_moment_it_begins() {
    let period = Duration::from_secs(8);
    let api = one_api(&[("TIDEGATE_LIMIT_DDOS", "10/8s, block=1h")]).await;
    for number in 0.. {
        let key = format!("203.0.113.{number}");
        let six = json!({"limiter": "ddos", "key": key, "cost": 6});
        // Six late in one window of the clock and six early in the next are twelve within eight
        // seconds.
        until_in_window(period, Duration::from_secs(6)).await;
        let clock = Clock::system();
        let begun = clock.now();
        assert_eq!(success_json(ask(&api, &six).bearer_auth(ADMIN)).await["allowed"], true);
        until_in_window(period, Duration::ZERO).await;
        let refused = success_json(ask(&api, &six).bearer_auth(ADMIN)).await;
        if clock.now() - begun >= period {
            // The machine was too busy for that, so it says nothing.
            continue;
        }
        let mut refusals = vec![refused];
        for _ in 0..9 {
            refusals.push(decide(&api, "ddos", &key).await);
        }
        for refusal in refusals {
            let wait = refusal["retry_after_ms"].as_u64().expect("a refusal");
            assert!(wait > 3_000_000 && refusal["blocked_until"].is_string(), "{refusal}");
        }
        assert_eq!(shown(&api, "ddos").await["stats"]["top_denied"], json!([[key, 10]]));
        return;
    }
}

#[tokio::test]
async fn a_reset_at_the_front_reaches_the_other() {
    let [one, other] = two_apis_with(&[("TIDEGATE_LIMIT_DDOS", "5/day, block=0s")]).await;
    let used_up = async || {
        let told = poll_until(DEADLINE, async || {
            (decide(&other, "ddos", "203.0.113.7").await["allowed"] == false).then_some(())
        });
        told.await.expect("it is used up");
    };
    let free = async |what: &str| {
        let told = poll_until(DEADLINE, async || {
            (decide(&other, "ddos", "203.0.113.7").await["allowed"] == true).then_some(())
        });
        assert!(told.await.is_ok(), "{what} is not heard of");
    };
    used_up().await;
    let reset = one.request(Method::DELETE, "/api/rate-limit?limiter=ddos&key=203.0.113.7");
    assert_eq!(success_json(reset.bearer_auth(ADMIN)).await, json!({"reset": true}));
    free("a reset").await;
    block(&one, "ddos", "203.0.113.7", 3_600).await;
    used_up().await;
    change(&one, &json!({"limiter": "ddos", "quota": "1000/day"})).await;
    assert_eq!(unblock(&one, "ddos", "203.0.113.7").await, true);
    free("the end of a block").await;
}

#[tokio::test]
async fn in_a_flood_of_addresses_newcomers_are_served_and_one_that_floods_is_blocked_everywhere() {
    let [one, other] =
        two_apis_with(&[("TIDEGATE_LIMIT_REDIS", "new_keys=1"), ("TIDEGATE_LIMIT_DDOS", "20/hour")]).await;
    let decide_all = async |keys: &[String]| -> Vec<Value> {
        let mut said = Vec::new();
        for key in keys {
            said.push(decide(&one, "ddos", key).await["allowed"].clone());
        }
        said
    };
    let newcomers: Vec<String> = (0..200).map(|number| format!("198.51.100.{number}")).collect();
    let said = decide_all(&newcomers).await;
    assert!(said.iter().all(|allowed| allowed == true), "{said:?}");
    let said = decide_all(&vec!["203.0.113.7".to_owned(); 100]).await;
    let served = said.iter().filter(|allowed| **allowed == true).count();
    // At the door until it is known, and behind it then.
    assert!((20..=45).contains(&served), "{served}");
    let there = decide(&other, "ddos", "203.0.113.7").await;
    assert!(there["allowed"] == false && there["blocked_until"].is_string(), "{there}");
}
