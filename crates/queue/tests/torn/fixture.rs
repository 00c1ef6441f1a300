//! A queue with a job in each list, on a server whose file is torn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_queue::{
    Change, EnqueueOptions, GroupId, JobId, JobState, LeaseToken, NackAction, Priority, Progress, QueueSettings, Unique,
};
use tidegate_testkit::redis::{Effect, RedisServer};

use crate::audit::audited;
use crate::step::Step;
use crate::support::{Bench, QUEUE, ack, job};

/// A queue with a job in each list, and the effects that the server wrote for it.
pub struct Fixture {
    pub server: RedisServer,
    pub bench: Bench,
    pub leased: BTreeMap<&'static str, LeaseToken>,
    pub effects: Vec<Effect>,
}

pub fn in_line() -> EnqueueOptions {
    EnqueueOptions::new().ordering_key("line")
}

pub const IDS: [&str; 17] = [
    "done", "dead", "gone", "held-1", "held-2", "back", "line-1", "line-2", "line-3", "new-1", "new-2", "new-3",
    "new-4", "tomb", "late-1", "late-2", "alone",
];

impl Fixture {
    /// Creates jobs that are done, dead, cancelled, leased, returned, ready, delayed and waiting.
    pub async fn new() -> Self {
        let server = RedisServer::start().await;
        let bench = Bench::on_redis(&server.url()).await;
        let add = async |ids: &[&str]| {
            let jobs = ids.iter().map(|id| job(id, EnqueueOptions::new())).collect();
            bench.broker.enqueue(QUEUE, jobs).await.unwrap();
        };
        bench.broker.configure(QUEUE, QueueSettings { events: true, ..QueueSettings::default() }).await.unwrap();
        add(&["done", "dead", "gone", "held-1", "held-2", "back"]).await;
        let mut first = bench.fetch(6).await.into_iter().map(|job| job.token);
        let mut next = || first.next().unwrap();
        let (done, dead, gone) = (next(), next(), next());
        for token in [&done, &dead] {
            let progress = Progress { percent: 50, message: "half".to_owned() };
            assert!(bench.broker.progress(QUEUE, token, progress).await.unwrap());
            assert!(bench.broker.checkpoint(QUEUE, token, "half".to_owned()).await.unwrap());
            assert!(bench.broker.log(QUEUE, token, vec!["one".to_owned(), "two".to_owned()]).await.unwrap());
        }
        bench.ack(&done).await;
        bench.nack(&dead, NackAction::Dead { error: "no luck".to_owned() }).await;
        bench.nack(&gone, NackAction::Discard { reason: "no need".to_owned() }).await;
        let mut leased = BTreeMap::from([("held-1", next()), ("held-2", next())]);
        bench.nack(&next(), NackAction::Release).await;
        let group = GroupId::new("group").unwrap();
        let linked = [
            job("line-1", in_line().group(group.clone()).priority(Priority::HIGHEST)),
            job("line-2", in_line().group(group)),
            job("line-3", in_line()),
        ];
        bench.broker.enqueue(QUEUE, linked.into()).await.unwrap();
        let active = bench.fetch_one().await.token;
        assert!(active.id.as_str().starts_with("line-1"), "{active:?}");
        leased.insert("line-1", active);
        add(&["new-1", "new-2", "tomb", "new-3", "new-4"]).await;
        bench.broker.cancel(QUEUE, &JobId::new("tomb").unwrap()).await.unwrap();
        let late = ["late-1", "late-2"].map(|id| job(id, EnqueueOptions::new().delay(Duration::from_secs(20))));
        bench.broker.enqueue(QUEUE, late.into()).await.unwrap();
        let alone = job("alone", EnqueueOptions::new().unique(Unique::new("alone")));
        bench.broker.enqueue(QUEUE, vec![alone]).await.unwrap();
        let effects = written(&server, 0);
        Self { server, bench, leased, effects }
    }

    /// The id of a job, including the route of its ordering or unique key.
    pub fn id(&self, name: &str) -> JobId {
        let options = match name {
            "alone" => EnqueueOptions::new().unique(Unique::new("alone")),
            _ if name.starts_with("line") => in_line(),
            _ => EnqueueOptions::new(),
        };
        job(name, options).id().clone()
    }

    /// Puts the queue into the state after these effects, on what looks like another server.
    pub async fn restore(&self, effects: &[&[Effect]]) {
        self.server.replay(&effects.concat()).await;
        let meta = format!("{}meta", self.front());
        self.server.cli(&["HDEL", &meta, "audited", "auditing"]).await;
    }

