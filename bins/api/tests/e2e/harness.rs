//! Starts the binaries on a scratch directory and speaks to them.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tidegate_testkit::{Process, ProcessBuilder, Scratch, Stream, binary, http_client, poll_until};

use crate::backend::Servers;

/// Longest wait for anything: generous, since the machine may be busy; no test asserts on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A data directory with an API on it.
pub(crate) struct Api {
    pub(crate) process: Process,
    pub(crate) url: String,
    client: Client,
    /// Behind the process, since fields drop in order and it has to end before what it runs on.
    pub(crate) servers: Rc<Servers>,
    pub(crate) scratch: Arc<Scratch>,
}

impl Api {
    /// Starts the API on a fresh directory and the test's backend, with nothing else set.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts the API on a fresh directory, with these variables in addition to address and
    /// directory.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_on(Servers::start().await, variables).await
    }

    /// Starts the API on a fresh directory and these servers.
    pub(crate) async fn start_on(servers: Servers, variables: &[(&str, &str)]) -> Self {
        Self::start_in(Arc::new(Scratch::new()), Rc::new(servers), variables).await
    }

    /// Starts another API on the same directory and servers.
    pub(crate) async fn start_beside(&self, variables: &[(&str, &str)]) -> Self {
        Self::start_in(Arc::clone(&self.scratch), Rc::clone(&self.servers), variables).await
    }

    async fn start_in(scratch: Arc<Scratch>, servers: Rc<Servers>, variables: &[(&str, &str)]) -> Self {
        // One process does all of it, also with Redis.
        let variables = [&[("TIDEGATE_WORKER", "inner")], variables].concat();
        let program = with(api(scratch.path(), &variables), &servers);
        let mut process = program.start().expect("the API starts");
        let url = listening_at(&mut process).await;
        Self { process, url, client: client(), servers, scratch }
    }

    /// A worker beside this API, not started.
    pub(crate) fn worker(&self, variables: &[(&str, &str)]) -> ProcessBuilder {
        with(worker(self.scratch.path(), variables), &self.servers)
    }

    /// A request to this API.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A GET that speaks for a tenant.
    pub(crate) fn get_as(&self, tenant: &str, path: &str) -> RequestBuilder {
        self.request(Method::GET, path).header("x-tenant-id", tenant)
    }

    /// The JSON of a GET that must succeed.
    pub(crate) async fn json(&self, path: &str) -> Value {
        success_json(self.request(Method::GET, path)).await
    }

    /// Creates a tenant and returns the answer, with its key.
    pub(crate) async fn create_tenant(&self, id: &str, tier: &str) -> Value {
        let body = json!({"id": id, "name": id, "tier": tier});
        success_json(self.request(Method::POST, "/api/tenants").json(&body)).await
    }

    /// Uploads a CSV and returns the id of its job.
    pub(crate) async fn import_csv(&self, tenant: &str, csv: String) -> String {
        let request = self.request(Method::POST, "/api/schedules/import");
        let request = request.header("x-tenant-id", tenant).header("content-type", "text/csv").body(csv);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 202);
        let body: Value = answer.json().await.expect("JSON");
        body["job_id"].as_str().expect("a job id").to_owned()
    }

    /// The job as operations see it.
    pub(crate) async fn job(&self, id: &str) -> Value {
        self.json(&format!("/api/queue/import/jobs/{id}")).await
    }

    /// Waits until the job is in that state and returns it.
    pub(crate) async fn job_in_state(&self, id: &str, state: &str) -> Value {
        self.job_when(id, |job| job["state"] == state).await
    }

    /// Waits until the job satisfies `when` and returns it.
    pub(crate) async fn job_when(&self, id: &str, when: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let reached = poll_until(DEADLINE, async || {
            last = self.job(id).await;
            when(&last).then_some(())
        });
        assert!(reached.await.is_ok(), "the job does not get there: {last}");
        last
    }

    /// The titles of all of a tenant's schedules, sorted, from the whole list page by page.
    pub(crate) async fn titles(&self, tenant: &str) -> Vec<String> {
        let mut titles = Vec::new();
        let mut path = String::from("/api/schedules?limit=200");
        loop {
            let page = success_json(self.get_as(tenant, &path)).await;
            let items = page["items"].as_array().expect("items");
            titles.extend(items.iter().map(|item| item["title"].as_str().expect("a title").to_owned()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/api/schedules?limit=200&cursor={cursor}");
        }
        titles.sort_unstable();
        titles
    }

    /// Kills the API as the out-of-memory killer does and starts it again on the same directory.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.process.kill9().expect("it runs until it is killed");
        self.restart().await;
    }

    /// Starts the API again on the same directory, once it has ended.
    pub(crate) async fn restart(&mut self) {
        self.process.restart().expect("it starts again");
        self.url = listening_at(&mut self.process).await;
    }
}

