//! A worker whose last step before a crash is torn in the append-only file of Redis.

use std::sync::Arc;
use std::time::Duration;

use tidegate_queue::{Ack, Broker, Fetch, LeasedJob, Nack, NackAction, WorkerId};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use crate::child::{ACKNOWLEDGED, QUEUE, RUNS, job};
use crate::fleet::Fleet;
use crate::location::{LONG, StoreLocation};
use crate::log_file::{LogEntry, LogFile};

const LEASE: Duration = Duration::from_secs(2);
const JOBS: usize = 5;
/// Most attempts: after a step, the server may still write requests that the fleet sent before it
/// was suspended.
const TRIES: usize = 20;

/// Whether the queue was audited after the last start of the server. Before that, no count includes
/// the jobs that a torn part has removed from their lists.
pub async fn is_audited(server: &RedisServer) -> bool {
    let audited = server.cli(&["HGET", &format!("test:{{q:{QUEUE}:0}}:meta"), "audited"]).await;
    !audited.is_empty() && server.cli(&["INFO", "replication"]).await.contains(&format!("master_replid:{audited}"))
}

/// Works next to the fleet, and ignores the reply to the step that is torn: after a crash, it would
/// not arrive.
pub struct Ghost {
    broker: Arc<dyn Broker>,
    worker: WorkerId,
    acknowledged: LogFile,
    runs: LogFile,
    round: usize,
    /// The number of its next job.
    next: u32,
}

impl Ghost {
    /// Enqueues jobs with this number and above.
    pub fn new(location: &StoreLocation, broker: Arc<dyn Broker>, first: u32) -> Self {
        let log = |name: &str| LogFile::open(&location.directory, &format!("{name}-ghost"));
        let (acknowledged, runs) = (log(ACKNOWLEDGED), log(RUNS));
        Self { broker, worker: WorkerId::generate(), acknowledged, runs, round: 0, next: first }
    }

    /// The number of its next job.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Kills the server and tears the ghost's last step. The fleet is suspended meanwhile, so that
    /// it neither writes after the ghost nor takes its jobs. Returns whether the ghost's step was
    /// the server's last write. If it never is, the server still runs.
    pub async fn kill_and_tear(&mut self, server: &mut RedisServer, fleet: &mut Fleet) -> bool {
        for _ in 0..TRIES {
            self.round += 1;
            fleet.pause().await;
            self.enqueue().await;
            self.step().await;
            server.hang().await;
            // Requests that it sends now are lost with the server.
            fleet.resume();
            let file = server.append_only_file();
            let last = file.last();
            let name = self.worker.as_str().as_bytes();
            let is_mine = |arg: &Vec<u8>| arg.windows(name.len()).any(|part| part == name);
            if file.ends_whole() && last.effects.iter().flat_map(tidegate_testkit::redis::Effect::args).any(is_mine) {
                server.kill9();
                let effects = rand::random_range(0..=last.effects.len());
                file.tear_after(effects);
                return true;
            }
            server.resume();
        }
        false
    }

    async fn enqueue(&mut self) {
        let numbers = self.next..self.next + u32::try_from(JOBS).unwrap();
        self.next = numbers.end;
        let stored = async || self.broker.enqueue(QUEUE, numbers.clone().map(job).collect()).await.ok();
        poll_until(LONG, stored).await.unwrap();
        let entries: Vec<LogEntry> = numbers.map(|number| LogEntry::now(number, 0)).collect();
        self.acknowledged.add(&entries);
    }

    /// A fetch, an acknowledgement of jobs that ran, or a release.
    async fn step(&self) {
        let fetched = self.fetch().await;
        match self.round % 3 {
            1 => {}
            2 => {
                let runs: Vec<LogEntry> = fetched.iter().map(entry).collect();
                self.runs.add(&runs);
                let acks = fetched.into_iter().map(|job| Ack { token: job.token, result: "null".to_owned() }).collect();
                let fetch = Fetch { worker: self.worker.clone(), max: 0, lease: LEASE };
                let _ = self.broker.ack_and_fetch(QUEUE, acks, fetch).await;
            }
            _ => {
                let release = |job: LeasedJob| Nack { token: job.token, action: NackAction::Release };
                let _ = self.broker.nack(QUEUE, fetched.into_iter().map(release).collect()).await;
            }
        }
    }

    async fn fetch(&self) -> Vec<LeasedJob> {
        let fetch = async || {
            let fetch = Fetch { worker: self.worker.clone(), max: JOBS, lease: LEASE };
            self.broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.ok()
        };
        poll_until(LONG, fetch).await.unwrap().1
    }
}

fn entry(job: &LeasedJob) -> LogEntry {
    let number = job.token.id.as_str().trim_start_matches("step-").parse().unwrap();
    LogEntry::now(number, job.token.delivery)
}
