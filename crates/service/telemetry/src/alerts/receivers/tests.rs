use std::sync::Mutex;

use axum::Router;
use axum::response::IntoResponse;
use http::{StatusCode, header};
use tidegate_settings::Hidden;
use tidegate_settings::test_ground::check_with;
use tidegate_testkit::poll_until;
use tokio::net::TcpListener;

use super::failure::Failure;
use super::*;
use crate::alerts::test_alert::{alert, notice};

const LONG: Duration = Duration::from_secs(60);

fn webhook(url: &str, private_addresses: bool) -> Channel {
    let settings = AlertSettings { webhook: Some(Hidden::new(url)), private_addresses, ..AlertSettings::default() };
    channels(&settings, || unreachable!("there is no address")).unwrap().pop().unwrap()
}

fn context() -> Context {
    Context { installation: "cafe".into(), dashboard: None }
}

async fn sent(channel: &Channel) -> Result<(), Failure> {
    channel.send(&notice(alert("test", "")), &context()).await
}

/// No form of the address leads to a connection. The listener would have accepted it.
#[tokio::test]
async fn a_private_address_is_refused_however_it_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost"] {
        let failure = sent(&webhook(&format!("http://{host}:{port}/"), false)).await.unwrap_err();
        let is_refused = matches!(
            failure,
            Failure::NotPosted(tidegate_outgoing::webhook::Failure::Private("alerts.private_addresses"))
        );
        assert!(is_refused, "{host}: {failure}");
    }
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accepted.is_err(), "a connection was made");
}

#[tokio::test]
async fn failures_are_distinguished_and_never_contain_the_url() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    for channel in
        [webhook(&format!("http://{address}/hunter2"), true), webhook("http://nowhere.invalid/hunter2", false)]
    {
        let failure = sent(&channel).await.unwrap_err();
        assert!(matches!(failure, Failure::NotPosted(tidegate_outgoing::webhook::Failure::NoConnection)), "{failure}");
        assert!(!failure.to_string().contains("hunter2"));
    }
    let wrong = AlertSettings { webhook: Some(Hidden::new("no url hunter2")), ..AlertSettings::default() };
    let wrong = channels(&wrong, || unreachable!("there is no address")).unwrap_err();
    assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
}

/// Runs a receiver that answers with `answers` in order, and then with 204. Records the bodies.
async fn receiver(answers: &'static [u16]) -> (String, Arc<Mutex<Vec<String>>>) {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let answer = move |body: String| {
        let mut seen = seen.lock().unwrap();
        seen.push(body);
        let status = answers.get(seen.len() - 1).copied().unwrap_or(204);
        let answer = (StatusCode::from_u16(status).unwrap(), [(header::RETRY_AFTER, "2")]).into_response();
        std::future::ready(answer)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hunter2", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (url, bodies)
}

fn started(channel: Channel) -> (Arc<Receiver>, Arc<Notify>) {
    let (registry, progress) = (Registry::builder().build(), Arc::new(Notify::new()));
    let receiver = Arc::new(Receiver::new(channel, context(), &registry, Arc::clone(&progress)));
    receiver.lease_until(tokio::time::Instant::now() + LONG * 10);
    tokio::spawn(Arc::clone(&receiver).run(CancellationToken::new()));
    (receiver, progress)
}

#[tokio::test]
async fn a_receiver_that_fails_twice_gets_the_notice_on_the_third_try() {
    let (url, bodies) = receiver(&[500, 500]).await;
    let (receiver, progress) = started(webhook(&url, true));
    receiver.push(Arc::new(notice(alert("p99", ""))), Some(7));
    tokio::time::timeout(LONG, progress.notified()).await.expect("it is settled");
    assert_eq!((receiver.settled(), receiver.waiting()), (7, 0));
    let counts = receiver.counts();
    assert_eq!((counts.delivered, counts.failed, counts.given_up), (1, 2, 0));
    let bodies = bodies.lock().unwrap();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]), "the same three times: {bodies:?}");
}

#[tokio::test]
async fn a_refusal_is_given_up_at_once_and_what_waits_behind_it_is_sent() {
    let (url, bodies) = receiver(&[404]).await;
    let (receiver, _) = started(webhook(&url, true));
    receiver.push(Arc::new(notice(alert("p99", ""))), Some(1));
    receiver.push(Arc::new(notice(alert("error_rate", ""))), Some(2));
    let settled = poll_until(LONG, async || (receiver.settled() == 2).then_some(()));
    settled.await.expect("both are settled");
    let counts = receiver.counts();
    assert_eq!((counts.delivered, counts.failed, counts.given_up), (1, 1, 1));
    assert_eq!(bodies.lock().unwrap().len(), 2, "the first was tried once");
}

