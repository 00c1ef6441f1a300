//! Redis is killed, hung, restarted and failed over under load, again and again. Every request is
//! answered, and the service returns to Redis by itself.

use std::cell::Cell;
use std::time::Duration;

use futures_util::{StreamExt, future::join, stream};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tidegate_testkit::redis::{Cluster, Proxy, RedisServer, Sentinels};
use tidegate_testkit::{poll_until, scale};
use tokio::sync::oneshot;

use super::load::{Answers, Load};
use super::{metric, until_available};
use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, csv, good_titles, problem, schedule, success_json};

/// Timeout of the API for one Redis command on a request's path.
const TIMEOUT: Duration = Duration::from_millis(250);
/// Room for a machine that does other things too. The printed figures show the guarantee. This
/// bound fails where a request waits without any bound.
const SLACK: Duration = Duration::from_secs(8);
/// Answers before, during and after each outage.
const ANSWERS: usize = 400;

/// The API on these servers, with a tenant that may read as fast as it can, and one that may not.
async fn busy_api(url: String) -> (Api, Vec<String>) {
    let variables = [("TIDEGATE_LIMIT_DDOS", "1000000/second"), ("TIDEGATE_QUEUE_LEASE", "5s")];
    let api = Api::start_on(Servers::At(url), &variables).await;
    let limits = json!({"per_minute": 100_000_000, "per_hour": 100_000_000, "per_day": 100_000_000});
    let tenant = json!({"id": "acme", "name": "Acme", "tier": "enterprise", "limits": limits});
    success_json(api.request(Method::POST, "/api/tenants").json(&tenant)).await;
    api.create_tenant("small", "free").await;
    let create = api.request(Method::POST, "/api/schedules").header("x-tenant-id", "acme").json(&schedule("one"));
    let made = success_json(create).await;
    let one = format!("/api/schedules/{}", made["id"].as_str().expect("an id"));
    (api, vec![one, "/api/schedules".to_owned(), "/api/schedules/00000000-0000-7000-8000-000000000000".to_owned()])
}

/// Imports go on where Redis left off, too.
async fn an_import_works(api: &Api, tenant: &str) {
    api.create_tenant(tenant, "enterprise").await;
    let id = api.import_csv(tenant, csv(300, &[7])).await;
    api.job_in_state(&id, "done").await;
    assert_eq!(api.titles(tenant).await, good_titles(300, &[7]));
}

fn told(what: &str, answers: &Answers) -> String {
    format!(
        "{what}: {} answers {:?}, median {:?}, 99 % {:?}, 99.9 % {:?}, longest {:?}; {} above 10 ms, {} above {TIMEOUT:?}",
        answers.len(),
        answers.statuses,
        answers.per_mille(500),
        answers.per_mille(990),
        answers.per_mille(999),
        answers.longest(),
        answers.above(Duration::from_millis(10)),
        answers.above(TIMEOUT),
    )
}

#[tokio::test]
async fn killed_and_restarted_under_load() {
    let mut server = RedisServer::start().await;
    let (api, paths) = busy_api(server.url()).await;
    for round in 1..=scale(2, 20) {
        let load = Load::start(&[&api], &paths);
        load.answers(ANSWERS).await;
        server.kill9();
        until_available(&api, false).await;
        load.answers(ANSWERS).await;
        server.restart().await;
        until_available(&api, true).await;
        load.answers(ANSWERS).await;
        let answers = load.stop().await;
        eprintln!("{}", told(&format!("kill {round}"), &answers));
        answers.are_good(TIMEOUT + SLACK);
        an_import_works(&api, &format!("killed-{round}")).await;
    }
}

#[tokio::test]
async fn hung_and_awake_again_under_load() {
    let mut server = RedisServer::start().await;
    let (api, paths) = busy_api(server.url()).await;
    for round in 1..=scale(2, 20) {
        let load = Load::start(&[&api], &paths);
        load.answers(ANSWERS).await;
        server.hang().await;
        until_available(&api, false).await;
        load.answers(ANSWERS).await;
        server.resume();
        until_available(&api, true).await;
        load.answers(ANSWERS).await;
        let answers = load.stop().await;
        eprintln!("{}", told(&format!("hang {round}"), &answers));
        answers.are_good(TIMEOUT + SLACK);
        an_import_works(&api, &format!("hung-{round}")).await;
    }
}

#[tokio::test]
async fn failed_over_by_sentinels_under_load() {
    let mut sentinels = Sentinels::start().await;
    let (api, paths) = busy_api(sentinels.url()).await;
    for round in 1..=scale(1, 20) {
        let load = Load::start(&[&api], &paths);
        load.answers(ANSWERS).await;
        sentinels.failover().await;
        load.answers(ANSWERS).await;
        until_available(&api, true).await;
        load.answers(ANSWERS).await;
        let answers = load.stop().await;
        eprintln!("{}", told(&format!("failover {round}"), &answers));
        answers.are_good(TIMEOUT + SLACK);
        an_import_works(&api, &format!("failed-over-{round}")).await;
    }
    // The last time without any notice to the clients.
    let load = Load::start(&[&api], &paths);
    let before = sentinels.primary().await.port();
    sentinels.primary().await.kill9();
    until_available(&api, false).await;
    load.answers(ANSWERS).await;
    sentinels.wait_for_primary_other_than(before).await;
    until_available(&api, true).await;
    load.answers(ANSWERS).await;
    let answers = load.stop().await;
    eprintln!("{}", told("primary killed", &answers));
    answers.are_good(TIMEOUT + SLACK);
    an_import_works(&api, "killed").await;
}

