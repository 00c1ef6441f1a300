use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::TryStreamExt;
use tidegate_base::clock;
use tidegate_domain::files::{FileAt, FileId, FileKind, Files, FilesSweep};
use tidegate_domain::import::Format;
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};
use tidegate_queue::{Broker, Job, JobId, JobRecord, JobState, MemoryBroker, Producer, QueueOptions, Worker};
use tidegate_settings::FilesPlace;
use tidegate_store::RunFiles;
use tokio_util::sync::CancellationToken;

use super::test_ground::Ground;
use super::{ExportHandler, ExportSchedules, FilePlace, FileRuns, FilesNotAdmitted};

const PATIENCE: Duration = Duration::from_secs(60);

struct Export {
    ground: Ground,
    broker: Arc<MemoryBroker>,
    files: Files,
    directory: tempfile::TempDir,
}

impl Export {
    async fn of(schedules: usize) -> Self {
        let ground = Ground::new().await;
        for number in 0..schedules {
            let raw = RawSchedule {
                title: format!("schedule {number}"),
                starts_at: "2030-01-01T09:00:00Z".to_owned(),
                ends_at: "2030-01-01T10:00:00Z".to_owned(),
                ..RawSchedule::default()
            };
            ground.store.create_schedule(&ground.tenant, &ScheduleDraft::try_new(&raw).unwrap()).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let files = Files::open(&FilesPlace::Directory, directory.path()).unwrap();
        Self { ground, broker: Arc::new(MemoryBroker::new()), files, directory }
    }

    async fn ask(&self, most: u32) -> Result<JobId, FilesNotAdmitted> {
        let producer = Producer::new(Arc::clone(&self.broker) as _);
        let place = FilePlace { store: &self.ground.store, broker: &*self.broker, producer: &producer, most };
        let job = ExportSchedules { tenant: self.ground.tenant.clone(), format: Format::Ndjson };
        let id = JobId::generate();
        place.begin(&job, &id, None).await.map(|()| id)
    }

    fn work(&self) -> tokio_util::sync::DropGuard {
        let handler = ExportHandler(FileRuns {
            store: self.ground.store.clone(),
            files: self.files.clone(),
            keep: Duration::from_secs(3600),
        });
        let worker = Worker::builder(Arc::clone(&self.broker) as _)
            .queue(ExportSchedules::QUEUE, QueueOptions::new())
            .handler::<ExportSchedules, _>(handler)
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(worker.run(shutdown.clone()));
        shutdown.drop_guard()
    }

    async fn end(&self, id: &JobId, state: JobState) -> JobRecord {
        let ended = async {
            loop {
                let job = self.broker.job(ExportSchedules::QUEUE, id).await.unwrap().unwrap();
                if job.state == state {
                    return job;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends so")
    }

    async fn listed(&self) -> Vec<FileAt> {
        self.files.list(FileKind::Export).map_ok(|stored| stored.at).try_collect().await.unwrap()
    }
}

#[tokio::test]
async fn an_export_holds_every_schedule_and_is_done_once_however_often_it_runs() {
    let export = Export::of(450).await;
    let id = export.ask(1).await.unwrap();
    let _worker = export.work();
    let job = export.end(&id, JobState::Done).await;
    assert_eq!(job.progress.unwrap().message, "450 of 450 written");
    let result = job.result.unwrap();
    let file: FileId = result["file"]["id"].as_str().unwrap().parse().unwrap();
    let row = export.ground.store.file(&export.ground.tenant, file).await.unwrap().unwrap();
    let (bytes, pieces) = export.files.read(&row.at).await.unwrap();
    assert_eq!((bytes, result["file"]["bytes"].as_u64()), (row.content.bytes, Some(row.content.bytes)));
    let text = String::from_utf8(pieces.try_collect::<Vec<_>>().await.unwrap().concat()).unwrap();
    let mut titles: Vec<_> = text.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), 450);

    // As when a run that was lost after its last step is repeated.
    let again = export.ground.store.open_run(id.as_str(), &export.ground.tenant, FileKind::Export).await.unwrap();
    assert_eq!(again, Some(RunFiles::one(file)));
    assert_eq!(export.listed().await, [row.at]);
}

#[tokio::test]
async fn places_run_out_and_come_back() {
    let export = Export::of(1).await;
    let first = export.ask(1).await.unwrap();
    assert!(matches!(export.ask(1).await, Err(FilesNotAdmitted::TooMany { most: 1, .. })));
    export.broker.cancel(ExportSchedules::QUEUE, &first).await.unwrap();
    let second = export.ask(1).await.expect("a cancelled one has no place");
    let _worker = export.work();
    export.end(&second, JobState::Done).await;
    export.ask(1).await.expect("one that is done has none");
}

#[tokio::test]
async fn an_export_without_usable_storage_has_bounded_retries_and_shows_no_path() {
    let export = Export::of(1).await;
    let id = export.ask(1).await.unwrap();
    // No account, not even root, can create a directory there.
    let in_the_way = export.directory.path().join("files/export");
    std::fs::write(&in_the_way, "").unwrap();
    let _worker = export.work();
    let job = export.end(&id, JobState::Delayed).await;
    assert_eq!(job.failures, 1, "each run writes all of it again, and so counts: {job:?}");
    let told = format!("{job:?}");
    assert!(!told.contains(&*export.directory.path().to_string_lossy()), "{told}");

    std::fs::remove_file(in_the_way).unwrap();
    export.broker.retry(ExportSchedules::QUEUE, &id).await.unwrap();
    export.end(&id, JobState::Done).await;
    assert_eq!(export.listed().await.len(), 1);
}

#[tokio::test]
async fn the_sweep_deletes_expired_and_orphaned_files_only() {
    let export = Export::of(1).await;
    let id = export.ask(1).await.unwrap();
    let worker = export.work();
    export.end(&id, JobState::Done).await;
    drop(worker);
    let [kept] = &export.listed().await[..] else { panic!("one file") };
    let orphan = FileAt::of_tenant(FileKind::Export, export.ground.tenant.clone());
    let backup = FileAt::of_operations(FileKind::Backup);
    for at in [&orphan, &backup] {
        export.files.create(at.clone()).await.unwrap().finish().await.unwrap();
    }
    // A run whose job was never enqueued.
    export.ground.store.reserve_run("lost", &export.ground.tenant, FileKind::Export, 1).await.unwrap();
    let (files, store) = (export.files.clone(), export.ground.store.clone());
    let sweep = FilesSweep { files, store, broker: Arc::clone(&export.broker) as _ };

    sweep.orphans(Duration::from_secs(3600)).await.unwrap();
    sweep.runs(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(export.listed().await.len(), 2, "it may only be about to be entered");
    assert_eq!(export.ground.store.pending_runs(&export.ground.tenant, FileKind::Export).await.unwrap().len(), 1);

    // Times in the tables are whole milliseconds.
    let later = || clock::now() - TimeDelta::milliseconds(1);
    while export.ground.store.old_runs(later(), None, 10).await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    sweep.orphans(Duration::ZERO).await.unwrap();
    sweep.expired().await.unwrap();
    sweep.runs(Duration::ZERO).await.unwrap();
    assert_eq!(export.listed().await, std::slice::from_ref(kept));
    assert!(export.files.read(&backup).await.is_ok(), "a backup has no row");
    assert!(export.ground.store.pending_runs(&export.ground.tenant, FileKind::Export).await.unwrap().is_empty());
    assert!(export.ground.store.file(&export.ground.tenant, kept.id).await.unwrap().is_some());
}
