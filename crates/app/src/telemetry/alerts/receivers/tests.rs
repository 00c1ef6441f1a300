use tidegate_perfmon::{AlertRule, Alerts, Observation, Severity};
use tokio::net::TcpListener;

use super::*;

fn settings(url: &str, private_addresses: bool) -> AlertSettings {
    AlertSettings { webhook: Some(Hidden::new(url)), private_addresses, ..AlertSettings::default() }
}

fn step() -> Transition {
    let mut alerts = Alerts::new(vec![AlertRule::new("test", Severity::Critical)], 10).unwrap();
    let seen = [Observation::new("test", Some(true), 1.0, 0.5)];
    alerts.evaluate(Duration::ZERO, 0, &seen).pop().unwrap()
}

/// However the address is written, nothing is connected to: the listener would have accepted.
#[tokio::test]
async fn a_private_address_is_refused_however_it_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost"] {
        let webhook =
            Webhook::new(&settings(&format!("http://{host}:{port}/"), false), 1, &Registry::builder().build())
                .unwrap()
                .unwrap();
        assert_eq!(
            webhook.post(&step()).await,
            Err(Failure::NotPosted(webhook::Failure::Private("alerts.private_addresses"))),
            "{host}"
        );
    }
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accepted.is_err(), "somebody came");
}

#[tokio::test]
async fn failures_are_told_apart_and_never_name_the_url() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let webhook = Webhook::new(&settings(&format!("http://{address}/hunter2"), true), 1, &Registry::builder().build())
        .unwrap()
        .unwrap();
    let failure = webhook.post(&step()).await.unwrap_err();
    assert_eq!(failure, webhook::Failure::NoConnection.into());
    assert!(!failure.to_string().contains("hunter2"));
    let unknown = Webhook::new(&settings("http://nowhere.invalid/hunter2", false), 1, &Registry::builder().build())
        .unwrap()
        .unwrap();
    assert_eq!(unknown.post(&step()).await, Err(webhook::Failure::NoConnection.into()));
    let wrong = Webhook::new(&settings("no url hunter2", true), 1, &Registry::builder().build()).err().unwrap();
    assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
}