/// An API on that directory, on a port of its own choice, not started.
pub(crate) fn api(data_dir: &Path, variables: &[(&str, &str)]) -> ProcessBuilder {
    // A start that loads what was hot before would change what tests count.
    let cold = [("TIDEGATE_CACHE_WARM_UP", "0")];
    configured("tidegate-api", data_dir, &[&cold, variables].concat()).env("TIDEGATE_LISTEN", "127.0.0.1:0")
}

/// A worker on that directory, not started.
pub(crate) fn worker(data_dir: &Path, variables: &[(&str, &str)]) -> ProcessBuilder {
    configured("tidegate-worker", data_dir, variables)
}

/// The program with the servers of a test.
pub(crate) fn with(program: ProcessBuilder, servers: &Servers) -> ProcessBuilder {
    servers.variables().into_iter().fold(program, |program, (name, value)| program.env(name, value))
}

fn configured(program: &str, data_dir: &Path, variables: &[(&str, &str)]) -> ProcessBuilder {
    let builder = Process::builder(binary(program)).current_dir(data_dir).env("TIDEGATE_DATA_DIR", data_dir);
    variables.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
}

/// Returns the address on which the API reports to listen.
pub(crate) async fn listening_at(process: &mut Process) -> String {
    let line = process.wait_for_line("listens on", DEADLINE).await.expect("the API says where it listens");
    let at = line.find("http://").or_else(|| line.find("https://")).expect("an address");
    line[at..].trim().to_owned()
}

/// A client that speaks to this machine only.
pub(crate) fn client() -> Client {
    http_client().timeout(DEADLINE).build().expect("a client")
}

/// The result of a program that ended by itself.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a program that ends by itself.
pub(crate) async fn run(program: ProcessBuilder) -> Ended {
    let mut process = program.start().expect("the program starts");
    let status = process.wait_for_exit(DEADLINE).await.expect("the program ends by itself");
    let printed = |stream: Stream| {
        let lines = process.log().lines().into_iter().filter(|line| line.stream == stream);
        lines.map(|line| line.text + "\n").collect::<String>()
    };
    Ended { code: status.code(), out: printed(Stream::Stdout), err: printed(Stream::Stderr) }
}

/// The text of a header; empty where there is none, joined by commas where there are several.
pub(crate) fn header(answer: &Response, name: &str) -> String {
    let values = answer.headers().get_all(name).iter().map(|value| value.to_str().expect("a text"));
    values.collect::<Vec<_>>().join(", ")
}

/// A good schedule of that title.
pub(crate) fn schedule(title: &str) -> Value {
    json!({"title": title, "starts_at": "2030-01-07T09:00:00Z", "ends_at": "2030-01-07T09:15:00Z"})
}

/// The JSON of an answer that must be a success.
pub(crate) async fn success_json(request: RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The problem+json of an answer that must be that error.
pub(crate) async fn problem(answer: Response, status: u16, kind: &str) -> Value {
    let found = answer.status().as_u16();
    let content_type = answer.headers().get("content-type").map(|value| value.to_str().unwrap_or_default().to_owned());
    let id = answer.headers().get("x-request-id").map(|value| value.to_str().unwrap_or_default().to_owned());
    let text = answer.text().await.expect("a body");
    assert_eq!(found, status, "{text}");
    assert_eq!(content_type.as_deref(), Some("application/problem+json"), "{text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["type"], format!("urn:tidegate:problem:{kind}"), "{text}");
    assert_eq!(body["status"], status, "{text}");
    assert_eq!(body["request_id"].as_str(), id.as_deref(), "{text}");
    body
}

/// A CSV of `lines` schedules. Those at `bad` (counted from 1 behind the header) are broken.
pub(crate) fn csv(lines: usize, bad: &[usize]) -> String {
    let mut text = String::from("title,starts_at,ends_at,recurrence,attendees\n");
    for line in 1..=lines {
        let (day, hour) = (line % 28 + 1, line % 23);
        if bad.contains(&line) {
            text.push_str(&format!("bad {line},not a time,2030-01-{day:02}T{hour:02}:30:00Z,,\n"));
        } else {
            text.push_str(&format!(
                "schedule {line},2030-01-{day:02}T{hour:02}:00:00Z,2030-01-{day:02}T{hour:02}:30:00Z,,ada@example.org;Bob\n"
            ));
        }
    }
    text
}

/// The titles that a [`csv`] of the same arguments brings into the table, sorted.
pub(crate) fn good_titles(lines: usize, bad: &[usize]) -> Vec<String> {
    let good = (1..=lines).filter(|line| !bad.contains(line));
    let mut titles: Vec<String> = good.map(|line| format!("schedule {line}")).collect();
    titles.sort_unstable();
    titles
}
