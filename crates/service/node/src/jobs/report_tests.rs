use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::TryStreamExt;
use tidegate_base::clock;
use tidegate_domain::files::{FileAt, FileKind, Files, FilesSweep};
use tidegate_domain::report::{ReportKind, Span};
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};
use tidegate_queue::{
    Broker, Context, Handler, Job, JobId, JobRecord, JobState, MemoryBroker, Outcome, Producer, QueueOptions, Worker,
};
use tidegate_settings::FilesPlace;
use tidegate_store::{RunFiles, StoredFile};
use tokio_util::sync::CancellationToken;

use super::test_ground::Ground;
use super::{FilePlace, FileRuns, FilesNotAdmitted, MakeReport, ReportHandler};

const PATIENCE: Duration = Duration::from_secs(60);

struct Reports {
    ground: Ground,
    broker: Arc<MemoryBroker>,
    files: Files,
    directory: tempfile::TempDir,
}

impl Reports {
    /// Makes this number of schedules of a quarter of an hour, one in each hour from the start of
    /// 2030.
    async fn over(schedules: i64) -> Self {
        let ground = Ground::new().await;
        let first = chrono::DateTime::parse_from_rfc3339("2030-01-01T00:00:00Z").unwrap();
        for number in 0..schedules {
            let start = first + TimeDelta::hours(number);
            let raw = RawSchedule {
                title: "<script>alert(1)</script>".to_owned(),
                starts_at: start.to_rfc3339(),
                ends_at: (start + TimeDelta::minutes(15)).to_rfc3339(),
                attendees: vec!["=cmd()".to_owned()],
                ..RawSchedule::default()
            };
            ground.store.create_schedule(&ground.tenant, &ScheduleDraft::try_new(&raw).unwrap()).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let files = Files::open(&FilesPlace::Directory, directory.path()).unwrap();
        Self { ground, broker: Arc::new(MemoryBroker::new()), files, directory }
    }

    fn job(&self, kind: ReportKind, from: &str, to: &str) -> MakeReport {
        MakeReport::of(self.ground.tenant.clone(), kind, &Span::read(kind, from, to).unwrap())
    }

    async fn ask(&self, job: &MakeReport) -> Result<JobId, FilesNotAdmitted> {
        let producer = Producer::new(Arc::clone(&self.broker) as _);
        let place = FilePlace { store: &self.ground.store, broker: &*self.broker, producer: &producer, most: 1 };
        let id = JobId::generate();
        place.begin(job, &id, None).await.map(|()| id)
    }

    fn runs(&self) -> FileRuns {
        let (store, files) = (self.ground.store.clone(), self.files.clone());
        FileRuns { store, files, keep: Duration::from_secs(3600) }
    }

    fn work(&self) -> tokio_util::sync::DropGuard {
        self.work_with(ReportHandler(self.runs()))
    }

    fn work_with(&self, handler: impl Handler<MakeReport>) -> tokio_util::sync::DropGuard {
        let worker = Worker::builder(Arc::clone(&self.broker) as _)
            .queue(MakeReport::QUEUE, QueueOptions::new())
            .handler::<MakeReport, _>(handler)
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(worker.run(shutdown.clone()));
        shutdown.drop_guard()
    }

    async fn end(&self, id: &JobId, state: JobState) -> JobRecord {
        let ended = async {
            loop {
                let job = self.broker.job(MakeReport::QUEUE, id).await.unwrap().unwrap();
                if job.state == state {
                    return job;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends so")
    }

    async fn listed(&self) -> Vec<FileAt> {
        self.files.list(FileKind::Report).map_ok(|stored| stored.at).try_collect().await.unwrap()
    }

    /// Returns the file of a result and its content.
    async fn fetched(&self, told: &serde_json::Value) -> (StoredFile, String) {
        let id = told["id"].as_str().unwrap().parse().unwrap();
        let row = self.ground.store.file(&self.ground.tenant, id).await.unwrap().unwrap();
        let (bytes, pieces) = self.files.read(&row.at).await.unwrap();
        assert_eq!((bytes, told["bytes"].as_u64()), (row.content.bytes, Some(row.content.bytes)));
        (row, String::from_utf8(pieces.try_collect::<Vec<_>>().await.unwrap().concat()).unwrap())
    }
}

#[tokio::test]
async fn a_report_is_a_page_and_a_table_of_the_span() {
    let reports = Reports::over(450).await;
    // From one o'clock on the second day to one o'clock on the 16th: 14 days of 24 hours.
    let job = reports.job(ReportKind::Schedules, "2030-01-02T01:00:00Z", "2030-01-16T02:00:00+01:00");
    let id = reports.ask(&job).await.unwrap();
    assert!(matches!(reports.ask(&job).await, Err(FilesNotAdmitted::TooMany { kind: FileKind::Report, most: 1 })));
    let _worker = reports.work();
    let job = reports.end(&id, JobState::Done).await;
    assert_eq!(job.progress.unwrap().message, "336 of 336 schedules");
    let result = job.result.unwrap();

    let (row, table) = reports.fetched(&result["csv"]).await;
    assert_eq!((&*row.name, &*row.content_type), ("report-schedules-20300102-20300116.csv", "text/csv; charset=utf-8"));
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[..2], ["section,name,schedules,recurring,hours", "total,total,336,0,84.00"]);
    assert_eq!(
        (lines[2], lines[3], lines[16]),
        ("day,2030-01-02,23,0,5.75", "day,2030-01-03,24,0,6.00", "day,2030-01-16,1,0,0.25")
    );
    assert_eq!(lines[17..], ["attendee,'=cmd(),336,0,84.00", "title,<script>alert(1)</script>,336,0,84.00"]);

    let (row, page) = reports.fetched(&result["html"]).await;
    assert_eq!(
        (&*row.name, &*row.content_type),
        ("report-schedules-20300102-20300116.html", "text/html; charset=utf-8")
    );
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains("<script"), "{page}");
    reports
        .ask(&reports.job(ReportKind::Usage, "2030-01-01", "2030-01-02"))
        .await
        .expect("one that is done has no place");
}

#[tokio::test]
async fn usage_counts_what_was_done_today() {
    let reports = Reports::over(3).await;
    let today = clock::now().date_naive();
    let (from, to) = (today - TimeDelta::days(1), today + TimeDelta::days(2));
    let id = reports.ask(&reports.job(ReportKind::Usage, &from.to_string(), &to.to_string())).await.unwrap();
    let _worker = reports.work();
    let result = reports.end(&id, JobState::Done).await.result.unwrap();
    let (_, table) = reports.fetched(&result["csv"]).await;
    assert_eq!(table.lines().nth(1), Some("total,total,3,0,0,0,0"));
    assert_eq!(table.lines().count(), 5, "{table}");
}

#[tokio::test]
async fn a_report_that_is_made_again_is_one_pair_of_files() {
    let reports = Reports::over(1).await;
    let job = reports.job(ReportKind::Schedules, "2030-01-01", "2030-02-01");
    let id = reports.ask(&job).await.unwrap();
    // A run that was killed between its two files, and one that was killed while it wrote.
    let killed = reports.files.create(FileAt::of_tenant(FileKind::Report, job.tenant.clone())).await.unwrap();
    let orphan = killed.at().clone();
    killed.finish().await.unwrap();
    assert_eq!(reports.ground.store.open_run(id.as_str(), &job.tenant, FileKind::Report).await.unwrap(), None);

    let worker = reports.work();
    let result = reports.end(&id, JobState::Done).await.result.unwrap();
    drop(worker);
    let made = RunFiles::pair(reports.fetched(&result["html"]).await.0, reports.fetched(&result["csv"]).await.0);
    assert_eq!(reports.listed().await.len(), 3);
    // As when a run that was lost after its last step is repeated, and as when a late run ends.
    let ids = RunFiles::pair(made.first.at.id, made.second.as_ref().unwrap().at.id);
    let again = reports.ground.store.open_run(id.as_str(), &job.tenant, FileKind::Report).await.unwrap();
    assert_eq!(again, Some(ids));
    assert!(!reports.ground.store.finish_run(id.as_str(), &made).await.unwrap());

    let (files, store) = (reports.files.clone(), reports.ground.store.clone());
    let sweep = FilesSweep { files, store, broker: Arc::clone(&reports.broker) as _ };
    sweep.orphans(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(reports.listed().await.len(), 3, "it may only be about to be entered");
    sweep.orphans(Duration::ZERO).await.unwrap();
    sweep.runs(Duration::ZERO).await.unwrap();
    let mut left = reports.listed().await;
    left.sort_by_key(|at| at.id);
    assert!(!left.contains(&orphan));
    assert_eq!(left, made.iter().map(|file| file.at.clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_run_whose_job_is_gone_is_forgotten() {
    let reports = Reports::over(0).await;
    let store = reports.ground.store.clone();
    store.reserve_run("lost", &reports.ground.tenant, FileKind::Report, 1).await.unwrap();
    let sweep = FilesSweep { files: reports.files.clone(), store, broker: Arc::clone(&reports.broker) as _ };
    sweep.runs(Duration::from_secs(3600)).await.unwrap();
    let pending = || reports.ground.store.pending_runs(&reports.ground.tenant, FileKind::Report);
    assert_eq!(pending().await.unwrap().len(), 1, "its job may only be about to be enqueued");
    let swept = async {
        // Times in the tables are whole milliseconds.
        while !pending().await.unwrap().is_empty() {
            sweep.runs(Duration::ZERO).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, swept).await.expect("it is forgotten");
}

/// Makes the report after its job was cancelled.
struct TooLate(ReportHandler);

#[async_trait::async_trait]
impl Handler<MakeReport> for TooLate {
    async fn run(&self, job: MakeReport, context: &Context) -> Outcome {
        context.cancelled().cancelled().await;
        self.0.run(job, context).await
    }
}

#[tokio::test]
async fn a_report_that_is_cancelled_ends_and_leaves_no_file() {
    let reports = Reports::over(3).await;
    let id = reports.ask(&reports.job(ReportKind::Schedules, "2030-01-01", "2030-12-31")).await.unwrap();
    let worker = reports.work_with(TooLate(ReportHandler(reports.runs())));
    let begun = async {
        while reports.broker.job(MakeReport::QUEUE, &id).await.unwrap().unwrap().state != JobState::Leased {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("it begins");
    reports.broker.cancel(MakeReport::QUEUE, &id).await.unwrap();
    reports.end(&id, JobState::Cancelled).await;
    assert!(reports.listed().await.is_empty());
    drop(worker);
    let _worker = reports.work();
    // Another run is admitted. It ends after everything that is left of the first one.
    let next = reports.ask(&reports.job(ReportKind::Usage, "2030-01-01", "2030-01-02")).await.expect("a place");
    reports.end(&next, JobState::Done).await;
    assert_eq!(reports.listed().await.len(), 2, "those of the second alone");
    assert_eq!(reports.ground.store.files_of_run(id.as_str()).await.unwrap(), None);
}

#[tokio::test]
async fn a_report_that_cannot_be_made_is_dead_at_once() {
    let reports = Reports::over(0).await;
    let good = reports.job(ReportKind::Schedules, "2030-01-01", "2030-01-02");
    let too_long = MakeReport { to: good.from + TimeDelta::days(367), ..good.clone() };
    let nobodys = MakeReport { tenant: "nobody".parse().unwrap(), ..good };
    let producer = Producer::new(Arc::clone(&reports.broker) as _);
    let _worker = reports.work();
    let too_long = producer.enqueue(&too_long).await.unwrap();
    reports.end(&too_long, JobState::Dead).await;
    let nobodys = producer.enqueue(&nobodys).await.unwrap();
    let job = reports.end(&nobodys, JobState::Dead).await;
    assert!(reports.listed().await.is_empty());
    let told = format!("{job:?}");
    assert!(!told.contains(&*reports.directory.path().to_string_lossy()), "{told}");
}
