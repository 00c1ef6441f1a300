//! Alerts and silences of several processes on one database.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use super::outage::Outage;
use super::receiver::{Delivery, Receiver};
use super::until_it_fires;
use crate::harness::{Api, DEADLINE, schedule, success_json};

const RULE: &str = "redis_unavailable";
/// The lease of a killed sender, its reports, and the minute for which all has to be well.
const TAKEN_OVER: Duration = Duration::from_secs(180);
/// The fewest responses that a judgement of the error rate needs.
const FAILURES: usize = 20;

fn deliveries(receiver: &Receiver, rule: &str) -> Vec<Delivery> {
    receiver.taken().into_iter().filter(|delivery| delivery.body["alert"]["rule"] == rule).collect()
}

fn phases(receiver: &Receiver) -> Vec<Value> {
    deliveries(receiver, RULE).into_iter().map(|delivery| delivery.body["alert"]["phase"].clone()).collect()
}

async fn alerts(api: &Api) -> Value {
    api.json("/api/performance?type=alerts&limit=100").await
}

async fn until_it_is_sent_to_have_ended(receiver: &Receiver, rule: &str) {
    let ended = poll_until(TAKEN_OVER, async || {
        deliveries(receiver, rule).pop().filter(|last| last.body["alert"]["phase"] != "firing")
    });
    ended.await.expect("its end is sent");
}

/// The alert of the rule in the API's list for the fleet.
async fn in_fleet(api: &Api, when: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = poll_until(DEADLINE, async || {
        last = alerts(api).await;
        let items = last["fleet"].as_array().expect("a list");
        items.iter().find(|alert| alert["rule"] == RULE && when(alert)).cloned()
    });
    let found = found.await;
    assert!(found.is_ok(), "{last}");
    found.unwrap_or_default()
}

