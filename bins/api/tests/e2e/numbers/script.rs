//! A run over one API whose every effect is known.
//!
//! Each step records what it sends and what the service must count for it. Polls record themselves
//! too, so that the numbers are exact for any number of polls.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::backend;
use crate::harness::{Api, DEADLINE, csv, schedule};

/// Room for all requests, and limits beyond the work of a busy machine: a slow disk is reported
/// too.
const SETTINGS: &[(&str, &str)] = &[
    ("TIDEGATE_LIMIT_DDOS", "1000000/second"),
    ("TIDEGATE_PERFORMANCE_SLOW", "database=100s, cache=100s, rendering=100s"),
    ("TIDEGATE_PERFORMANCE_HEALTH", "slow_query=100s, slow_api=100s, p99=100s"),
];

/// A schedule that does not exist.
const UNKNOWN: &str = "/api/schedules/0192d5a0-0000-7000-8000-000000000000";
const SCHEDULES: &str = "/api/schedules";
const SCHEDULE: &str = "/api/schedules/{id}";
const IMPORT: &str = "/api/schedules/import";
const JOB: &str = "/api/queue/{queue}/jobs/{id}";

/// The run, and what it must have been counted as.
pub(super) struct Script {
    pub(super) api: Api,
    /// Answers by endpoint (method and route template) and by the hundreds of their status.
    /// Refusals are a class of their own.
    pub(super) answers: BTreeMap<(String, String), BTreeMap<String, u64>>,
    /// The cache class of tenants and API keys.
    pub(super) tenants: Lookups,
    /// The cache class of schedules.
    pub(super) schedules: Lookups,
    /// Entries that the cache holds.
    pub(super) entries: u64,
    /// The limiter `ddos`: everything but probes, under one address.
    pub(super) ddos: Decisions,
    /// The limiter `api`.
    pub(super) client: Decisions,
    /// The quotas of tenants.
    pub(super) quota: Decisions,
    /// The queue at the end.
    pub(super) queue: BTreeMap<&'static str, u64>,
}

/// The counts of a cache class.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lookups {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) invalidations: u64,
}

/// The counts of a limiter.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) keys: u64,
    pub(super) top_denied: Vec<(&'static str, u64)>,
}

impl Script {
    /// Starts an API and plays the whole run on it.
    pub(super) async fn run() -> Self {
        let mut script = Self {
            api: Api::start_with(SETTINGS).await,
            answers: BTreeMap::new(),
            tenants: Lookups::default(),
            schedules: Lookups::default(),
            entries: 0,
            // Its keys are those under suspicion.
            ddos: Decisions::default(),
            client: Decisions::default(),
            quota: Decisions::default(),
            queue: BTreeMap::new(),
        };
        script.probes().await;
        let key = script.create_tenants().await;
        let schedule = script.use_schedules().await;
        script.use_up_the_quota().await;
        script.use_keys(&key).await;
        script.import().await;
        script.purge(&schedule).await;
        script
    }

    async fn probes(&mut self) {
        for probe in ["/livez", "/readyz", "/startupz"] {
            self.get(probe, probe, 200).await;
        }
        self.send("__unmatched__", self.api.request(Method::GET, "/nowhere"), 404).await;
    }

    /// The API key of `globex`.
    async fn create_tenants(&mut self) -> String {
        let tenant = |id, tier| json!({"id": id, "name": id, "tier": tier});
        self.post("/api/tenants", &tenant("acme", "free"), 201).await;
        let globex = self.post("/api/tenants", &tenant("globex", "enterprise"), 201).await;
        self.post("/api/tenants", &tenant("acme", "basic"), 409).await;

        // A missing tenant is cached as well. Requests for it count against the address.
        self.get_as("nobody", SCHEDULES, SCHEDULES, 404).await;
        self.get_as("nobody", SCHEDULES, SCHEDULES, 404).await;
        self.get("/api/tenants/{id}", "/api/tenants/acme", 200).await;
        self.get("/api/tenants/{id}", "/api/tenants/none", 404).await;
        self.tenants.misses += 3;
        self.tenants.hits += 1;
        self.entries += 3;
        self.client.allowed += 2;
        self.client.keys += 1;

        let globex: Value = globex.json().await.expect("JSON");
        globex["api_key"].as_str().expect("a key").to_owned()
    }

