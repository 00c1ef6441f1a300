use std::sync::Arc;
use std::time::Duration;

use tidegate_base::LogThrottle;
use tidegate_domain::import::{Format, Position, Rows};
use tidegate_domain::spool::Received;
use tidegate_queue::{
    Broker, EnqueueOptions, Job, JobId, JobRecord, JobState, MemoryBroker, Producer, QueueOptions, Worker,
};
use tidegate_store::{Advanced, ImportFailure};
use tokio_util::sync::CancellationToken;

use super::test_ground::Ground;
use super::{ImportHandler, ImportSchedules, NotAdmitted, Pace, Ticket};

const LINES: usize = 60;
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn csv(lines: usize) -> String {
    let row = |line| format!("schedule {line},2030-01-01T09:00:00Z,2030-01-01T10:00:00Z,,\n");
    let rows: String = (0..lines).map(row).collect();
    format!("title,starts_at,ends_at,recurrence,attendees\n{rows}")
}

/// Uploads a file, enqueues its import, and runs a worker until the returned value is dropped.
pub(super) async fn begin(
    ground: &Ground,
    broker: &Arc<MemoryBroker>,
    file: String,
    format: Format,
    pace: Pace,
) -> Run {
    let received = ground.upload("job", file).await;
    begin_with(ground, broker, received, format, pace).await
}

/// Like [`begin`], for an earlier upload.
pub(super) async fn begin_with(
    ground: &Ground,
    broker: &Arc<MemoryBroker>,
    Received { bytes, file }: Received,
    format: Format,
    pace: Pace,
) -> Run {
    let id = JobId::new("job").unwrap();
    let job = ImportSchedules { tenant: ground.tenant.clone(), format, bytes, file };
    Producer::new(Arc::clone(broker) as _).enqueue_with(&job, EnqueueOptions::new().id(id.clone())).await.unwrap();
    let handler = ImportHandler {
        store: ground.store.clone(),
        spool: ground.spool.clone(),
        pace,
        max_rejects: 3,
        waits: Arc::new(LogThrottle::new(Duration::ZERO)),
    };
    let worker = Worker::builder(Arc::clone(broker) as _)
        .queue(ImportSchedules::QUEUE, QueueOptions::new())
        .handler::<ImportSchedules, _>(handler)
        .build()
        .unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(worker.run(shutdown.clone()));
    Run { id, broker: Arc::clone(broker), _ends_with_this: shutdown.drop_guard() }
}

pub(super) struct Run {
    pub(super) id: JobId,
    broker: Arc<MemoryBroker>,
    _ends_with_this: tokio_util::sync::DropGuard,
}

impl Run {
    /// Waits until the job is in that state.
    pub(super) async fn end(&self, state: JobState) -> JobRecord {
        self.when(|job| job.state == state).await
    }

