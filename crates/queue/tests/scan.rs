//! Scans over a table in memory: pages, rejected rows, pauses, failures, fan-out.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_queue::testing::TestQueue;
use tidegate_queue::{
    Broker, Completion, EnqueueError, Failure, FanOut, FanOutReport, FanOutScan, GroupId, Groups, InlineScan, Job,
    JobId, JobState, MemoryBroker, PageContext, ProcessRows, Producer, QueueOptions, RejectedRow, Scan, ScanOptions,
    ScanPage, ScanReport, Scans, Worker,
};
use tidegate_testkit::poll_until;
use tokio_util::sync::CancellationToken;

#[derive(Serialize, Deserialize)]
struct Rebuild;

impl Job for Rebuild {
    const KIND: &'static str = "table/rebuild";
    const QUEUE: &'static str = "scans";
}

/// Rows by key with the number of times each was processed, and faults to inject.
#[derive(Default)]
struct Table {
    rows: Mutex<BTreeMap<u64, u32>>,
    reported: Mutex<Vec<RejectedRow>>,
    pages: AtomicU32,
    /// The page with this number fails, once.
    failing_page: AtomicU32,
}

impl Table {
    fn with(rows: u64) -> Arc<Self> {
        let table = Self { failing_page: AtomicU32::new(u32::MAX), ..Self::default() };
        *table.rows.lock().unwrap() = (1..=rows).map(|key| (key, 0)).collect();
        Arc::new(table)
    }

    fn process(&self, key: u64) -> Result<(), String> {
        if key.is_multiple_of(10) {
            return Err(format!("{key} is round"));
        }
        *self.rows.lock().unwrap().get_mut(&key).unwrap() += 1;
        Ok(())
    }

    fn assert_each_once(&self) {
        let rows = self.rows.lock().unwrap();
        assert!(rows.iter().all(|(key, runs)| *runs == u32::from(!key.is_multiple_of(10))), "{rows:?}");
    }
}

struct TableScan(Arc<Table>);

impl Scan for TableScan {
    type Job = Rebuild;
    type Row = u64;
    type Position = u64;
    type Error = Failure;

    async fn page(&self, _: &Rebuild, after: Option<&u64>, limit: usize) -> Result<ScanPage<u64, u64>, Failure> {
        let page = self.0.pages.fetch_add(1, Ordering::SeqCst);
        if self.0.failing_page.compare_exchange(page, u32::MAX, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return Err(Failure::retry("the database is away"));
        }
        let from = after.map_or(0, |after| after + 1);
        let rows: Vec<u64> = self.0.rows.lock().unwrap().range(from..).take(limit).map(|(key, _)| *key).collect();
        let next = rows.last().copied();
        Ok(ScanPage { rows, next })
    }

    async fn count(&self, _: &Rebuild) -> Result<Option<u64>, Failure> {
        Ok(Some(self.0.rows.lock().unwrap().len() as u64))
    }
}

impl ProcessRows for TableScan {
    async fn process(&self, _: &Rebuild, rows: Vec<u64>, page: &mut PageContext<'_>) -> Result<(), Failure> {
        for key in rows {
            if let Err(reason) = self.0.process(key) {
                page.reject(key.to_string(), reason);
            }
        }
        Ok(())
    }

    async fn report(&self, _: &Rebuild, rejected: &[RejectedRow]) -> Result<(), Failure> {
        self.0.reported.lock().unwrap().extend_from_slice(rejected);
        Ok(())
    }
}

fn inline(table: &Arc<Table>, options: ScanOptions) -> TestQueue {
    TestQueue::new(|broker| {
        let scan = InlineScan::new(TableScan(table.clone()), options);
        Worker::builder(broker).queue("scans", QueueOptions::new()).handler(scan)
    })
}

fn report<T: serde::de::DeserializeOwned>(queue: &TestQueue, id: &JobId) -> T {
    serde_json::from_value(queue.assert_done(id).result.unwrap()).unwrap()
}

#[tokio::test]
async fn works_through_all_pages_and_reports_what_it_rejects() {
    let table = Table::with(1_234);
    let queue = inline(&table, ScanOptions::new().page_rows(100));
    let id = queue.enqueue(&Rebuild).await;
    assert_eq!(queue.drain().await.len(), 1);
    table.assert_each_once();
    let report: ScanReport = report(&queue, &id);
    assert_eq!((report.rows, report.pages, report.rejected, report.rejects.len()), (1_234, 14, 123, 100));
    assert_eq!(report.rejects[1], RejectedRow { row: "20".to_owned(), reason: "20 is round".to_owned() });
    assert_eq!(table.reported.lock().unwrap().len(), 123);
    let record = queue.broker().job("scans", &id).await.unwrap().unwrap();
    assert_eq!(record.progress.unwrap().percent, 100);
}

#[tokio::test]
async fn an_empty_table_is_done_at_once() {
    let table = Table::with(0);
    let queue = inline(&table, ScanOptions::new());
    let id = queue.enqueue(&Rebuild).await;
    queue.drain().await;
    assert_eq!(report::<ScanReport>(&queue, &id).rows, 0);
}

