//! A start while Redis or the database server is away.

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, Scratch, free_port, poll_until};

use crate::harness::{DEADLINE, api, client, worker};

/// An API and a worker, started with those variables, and where they will answer.
struct Starting {
    processes: Vec<Process>,
    urls: Vec<String>,
    client: Client,
    _scratch: Scratch,
}

impl Starting {
    fn new(variables: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new();
        let ports = [free_port(), free_port()];
        let address = |port: u16| format!("127.0.0.1:{port}");
        let api = api(scratch.path(), variables).env("TIDEGATE_LISTEN", address(ports[0]));
        let worker = worker(scratch.path(), variables).env("TIDEGATE_WORKER_LISTEN", address(ports[1]));
        let processes = vec![api.start().expect("the API"), worker.start().expect("the worker")];
        let urls = ports.map(|port| format!("http://{}", address(port))).to_vec();
        Self { processes, urls, client: client(), _scratch: scratch }
    }

    /// Both are alive, and say on their probes that they wait for that.
    async fn wait_for(&self, server: &str) {
        for url in &self.urls {
            let unready = poll_until(DEADLINE, async || {
                let (status, text) = self.get(url, "/readyz").await?;
                (status == StatusCode::SERVICE_UNAVAILABLE && text.contains(server)).then_some(())
            });
            assert!(unready.await.is_ok(), "{url} does not wait for {server}");
            let alive = self.get(url, "/livez").await.expect("an answer");
            assert_eq!(alive, (StatusCode::OK, "alive\n".to_owned()));
            for probe in ["/startupz", "/health", "/metrics"] {
                let (status, _) = self.get(url, probe).await.expect("an answer");
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{url}{probe}");
            }
        }
    }

    async fn ready(&self) {
        for url in &self.urls {
            let ready = poll_until(DEADLINE, async || {
                let (status, text) = self.get(url, "/readyz").await?;
                (status == StatusCode::OK && text == "ready\n").then_some(())
            });
            assert!(ready.await.is_ok(), "{url} does not become ready");
        }
    }

    async fn get(&self, url: &str, path: &str) -> Option<(StatusCode, String)> {
        let answer = self.client.get(format!("{url}{path}")).send().await.ok()?;
        Some((answer.status(), answer.text().await.ok()?))
    }

    fn log(&self) -> String {
        let log = |process: &Process| format!("{:?}", process.log().lines());
        self.processes.iter().map(log).collect()
    }

    /// SIGHUP ends no process, also if it has no files to read again.
    async fn hang_up(&mut self) {
        for process in &mut self.processes {
            process.hang_up().expect("it runs");
        }
        for url in &self.urls {
            let alive = self.get(url, "/livez").await.expect("an answer");
            assert_eq!(alive.0, StatusCode::OK);
        }
    }

    async fn stop(mut self) {
        for process in &mut self.processes {
            assert!(process.stop().await.expect("it ends").success());
        }
    }
}

#[tokio::test]
async fn a_start_waits_for_redis_and_answers_probes_meanwhile() {
    let mut redis = RedisServer::start().await;
    redis.kill9();
    let starting = Starting::new(&[("REDIS_URL", &redis.url())]);
    starting.wait_for("Redis").await;
    let answer = starting.client.get(format!("{}/api/schedules", starting.urls[0])).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(answer.headers().contains_key("retry-after"));
    let problem: Value = answer.json().await.expect("JSON");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("not started")), "{problem}");
    redis.restart().await;
    starting.ready().await;
    starting.stop().await;
}

#[tokio::test]
async fn a_start_waits_for_the_database_and_answers_probes_meanwhile() {
    let mut server = PostgresServer::start_tcp(&[]).await;
    server.kill9();
    let url = server.url().replace("postgres@", "postgres:hunter2@");
    let mut starting = Starting::new(&[("DATABASE_URL", &url), ("TIDEGATE_DATABASE_CONNECTIONS", "deadline=1s")]);
    starting.wait_for("database").await;
    server.restart().await;
    starting.ready().await;
    assert!(!starting.log().contains("hunter2"), "{}", starting.log());
    starting.hang_up().await;
    starting.stop().await;
}

#[tokio::test]
async fn a_start_that_waits_ends_at_a_signal() {
    let url = format!("redis://:hunter2@127.0.0.1:{}", free_port());
    let mut starting = Starting::new(&[("REDIS_URL", &url)]);
    starting.wait_for("Redis").await;
    assert!(starting.log().contains("can't reach"), "{}", starting.log());
    starting.hang_up().await;
    assert!(!starting.log().contains("hunter2"), "{}", starting.log());
    starting.stop().await;
}