#[tokio::test]
async fn an_overloaded_receiver_gets_nothing_until_its_retry_after() {
    let (url, bodies) = receiver(&[429]).await;
    let (receiver, progress) = started(webhook(&url, true));
    let begun = tokio::time::Instant::now();
    receiver.push(Arc::new(notice(alert("p99", ""))), Some(1));
    tokio::time::timeout(LONG, progress.notified()).await.expect("it is settled");
    assert!(begun.elapsed() >= Duration::from_secs(2), "its own wait would be one second");
    assert_eq!(bodies.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn shared_notices_are_taken_back_and_a_processs_own_are_not() {
    let (url, bodies) = receiver(&[429]).await;
    let (receiver, _) = started(webhook(&url, true));
    receiver.push(Arc::new(notice(alert("p99", ""))), None);
    let tried = poll_until(LONG, async || (receiver.counts().failed == 1).then_some(()));
    tried.await.expect("it is tried");
    receiver.push(Arc::new(notice(alert("error_rate", ""))), Some(1));
    receiver.take_back_shared();
    let done = poll_until(LONG, async || (receiver.counts().delivered == 1).then_some(()));
    done.await.expect("the own one is delivered");
    assert_eq!((receiver.waiting(), receiver.settled()), (0, 0));
    assert!(bodies.lock().unwrap().iter().all(|body| body.contains("p99")));
}

#[tokio::test]
async fn a_notice_that_was_delivered_meanwhile_is_not_sent_again() {
    let (url, bodies) = receiver(&[]).await;
    let (receiver, _) = started(webhook(&url, true));
    receiver.push(Arc::new(notice(alert("p99", ""))), Some(3));
    receiver.push(Arc::new(notice(alert("p99", ""))), Some(3));
    receiver.push(Arc::new(notice(alert("error_rate", ""))), Some(4));
    let settled = poll_until(LONG, async || (receiver.settled() == 4).then_some(()));
    settled.await.expect("all are settled");
    assert_eq!((bodies.lock().unwrap().len(), receiver.counts().delivered, receiver.waiting()), (2, 2, 0));
}

#[tokio::test]
async fn a_process_whose_lease_is_over_sends_no_shared_notice() {
    let (url, bodies) = receiver(&[]).await;
    let ((over, _), (held, _)) = (started(webhook(&url, true)), started(webhook(&url, true)));
    over.lease_until(tokio::time::Instant::now());
    over.push(Arc::new(notice(alert("p99", ""))), Some(1));
    // During these deliveries, the other would have been delivered too.
    for number in 1..=3 {
        held.push(Arc::new(notice(alert("error_rate", ""))), Some(number));
        let settled = poll_until(LONG, async || (held.settled() == number).then_some(()));
        settled.await.expect("it is delivered");
    }
    assert!(bodies.lock().unwrap().iter().all(|body| body.contains("error_rate")));
    over.lease_until(tokio::time::Instant::now() + LONG * 10);
    let settled = poll_until(LONG, async || (over.settled() == 1).then_some(()));
    settled.await.expect("the lease was moved");
    assert!(bodies.lock().unwrap()[3].contains("p99"));
}

#[tokio::test]
async fn a_sender_that_comes_back_keeps_the_tries_of_what_waits() {
    let (url, _) = receiver(&[429, 429]).await;
    let (receiver, _) = started(webhook(&url, true));
    receiver.push(Arc::new(notice(alert("p99", ""))), Some(5));
    let tried = poll_until(LONG, async || (receiver.counts().failed == 1).then_some(()));
    tried.await.expect("it is tried");
    assert_eq!(receiver.catch_up(4), 5, "it waits already");
    assert_eq!(receiver.catch_up(9), 9, "another process has sent it");
    let gone = poll_until(LONG, async || (receiver.waiting() == 0).then_some(()));
    gone.await.expect("it is not tried again");
    assert_eq!((receiver.counts().failed, receiver.counts().delivered), (1, 0));
}

#[tokio::test]
async fn the_settings_choose_the_receivers() {
    let ways = |variables: &[(&str, &str)]| {
        let settings = check_with(variables).unwrap();
        let channels = channels(&settings.performance.alerts, || Mailer::new(&settings, "cafe")).unwrap();
        channels.iter().map(Channel::way).collect::<Vec<_>>()
    };
    assert_eq!(ways(&[]), Vec::<&str>::new());
    let all = [
        ("TIDEGATE_ALERTS_WEBHOOK", "https://alerts.example.com/hook"),
        ("TIDEGATE_ALERTS_SLACK_URL", "https://hooks.slack.com/services/T/B/x"),
        ("TIDEGATE_ALERTS_PAGERDUTY_KEY", "0123456789abcdef0123456789abcdef"),
        ("TIDEGATE_ALERTS_EMAIL", "ops@example.com"),
    ];
    assert_eq!(ways(&all), ["webhook", "slack", "pagerduty", "email"]);
}
