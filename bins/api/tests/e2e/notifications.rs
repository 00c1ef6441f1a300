//! A tenant's notifications: on every instance, resumed after a kill, by webhook, and by mail.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::{SmtpServer, poll_until};
use tokio::time::Instant;

use crate::alerts::listener::Listener;
use crate::alerts::receiver::Receiver;
use crate::harness::{Api, DEADLINE, problem, success_json};

const EVENTS: &str = "/api/notifications/events";

async fn tell(api: &Api, id: &str) {
    let job = json!({"id": id, "payload": {"tenant": "acme", "kind": "greeting", "body": {"id": id}}});
    success_json(api.request(Method::POST, "/api/queue/notification/jobs").json(&job)).await;
}

#[tokio::test]
pub(crate) async fn a_notice_is_heard_on_each_instance_and_streams_go_on_elsewhere_after_a_kill() {
    let one = Api::start().await;
    one.create_tenant("acme", "enterprise").await;
    one.create_tenant("other", "enterprise").await;
    let mut other = one.start_beside(&[]).await;
    let mut here = Listener::open_as(&one, "acme", EVENTS, None).await;
    let mut there = Listener::open_as(&other, "acme", EVENTS, None).await;
    let _silent = Listener::open_as(&one, "other", EVENTS, None).await;
    let mut waits = Vec::new();
    for number in 1..=20 {
        tell(&one, &format!("job-{number}")).await;
        let enqueued = Instant::now();
        for listener in [&mut here, &mut there] {
            let event = listener.next().await;
            assert_eq!((event.name.as_str(), event.id.as_deref()), ("notification", Some(&*format!("n{number}"))));
            assert_eq!(event.data["body"]["id"], format!("job-{number}"));
        }
        waits.push(enqueued.elapsed());
    }
    waits.sort_unstable();
    eprintln!("from the job's receipt to both streams: median {:?}, longest {:?}", waits[10], waits[19]);
    // The same job again sends no second notification.
    tell(&one, "job-20").await;

    other.process.kill9().expect("it runs");
    tell(&one, "job-21").await;
    assert_eq!(here.next().await.id.as_deref(), Some("n21"));
    tell(&one, "job-22").await;
    let mut resumed = Listener::open_as(&one, "acme", EVENTS, Some("n20")).await;
    for id in ["n21", "n22"] {
        assert_eq!(resumed.next().await.id.as_deref(), Some(id));
    }
    // An id that this service has not issued.
    let mut foreign = Listener::open_as(&one, "acme", EVENTS, Some("1790000000000-7")).await;
    let gap = foreign.next().await;
    assert_eq!((gap.name.as_str(), gap.id.as_deref()), ("gap", Some("n22")));
    let page = success_json(one.get_as("acme", "/api/notifications?after=19&limit=2")).await;
    let seqs: Vec<_> = page["items"].as_array().expect("items").iter().map(|item| item["seq"].clone()).collect();
    assert_eq!((seqs, &page["last"], &page["gone"]), (vec![json!(20), json!(21)], &json!(22), &json!(0)));
    assert_eq!(success_json(one.get_as("other", "/api/notifications")).await["items"], json!([]));
}

#[tokio::test]
async fn streams_of_a_tenant_are_counted() {
    let api = Api::start_with(&[("TIDEGATE_NOTIFICATIONS", "streams_per_tenant=2")]).await;
    api.create_tenant("acme", "enterprise").await;
    let streams =
        [Listener::open_as(&api, "acme", EVENTS, None).await, Listener::open_as(&api, "acme", EVENTS, None).await];
    let third = api.get_as("acme", EVENTS).send().await.expect("an answer");
    problem(third, 429, "too-many-followers").await;
    drop(streams);
    let free = poll_until(DEADLINE, async || {
        let answer = api.get_as("acme", EVENTS).send().await.expect("an answer");
        answer.status().is_success().then_some(())
    });
    assert!(free.await.is_ok(), "the places come back");
    let stranger = api.request(Method::GET, EVENTS).send().await.expect("an answer");
    problem(stranger, 401, "unauthorized").await;
}

#[tokio::test]
async fn a_notice_goes_to_the_webhooks_and_a_mail_to_the_mail_server() {
    let (receiver, mails) = (Receiver::good().await, SmtpServer::start().await);
    let variables = [("TIDEGATE_WEBHOOKS", "private_addresses=on, per_tenant=1"), ("TIDEGATE_EMAIL_URL", &mails.url())];
    let api = Api::start_with(&variables).await;
    api.create_tenant("acme", "enterprise").await;
    let post = |body: Value| api.request(Method::POST, "/api/webhooks").header("x-tenant-id", "acme").json(&body);
    problem(post(json!({"url": "ftp://example.com"})).send().await.expect("an answer"), 422, "bad-url").await;
    let created = success_json(post(json!({"url": receiver.url("/hook"), "kinds": ["greeting"]}))).await;
    assert!(created["secret"].as_str().expect("a secret").starts_with("whsec_"));
    let many = post(json!({"url": receiver.url("/more")})).send().await.expect("an answer");
    problem(many, 409, "too-many-webhooks").await;
    let listed = success_json(api.get_as("acme", "/api/webhooks")).await;
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["secret"]), (&created["id"], &Value::Null));

    tell(&api, "job-1").await;
    let posted = async || receiver.taken().into_iter().next();
    let posted = poll_until(DEADLINE, posted).await.expect("it is posted");
    assert_eq!((&posted.body["body"], &posted.body["tenant"]), (&json!({"id": "job-1"}), &json!("acme")));
    assert_eq!(posted.body["event"], posted.id);

    let path = format!("/api/webhooks/{}", created["id"].as_str().expect("an id"));
    let delete = || api.request(Method::DELETE, &path).header("x-tenant-id", "acme").send();
    assert_eq!(delete().await.expect("an answer").status(), 204);
    problem(delete().await.expect("an answer"), 404, "not-found").await;

    let mail = json!({"tenant": "acme", "to": ["Ada <ada@example.org>"], "subject": "Hello", "text": "It works."});
    let job = json!({"payload": mail});
    success_json(api.request(Method::POST, "/api/queue/email/jobs").json(&job)).await;
    let taken = poll_until(DEADLINE, async || mails.received().into_iter().next()).await.expect("a mail");
    assert!(taken.to == ["ada@example.org"] && taken.text.contains("It works."), "{taken:?}");
}
