//! Each command of the README, as a new user types it.
//!
//! Two things differ: the programs are already built, instead of `cargo run --release --bin …`, and
//! the port is a free one instead of 8080.

use reqwest::Method;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{Process, ProcessBuilder, Scratch};

use crate::harness::{self, Api, DEADLINE, listening_at, run};

const README: &str = include_str!("../../../../README.md");
const ADDRESS: &str = "localhost:8080";
const RUN: &str = "cargo run --release --bin ";
/// Runs all tests, this one among them.
const TESTS: &str = "cargo xtask test";

/// How fast this machine is must not matter: nothing counts as slow.
const HOWEVER_SLOW: [(&str, &str); 2] = [
    ("TIDEGATE_PERFORMANCE_SLOW", "database=100s, cache=100s, api=100s, rendering=100s, request=100s"),
    ("TIDEGATE_PERFORMANCE_HEALTH", "slow_api=100s, p99=100s, slow_query=100s, pool_wait=100s"),
];

/// Asserts that the log has no warning and no error. On a machine that is busy with other tests,
/// Redis may answer too late: such a warning is deserved.
fn warned_of_nothing(process: &Process) {
    let is_warning = |line: &str| line.contains(" WARN ") || line.contains(" ERROR ");
    let is_late = |line: &str| ["Redis does not answer", "no reply from Redis"].iter().any(|late| line.contains(late));
    let lines = process.log().lines().into_iter().map(|line| line.text);
    let warnings: Vec<_> = lines.filter(|line| is_warning(line) && !is_late(line)).collect();
    assert!(warnings.is_empty(), "{}", warnings.join("\n"));
}

/// Returns the texts of the `sh` blocks.
fn blocks() -> Vec<&'static str> {
    let behind = README.split("```sh\n").skip(1);
    behind.map(|text| text.split_once("\n```").expect("a block ends").0).collect()
}

/// The tour is what speaks to a running API; the other blocks start one.
fn is_tour(block: &str) -> bool {
    block.contains(ADDRESS) && !block.contains("cargo")
}

/// A line that starts a program: its variables, and its name.
struct Start {
    variables: Vec<(String, String)>,
    program: String,
}

impl Start {
    fn of(line: &str) -> Option<Self> {
        let (variables, rest) = line.split_once(RUN)?;
        let variables = variables.split_whitespace().map(|pair| {
            let (name, value) = pair.split_once('=').expect("a variable before the command");
            (name.to_owned(), value.to_owned())
        });
        let mut words = rest.split('#').next()?.split_whitespace();
        let program = words.next()?.to_owned();
        assert_eq!(words.next(), None, "`{line}` has arguments, which this test does not pass on");
        Some(Self { variables: variables.collect(), program })
    }

    fn builder(&self, directory: &Scratch, redis: Option<&RedisServer>) -> ProcessBuilder {
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: Vec<_> = variables.chain(HOWEVER_SLOW).collect();
        let builder = match self.program.as_str() {
            "tidegate-api" => harness::api(directory.path(), &variables),
            "tidegate-worker" => harness::worker(directory.path(), &variables),
            other => unreachable!("the README starts `{other}`"),
        };
        // Another process may use the port that it names.
        let builder =
            if self.program == "tidegate-api" { builder.env("TIDEGATE_LISTEN", "127.0.0.1:0") } else { builder };
        redis.into_iter().fold(builder, |builder, server| builder.env("REDIS_URL", server.url()))
    }

    async fn works(&self, process: &mut Process) {
        if self.program == "tidegate-worker" {
            process.wait_for_line("works on the queues", DEADLINE).await.expect("the worker says what it works on");
            return;
        }
        let url = listening_at(process).await;
        let ready = harness::client().get(format!("{url}/readyz")).send().await.expect("an answer");
        assert_eq!(ready.status(), 200);
    }
}

#[tokio::test]
async fn the_tour_does_what_it_says() {
    let tours: Vec<_> = blocks().into_iter().filter(|block| is_tour(block)).collect();
    assert!(!tours.is_empty());
    let api = Api::start_with(&HOWEVER_SLOW).await;
    let address = api.url.trim_start_matches("http://");
    // Every answer counts, but those that the tour has refused, and the stream that it leaves.
    let strict = r#"
        set -euo pipefail
        curl() {
            case "$*" in
                *"-o /dev/null"*) command curl "$@" ;;
                *--max-time*) command curl "$@" || [ $? -eq 28 ] ;;
                *) command curl --fail-with-body "$@"; echo ;;
            esac
        }
    "#;
    let script = format!("{strict}\n{}", tours.join("\n").replace(ADDRESS, address));
    let path = std::env::var_os("PATH").expect("a path");
    let ended = run(Process::builder("/bin/bash").arg("-c").arg(script).env("PATH", path)).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    for told in [
        "\"api_key\":\"tk_",
        "cache-status: tidegate; fwd=",
        "cache-status: tidegate; hit",
        "\"job_id\":",
        "     60 200",
        "      1 429",
        "\ndata: ",
        "tidegate_",
    ] {
        assert!(ended.out.contains(told), "`{told}` is nowhere in:\n{}", ended.out);
    }
    let import = ended.out.split("\"job_id\":\"").nth(1).and_then(|text| text.split('"').next()).expect("its job");
    let job = api.job_in_state(import, "done").await;
    assert_eq!((&job["result"]["imported"], &job["result"]["rejected"]), (&10_000.into(), &1.into()), "{job}");
    for page in ["", "/performance", "/queues", "/queues/import", "/cron", "/limits", "/limits?tenant=small", "/cache"]
    {
        let shown = api.request(Method::GET, &format!("/dashboard{page}")).send().await.expect("an answer");
        assert_eq!(shown.status(), 200, "{page}");
    }
    warned_of_nothing(&api.process);
    let alerts = api.json("/api/performance?type=alerts").await;
    let firing = |alert: &serde_json::Value| alert["phase"] == "firing";
    assert!(!alerts["items"].as_array().expect("alerts").iter().any(firing), "{alerts}");
    let advice = api.json("/api/performance?type=advice").await;
    assert_eq!(advice["items"].as_array().map(Vec::len), Some(0), "{advice}");
}

#[tokio::test]
async fn every_program_starts_as_documented() {
    let mut started = 0;
    for block in blocks().into_iter().filter(|block| !is_tour(block)) {
        let directory = Scratch::new();
        let (mut redis, mut processes) = (None, Vec::new());
        for line in block.lines().filter(|line| !line.starts_with(TESTS)) {
            if line.starts_with("export REDIS_URL=redis://") {
                // Otherwise each program warns that the server may lose acknowledged writes.
                redis = Some(RedisServer::builder().set("aof-load-truncated", "no").start().await);
                continue;
            }
            let start = Start::of(line).unwrap_or_else(|| panic!("nothing here runs `{line}` of the README"));
            let mut process = start.builder(&directory, redis.as_ref()).start().expect("it starts");
            start.works(&mut process).await;
            processes.push(process);
        }
        started += processes.len();
        processes.iter().for_each(warned_of_nothing);
        for mut process in processes {
            assert!(process.stop().await.expect("it stops").success());
        }
    }
    assert!(started > 2, "{started}");
}