    /// Waits until the job satisfies the condition.
    pub(super) async fn when(&self, is_so: impl Fn(&JobRecord) -> bool) -> JobRecord {
        let becomes_so = async {
            loop {
                let job = self.broker.job(ImportSchedules::QUEUE, &self.id).await.unwrap().unwrap();
                if is_so(&job) {
                    return job;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, becomes_so).await.expect("it becomes so")
    }
}

#[tokio::test]
async fn the_rightful_holder_goes_on_behind_a_late_step_of_another() {
    let ground = Ground::new().await;
    let broker = Arc::new(MemoryBroker::new());
    let pace = Pace { chunk: 1, pause: Duration::from_millis(20) };
    let run = begin(&ground, &broker, csv(LINES), Format::Csv, pace).await;

    // A worker that lost its lease without knowing it: it takes one step between two steps of the
    // holder.
    let late = async {
        loop {
            let from = ground.store.open_import("job", &ground.tenant, Position::START).await.unwrap();
            assert!(!from.is_finished, "the late step came too late");
            let file = std::fs::File::open(ground.spool.path("job")).unwrap();
            let chunk = Rows::open(file, Format::Csv, from.next).unwrap().next_chunk(1).unwrap();
            if let Advanced::To(_) = ground.store.advance_import("job", &ground.tenant, from, &chunk).await.unwrap() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, late).await.expect("one of the steps is taken");

    let job = run.end(JobState::Done).await;
    assert_eq!((job.failures, job.deliveries), (0, 1), "{job:?}");
    assert_eq!(job.result.unwrap()["imported"], LINES);
    assert_eq!(ground.store.count_schedules(&ground.tenant).await.unwrap(), i64::try_from(LINES).unwrap());
}

#[tokio::test]
async fn an_import_of_too_many_bad_lines_is_stopped_and_its_upload_removed() {
    let ground = Ground::new().await;
    let broker = Arc::new(MemoryBroker::new());
    let pace = Pace { chunk: 2, pause: Duration::ZERO };
    let run = begin(&ground, &broker, "x\n".repeat(1000), Format::Ndjson, pace).await;

    let job = run.end(JobState::Dead).await;
    let error = job.attempts[0].error.clone().unwrap();
    assert!(error.contains("4 lines are bad, more than the 3"), "{error}");
    assert_eq!(job.progress.unwrap().message, "0 imported, 4 rejected");
    let failed = ground.store.failed_import("job", &ground.tenant).await.unwrap().unwrap();
    assert_eq!((failed.failure, failed.rejected), (ImportFailure::TooManyRejects, 4));
    assert!(!ground.spool.path("job").exists());
    assert!(ground.store.pending_imports(&ground.tenant).await.unwrap().is_empty());

    broker.retry(ImportSchedules::QUEUE, &run.id).await.unwrap();
    let again = run.end(JobState::Dead).await;
    assert!(again.attempts.last().unwrap().error.clone().unwrap().contains("more than the 3"), "{again:?}");
}

#[tokio::test]
async fn an_import_that_ends_in_blank_lines_reaches_100_percent() {
    let row = r#"{"title":"Stand-up","starts_at":"2030-01-07T09:00:00Z","ends_at":"2030-01-07T09:15:00Z"}"#;
    let files = [(format!("{}\n\n\n", csv(1)), Format::Csv), (format!("{row}\n\n\r\n"), Format::Ndjson)];
    for (file, format) in files {
        let ground = Ground::new().await;
        let broker = Arc::new(MemoryBroker::new());
        let pace = Pace { chunk: 500, pause: Duration::ZERO };
        let run = begin(&ground, &broker, file, format, pace).await;
        let job = run.end(JobState::Done).await;
        assert_eq!(job.progress.unwrap().percent, 100, "{format:?}");
        assert_eq!(job.result.unwrap()["imported"], 1, "{format:?}");
    }
}

#[tokio::test]
async fn a_file_with_just_as_many_bad_lines_as_allowed_is_imported() {
    let ground = Ground::new().await;
    let broker = Arc::new(MemoryBroker::new());
    let pace = Pace { chunk: 500, pause: Duration::ZERO };
    let run = begin(&ground, &broker, "x\n".repeat(3), Format::Ndjson, pace).await;
    assert_eq!(run.end(JobState::Done).await.result.unwrap()["rejected"], 3);
}

#[tokio::test]
async fn a_place_comes_back_when_its_job_was_cancelled_or_its_ticket_given_back() {
    let ground = Ground::new().await;
    let broker = Arc::new(MemoryBroker::new());
    let take =
        async || Ticket::take(&ground.store, &ground.spool, &*broker, &ground.tenant, 1, JobId::generate()).await;
    let ticket = take().await.unwrap().keep();
    assert!(matches!(take().await, Err(NotAdmitted::TooMany { most: 1 })));

    let job = ImportSchedules { tenant: ground.tenant.clone(), format: Format::Csv, bytes: 0, file: None };
    let options = EnqueueOptions::new().id(ticket.id().clone());
    Producer::new(Arc::clone(&broker) as _).enqueue_with(&job, options).await.unwrap();
    assert!(matches!(take().await, Err(NotAdmitted::TooMany { most: 1 })), "it waits");
    broker.cancel(ImportSchedules::QUEUE, ticket.id()).await.unwrap();
    let next = take().await.unwrap();

    ground.upload(next.id().as_str(), csv(1)).await;
    let id = next.id().clone();
    next.give_back(&ground.store, &ground.spool).await;
    assert!(!ground.spool.path(id.as_str()).exists());
    take().await.unwrap();
}

/// The upload may belong to the earlier request, whose job reads it.
#[tokio::test]
async fn a_repeated_request_has_the_same_place_and_never_removes_the_upload() {
    let ground = Ground::new().await;
    let broker = Arc::new(MemoryBroker::new());
    let id = JobId::new("ik-1").unwrap();
    let take = async |id: &JobId| {
        Ticket::take(&ground.store, &ground.spool, &*broker, &ground.tenant, 1, id.clone())
            .await
            .map(Ticket::repeatable)
    };
    let first = take(&id).await.unwrap().keep();
    ground.upload(first.id().as_str(), csv(1)).await;
    let again = take(&id).await.unwrap().keep();
    assert!(matches!(take(&JobId::generate()).await, Err(NotAdmitted::TooMany { most: 1 })));
    again.give_back(&ground.store, &ground.spool).await;
    assert!(ground.spool.path(id.as_str()).exists());
    assert!(matches!(take(&JobId::generate()).await, Err(NotAdmitted::TooMany { most: 1 })), "the first keeps it");
    first.give_back(&ground.store, &ground.spool).await;
    assert!(ground.spool.path(id.as_str()).exists());
    take(&JobId::generate()).await.unwrap();
}