    /// All as `acme`, whose tenant is cached. Returns the path of a schedule that is cached at the
    /// end.
    async fn use_schedules(&mut self) -> String {
        let mut paths = Vec::new();
        for title in ["one", "two", "three"] {
            let created = self.send_as(Method::POST, SCHEDULES, SCHEDULES, Some(schedule(title)), 201).await;
            paths.push(created.headers()["location"].to_str().expect("text").to_owned());
        }
        let (one, two) = (paths[0].as_str(), paths[1].as_str());

        let first = self.get_as("acme", SCHEDULE, one, 200).await;
        for _ in 0..4 {
            self.get_as("acme", SCHEDULE, one, 200).await;
        }
        let known = self.api.get_as("acme", one).header("if-none-match", first.headers()["etag"].clone());
        self.send(SCHEDULE, known, 304).await;
        self.get_as("acme", SCHEDULE, UNKNOWN, 404).await;
        self.get_as("acme", SCHEDULE, UNKNOWN, 404).await;
        self.get_as("acme", SCHEDULE, "/api/schedules/no-uuid", 404).await; // is not looked up
        for _ in 0..3 {
            self.get_as("acme", SCHEDULES, SCHEDULES, 200).await;
        }
        self.schedules.misses += 3;
        self.schedules.hits += 4 + 1 + 1 + 2;

        // A change makes the schedule stale, which is counted, and the list, which is not.
        self.send_as(Method::PUT, SCHEDULE, one, Some(schedule("one, later")), 200).await;
        self.send_as(Method::PUT, SCHEDULE, UNKNOWN, Some(schedule("none")), 404).await;
        self.schedules.invalidations += 1;
        self.get_as("acme", SCHEDULE, one, 200).await;
        self.get_as("acme", SCHEDULES, SCHEDULES, 200).await;
        self.send_as(Method::DELETE, SCHEDULE, two, None, 204).await;
        self.send_as(Method::DELETE, SCHEDULE, two, None, 404).await;
        self.get_as("acme", SCHEDULES, SCHEDULES, 200).await;
        self.get_as("acme", SCHEDULE, two, 404).await;
        self.schedules.misses += 4;
        self.entries += 4; // one, two, the unknown, the list

        self.send_as(Method::POST, SCHEDULES, SCHEDULES, Some(schedule("")), 422).await;
        self.send_as(Method::POST, SCHEDULES, SCHEDULES, Some(json!({"colour": "blue"})), 400).await;
        let text = self.api.request(Method::POST, SCHEDULES).header("x-tenant-id", "acme").body("text");
        self.send(SCHEDULES, text, 415).await;

        let requests = 3 + 5 + 1 + 3 + 3 + 2 + 2 + 2 + 2 + 3;
        self.tenants.hits += requests;
        self.quota.allowed += requests;
        self.client.allowed += requests;
        one.to_owned()
    }

