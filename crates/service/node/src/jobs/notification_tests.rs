use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_base::clock;
use tidegate_queue::{Backoff, Broker, JobRecord, JobState, MemoryBroker, QueueOptions, RetryPolicy, Worker};
use tidegate_settings::Hidden;
use tidegate_store::Webhook;
use tidegate_testkit::poll_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::jobs::test_ground::Ground as Tables;

const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "whsec_0123456789abcdef";

/// A receiver whose behaviour depends on the path. It records the requests.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen_by = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen_by);
                tokio::spawn(async move {
                    let request = read(&mut stream).await;
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    let tries = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request);
                        seen.iter().filter(|request| request.contains(&path)).count()
                    };
                    let answer: &[u8] = match path.as_str() {
                        "/good" => b"HTTP/1.1 204 No Content\r\n\r\n",
                        "/later" if tries < 3 => b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
                        "/later" => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                        "/gone" => b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
                        "/never" => b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n",
                        "/broken" => b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n",
                        "/elsewhere" => b"HTTP/1.1 307 There\r\nlocation: /good\r\ncontent-length: 0\r\n\r\n",
                        "/endless" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                        "/endless-head" => b"HTTP/1.1 200 OK\r\n",
                        _ => std::future::pending().await,
                    };
                    let _ = stream.write_all(answer).await;
                    while path == "/endless" && stream.write_all(b"1\r\nx\r\n").await.is_ok() {}
                    while path == "/endless-head" && stream.write_all(b"x: y\r\n").await.is_ok() {}
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, seen }
    }

    fn seen(&self, path: &str) -> Vec<String> {
        let path = format!("POST {path} ");
        self.seen.lock().unwrap().iter().filter(|request| request.starts_with(&path)).cloned().collect()
    }
}

/// Reads head and body.
async fn read(stream: &mut tokio::net::TcpStream) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..count]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = header(head, "content-length").parse().unwrap_or(0);
            if body.len() >= length {
                return so_far;
            }
        }
        if count == 0 {
            return so_far;
        }
    }
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = |line: &'a str| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name));
    request.lines().find_map(line).map(|(_, value)| value).unwrap_or_default()
}

/// A worker of the queue, until this is dropped.
struct Ground {
    tables: Tables,
    broker: Arc<MemoryBroker>,
    permits: PermitPool,
    _ends_with_this: DropGuard,
}

impl Ground {
    async fn start(closed_by: Option<&'static str>) -> Self {
        let tables = Tables::new().await;
        let broker = Arc::new(MemoryBroker::new());
        let producer = Producer::new(Arc::clone(&broker) as _);
        let notifier = Notifier { store: tables.store.clone(), producer };
        let sender = Sender::new(Duration::from_millis(300), closed_by).unwrap();
        let (breakers, permits) = (breakers(), PermitPool::new(usize::MAX, 2));
        let deliver = DeliverHandler { store: tables.store.clone(), sender, breakers, permits: permits.clone() };
        let retry = RetryPolicy::new(4, Backoff::Fixed(Duration::from_millis(10))).unwrap();
        let worker = Worker::builder(Arc::clone(&broker) as _)
            .queue(SendNotification::QUEUE, QueueOptions::new().retry(retry.clone()))
            .handler::<SendNotification, _>(SendHandler { notifier })
            .queue(DeliverNotification::QUEUE, QueueOptions::new().retry(retry))
            .handler::<DeliverNotification, _>(deliver)
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(worker.run(shutdown.clone()));
        Self { tables, broker, permits, _ends_with_this: shutdown.drop_guard() }
    }

    async fn webhook(&self, url: &str, kinds: &[&str]) -> Uuid {
        let webhook = Webhook {
            id: Uuid::now_v7(),
            url: Hidden::new(url),
            secret: Hidden::new(KEY),
            kinds: kinds.iter().map(ToString::to_string).collect(),
            created_at: clock::now(),
            disabled_at: None,
        };
        assert!(self.tables.store.create_webhook(&self.tables.tenant, &webhook, 100).await.unwrap());
        webhook.id
    }

    async fn send(&self, id: &str, kind: &str) -> JobRecord {
        let tenant = self.tables.tenant.clone();
        let job =
            SendNotification { tenant, user: Some("ada".to_owned()), kind: kind.to_owned(), body: json!({"a": 1}) };
        let id = JobId::new(id).unwrap();
        let producer = Producer::new(Arc::clone(&self.broker) as _);
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        producer.enqueue_with(&job, EnqueueOptions::new().id(id.clone()).trace_parent(trace)).await.unwrap();
        self.end(&id).await
    }