    /// Waits until the queue has been audited.
    pub async fn audited(&self) {
        audited(&self.server, &format!("{}meta", self.front())).await;
    }

    /// The common prefix of the queue's keys.
    pub fn front(&self) -> String {
        let keys = self.effects.iter().flat_map(|effect| effect.args().get(1));
        let front = |key| String::from_utf8_lossy(key).strip_suffix("meta").map(str::to_owned);
        keys.map(Vec::as_slice).find_map(front).unwrap()
    }

    /// The effects that the server writes while `does` runs.
    pub async fn effects_of(&self, does: impl Future<Output = ()>) -> Vec<Effect> {
        let before = self.server.append_only_file().effects().len();
        does.await;
        written(&self.server, before)
    }

    /// The history without the step: jobs that it would remove are retried, and all jobs run.
    /// Returns the jobs that ran.
    pub async fn go_on_without(&self, step: Step) -> BTreeSet<String> {
        if step.removes() {
            for name in ["dead", "gone"] {
                assert_eq!(self.bench.broker.retry(QUEUE, &self.id(name)).await.unwrap(), Change::Applied);
            }
        }
        self.run_all("untorn").await.into_keys().collect()
    }

    /// Runs all remaining jobs, and returns how often each ran.
    pub async fn run_all(&self, case: &str) -> BTreeMap<String, u32> {
        let Self { bench, .. } = self;
        bench.broker.configure(QUEUE, QueueSettings::default()).await.unwrap();
        bench.broker.resume(QUEUE).await.unwrap();
        let mut runs = BTreeMap::new();
        for _ in 0..8 {
            bench.tick_for(35).await;
            self.audited().await;
            bench.broker.promote(QUEUE, 100).await.unwrap();
            loop {
                let fetched = bench.fetch(20).await;
                if fetched.is_empty() {
                    break;
                }
                for job in &fetched {
                    *runs.entry(job.token.id.as_str().to_owned()).or_default() += 1;
                }
                bench.exchange(fetched.iter().map(|job| ack(&job.token)).collect(), 0).await;
            }
            let counts = bench.broker.counts(QUEUE).await.unwrap();
            if [counts.ready, counts.leased, counts.delayed, counts.waiting] == [0; 4] {
                return runs;
            }
        }
        let counts = bench.broker.counts(QUEUE).await.unwrap();
        assert_eq!([counts.ready, counts.leased, counts.delayed, counts.waiting], [0; 4], "{case}: {counts:?}");
        runs
    }

    /// Checks a state: the audit leaves no inconsistency, all jobs end, those in `over` don't run,
    /// and only those in `may_be_gone` have no record.
    pub async fn check(&self, step: Step, over: &BTreeSet<String>, may_be_gone: &[&str], case: &str) -> u64 {
        self.bench.reclaim().await;
        self.audited().await;
        self.assert_whole(&format!("{case}, after the audit")).await;
        let runs = self.run_all(case).await;
        self.assert_whole(case).await;
        assert!(runs.values().all(|runs| *runs == 1), "{case}: {runs:?}");
        for id in over {
            assert!(!runs.contains_key(id), "{case}: {id} had ended and ran again");
        }
        if step == Step::Replace {
            let ran = |name: &str| runs.keys().any(|id| id.starts_with(name));
            let is_over = over.iter().any(|id| id.starts_with("alone"));
            assert!(is_over || ran("alone") || ran("instead"), "{case}: neither the old job nor the new one ran");
        }
        if step == Step::EnqueueLinked {
            let group = GroupId::new("group").unwrap();
            let counts = self.bench.broker.group(QUEUE, &group).await.unwrap().unwrap();
            assert_eq!(counts.pending(), 0, "{case}: {counts:?}");
            assert!((2..=3).contains(&counts.total), "{case}: {counts:?}");
        }
        for name in IDS {
            let id = self.id(name);
            match self.bench.broker.job(QUEUE, &id).await.unwrap() {
                Some(record) => {
                    assert!(
                        matches!(record.state, JobState::Done | JobState::Dead | JobState::Cancelled),
                        "{case}: {record:?}"
                    );
                }
                None => assert!(may_be_gone.contains(&name), "{case}: {id} is lost"),
            }
        }
        self.bench.broker.counts(QUEUE).await.unwrap().recovered_total
    }
}

/// The effects that the server wrote after the first `before`, without the clock and the events,
/// whose ids can't be written twice.
fn written(server: &RedisServer, before: usize) -> Vec<Effect> {
    let mut effects = server.effects_since(before);
    effects.retain(|effect| !matches!(&*effect.name(), "SET" | "XADD"));
    effects
}
