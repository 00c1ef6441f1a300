//! The audit after a restart.

use std::time::Duration;

use serde_json::json;
use tidegate_queue::{EnqueueOptions, NewJob, QueueSettings};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Effect, RedisServer};

use crate::fixture::Fixture;
use crate::support::{Bench, QUEUE, ids, jobs};

/// Waits until the queue with that key has been audited on this server. Workers continue meanwhile.
pub async fn audited(server: &RedisServer, meta: &str) {
    let this = history(server).await;
    let is_over = async || (server.cli(&["HGET", meta, "audited"]).await == this).then_some(());
    poll_until(Duration::from_secs(120), is_over).await.unwrap();
}

/// How often an audit renewed its claim, which excludes other processes.
fn renewals(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| effect.args().iter().any(|arg| arg == b"auditing")).count()
}

/// A queue whose jobs have lost their list.
async fn without_places(server: &RedisServer) -> (Bench, String) {
    let bench = Bench::on_redis(&server.url()).await;
    bench.broker.enqueue(QUEUE, jobs(0..3)).await.unwrap();
    let front = server.cli(&["KEYS", "*:{q:work:0}:meta"]).await.strip_suffix("meta").unwrap().to_owned();
    server.cli(&["DEL", &format!("{front}ready:2")]).await;
    (bench, front)
}

async fn history(server: &RedisServer) -> String {
    let replication = server.cli(&["INFO", "replication"]).await;
    let history = replication.lines().find_map(|line| line.trim().strip_prefix("master_replid:"));
    history.unwrap().to_owned()
}

/// A server may be killed while it is audited. The audit of its successor must not wait for that
/// audit.
#[tokio::test]
async fn an_audit_of_an_earlier_history_does_not_delay_the_next_one() {
    let server = RedisServer::start().await;
    let (bench, front) = without_places(&server).await;
    let meta = format!("{front}meta");
    let later = (bench.now().unix_ms() + 9_000).to_string();
    let claimed = ["HSET", &meta, "auditing", &later, "auditing_server"];

    let this = history(&server).await;
    server.cli(&[&claimed[..], &[&this]].concat()).await;
    bench.reclaim().await;
    assert!(bench.fetch(9).await.is_empty(), "another process audits this one");

    server.cli(&[&claimed[..], &["0abc"]].concat()).await;
    bench.reclaim().await;
    audited(&server, &meta).await;
    assert_eq!(ids(&bench.fetch(9).await), ["job-000000", "job-000001", "job-000002"]);
    let fields = ["HMGET", &meta, "audited", "auditing", "auditing_server"];
    assert_eq!(server.cli(&fields).await.trim(), this, "the audit is over");
}

/// The first part of a reclaim stores a time before which no lease is checked.
#[tokio::test]
async fn leases_expire_after_a_check_of_them_was_torn() {
    let server = RedisServer::start().await;
    let bench = Bench::on_redis(&server.url()).await;
    bench.broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    bench.fetch_one().await;
    bench.tick_for(5).await;
    let meta = server.cli(&["KEYS", "*:{q:work:0}:meta"]).await;
    server.cli(&["HSET", &meta, "expiry", "253402300799999", "server", "0abc"]).await;
    assert_eq!(bench.tick_for(35).await.ready.len(), 1);
}

/// A job with the same id would be taken for one that was leased before, and be skipped.
#[tokio::test]
async fn an_audit_removes_what_is_left_of_jobs_without_a_record() {
    let fixture = Fixture::new().await;
    fixture.leave_entries().await;
    let bench = &fixture.bench;
    bench.broker.configure(QUEUE, QueueSettings::default()).await.unwrap();
    let audit = fixture.effects_of(async {
        bench.reclaim().await;
        fixture.audited().await;
    });
    let renewals = renewals(&audit.await);
    // One by reclaim, one for the records, one for each of two lists, one for each of 13 other
    // collections, and one that ends it.
    assert_eq!(renewals, 1 + 1 + 2 + 13 + 1, "each step keeps the audit from another process");
    fixture.assert_whole("after the audit").await;
    let left = bench.broker.job(QUEUE, &fixture.id("dead")).await.unwrap().unwrap();
    assert_eq!((left.failures, left.checkpoint.as_deref()), (1, Some("half")), "what has a record stays");
    assert_eq!(bench.broker.logs(QUEUE, &fixture.id("dead")).await.unwrap().len(), 2);
    let done = bench.broker.job(QUEUE, &fixture.id("done")).await.unwrap().unwrap();
    assert_eq!(done.result, Some(serde_json::json!({ "ok": true })));

    let again = bench.add("nobody", EnqueueOptions::new()).await;
    let leased = bench.fetch(99).await.into_iter().find(|job| job.token.id == again).unwrap();
    assert_eq!((leased.token.delivery, leased.failures, leased.checkpoint), (1, 0, None));
    assert!(bench.broker.logs(QUEUE, &again).await.unwrap().is_empty());
    assert_eq!(bench.record(&again).await.result, None);
}

/// Jobs are compared with the lists a limited number at a time, and leases are reclaimed meanwhile.
#[tokio::test]
async fn an_audit_of_more_jobs_than_one_pass_holds_finds_all_and_delays_no_reclaim() {
    const JOBS: usize = 120_000;
    let server = RedisServer::start().await;
    let bench = Bench::on_redis(&server.url()).await;
    for from in (0..JOBS).step_by(5_000) {
        bench.broker.enqueue(QUEUE, jobs(from..from + 5_000)).await.unwrap();
    }
    bench.fetch(2).await;
    bench.tick_for(35).await;
    let meta = server.cli(&["KEYS", "*:{q:work:0}:meta"]).await;
    audited(&server, &meta).await;
    let ready = meta.replace(":meta", ":ready:2");
    for lost in ["job-000002", "job-060000", "job-119999"] {
        assert_eq!(server.cli(&["LREM", &ready, "0", lost]).await, "1");
    }
    server.cli(&["HDEL", &meta, "audited"]).await;
    bench.fetch(5).await;
    bench.advance(5);
    bench.reclaim().await;
    assert_eq!(server.cli(&["HGET", &meta, "audited"]).await, "", "reclaim waited for the audit");
    bench.tick_for(35).await;
    audited(&server, &meta).await;
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    assert_eq!((counts.recovered_total, counts.ready, counts.leased), (3, JOBS as u64, 0), "{counts:?}");
}

/// A step reads a limited number of bytes of records and results.
#[tokio::test]
async fn an_audit_reads_large_records_in_several_steps() {
    let fixture = Fixture::new().await;
    let bench = &fixture.bench;
    bench.broker.configure(QUEUE, QueueSettings::default()).await.unwrap();
    let large = "x".repeat(1_000_000);
    let job = |_| NewJob::new("test", &json!(large), EnqueueOptions::new(), 1 << 20).unwrap();
    bench.broker.enqueue(QUEUE, (0..24).map(job).collect()).await.unwrap();
    fixture.server.cli(&["HDEL", &format!("{}meta", fixture.front()), "audited"]).await;
    let audit = fixture.effects_of(async {
        bench.reclaim().await;
        fixture.audited().await;
    });
    let steps = renewals(&audit.await) - (1 + 2 + 13 + 1);
    assert!((3..=25).contains(&steps), "24 MB of records in {steps} steps");
}
