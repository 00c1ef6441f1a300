//! Reminders of schedules: each once, whichever process dies.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use tidegate_testkit::poll_until;

use crate::alerts::listener::Listener;
use crate::harness::{Api, DEADLINE, success_json};

const SCHEDULES: usize = 60;

async fn look(api: &Api, id: &str) {
    let job = json!({"id": id, "kind": "schedule.expand", "payload": {}});
    success_json(api.request(Method::POST, "/api/queue/schedule/jobs").json(&job)).await;
}

#[tokio::test]
async fn each_schedule_is_heard_of_once_though_a_process_is_killed_in_the_midst_of_it() {
    let one = Api::start_with(&[("TIDEGATE_QUEUE_LEASE", "1s")]).await;
    one.create_tenant("acme", "enterprise").await;
    let mut stream = Listener::open_as(&one, "acme", "/api/notifications/events", None).await;
    let mut other = one.start_beside(&[("TIDEGATE_QUEUE_LEASE", "1s")]).await;
    let now = tidegate_base::clock::now();
    let (start, end) = (now + chrono::TimeDelta::minutes(10), now + chrono::TimeDelta::minutes(20));
    let create = async |title: String| {
        let body = json!({"title": title, "starts_at": start.to_rfc3339(), "ends_at": end.to_rfc3339()});
        let request = one.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&body);
        let made = success_json(request).await;
        made["id"].as_str().expect("an id").to_owned()
    };
    // The service looks once a minute. A reminder that it saw before the deletion would be sent.
    let deleted = create("deleted".to_owned()).await;
    let path = format!("/api/schedules/{deleted}");
    let answer = one.request(Method::DELETE, &path).header("x-tenant-id", "acme").send().await.expect("an answer");
    assert_eq!(answer.status(), 204);
    let mut expected = BTreeSet::new();
    for number in 1..SCHEDULES {
        expected.insert(create(format!("number {number}")).await);
    }

    look(&one, "first").await;
    look(&one, "second").await;
    let mut heard = BTreeSet::new();
    for number in 1..SCHEDULES {
        let event = stream.next().await;
        assert_eq!(event.id.as_deref(), Some(&*format!("n{number}")));
        assert_eq!(event.data["kind"], "schedule.reminder");
        assert!(heard.insert(event.data["body"]["schedule"].as_str().expect("an id").to_owned()), "twice: {event:?}");
        if number == 5 {
            other.process.kill9().expect("it runs");
        }
    }
    assert_eq!(heard, expected);

    // The job of the killed worker runs again, without a second notification.
    look(&one, "third").await;
    let quiet = async || {
        let queue = one.json("/api/queue/schedule").await;
        let of = |state: &str| queue[state].as_u64();
        (of("ready") == Some(0) && of("leased") == Some(0)).then_some(())
    };
    poll_until(DEADLINE, quiet).await.expect("it comes to rest");
    let told = success_json(one.get_as("acme", "/api/notifications?limit=200")).await;
    assert_eq!(told["last"], SCHEDULES - 1);
    let days = success_json(one.get_as("acme", "/api/analytics")).await;
    let sent = days["items"].as_array().expect("days").iter().filter_map(|day| day["reminders_sent"].as_u64());
    assert_eq!(sent.sum::<u64>(), SCHEDULES as u64 - 1);
}