#[tokio::test]
async fn a_failure_after_some_pages_burns_no_attempt() {
    let table = Table::with(50);
    table.failing_page.store(3, Ordering::SeqCst);
    let queue = inline(&table, ScanOptions::new().page_rows(10));
    let id = queue.enqueue(&Rebuild).await;
    queue.drain().await;
    let record = queue.broker().job("scans", &id).await.unwrap().unwrap();
    assert_eq!((record.state, record.failures), (JobState::Delayed, 0));
    assert_eq!(record.note.as_deref(), Some("the database is away"));
    queue.drain_through(Duration::from_secs(5)).await;
    table.assert_each_once();
    assert_eq!(report::<ScanReport>(&queue, &id).rejected, 5);
}

#[tokio::test]
async fn a_failure_of_the_first_page_burns_an_attempt() {
    let table = Table::with(50);
    table.failing_page.store(0, Ordering::SeqCst);
    let queue = inline(&table, ScanOptions::new());
    let id = queue.enqueue(&Rebuild).await;
    queue.drain().await;
    queue.assert_retried(&id, 1);
    queue.drain_to_the_end().await;
    table.assert_each_once();
}

#[tokio::test]
async fn slices_give_others_their_turn() {
    let table = Table::with(50);
    let queue = inline(&table, ScanOptions::new().page_rows(10).slice(Duration::ZERO));
    let id = queue.enqueue(&Rebuild).await;
    let ran = queue.drain_to_the_end().await;
    assert_eq!(ran.len(), 6, "a run for each page, and the one that finds nothing more");
    table.assert_each_once();
    assert_eq!(report::<ScanReport>(&queue, &id).pages, 6);
}

#[tokio::test(start_paused = true)]
async fn the_pause_is_set_while_it_runs() {
    let table = Table::with(50);
    let queue = inline(&table, ScanOptions::new().page_rows(10).pause(Duration::from_secs(3)));
    let scans = Scans::new(queue.broker());
    let began = tokio::time::Instant::now();
    queue.enqueue(&Rebuild).await;
    let change = async {
        tokio::time::sleep(Duration::from_millis(6_500)).await; // in the third of five pauses
        scans.set_pause(Rebuild::KIND, Some(Duration::ZERO)).await.unwrap();
    };
    tokio::join!(queue.drain(), change);
    assert_eq!(began.elapsed().as_secs(), 7, "the third pause ends, the fourth and fifth are none");
    table.assert_each_once();
    assert_eq!(scans.pause(Rebuild::KIND).await.unwrap(), Some(Duration::ZERO));
    scans.set_pause(Rebuild::KIND, None).await.unwrap();
    scans.set_pause(Rebuild::KIND, None).await.unwrap();
    assert_eq!(scans.pause(Rebuild::KIND).await.unwrap(), None);
    assert!(scans.set_pause("", None).await.is_err());
}

#[tokio::test]
async fn a_long_pause_gives_the_slot_back() {
    let table = Table::with(50);
    let queue = inline(&table, ScanOptions::new().page_rows(10).pause(Duration::from_secs(60)));
    let id = queue.enqueue(&Rebuild).await;
    assert_eq!(queue.drain().await.len(), 1);
    let record = queue.broker().job("scans", &id).await.unwrap().unwrap();
    assert_eq!((record.state, record.note.as_deref()), (JobState::Delayed, Some("pause between two pages")));
    assert_eq!(queue.drain_through(Duration::from_secs(300)).await.len(), 5);
    table.assert_each_once();
}

