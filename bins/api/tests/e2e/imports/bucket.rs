//! Imports between processes that share no disk: uploads are in a bucket, tables and jobs on
//! servers.

use std::convert::Infallible;

use futures_util::stream::{self, StreamExt};
use reqwest::{Body, Method, Response, StatusCode};
use serde_json::json;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, Relay, S3Server, Scratch, poll_until};
use tokio::sync::oneshot;

use super::{files_in, job_id, rejects_file, rejects_of, result, upload};
use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, csv, good_titles, problem, with, worker};

/// One import at a time, some seconds for a thousand lines.
const SLOW: [(&str, &str); 3] = [
    ("TIDEGATE_QUEUE_CONCURRENCY", "import=1"),
    ("TIDEGATE_QUEUE_LEASE", "3s"),
    ("TIDEGATE_IMPORT", "chunk=50, pause=100ms"),
];
/// A second or two for a file that is longer than what a worker reads ahead.
const BRISK: [(&str, &str); 1] = [("TIDEGATE_IMPORT", "chunk=500, pause=50ms")];
const LONG: usize = 15_000;

/// An API that runs no jobs, and what it shares with workers: servers, and no directory.
struct Fleet {
    api: Api,
    s3: S3Server,
    /// The only way to the bucket.
    way: Relay,
    places: Vec<(&'static str, String)>,
    _tables: PostgresServer,
    _jobs: RedisServer,
}

/// A worker on a directory of its own.
struct Worker {
    process: Process,
    scratch: Scratch,
}

impl Fleet {
    async fn start() -> Self {
        let (tables, jobs, s3) = tokio::join!(PostgresServer::start_tcp(&[]), RedisServer::start(), S3Server::start());
        let way = Relay::start(s3.port()).await;
        let places = vec![
            ("DATABASE_URL", tables.url()),
            ("TIDEGATE_DATABASE_CONNECTIONS", "deadline=60s".to_owned()),
            ("TIDEGATE_FILES_URL", format!("s3://{}/fleet", S3Server::BUCKET)),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", way.port())),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", S3Server::KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", S3Server::SECRET.to_owned()),
        ];
        let mut variables = vec![("TIDEGATE_WORKER", "none"), ("TIDEGATE_IMPORT", "max_pending=1")];
        variables.extend(places.iter().map(|(name, value)| (*name, value.as_str())));
        let api = Api::start_on(Servers::At(jobs.url()), &variables).await;
        api.create_tenant("acme", "enterprise").await;
        Self { api, s3, way, places, _tables: tables, _jobs: jobs }
    }

    async fn worker(&self, settings: &[(&str, &str)]) -> Worker {
        let scratch = Scratch::new();
        let places = self.places.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<_> = places.chain(settings.iter().copied()).collect();
        let program = with(worker(scratch.path(), &variables), &self.api.servers);
        let mut process = program.start().expect("the worker starts");
        process.wait_for_line("works on the queues", DEADLINE).await.expect("its banner");
        Worker { process, scratch }
    }

    /// Takes the bucket away, also from connections that there are.
    fn lose_bucket(&self) {
        self.way.turn_to(1);
        self.way.reset();
    }

    fn find_bucket(&self) {
        self.way.turn_to(self.s3.port());
    }