#[tokio::test]
async fn a_shard_of_a_cluster_lost_under_load() {
    let mut cluster = Cluster::start().await;
    let (api, paths) = busy_api(cluster.url()).await;
    for round in 0..scale(2, 20) {
        // The shard's two nodes take turns.
        let (lost, other) = if round % 2 == 0 { (0, 3) } else { (3, 0) };
        let load = Load::start(&[&api], &paths);
        load.answers(ANSWERS).await;
        cluster.nodes()[lost].kill9();
        load.answers(ANSWERS).await;
        cluster.wait_until_primary(other).await;
        until_available(&api, true).await;
        load.answers(ANSWERS).await;
        let answers = load.stop().await;
        eprintln!("{}", told(&format!("shard {round}"), &answers));
        answers.are_good(TIMEOUT + SLACK);
        cluster.nodes()[lost].restart().await;
        cluster.wait_until_ok().await;
        an_import_works(&api, &format!("lost-{round}")).await;
    }
}

#[tokio::test]
async fn while_redis_is_away_the_node_says_so_and_serves_on() {
    let mut server = RedisServer::start().await;
    let (mut api, paths) = busy_api(server.url()).await;
    server.kill9();
    until_available(&api, false).await;

    let ready = api.request(Method::GET, "/readyz").send().await.expect("an answer");
    assert_eq!(ready.status(), 200);
    assert!(ready.text().await.expect("text").contains("degraded"));
    let health = poll_until(DEADLINE, async || {
        let answer = api.request(Method::GET, "/health").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let health: Value = answer.json().await.expect("JSON");
        let reasons = health["reasons"].as_array().cloned().unwrap_or_default();
        reasons.iter().any(|reason| reason["component"] == "redis_unavailable").then_some(health)
    });
    let health = health.await.expect("health names it");
    assert_eq!((&health["status"], &health["health"]), (&json!("warn"), &json!("degraded")), "{health}");
    assert_eq!(metric(&api, "tidegate_redis_available{use=\"queue\"}").await, Some(0.0));
    assert_eq!(metric(&api, "tidegate_redis_available{use=\"limits\"}").await, Some(0.0));
    let away = api.process.log().find(|line| line.contains("Redis does not answer"));
    assert!(away.is_some_and(|line| line.contains("WARN")));

    // Reads, writes and limits as ever, by what this process knows itself.
    let one = api.get_as("acme", &paths[0]);
    assert_eq!(success_json(one).await["title"], "one");
    let change = api.request(Method::PUT, &paths[0]).header("x-tenant-id", "acme").json(&schedule("two"));
    success_json(change).await;
    assert_eq!(success_json(api.get_as("acme", &paths[0])).await["title"], "two");
    api.create_tenant("late", "free").await;
    let mut statuses = Vec::new();
    for _ in 0..62 {
        statuses.push(api.get_as("late", "/api/schedules").send().await.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 60, "{statuses:?}");
    assert_eq!(statuses[61], 429);

    // Jobs have nowhere to go, and the client hears that it may try again.
    let import = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
    let refused = import.header("content-type", "text/csv").body(csv(5, &[])).send().await.expect("an answer");
    assert!(refused.headers().contains_key("retry-after"), "{:?}", refused.headers());
    problem(refused, 503, "unavailable").await;
    let export = api.request(Method::POST, "/api/schedules/export").header("x-tenant-id", "acme");
    let report = api.request(Method::POST, "/api/reports").header("x-tenant-id", "acme");
    let span = json!({"kind": "schedules", "from": "2030-01-01", "to": "2030-02-01"});
    let requests = [
        export.json(&json!({"format": "csv"})),
        report.json(&span),
        api.request(Method::POST, "/api/backups"),
        api.request(Method::GET, "/api/queue/import"),
    ];
    for request in requests {
        problem(request.send().await.expect("an answer"), 503, "unavailable").await;
    }

    server.restart().await;
    until_available(&api, true).await;
    assert_eq!(success_json(api.get_as("acme", &paths[0])).await["title"], "two", "no older value came back");
    an_import_works(&api, "back").await;
    assert!(api.process.log().find(|line| line.contains("Redis is available again")).is_some());
    assert_eq!(api.process.stop().await.expect("it ends").code(), Some(0));
}

/// How many imports the server keeps.
async fn enqueued(server: &RedisServer) -> usize {
    const COUNT: &str = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*{q:import:*}:job')) do \
                         n = n + redis.call('HLEN', key) end return n";
    server.cli(&["EVAL", COUNT, "0"]).await.trim().parse().expect("a number")
}

/// The server runs the enqueue, and its reply never comes.
#[tokio::test]
async fn an_import_whose_enqueue_got_no_reply_keeps_its_upload_and_is_found_again() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let (api, _) = busy_api(proxy.url()).await;
    // So that the queue is known, and the enqueue is all that has to be sent.
    an_import_works(&api, "first").await;
    let import = |key: String, body: Body| {
        let request = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
        request.header("content-type", "text/csv").header("idempotency-key", key).body(body).send()
    };
    let mut round = 0;
    let unknown = poll_until(DEADLINE, async || {
        round += 1;
        until_available(&api, true).await;
        let (before, released) = (enqueued(&server).await, Cell::new(0));
        let (go, gone) = oneshot::channel::<()>();
        let lines = csv(5, &[]).into_bytes();
        let (begin, end) = (lines[..20].to_vec(), lines[20..].to_vec());
        let rest = stream::once(async move { gone.await.map(|()| end) });
        let body = Body::wrap_stream(stream::once(async { Ok(begin) }).chain(rest));
        let spool = api.scratch.join("spool");
        let hold = async {
            // The first part is there, so what is read before the upload has been read.
            let is_begun = async || std::fs::read_dir(&spool).is_ok_and(|mut all| all.next().is_some()).then_some(());
            poll_until(DEADLINE, is_begun).await.expect("the upload begins");
            proxy.hold();
            go.send(()).expect("the body waits");
            // What is asked before the enqueue is answered; the enqueue's own reply is not.
            let is_enqueued = async || {
                if enqueued(&server).await > before {
                    return Some(());
                }
                if proxy.held() > released.get() {
                    proxy.release(1);
                    released.set(released.get() + 1);
                }
                None
            };
            // Where a reply comes too late for its caller, there is no enqueue in this round.
            let _ = poll_until(Duration::from_secs(3), is_enqueued).await;
        };
        let (answer, ()) = join(import(format!("round {round}"), body), hold).await;
        proxy.restore();
        let answer = answer.expect("an answer");
        let status = answer.status();
        let body: Value = answer.json().await.expect("JSON");
        // Another command may time out first: then the enqueue is not sent.
        (body["type"] == "urn:tidegate:problem:outcome-unknown").then_some((status, body))
    });
    let (status, body) = unknown.await.expect("its outcome is unknown");
    assert_eq!(status, 503);
    let id = body["id"].as_str().expect("an id").to_owned();
    assert_eq!(body["location"], format!("/api/schedules/import/{id}"));

    until_available(&api, true).await;
    let again = import(format!("round {round}"), csv(5, &[]).into()).await.expect("an answer");
    assert_eq!(again.status(), 202);
    assert_eq!(again.json::<Value>().await.expect("JSON")["job_id"], id.as_str(), "the same import");
    let job = api.job_in_state(&id, "done").await;
    assert_eq!(job["result"]["imported"], 5, "its upload was kept: {job}");
}