    /// `acme` has the 60 requests a minute of the free tier; then it gets another.
    async fn use_up_the_quota(&mut self) {
        let left = 60 - self.quota.allowed;
        for _ in 0..left {
            self.get_as("acme", SCHEDULES, SCHEDULES, 200).await;
        }
        for _ in 0..5 {
            self.get_as("acme", SCHEDULES, SCHEDULES, 429).await;
        }
        self.post("/api/rate-limit", &json!({"tenant_id": "acme", "tier": "basic"}), 200).await;
        self.get_as("acme", SCHEDULES, SCHEDULES, 200).await;
        let usage = self.get("/api/rate-limit/tenants/{id}", "/api/rate-limit/tenants/acme", 200).await;
        let usage: Value = usage.json().await.expect("JSON");
        assert_eq!((&usage["tier"], &usage["effective_limits"]["per_minute"]), (&json!("basic"), &json!(120)));
        let minute = &usage["windows"][0];
        assert_eq!(
            (&minute["window"], &minute["used"], &minute["remaining"]),
            (&json!("minute"), &json!(61), &json!(59))
        );

        // A refused request was looked up and charged nothing. A plan changes in the database,
        // without a lookup.
        self.tenants.hits += left + 5 + 1;
        self.tenants.invalidations += 1;
        self.tenants.misses += 1;
        self.schedules.hits += left + 1;
        self.quota.allowed += left + 1;
        self.quota.denied += 5;
        self.quota.keys += 1;
        self.quota.top_denied.push(("acme", 5));
        // On Basic its quota alone counts it.
        self.client.allowed += left;
        self.client.keys += 1;
    }

    /// `globex` is bound by its quota alone; a wrong key and none count against the address.
    async fn use_keys(&mut self, key: &str) {
        for (key, status) in [(key, 200), (key, 200), ("tk_wrong", 401), ("tk_wrong", 401)] {
            let request = self.api.request(Method::GET, SCHEDULES).bearer_auth(key);
            self.send(SCHEDULES, request, status).await;
        }
        self.send(SCHEDULES, self.api.request(Method::GET, SCHEDULES), 401).await;
        // The key, and its tenant; what has not the form of a key is not looked up.
        self.tenants.misses += 2;
        self.tenants.hits += 2;
        self.schedules.misses += 1;
        self.schedules.hits += 1;
        self.entries += 2 + 1; // the key, the tenant; its list
        self.quota.allowed += 2;
        self.quota.keys += 1;
        self.client.allowed += 3;
    }

    /// Four imports: with bad lines, without, one whose file is lost and put back, one cancelled.
    async fn import(&mut self) {
        self.post_at("/api/queue/{queue}/pause", "/api/queue/import/pause", 200).await;
        let mut jobs = Vec::new();
        for (lines, bad) in [(9, vec![2, 5]), (4, vec![]), (3, vec![]), (2, vec![])] {
            let request = self.api.request(Method::POST, IMPORT).header("x-tenant-id", "globex");
            let accepted =
                self.send(IMPORT, request.header("content-type", "text/csv").body(csv(lines, &bad)), 202).await;
            let accepted: Value = accepted.json().await.expect("JSON");
            jobs.push(accepted["job_id"].as_str().expect("a job id").to_owned());
        }
        let waiting: Value = self.get("/api/queue/{queue}", "/api/queue/import", 200).await.json().await.expect("JSON");
        assert_eq!((&waiting["ready"], &waiting["paused"], &waiting["leased"]), (&json!(4), &json!(true), &json!(0)));

        let job = |index: usize| format!("/api/queue/import/jobs/{}", jobs[index]);
        let (upload, aside) = (self.api.scratch.join("spool").join(&jobs[2]), self.api.scratch.join("aside"));
        std::fs::rename(&upload, &aside).expect("the upload is in the spool");
        self.send(JOB, self.api.request(Method::DELETE, &job(3)), 204).await;
        self.post_at("/api/queue/{queue}/resume", "/api/queue/import/resume", 200).await;
        self.job_in_state(&job(0), "done").await;
        self.job_in_state(&job(1), "done").await;
        let dead = self.job_in_state(&job(2), "dead").await;
        assert_eq!(dead["attempts"][0]["error"], "the uploaded file is gone");
        std::fs::rename(&aside, &upload).expect("it can be put back");
        self.post_at("/api/queue/{queue}/jobs/{id}/retry", &(job(2) + "/retry"), 204).await;
        self.job_in_state(&job(2), "done").await;
        self.queue = BTreeMap::from([
            ("ready", 0),
            ("delayed", 0),
            ("waiting", 0),
            ("leased", 0),
            ("done", 3),
            ("dead", 0),
            ("cancelled", 1),
            ("completed_total", 3),
            ("failed_total", 1),
            ("retried_total", 0),
            ("reclaimed_total", 0),
            ("stale_acks_total", 0),
            ("recovered_total", 0),
            ("dropped_total", 0),
        ]);

        let import = format!("{IMPORT}/{}", jobs[0]);
        self.get_as("globex", "/api/schedules/import/{id}", &import, 200).await;
        self.get_as("globex", "/api/schedules/import/{id}/rejects", &(import + "/rejects"), 200).await;
        let list: Value = self.get_as("globex", SCHEDULES, SCHEDULES, 200).await.json().await.expect("JSON");
        assert_eq!(list["items"].as_array().map(Vec::len), Some(7 + 4 + 3));
        self.tenants.hits += 4 + 3;
        self.quota.allowed += 4 + 3;
        self.schedules.misses += 1; // the list, which was cached when it was empty
    }