/// A scan that is asked to stop goes back to the queue between two pages, and another worker
/// continues there.
#[tokio::test]
async fn a_shutdown_stops_between_two_pages() {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let table = Table::with(50);
    let worker = |pause| {
        let options = ScanOptions::new().page_rows(10).pause(pause);
        let worker = Worker::builder(broker.clone()).queue("scans", QueueOptions::new());
        worker.handler(InlineScan::new(TableScan(table.clone()), options)).grace(Duration::ZERO).build().unwrap()
    };
    let producer = Producer::new(broker.clone());
    let id = producer.enqueue(&Rebuild).await.unwrap();
    let stop = CancellationToken::new();
    let first = tokio::spawn(worker(Duration::from_secs(9)).run(stop.clone()));
    let soon = Duration::from_secs(20);
    poll_until(soon, async || broker.job("scans", &id).await.unwrap().unwrap().checkpoint).await.unwrap();
    stop.cancel();
    first.await.unwrap().unwrap();
    let record = broker.job("scans", &id).await.unwrap().unwrap();
    assert_eq!((record.failures, record.note.as_deref()), (0, Some("stopped between two pages")));
    assert_eq!(table.pages.load(Ordering::SeqCst), 1);

    let stop = CancellationToken::new();
    let second = tokio::spawn(worker(Duration::ZERO).run(stop.clone()));
    let report: ScanReport = producer.wait_for("scans", &id, soon).await.unwrap();
    assert_eq!((report.rows, report.pages), (50, 6));
    table.assert_each_once();
    stop.cancel();
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_page_that_leads_back_to_itself_is_the_end() {
    struct Endless;

    impl Scan for Endless {
        type Job = Rebuild;
        type Row = u64;
        type Position = u64;
        type Error = Failure;

        async fn page(&self, _: &Rebuild, _: Option<&u64>, _: usize) -> Result<ScanPage<u64, u64>, Failure> {
            Ok(ScanPage { rows: Vec::new(), next: Some(1) })
        }
    }

    impl ProcessRows for Endless {
        async fn process(&self, _: &Rebuild, _: Vec<u64>, _: &mut PageContext<'_>) -> Result<(), Failure> {
            Ok(())
        }
    }

    let queue = TestQueue::new(|broker| {
        let scan = InlineScan::new(Endless, ScanOptions::new());
        Worker::builder(broker).queue("scans", QueueOptions::new()).handler(scan)
    });
    let id = queue.enqueue(&Rebuild).await;
    queue.drain().await;
    let record = queue.broker().job("scans", &id).await.unwrap().unwrap();
    assert_eq!(record.state, JobState::Dead, "a page that leads back to itself would never end");
}

#[derive(Serialize, Deserialize)]
struct Keys(Vec<u64>);

impl Job for Keys {
    const KIND: &'static str = "table.keys";
    const QUEUE: &'static str = "keys";
}

#[derive(Serialize, Deserialize)]
struct Rebuilt(GroupId);

impl Job for Rebuilt {
    const KIND: &'static str = "table.rebuilt";
    const QUEUE: &'static str = "scans";
}

impl FanOut for TableScan {
    type Member = Keys;

    fn split(&self, _: &Rebuild, rows: Vec<u64>) -> Vec<Keys> {
        rows.chunks(7).map(|keys| Keys(keys.to_vec())).collect()
    }

    fn completion(&self, _: &Rebuild, group: &GroupId) -> Result<Option<Completion>, EnqueueError> {
        Completion::job(&Rebuilt(group.clone())).map(Some)
    }
}

fn fan_out(table: &Arc<Table>, options: ScanOptions) -> TestQueue {
    TestQueue::new(|broker: Arc<dyn Broker>| {
        let members = table.clone();
        let process = move |job: Keys| {
            let table = members.clone();
            async move {
                let Keys(keys) = job;
                keys.into_iter().filter_map(|key| table.process(key).err()).count();
            }
        };
        Worker::builder(broker)
            .queue("scans", QueueOptions::new())
            .queue("keys", QueueOptions::new())
            .handler(FanOutScan::new(TableScan(table.clone()), options))
            .handler(process)
            .handler(|_: Rebuilt| async {})
    })
}

#[tokio::test]
async fn makes_jobs_of_the_rows_and_one_more_at_the_end() {
    let table = Table::with(1_000);
    let queue = fan_out(&table, ScanOptions::new().page_rows(100).max_pending(50));
    let id = queue.enqueue(&Rebuild).await;
    queue.drain_to_the_end().await;
    table.assert_each_once();
    let report: FanOutReport = report(&queue, &id);
    assert_eq!((report.pages, report.rows, report.jobs), (11, 1_000, 150));
    let progress = Groups::new(queue.broker()).progress(&report.group).await.unwrap();
    assert_eq!((progress.total, progress.done, progress.queue.as_str()), (150, 150, "keys"));
    let last = progress.completion_job.unwrap();
    assert_eq!(queue.broker().job("scans", &last.id).await.unwrap().unwrap().state, JobState::Done);
    assert_eq!(queue.broker().counts("scans").await.unwrap().completed_total, 2);
}

#[tokio::test]
async fn waits_while_too_many_of_its_jobs_are_pending() {
    let table = Table::with(1_000);
    let queue = fan_out(&table, ScanOptions::new().page_rows(100).max_pending(50));
    queue.broker().pause("keys").await.unwrap();
    let id = queue.enqueue(&Rebuild).await;
    queue.drain_through(Duration::from_secs(30)).await;
    let waiting = queue.broker().counts("keys").await.unwrap().ready;
    assert_eq!(waiting, 60, "no page is begun above the limit");
    let record = queue.broker().job("scans", &id).await.unwrap().unwrap();
    assert_eq!((record.failures, record.note.as_deref()), (0, Some("60 of its jobs are pending")));
    queue.broker().resume("keys").await.unwrap();
    queue.drain_to_the_end().await;
    table.assert_each_once();
}

#[tokio::test]
async fn a_page_that_failed_comes_again() {
    let table = Table::with(100);
    table.failing_page.store(1, Ordering::SeqCst);
    let queue = fan_out(&table, ScanOptions::new().page_rows(50));
    let id = queue.enqueue(&Rebuild).await;
    queue.drain_to_the_end().await;
    table.assert_each_once();
    assert_eq!(report::<FanOutReport>(&queue, &id).jobs, 16);
    assert_eq!(queue.broker().counts("keys").await.unwrap().completed_total, 16);
}