#[tokio::test]
async fn an_alert_of_two_processes_is_sent_once_and_a_killed_senders_successor_sends_its_end() {
    let receiver = Receiver::good().await;
    let url = receiver.url("/");
    let variables = [("TIDEGATE_ALERTS_WEBHOOK", url.as_str()), ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on")];
    let mut outage = Outage::prepare(&variables).await;
    let other = outage.api.start_beside(&variables).await;
    outage.begin();
    until_it_fires(&outage.api, RULE).await;
    until_it_fires(&other, RULE).await;
    let told =
        in_fleet(&other, |alert| alert["notified"] == true && alert["processes"].as_array().map(Vec::len) == Some(2));
    told.await;
    let sender = alerts(&outage.api).await["sender"].clone();
    assert_eq!(sender["is_this_process"], true, "{sender}");
    let shown = poll_until(DEADLINE, async || (alerts(&other).await["sender"]["name"] == sender["name"]).then_some(()));
    shown.await.expect("both name the sender");
    let sent = poll_until(DEADLINE, async || deliveries(&receiver, RULE).pop());
    let first = sent.await.expect("it is sent");
    assert_eq!(phases(&receiver), ["firing"], "once");

    outage.api.process.kill9().expect("it runs");
    outage.end().await;
    let ended = poll_until(TAKEN_OVER, async || (phases(&receiver).len() > 1).then_some(()));
    ended.await.expect("the other sends the end");
    assert_eq!(phases(&receiver), ["firing", "resolved"]);
    let last = deliveries(&receiver, RULE).pop().expect("the end");
    assert!(first.id != last.id && last.body["seq"].as_u64() > first.body["seq"].as_u64(), "{first:?} {last:?}");
    let now = alerts(&other).await;
    assert_eq!(now["sender"]["is_this_process"], true, "{now}");
    assert!(now["fleet"].as_array().is_some_and(|fleet| fleet.iter().all(|alert| alert["rule"] != RULE)), "{now}");
}

#[tokio::test]
async fn what_a_killed_sender_could_not_deliver_its_successor_delivers() {
    let receiver = Receiver::refusing().await;
    let url = receiver.url("/");
    let variables = [("TIDEGATE_ALERTS_WEBHOOK", url.as_str()), ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on")];
    let mut outage = Outage::prepare(&variables).await;
    let other = outage.api.start_beside(&variables).await;
    outage.begin();
    let notified = in_fleet(&other, |alert| alert["notified"] == true);
    notified.await;
    let tried = poll_until(DEADLINE, async || receiver.tries().pop()).await.expect("it is tried");
    assert_eq!(alerts(&outage.api).await["sender"]["is_this_process"], true);
    outage.api.process.kill9().expect("it runs");
    receiver.accept();
    let taken = poll_until(DEADLINE, async || (phases(&receiver) == ["firing"]).then(|| receiver.taken()));
    let taken = taken.await.expect("the other delivers it");
    assert_eq!(taken[0].id, tried, "the same notice, and the first first");
    assert_eq!(alerts(&other).await["sender"]["is_this_process"], true);
}

#[tokio::test]
async fn a_silence_of_one_process_holds_on_all_and_survives_restarts() {
    let receiver = Receiver::good().await;
    let url = receiver.url("/");
    let variables = [("TIDEGATE_ALERTS_WEBHOOK", url.as_str()), ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on")];
    let mut outage = Outage::prepare(&variables).await;
    let mut other = outage.api.start_beside(&variables).await;
    let silence = json!({"rule": RULE, "minutes": 30, "reason": "moving it, password=hunter2"});
    success_json(other.request(Method::POST, "/api/performance/silences").json(&silence)).await;
    let listed = async |api: &Api| {
        let listed = poll_until(DEADLINE, async || {
            let silences = alerts(api).await["silences"].clone();
            silences.as_array().and_then(|silences| silences.first().cloned())
        });
        listed.await.expect("it is listed")
    };
    let first = listed(&other).await;
    assert_eq!(first["rule"], RULE);
    assert_eq!(listed(&outage.api).await, first);
    assert!(!first.to_string().contains("hunter2"), "{first}");
    other.kill_and_restart().await;
    assert_eq!(listed(&other).await, first);

    outage.begin();
    let silenced = in_fleet(&outage.api, |_| true).await;
    assert_eq!((&silenced["silenced"], &silenced["notified"]), (&json!(true), &json!(false)));
    // Another alert of the outage is sent: what is silenced would have come with it.
    let sent = poll_until(DEADLINE, async || deliveries(&receiver, "error_rate").pop());
    sent.await.expect("the webhook has it");
    assert!(phases(&receiver).is_empty());

    // Lifted on the one, it is sent by the other, and once.
    let lift = other.request(Method::DELETE, &format!("/api/performance/silences?rule={RULE}"));
    success_json(lift).await;
    let sent = poll_until(DEADLINE, async || deliveries(&receiver, RULE).pop());
    sent.await.expect("it still fires");
    let told = in_fleet(&other, |alert| alert["notified"] == true && alert["silenced"] == false);
    told.await;
    // Its end comes behind whatever else was sent of it.
    outage.end().await;
    until_it_is_sent_to_have_ended(&receiver, RULE).await;
    assert_eq!(phases(&receiver), ["firing", "resolved"]);
}

#[tokio::test]
async fn a_process_whose_database_is_away_sends_its_own_alerts() {
    let receiver = Receiver::good().await;
    let url = receiver.url("/");
    let variables = [("TIDEGATE_ALERTS_WEBHOOK", url.as_str()), ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on")];
    let mut api = Api::start_with(&variables).await;
    api.create_tenant("acme", "enterprise").await;
    let (database, moved) = (api.scratch.join("tidegate.db"), api.scratch.join("moved.db"));
    std::fs::rename(&database, &moved).expect("the file is there");
    for _ in 0..FAILURES {
        let write = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule("one"));
        assert_eq!(write.send().await.expect("an answer").status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let sent = poll_until(DEADLINE, async || deliveries(&receiver, "error_rate").pop()).await;
    let sent = sent.expect("the outage of the database is sent");
    assert_eq!(sent.body["alert"]["phase"], "firing");
    assert!(sent.id.starts_with(sent.body["source"]["instance"].as_str().expect("a process")), "{sent:?}");
    let api = &mut api;
    api.process.wait_for_line("alerts can't be shared", DEADLINE).await.expect("the log says so");
    std::fs::rename(&moved, &database).expect("a name");
    let mut last = Value::Null;
    let shared = poll_until(DEADLINE, async || {
        last = alerts(api).await;
        let fleet = last["fleet"].as_array()?;
        fleet.iter().find(|alert| alert["rule"] == "error_rate" && alert["notified"] == true).map(|_| ())
    });
    assert!(shared.await.is_ok(), "the fleet hears of it: {last}");
    // The failures are less than 5 % of all responses from here on.
    for _ in 0..FAILURES * 25 {
        success_json(api.request(Method::GET, "/api/schedules").header("x-tenant-id", "acme")).await;
    }
    // Its end comes behind whatever else was sent of it.
    until_it_is_sent_to_have_ended(&receiver, "error_rate").await;
    let sent = deliveries(&receiver, "error_rate");
    assert_eq!(sent.iter().filter(|delivery| delivery.body["alert"]["phase"] == "firing").count(), 1, "{sent:?}");
}