    /// Waits until the import is done with all of its lines, each once, and nothing is left of its
    /// file.
    async fn is_whole(&self, id: &str, lines: usize, bad: &[usize]) {
        let job = self.api.job_in_state(id, "done").await;
        assert_eq!(job["result"], result(lines - bad.len(), bad.len(), &rejects_of(bad)), "{job}");
        assert_eq!(job["failures"], 0, "{job}");
        assert_eq!(rejects_file(&self.api, "acme", id).await, rejects_of(bad));
        assert_eq!(self.api.titles("acme").await, good_titles(lines, bad));
        assert_eq!((self.s3.keys(), self.s3.unfinished()), (Vec::new(), 0));
        assert_eq!(files_in(&self.api.scratch.join("spool")), 0);
    }
}

/// An upload of which the first half is sent, until it is let go.
fn held_back(file: &str) -> (oneshot::Sender<()>, Body) {
    let (begin, end) = file.as_bytes().split_at(file.len() / 2);
    let (begin, end) = (begin.to_vec(), end.to_vec());
    let (go, gone) = oneshot::channel();
    let rest = stream::once(async move {
        let _ = gone.await;
        Ok::<_, Infallible>(end)
    });
    (go, Body::wrap_stream(stream::once(async { Ok(begin) }).chain(rest)))
}

async fn upload_with_key(api: &Api, body: Body) -> Response {
    let request = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
    let request = request.header("content-type", "text/csv").header("idempotency-key", "the key");
    request.body(body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_worker_that_shares_no_disk_with_the_api_works_its_imports_and_another_goes_on_when_it_is_killed() {
    let fleet = Fleet::start().await;
    let bad = [1, 999, 2_000];
    let id = fleet.api.import_csv("acme", csv(2_000, &bad)).await;
    assert_eq!(fleet.s3.keys().len(), 1);
    let key = &fleet.s3.keys()[0];
    assert!(key.starts_with(&format!("fleet/upload/{id}/")), "{key}");
    assert_eq!(files_in(&fleet.api.scratch.join("spool")), 0);

    let mut first = fleet.worker(&SLOW).await;
    let half = fleet.api.job_when(&id, |job| job["progress"]["percent"].as_u64() >= Some(30)).await;
    assert_eq!(half["state"], "leased");
    first.process.kill9().expect("it runs");
    let second = fleet.worker(&SLOW).await;
    fleet.is_whole(&id, 2_000, &bad).await;
    assert_eq!(fleet.api.job(&id).await["deliveries"], 2);
    for worker in [first, second] {
        assert_eq!(files_in(&worker.scratch.join("spool")), 0);
    }
}

#[tokio::test]
async fn an_upload_to_a_bucket_that_is_away_is_refused_and_leaves_nothing() {
    let fleet = Fleet::start().await;
    fleet.lose_bucket();
    // Twice: the first one keeps no place either.
    for _ in 0..2 {
        let refused = upload(&fleet.api, "acme", "text/csv", csv(5, &[])).await;
        assert!(refused.headers().contains_key("retry-after"), "{:?}", refused.headers());
        let told = problem(refused, 503, "unavailable").await;
        let detail = told["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("nothing was enqueued; send the file again later"), "{told}");
    }
    let queue = fleet.api.json("/api/queue/import").await;
    assert_eq!((&queue["ready"], &queue["delayed"]), (&json!(0), &json!(0)), "{queue}");

    // Lost while the file is sent.
    fleet.find_bucket();
    let (go, body) = held_back(&csv(5, &[]));
    let lose = async {
        let begun = poll_until(DEADLINE, async || (fleet.s3.unfinished() > 0).then_some(()));
        begun.await.expect("the upload begins");
        fleet.lose_bucket();
        go.send(()).expect("the body waits");
    };
    let (refused, ()) = tokio::join!(upload_with_key(&fleet.api, body), lose);
    problem(refused, 503, "unavailable").await;

    fleet.find_bucket();
    let again = upload_with_key(&fleet.api, csv(5, &[]).into()).await;
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(fleet.s3.keys().len(), 1);
}

#[tokio::test]
async fn an_upload_whose_client_goes_away_leaves_no_part_in_the_bucket() {
    let fleet = Fleet::start().await;
    let (_held, body) = held_back(&csv(5, &[]));
    let begun = poll_until(DEADLINE, async || (fleet.s3.unfinished() > 0).then_some(()));
    tokio::select! {
        answer = upload_with_key(&fleet.api, body) => panic!("it waits for the rest: {answer:?}"),
        begun = begun => begun.expect("the upload begins"),
    }
    let gone = poll_until(DEADLINE, async || (fleet.s3.unfinished() == 0).then_some(()));
    gone.await.expect("nothing is left of it");
    // Its place is free again.
    let next = poll_until(DEADLINE, async || {
        let answer = upload(&fleet.api, "acme", "text/csv", csv(5, &[])).await;
        (answer.status() == StatusCode::ACCEPTED).then_some(())
    });
    next.await.expect("the next one is taken");
}

#[tokio::test]
async fn an_import_waits_for_its_bucket_and_goes_on_where_it_stood() {
    let fleet = Fleet::start().await;
    let id = fleet.api.import_csv("acme", csv(LONG, &[7])).await;
    let worker = fleet.worker(&BRISK).await;
    fleet.api.job_when(&id, |job| job["progress"]["percent"].as_u64() >= Some(10)).await;
    fleet.lose_bucket();
    let waiting = fleet.api.job_when(&id, |job| job["state"] == "delayed").await;
    assert_eq!((&waiting["failures"], &waiting["deliveries"]), (&json!(0), &json!(1)), "{waiting}");
    let told = worker.process.log().find(|line| line.contains("waits for the bucket of its upload"));
    assert!(told.is_some_and(|line| line.contains("WARN") && !line.contains(S3Server::SECRET)));

    fleet.find_bucket();
    fleet.is_whole(&id, LONG, &[7]).await;
}

#[tokio::test]
async fn an_import_is_whole_though_the_bucket_cuts_its_answers_off() {
    let fleet = Fleet::start().await;
    let id = fleet.api.import_csv("acme", csv(LONG, &[7])).await;
    fleet.s3.cut_off_after(Some(100_000));
    let _worker = fleet.worker(&BRISK).await;
    fleet.is_whole(&id, LONG, &[7]).await;
    assert!(fleet.s3.cuts() > 5, "{}", fleet.s3.cuts());
}

#[tokio::test]
async fn of_two_uploads_with_one_key_the_first_to_end_is_imported_and_the_other_refused() {
    let fleet = Fleet::start().await;
    let (go, body) = held_back(&csv(5, &[]).replace("schedule 5", "another 55"));
    let overtake = async {
        let begun = poll_until(DEADLINE, async || (fleet.s3.unfinished() > 0).then_some(()));
        begun.await.expect("the upload begins");
        let first = upload_with_key(&fleet.api, csv(5, &[]).into()).await;
        go.send(()).expect("the body waits");
        first
    };
    let (late, first) = tokio::join!(upload_with_key(&fleet.api, body), overtake);
    problem(late, 422, "idempotency-key-reused").await;
    assert_eq!(fleet.s3.keys().len(), 1, "the late one's file is gone");
    let id = job_id(first).await;
    let _worker = fleet.worker(&[]).await;
    fleet.is_whole(&id, 5, &[]).await;
}