    async fn purge(&mut self, schedule: &str) {
        let id = schedule.rsplit('/').next().expect("an id");
        let keys = json!({"keys": [format!("schedule:acme:{id}"), "schedule:acme:never-cached"]});
        let request = self.api.request(Method::DELETE, "/api/cache").json(&keys);
        let purged: Value = self.send("/api/cache", request, 200).await.json().await.expect("JSON");
        // With a shared tier, this process may have dropped the entry on its notice before the
        // request.
        let removed = purged["removed"].as_u64().expect("a number");
        assert!(removed == 1 || removed == 0 && backend::is_shared(), "{purged}");
        self.schedules.invalidations += 1;
        self.entries -= 1;
    }

    /// Sends a request that must be answered so, and notes it.
    pub(super) async fn send(&mut self, route: &str, request: RequestBuilder, status: u16) -> Response {
        let (client, request) = request.build_split();
        let request = request.expect("a request");
        let endpoint = (request.method().to_string(), route.to_owned());
        let answer = client.execute(request).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{endpoint:?}");
        let class = match status {
            401 | 403 | 429 => "refused".to_owned(),
            _ => format!("{}xx", status / 100),
        };
        *self.answers.entry(endpoint).or_default().entry(class).or_default() += 1;
        self.ddos.allowed += u64::from(!PROBES.contains(&route));
        answer
    }

    /// Sends a GET of operations or a probe.
    pub(super) async fn get(&mut self, route: &str, path: &str, status: u16) -> Response {
        self.send(route, self.api.request(Method::GET, path), status).await
    }

    async fn get_as(&mut self, tenant: &str, route: &str, path: &str, status: u16) -> Response {
        self.send(route, self.api.get_as(tenant, path), status).await
    }

    /// Sends a change by `acme`.
    async fn send_as(&mut self, method: Method, route: &str, path: &str, body: Option<Value>, status: u16) -> Response {
        let request = self.api.request(method, path).header("x-tenant-id", "acme");
        let request = if let Some(body) = body { request.json(&body) } else { request };
        self.send(route, request, status).await
    }

    async fn post(&mut self, route: &str, body: &Value, status: u16) -> Response {
        self.send(route, self.api.request(Method::POST, route).json(body), status).await
    }

    async fn post_at(&mut self, route: &str, path: &str, status: u16) -> Response {
        self.send(route, self.api.request(Method::POST, path), status).await
    }

    async fn job_in_state(&mut self, path: &str, state: &str) -> Value {
        let reached = poll_until(DEADLINE, async || {
            let job: Value = self.get(JOB, path, 200).await.json().await.expect("JSON");
            (job["state"] == state).then_some(job)
        });
        reached.await.expect("the job gets there")
    }
}

/// Paths that no limiter counts.
const PROBES: [&str; 5] = ["/livez", "/readyz", "/startupz", "/health", "/metrics"];
