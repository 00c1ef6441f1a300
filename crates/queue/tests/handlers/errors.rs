//! Errors of handlers, by class.

use super::*;

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("try again")]
    Again(#[source] std::io::Error),
    #[error("try in a minute")]
    Later,
    #[error("not now")]
    NotNow,
    #[error("no caller needs it")]
    Pointless,
    #[error("hopeless")]
    Hopeless,
}

impl JobError for Fault {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Again(_) => ErrorClass::Retry,
            Self::Later => ErrorClass::RetryAfter(Duration::from_secs(60)),
            Self::NotNow => ErrorClass::Snooze(Duration::from_secs(30)),
            Self::Pointless => ErrorClass::Discard,
            Self::Hopeless => ErrorClass::Bury,
        }
    }
}

#[tokio::test]
async fn errors_become_outcomes_by_their_class() {
    async fn fail(job: Step) -> Result<(), Fault> {
        Err(match job.0 {
            0 => Fault::Again(std::io::Error::other("disk on fire")),
            1 => Fault::Later,
            2 => Fault::NotNow,
            3 => Fault::Pointless,
            _ => Fault::Hopeless,
        })
    }
    let queue = served!(fail);
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(queue.enqueue(&Step(number)).await);
    }
    let start = queue.job(&ids[0]).created_at;
    let ran = queue.drain().await;
    let endings: Vec<_> = ran.iter().map(|ran| ran.ending).collect();
    use Ending::{Buried, Discarded, Retried, Snoozed};
    assert_eq!(endings, [Retried, Retried, Snoozed, Discarded, Buried]);

    let again = queue.assert_retried(&ids[0], 1);
    assert_eq!(again.run_at, start.after(Duration::from_secs(1)));
    assert_eq!(again.attempts[0].error.as_deref(), Some("try again: disk on fire"));
    assert_eq!(queue.assert_retried(&ids[1], 1).run_at, start.after(Duration::from_secs(60)));
    let snoozed = queue.assert_state(&ids[2], JobState::Delayed);
    assert_eq!((snoozed.failures, snoozed.note.as_deref()), (0, Some("not now")));
    assert_eq!(snoozed.run_at, start.after(Duration::from_secs(30)));
    assert_eq!(queue.assert_state(&ids[3], JobState::Cancelled).note.as_deref(), Some("no caller needs it"));
    queue.assert_dead(&ids[4], "hopeless");

    // An error's own delay does not add attempts.
    queue.drain_through(Duration::from_secs(120)).await;
    queue.assert_dead(&ids[1], "try in a minute");
}

#[tokio::test]
async fn errors_of_any_type_are_classed_where_they_occur() {
    fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
        text.parse()
    }
    async fn any(job: Step) -> Result<u32, Failure> {
        match job.0 {
            0 => Ok(parse("x")?),
            1 => Ok(parse("x").or_bury()?),
            2 => Ok(parse("x").or_snooze(Duration::from_secs(1))?),
            3 => Ok(parse("x").or_retry_after(Duration::from_secs(1))?),
            4 => Ok(parse("x").or_discard()?),
            number => Ok(number),
        }
    }
    let text = "invalid digit found in string";
    let second = Duration::from_secs(1);
    let queue = served!(any);
    let expected = [
        Outcome::retry(text),
        Outcome::bury(text),
        Outcome::Snooze { delay: second, note: Some(text.to_owned()) },
        Outcome::retry_after(second, text),
        Outcome::discard(text),
        Outcome::done(5),
    ];
    for (number, outcome) in (0..).zip(expected) {
        assert_eq!(queue.perform(&Step(number)).await, outcome);
    }
}

/// `?` on errors of other crates, none of which implements `JobError`.
#[tokio::test]
async fn errors_of_other_crates_are_retried() {
    async fn fail(job: Step) -> Result<(), Failure> {
        match job.0 {
            0 => Err(sqlx::Error::PoolTimedOut)?,
            1 => Err(anyhow::anyhow!("the server is down").context("can't load"))?,
            _ => drop(tidegate_testkit::http_client().build()?.get("no address").build()?),
        }
        Ok(())
    }
    let queue = served!(fail);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(queue.enqueue(&Step(number)).await);
    }
    queue.drain().await;
    let errors = ids.iter().map(|id| queue.assert_retried(id, 1).attempts[0].error.clone().unwrap());
    let errors: Vec<_> = errors.collect();
    assert_eq!(errors[0], sqlx::Error::PoolTimedOut.to_string());
    assert_eq!(errors[1], "can't load: the server is down");
    assert!(errors[2].starts_with("builder error"), "{}", errors[2]);
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Observer for Recorder {
    fn on(&self, event: &Event<'_>) {
        let name = match event {
            Event::Unknown { kind, .. } => format!("unknown {kind}"),
            Event::Finished { outcome, .. } => outcome.as_str().to_owned(),
            _ => return,
        };
        self.0.lock().unwrap().push(name);
    }
}

/// Regression test: a note used to mark a job of an unknown kind.
#[tokio::test]
async fn a_snooze_with_a_note_is_not_an_unknown_kind() {
    async fn snooze(_: Step) -> Result<(), Failure> {
        Err("busy").or_snooze(Duration::from_secs(1))
    }
    let recorder = Arc::new(Recorder::default());
    let queue = TestQueue::new(|broker| worker(broker).observer(recorder.clone()).handler(snooze));
    queue.enqueue(&Step(0)).await;
    queue.enqueue(&Other).await;
    queue.drain().await;
    assert_eq!(*recorder.0.lock().unwrap(), ["snoozed", "unknown other", "snoozed"]);
}
