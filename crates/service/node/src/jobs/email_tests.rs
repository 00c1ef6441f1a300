use std::sync::Arc;
use std::time::Duration;

use tidegate_queue::{
    Backoff, Broker, EnqueueOptions, JobId, JobRecord, JobState, MemoryBroker, Producer, QueueOptions, RetryPolicy,
    Worker,
};
use tidegate_settings::test_ground::check_with;
use tidegate_testkit::{SmtpServer, poll_until};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// A worker that sends mails until this is dropped.
struct Ground {
    broker: Arc<MemoryBroker>,
    _ends_with_this: DropGuard,
}

impl Ground {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mailer = Mailer::new(&check_with(variables).unwrap(), "cafe");
        let broker = Arc::new(MemoryBroker::new());
        let retry = RetryPolicy::new(4, Backoff::Fixed(Duration::from_millis(10))).unwrap();
        let worker = Worker::builder(Arc::clone(&broker) as _)
            .queue(SendEmail::QUEUE, QueueOptions::new().retry(retry))
            .handler::<SendEmail, _>(EmailHandler { mailer })
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(worker.run(shutdown.clone()));
        Self { broker, _ends_with_this: shutdown.drop_guard() }
    }

    async fn send(&self, id: &str, to: &[&str]) -> JobRecord {
        let job = SendEmail {
            tenant: "acme".parse().unwrap(),
            to: to.iter().map(ToString::to_string).collect(),
            subject: "Zoë's schedule".to_owned(),
            text: "Line one.\n.\nLine \u{1f30a} three.".to_owned(),
            html: Some("<p>Line one.</p>".to_owned()),
        };
        let id = JobId::new(id).unwrap();
        let producer = Producer::new(Arc::clone(&self.broker) as _);
        producer.enqueue_with(&job, EnqueueOptions::new().id(id.clone())).await.unwrap();
        let ended = async || {
            let job = self.broker.job(SendEmail::QUEUE, &id).await.unwrap().unwrap();
            matches!(job.state, JobState::Done | JobState::Dead).then_some(job)
        };
        poll_until(PATIENCE, ended).await.expect("it ends")
    }
}

#[tokio::test]
async fn a_mail_arrives_whole() {
    let server = SmtpServer::start().await;
    let ground = Ground::start(&[("TIDEGATE_EMAIL_URL", &server.url())]);
    let job = ground.send("mail-1", &["Zoë <zoe@example.org>", "bob@example.org"]).await;
    assert_eq!((job.state, job.failures), (JobState::Done, 0), "{job:?}");
    let [mail] = &server.received()[..] else { panic!("one mail: {:?}", server.received()) };
    assert_eq!(mail.from, "tidegate@localhost");
    assert_eq!(mail.to, ["zoe@example.org", "bob@example.org"]);
    let (head, body) = mail.text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Message-ID: <mail-1.cafe@localhost>"), "{head}");
    assert!(head.contains("multipart/alternative"), "{head}");
    // A line with only a dot did not end the mail.
    assert!(body.contains("<p>Line one.</p>") && body.contains("three."), "{body}");
}

#[tokio::test]
async fn a_4xx_is_tried_again_and_a_5xx_is_dead_at_once() {
    let server = SmtpServer::start().await;
    let ground = Ground::start(&[("TIDEGATE_EMAIL_URL", &server.url())]);
    let later = ground.send("later", &["later-2@example.org"]).await;
    assert_eq!((later.state, later.failures), (JobState::Done, 2), "{later:?}");
    let never = ground.send("never", &["ada@example.org", "never@example.org"]).await;
    assert_eq!((never.state, never.attempts.len()), (JobState::Dead, 1), "{never:?}");
    let error = never.attempts[0].error.clone().unwrap();
    assert!(error.contains("550") && !error.contains("never@"), "{error}");
    let bad = ground.send("bad", &["ada@example.org\r\nBcc: eve@example.org"]).await;
    assert_eq!((bad.state, bad.attempts.len()), (JobState::Dead, 1), "{bad:?}");
    // Either all recipients or none.
    let taken = server.received();
    assert_eq!(taken.iter().map(|mail| mail.to.join(",")).collect::<Vec<_>>(), ["later-2@example.org"]);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_one_that_is_away_is_tried_again() {
    let mut server = SmtpServer::start().await;
    let ground = Ground::start(&[("TIDEGATE_EMAIL_URL", &server.url()), ("TIDEGATE_EMAIL_LIMITS", "timeout=500ms")]);
    let began = Instant::now();
    let hung = ground.send("hung", &["hang@example.org"]).await;
    assert_eq!((hung.state, hung.attempts.len()), (JobState::Dead, 4), "{hung:?}");
    assert!(hung.attempts.iter().all(|attempt| attempt.error.as_ref().unwrap().contains("within 0.5 s")), "{hung:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Also if it hangs before its greeting.
    server.hang().await;
    let silent = ground.send("silent", &["ada@example.org"]).await;
    assert!(silent.attempts[0].error.as_ref().unwrap().contains("within 0.5 s"), "{silent:?}");
    server.kill9();
    let away = ground.send("away", &["ada@example.org"]).await;
    assert_eq!((away.state, away.attempts.len()), (JobState::Dead, 4), "{away:?}");
    assert!(away.attempts[0].error.as_ref().unwrap().contains("no connection"), "{away:?}");
}

#[tokio::test]
async fn no_plain_text_is_sent_where_tls_is_required() {
    let server = SmtpServer::start().await;
    for url in [
        format!("smtp://127.0.0.1:{}?tls=required", server.port()),
        format!("smtp://user:hunter2@127.0.0.1:{}", server.port()),
    ] {
        let ground = Ground::start(&[("TIDEGATE_EMAIL_URL", &url)]);
        let job = ground.send("clear", &["ada@example.org"]).await;
        // A fault of the settings, which may be corrected between attempts.
        assert_eq!((job.state, job.attempts.len()), (JobState::Dead, 4), "{job:?}");
        let error = job.attempts[0].error.clone().unwrap();
        assert!(error.contains("STARTTLS") && !error.contains("hunter2"), "{error}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn without_a_server_a_mail_becomes_one_private_file() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    for _ in 0..2 {
        let ground = Ground::start(&[("TIDEGATE_DATA_DIR", path)]);
        let job = ground.send("..:~", &["ada@example.org"]).await;
        assert_eq!(job.state, JobState::Done, "{job:?}");
    }
    let files: Vec<_> = std::fs::read_dir(directory.path().join("outbox")).unwrap().map(Result::unwrap).collect();
    let [file] = &files[..] else { panic!("one file: {files:?}") };
    assert_eq!(file.path().extension().unwrap(), "eml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(file.path()).unwrap().contains("To: ada@example.org"));
}
