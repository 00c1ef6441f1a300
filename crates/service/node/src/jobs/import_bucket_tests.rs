//! Tests of imports of uploads in a bucket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tidegate_domain::import::{Format, HeaderCheck};
use tidegate_domain::spool::{Received, Upload, UploadLimits};
use tidegate_queue::{JobId, JobState, MemoryBroker};
use tidegate_store::ImportFailure;
use tidegate_testkit::S3Server;

use super::import_tests::{begin, begin_with, csv};
use super::test_ground::Ground;
use super::{Pace, Ticket};

/// Slow enough for a test to act during the import.
const PACE: Pace = Pace { chunk: 500, pause: Duration::from_millis(20) };
/// More bytes than a reader requests at once.
const LINES: usize = 18_000;

async fn in_bucket() -> (S3Server, Ground, Arc<MemoryBroker>) {
    let s3 = S3Server::start().await;
    let ground = Ground::in_bucket(&s3).await;
    (s3, ground, Arc::new(MemoryBroker::new()))
}

#[tokio::test]
async fn an_import_reads_on_where_answers_are_cut_off() {
    let (s3, ground, broker) = in_bucket().await;
    s3.cut_off_after(Some(50_000));
    let job = begin(&ground, &broker, csv(LINES), Format::Csv, PACE).await.end(JobState::Done).await;
    assert!(s3.cuts() > 10, "{}", s3.cuts());
    assert_eq!((job.failures, job.deliveries), (0, 1), "{job:?}");
    assert_eq!(job.result.unwrap()["imported"], LINES);
    assert_eq!(ground.store.count_schedules(&ground.tenant).await.unwrap(), i64::try_from(LINES).unwrap());
    assert_eq!(s3.keys(), [""; 0], "the upload is gone when the import is done");
}

#[tokio::test]
async fn an_import_waits_for_a_bucket_that_is_busy_and_loses_no_attempt() {
    let (s3, ground, broker) = in_bucket().await;
    let received = ground.upload("job", csv(LINES)).await;
    s3.be_busy(true);
    let run = begin_with(&ground, &broker, received, Format::Csv, PACE).await;
    let waiting = run.when(|job| job.state == JobState::Delayed).await;
    assert_eq!(waiting.failures, 0, "{waiting:?}");
    s3.be_busy(false);
    let job = run.end(JobState::Done).await;
    assert_eq!((job.failures, job.result.unwrap()["imported"].as_u64()), (0, u64::try_from(LINES).ok()));
}

#[tokio::test]
async fn an_import_whose_upload_was_replaced_on_the_way_is_given_up() {
    let (s3, ground, broker) = in_bucket().await;
    let run = begin(&ground, &broker, csv(LINES), Format::Csv, PACE).await;
    run.when(|job| job.progress.is_some()).await;
    s3.replace(&s3.keys()[0], csv(LINES));
    let job = run.end(JobState::Dead).await;
    assert!(job.attempts[0].error.clone().unwrap().contains("was replaced"), "{job:?}");
    let failed = ground.store.failed_import("job", &ground.tenant).await.unwrap().unwrap();
    assert_eq!(failed.failure, ImportFailure::Unreadable);
    assert!(failed.imported > 0 && failed.imported < u64::try_from(LINES).unwrap(), "{failed:?}");
}

#[tokio::test]
async fn an_import_whose_upload_is_gone_from_the_bucket_is_given_up() {
    let (_s3, ground, broker) = in_bucket().await;
    let received = ground.upload("job", csv(1)).await;
    let upload = Upload::of(JobId::new("job").unwrap(), received.file.as_ref());
    ground.spool.remove(&upload).await.unwrap();
    begin_with(&ground, &broker, received, Format::Csv, PACE).await.end(JobState::Dead).await;
    let failed = ground.store.failed_import("job", &ground.tenant).await.unwrap().unwrap();
    assert_eq!(failed.failure, ImportFailure::UploadGone);
}

#[tokio::test]
async fn a_job_from_before_the_bucket_reads_from_the_directory() {
    let (_s3, ground, broker) = in_bucket().await;
    std::fs::write(ground.spool.path("job"), csv(3)).unwrap();
    let received = Received { bytes: csv(3).len() as u64, file: None };
    let job = begin_with(&ground, &broker, received, Format::Csv, PACE).await.end(JobState::Done).await;
    assert_eq!(job.result.unwrap()["imported"], 3);
    assert!(!ground.spool.path("job").exists());
}

#[tokio::test]
async fn a_worker_without_the_bucket_leaves_the_import_to_others() {
    let (s3, ground, broker) = in_bucket().await;
    let received = ground.upload("job", csv(3)).await;
    let other = Ground::new().await;
    let run = begin_with(&other, &broker, received, Format::Csv, PACE).await;
    let job = run.when(|job| job.failures > 0).await;
    assert!(job.attempts[0].error.clone().unwrap().contains("set TIDEGATE_FILES_URL"), "{job:?}");
    assert_ne!(job.state, JobState::Dead);
    assert_eq!(s3.keys().len(), 1);
}

/// No other request shares the file, whichever id it has.
#[tokio::test]
async fn a_refused_request_removes_its_own_file_also_when_it_was_repeated() {
    let (s3, ground, broker) = in_bucket().await;
    let take = async || {
        let id = JobId::new("ik-1").unwrap();
        let ticket = Ticket::take(&ground.store, &ground.spool, &*broker, &ground.tenant, 1, id).await;
        ticket.unwrap().repeatable()
    };
    let (first, second) = (take().await.keep(), take().await.keep());
    for ticket in [&first, &second] {
        let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from(csv(1)))]);
        let patience = Duration::from_secs(60);
        let limits = UploadLimits { bytes: 1 << 20, stall: patience, total: patience };
        ground.spool.receive(ticket.upload(), pieces, HeaderCheck::new(Format::Csv), limits).await.unwrap();
    }
    assert_eq!(s3.keys().len(), 2);
    second.give_back(&ground.store, &ground.spool).await;
    assert!(ground.spool.read(first.upload()).await.is_ok(), "the first one's is left alone");
    assert_eq!(s3.keys().len(), 1);
    first.give_back(&ground.store, &ground.spool).await;
    assert_eq!(s3.keys(), [""; 0]);
}