#[tokio::test]
async fn a_process_ends_well_while_redis_is_away() {
    let mut server = RedisServer::start().await;
    let (mut api, _) = busy_api(server.url()).await;
    let mut worker = api.worker(&[]).start().expect("it starts");
    worker.wait_for_line("works on the queues", DEADLINE).await.expect("its banner");
    server.hang().await;
    until_available(&api, false).await;
    assert_eq!(api.process.stop().await.expect("it ends").code(), Some(0));
    assert_eq!(worker.stop().await.expect("it ends").code(), Some(0));
}

#[tokio::test]
async fn an_import_is_whole_after_an_outage_longer_than_its_lease() {
    const LEASE: Duration = Duration::from_secs(2);
    let mut server = RedisServer::start().await;
    let settings = [("TIDEGATE_QUEUE_LEASE", "2s"), ("TIDEGATE_IMPORT", "chunk=50, pause=150ms")];
    let api = Api::start_on(Servers::At(server.url()), &settings).await;
    // Another worker that could take the job.
    let mut other = api.worker(&settings).start().expect("it starts");
    other.wait_for_line("works on the queues", DEADLINE).await.expect("its banner");
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(3_000, &[5])).await;
    api.job_when(&id, |job| job["progress"].is_object()).await;
    server.kill9();
    // The length of the outage, and nothing that is waited for.
    tokio::time::sleep(LEASE * 2).await;
    server.restart().await;

    until_available(&api, true).await;
    let job = api.job_in_state(&id, "done").await;
    // Its worker continued, and no other worker took the job.
    assert_eq!((&job["deliveries"], &job["failures"]), (&json!(1), &json!(0)), "{job}");
    assert_eq!((&job["result"]["imported"], &job["result"]["rejected"]), (&json!(2_999), &json!(1)));
    assert_eq!(api.titles("acme").await, good_titles(3_000, &[5]));
}
