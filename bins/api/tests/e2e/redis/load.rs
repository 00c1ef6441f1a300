//! Requests without a pause, each timed, while something is done to Redis.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{Api, client};

/// Clients that send one request after the other.
const CLIENTS: usize = 8;

/// Load on some APIs, until it is stopped.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<Answers>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    answered: AtomicUsize,
}

/// The statuses, and the duration of each response.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) statuses: BTreeMap<u16, usize>,
    times: Vec<Duration>,
    /// Requests without a response.
    pub(super) lost: Vec<String>,
}

impl Load {
    /// Reads `paths` of the tenant `acme` and of a tenant over its limit, from all of the APIs.
    pub(super) fn start(apis: &[&Api], paths: &[String]) -> Self {
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let url = apis[number % apis.len()].url.clone();
            let tenant = if number == 0 { "small" } else { "acme" };
            clients.spawn(read(client(), url, tenant, paths.to_vec(), Arc::clone(&shared)));
        }
        Self { shared, clients }
    }

    /// Waits for that many more responses.
    pub(super) async fn answers(&self, count: usize) {
        let wanted = self.shared.answered.load(Ordering::Relaxed) + count;
        let came = tidegate_testkit::poll_until(crate::harness::DEADLINE, async || {
            (self.shared.answered.load(Ordering::Relaxed) >= wanted).then_some(())
        });
        came.await.expect("requests go on being answered");
    }

    /// Ends it.
    pub(super) async fn stop(mut self) -> Answers {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        while let Some(answers) = self.clients.join_next().await {
            let answers = answers.expect("it ends well");
            for (status, count) in answers.statuses {
                *all.statuses.entry(status).or_default() += count;
            }
            all.times.extend(answers.times);
            all.lost.extend(answers.lost);
        }
        all.times.sort_unstable();
        all
    }
}

impl Answers {
    /// Every request was answered, none by a fault of ours, none later than that.
    pub(super) fn are_good(&self, longest: Duration) {
        assert!(self.lost.is_empty(), "{:?}", self.lost);
        for status in self.statuses.keys() {
            assert!([200, 404, 429].contains(status), "{:?}", self.statuses);
        }
        assert!(self.longest() < longest, "{:?}", self.longest());
    }

    pub(super) fn longest(&self) -> Duration {
        self.times.last().copied().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// How many took longer.
    pub(super) fn above(&self, time: Duration) -> usize {
        self.times.len() - self.times.partition_point(|taken| *taken <= time)
    }

    /// The time within which this share of a thousand was answered.
    pub(super) fn per_mille(&self, share: usize) -> Duration {
        self.times.get(self.times.len() * share / 1_000).copied().unwrap_or_default()
    }
}

async fn read(client: Client, url: String, tenant: &'static str, paths: Vec<String>, shared: Arc<Shared>) -> Answers {
    let mut answers = Answers::default();
    for path in paths.iter().cycle() {
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        let request = client.request(Method::GET, format!("{url}{path}")).header("x-tenant-id", tenant);
        let begun = Instant::now();
        match status_of(request).await {
            Ok(status) => {
                *answers.statuses.entry(status).or_default() += 1;
                answers.times.push(begun.elapsed());
            }
            Err(error) => answers.lost.push(error.to_string()),
        }
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    answers
}

/// Sends a request and reads the answer to its end.
async fn status_of(request: RequestBuilder) -> Result<u16, reqwest::Error> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    answer.bytes().await.map(|_| status)
}