    async fn end(&self, id: &JobId) -> JobRecord {
        let ended = async || {
            let mut job = self.broker.job(SendNotification::QUEUE, id).await.unwrap();
            if job.is_none() {
                job = self.broker.job(DeliverNotification::QUEUE, id).await.unwrap();
            }
            job.filter(|job| job.state.is_finished())
        };
        poll_until(PATIENCE, ended).await.expect("it ends")
    }

    fn delivery(&self, webhook: Uuid, seq: u64) -> JobId {
        JobId::new(format!("{}.{seq}.{}", webhook.simple(), self.tables.tenant.as_str())).unwrap()
    }

    /// Delivers a notification to a webhook with that URL, and returns the ended job.
    async fn delivered(&self, url: &str, number: u64) -> JobRecord {
        let kind = format!("kind-{number}");
        let webhook = self.webhook(url, &[&kind]).await;
        let sent = self.send(&format!("job-{number}"), &kind).await;
        assert_eq!(sent.result.unwrap(), json!({"seq": number, "webhooks": 1}));
        self.end(&self.delivery(webhook, number)).await
    }
}

fn error(job: &JobRecord) -> String {
    job.attempts.last().and_then(|attempt| attempt.error.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_notice_is_posted_signed_to_each_webhook_that_wants_it() {
    let receiver = Receiver::start().await;
    let ground = Ground::start(None).await;
    let url = format!("http://{}/good", receiver.address);
    let all = ground.webhook(&url, &[]).await;
    let some = ground.webhook(&url, &["reminder"]).await;
    ground.webhook(&url, &["other"]).await;
    let sent = ground.send("job-1", "reminder").await;
    assert_eq!(sent.result.unwrap(), json!({"seq": 1, "webhooks": 2}));
    for webhook in [all, some] {
        assert_eq!(ground.end(&ground.delivery(webhook, 1)).await.state, JobState::Done);
    }
    let seen = receiver.seen("/good");
    assert_eq!(seen.len(), 2);
    for request in &seen {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let posted: Value = serde_json::from_str(body).unwrap();
        assert_eq!(posted["event"], header(head, "x-tidegate-event"));
        assert_eq!((&posted["seq"], &posted["kind"], &posted["user"]), (&json!(1), &json!("reminder"), &json!("ada")));
        assert_eq!((&posted["tenant"], &posted["body"]), (&json!(ground.tables.tenant.as_str()), &json!({"a": 1})));
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::Mac>::new_from_slice(KEY.as_bytes()).unwrap();
        hmac::Mac::update(&mut mac, format!("{}.{body}", header(head, "x-tidegate-timestamp")).as_bytes());
        let digits: String = hmac::Mac::finalize(mac).into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(header(head, "x-tidegate-signature"), format!("sha256={digits}"));
        assert!(header(head, "traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{head}");
    }

    // A second notification of the same source has no effect.
    let told = NewNotification {
        tenant: &ground.tables.tenant,
        source: "job-1",
        user: None,
        kind: "reminder",
        body: "\"other\"",
    };
    assert_eq!(ground.tables.store.publish(&told).await.unwrap().body, r#"{"a":1}"#);
}

#[tokio::test]
async fn each_answer_has_its_class() {
    let receiver = Receiver::start().await;
    let ground = Ground::start(None).await;
    let url = |path: &str| format!("http://{}{path}", receiver.address);

    let later = ground.delivered(&url("/later"), 1).await;
    assert_eq!((later.state, later.failures), (JobState::Done, 2), "{later:?}");
    let events: Vec<_> =
        receiver.seen("/later").iter().map(|request| header(request, "x-tidegate-event").to_owned()).collect();
    assert!(events.len() == 3 && events.iter().all(|event| *event == later.id.as_str()), "{events:?}");

    let gone = ground.delivered(&url("/gone"), 2).await;
    assert_eq!((gone.state, gone.failures), (JobState::Cancelled, 0), "{gone:?}");
    let webhooks = ground.tables.store.webhooks(&ground.tables.tenant).await.unwrap();
    assert!(webhooks[1].disabled_at.is_some() && webhooks[0].disabled_at.is_none());
    assert_eq!(ground.send("again", "kind-2").await.result.unwrap()["webhooks"], 0);

    let never = ground.delivered(&url("/never"), 4).await;
    assert_eq!(
        (never.state, never.attempts.len(), error(&never).as_str()),
        (JobState::Dead, 1, "the receiver answered 403")
    );
    let elsewhere = ground.delivered(&url("/elsewhere"), 5).await;
    assert_eq!((elsewhere.state, elsewhere.attempts.len()), (JobState::Dead, 1));
    assert!(error(&elsewhere).contains("redirects are not followed"), "{elsewhere:?}");
    assert!(receiver.seen("/good").is_empty());
    let endless = ground.delivered(&url("/endless"), 6).await;
    assert_eq!((endless.state, endless.failures), (JobState::Done, 0), "{endless:?}");
}

#[tokio::test]
async fn a_receiver_that_hangs_or_never_ends_its_head_is_given_up() {
    let receiver = Receiver::start().await;
    for path in ["/hang", "/endless-head"] {
        // Each with new breakers.
        let ground = Ground::start(None).await;
        let job = ground.delivered(&format!("http://{}{path}", receiver.address), 1).await;
        assert_eq!((job.state, job.attempts.len()), (JobState::Dead, 4), "{job:?}");
        let error = error(&job);
        assert!(!error.is_empty() && !error.contains("127.0.0.1") && !error.contains(path), "{error}");
    }
}

#[tokio::test]
async fn a_private_address_is_refused_whatever_leads_there() {
    let receiver = Receiver::start().await;
    let ground = Ground::start(Some("webhooks: private_addresses")).await;
    let port = receiver.address.port();
    let hosts =
        ["127.0.0.1", "127.1", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"];
    for (number, host) in (1..).zip(hosts) {
        let job = ground.delivered(&format!("http://{host}:{port}/good"), number).await;
        assert_eq!((job.state, job.attempts.len()), (JobState::Dead, 1), "{host}: {job:?}");
        assert!(error(&job).contains("the address is private, and webhooks: private_addresses is off"), "{job:?}");
    }
    assert!(receiver.seen.lock().unwrap().is_empty(), "a request arrived");
}

#[tokio::test]
async fn a_receiver_that_fails_again_and_again_is_left_in_peace_at_no_cost_to_the_job() {
    let receiver = Receiver::start().await;
    let ground = Ground::start(None).await;
    let url = format!("http://{}/broken", receiver.address);
    let first = ground.delivered(&url, 1).await;
    assert_eq!((first.state, first.attempts.len()), (JobState::Dead, 4), "{first:?}");
    // The fifth failure opens the breaker. Later posts wait, and have failed at most once.
    let webhook = ground.webhook(&url, &["kind-2"]).await;
    ground.send("job-2", "kind-2").await;
    let id = ground.delivery(webhook, 2);
    let put_off = async || {
        let job = ground.broker.job(DeliverNotification::QUEUE, &id).await.unwrap().unwrap();
        (job.deliveries >= 2 && job.state == JobState::Delayed).then_some(job)
    };
    let job = poll_until(PATIENCE, put_off).await.expect("it waits");
    assert_eq!(job.failures, 1, "{job:?}");
    assert_eq!(receiver.seen("/broken").len(), 5);
}

#[tokio::test]
async fn an_invalid_notification_is_dead_at_once() {
    let ground = Ground::start(None).await;
    for kind in ["", "A", "a b", &"x".repeat(65)] {
        let job = ground.send(&format!("job-{}", kind.len()), kind).await;
        assert_eq!((job.state, job.attempts.len()), (JobState::Dead, 1), "{kind}");
    }
}

#[tokio::test]
async fn a_tenant_with_its_share_of_posts_in_progress_waits_and_delays_no_other() {
    let receiver = Receiver::start().await;
    let ground = Ground::start(None).await;
    let webhook = ground.webhook(&format!("http://{}/good", receiver.address), &["kind"]).await;
    let tenant = ground.tables.tenant.as_str();
    let under_way = (ground.permits.take(tenant).unwrap(), ground.permits.take(tenant).unwrap());
    assert_eq!(ground.send("job", "kind").await.state, JobState::Done, "it is told");
    let id = ground.delivery(webhook, 1);
    let put_off = async || {
        let job = ground.broker.job(DeliverNotification::QUEUE, &id).await.unwrap().unwrap();
        (job.state == JobState::Delayed).then_some(job)
    };
    let job = poll_until(PATIENCE, put_off).await.expect("it waits");
    assert_eq!(job.failures, 0, "{job:?}");
    assert!(receiver.seen("/good").is_empty());
    drop(under_way);
    assert_eq!(ground.end(&id).await.state, JobState::Done);
}
