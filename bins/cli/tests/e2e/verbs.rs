//! Every verb, as a person and as a script runs it.

use crate::harness::{Api, Ended};

const MANUAL: &str = include_str!("../../../../docs/reference/cli.md");

/// A run of a verb: its arguments, the exit code, and a part of what a person sees.
struct Step(&'static str, i32, &'static str);

/// In an order in which each finds what it needs. Arguments have no blanks within.
const STEPS: &[Step] = &[
    // Nothing is known yet.
    Step("health", 6, "status:"),
    Step("queue list", 0, "READY"),
    Step("queue set import --events on --max-running 4 --rate 100/1s", 0, "1000 ms"),
    Step("queue set import --rate none", 0, "4"),
    Step("queue settings import", 0, "keeps events:  yes"),
    // No worker takes a job meanwhile, so that each is in the state that the next step needs.
    Step("queue pause import", 0, "import is paused"),
    Step("queue show import", 0, "paused:                yes"),
    Step("job enqueue import --kind tour --payload {\"n\":1} --delay 1h --id job-1 --priority 0", 0, "job-1"),
    Step("job enqueue import --kind tour --payload-file - --delay 1h --key order-7", 2, ""),
    Step("job enqueue import --kind tour --payload 1 --at 2999-01-01T00:00:00Z --key order-7", 0, ""),
    Step("job list import --state delayed --limit 1", 0, "tour"),
    Step("job show import job-1", 0, "state:         delayed"),
    Step("job logs import job-1", 0, "DELIVERY"),
    Step("job promote import job-1", 0, "job-1 is ready"),
    Step("job cancel import job-1", 0, "job-1"),
    Step("job retry import job-1", 0, "job-1 is ready"),
    Step("job cancel import job-1", 0, "job-1"),
    Step("job delete import job-1", 0, "removed 1 jobs"),
    Step("job tail import --for 1ms", 0, ""),
    Step("queue drain import --yes", 0, "cancelled 1 jobs"),
    Step("queue clean import --state cancelled -y", 0, "removed 1 cancelled jobs"),
    Step("queue retry-dead import --yes", 0, "made 0 jobs"),
    Step("queue resume import", 0, "import is running"),
    Step("cron add nightly --queue import --kind tour --expression @daily --zone Europe/Berlin", 0, "Europe/Berlin"),
    Step("cron add nightly --queue import --kind tour --every 1h", 1, ""),
    Step("cron add nightly --queue import --kind tour --every 1h --replace", 0, "3600000 ms"),
    Step("cron list", 0, "nightly"),
    Step("cron show nightly", 0, "tour"),
    Step("cron pause nightly", 0, "paused"),
    Step("cron resume nightly", 0, "paused:        no"),
    Step("cron run nightly", 0, ""),
    Step("cron delete nightly", 0, "deleted"),
    Step("group create import --id group-1", 0, "sealed:          no"),
    Step("group show group-1", 0, "import"),
    Step("group seal group-1", 0, "yes"),
    Step("group forget group-1", 0, "forgotten"),
    Step("scan pause schedule.reindex 200ms", 0, "200 ms"),
    Step("scan show schedule.reindex", 0, "200 ms"),
    Step("scan resume schedule.reindex", 0, "-"),
    Step("tenant create acme --tier basic", 0, "API key"),
    Step("tenant list", 0, "acme"),
    Step("tenant show acme", 0, "basic"),
    Step("tenant reindex acme", 0, ""),
    Step("key create acme --name backup", 0, "tk_"),
    Step("key list acme", 0, "backup"),
    Step("key revoke acme 018f3c1e-7a4b-7c5d-8e9f-0123456789ab", 1, ""),
    Step("limit list", 0, "ddos"),
    Step("limit block api 203.0.113.7 --for 1h", 0, "blocked until"),
    Step("limit check api 203.0.113.7", 0, "allowed:        no"),
    Step("limit unblock api 203.0.113.7", 0, "203.0.113.7 is unblocked"),
    Step("limit reset api 203.0.113.7", 0, "203.0.113.7"),
    Step("limit quota api 200/minute", 0, "200/minute"),
    Step("limit show api", 0, "quota:                  200/minute"),
    Step("limit quota api default", 0, "100/minute"),
    Step("limit tenant acme --tier premium --per-minute 7", 0, "7"),
    Step("limit tenant acme --per-minute none", 0, "premium"),
    Step("limit usage acme", 0, "minute"),
    Step("cache stats", 0, "HIT RATE"),
    Step("cache keys --pattern tenant:* --limit 5", 0, "CLASS"),
    Step("cache purge --tag tenant:acme", 0, "dropped"),
    Step("cache purge --key schedule:x --key schedule:y", 0, "dropped"),
    Step("cache purge --pattern schedule:* --class schedule -y", 0, "dropped"),
    Step("cache warm --limit 10", 0, "warm-up:"),
    Step("performance endpoints --window 1m --sort count", 0, "/api/queue"),
    Step("performance operations", 0, "database"),
    Step("performance queries", 0, "STATEMENT"),
    Step("perf show overall", 0, "count:"),
    Step("performance show process", 0, "process."),
    Step("advice list", 0, "changes on advice:  no"),
    Step("advice on", 0, "may change"),
    Step("advice off", 0, "nothing"),
    Step("advice revert 1", 1, ""),
    Step("alert rules", 0, "error_rate"),
    Step("silence add p99 --for 30m --reason tests", 0, "tests"),
    Step("silence list", 0, "p99"),
    Step("silence lift p99", 0, "no longer silenced"),
    Step("silence lift p99", 1, ""),
    Step("alert list", 0, "SEVERITY"),
    Step("alert tail --count 1 --for 30s", 0, "health"),
    Step("event tail --topics queues --count 2", 0, "queue"),
    Step("log set debug --for 1m", 0, "debug"),
    Step("log show", 0, "debug"),
    Step("log reset", 0, "info"),
    Step("metrics tidegate_queue", 0, "# TYPE tidegate_queue_"),
    Step("backup start --key again", 0, ""),
    Step("backup start --key again", 0, ""),
    Step("backup list", 0, "CREATED"),
    Step("completions zsh", 0, "tidegate"),
];

impl Step {
    /// The verb as the manual names it.
    fn verb(&self) -> &'static str {
        let names =
            |verb: &&str| self.0.replace("perf ", "performance ").split(' ').zip(verb.split(' ')).all(|(a, b)| a == b);
        verbs().find(names).expect(self.0)
    }

    async fn run(&self, api: &Api, more: &[&str]) -> Ended {
        let arguments: Vec<_> = self.0.split(' ').chain(more.iter().copied()).collect();
        let ended = api.run(&arguments).await;
        assert_eq!(ended.code, Some(self.1), "{}: {ended:?}", self.0);
        if self.1 == 1 {
            ended.assert_failed(1, &["http://"]);
        }
        ended
    }
}

/// Verbs of the manual.
fn verbs() -> impl Iterator<Item = &'static str> {
    let table = MANUAL.split_once("\n## Verbs\n").expect("the chapter").1;
    table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next())
}

#[test]
fn every_verb_of_the_manual_is_run() {
    let run: Vec<_> = STEPS.iter().map(Step::verb).collect();
    let missing: Vec<_> = verbs().filter(|verb| !run.contains(verb)).collect();
    assert_eq!(missing, [""; 0]);
}

#[tokio::test]
async fn every_verb_shows_a_person_what_it_found_or_did() {
    let api = Api::start().await;
    for step in STEPS {
        let ended = step.run(&api, &[]).await;
        assert!(ended.out.contains(step.2), "{}: {ended:?}", step.0);
        let is_silent = step.0.contains("tail") || ![0, 6].contains(&step.1);
        assert!(is_silent || !ended.out.trim().is_empty(), "{}: {ended:?}", step.0);
    }
}

#[tokio::test]
async fn every_verb_prints_json_for_a_script() {
    let api = Api::start().await;
    for step in STEPS.iter().filter(|step| !step.0.starts_with("completions")) {
        let ended = step.run(&api, &["--json"]).await;
        let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
        let documents: Vec<_> = if step.0.contains(" tail") { ended.out.lines().collect() } else { vec![&*ended.out] };
        if ![0, 6].contains(&step.1) {
            assert_eq!(ended.out, "", "{}", step.0);
            continue;
        }
        assert!(documents.into_iter().all(is_json), "{}: {ended:?}", step.0);
    }
}

#[tokio::test]
async fn a_key_of_a_tenant_is_created_and_revoked_by_its_id() {
    let api = Api::start().await;
    let json = async |arguments: &[&str]| -> serde_json::Value {
        let ended = api.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.out).expect("JSON")
    };
    json(&["tenant", "create", "acme"]).await;
    let key = json(&["key", "create", "acme", "--name", "backup"]).await;
    let id = key["id"].as_str().expect("an id");
    assert_eq!(json(&["key", "revoke", "acme", id]).await, serde_json::json!({"status": 204}));
    let left = json(&["key", "list", "acme"]).await;
    assert!(left["items"].as_array().expect("keys").iter().all(|key| key["id"] != id), "{left}");
}

#[tokio::test]
async fn the_same_enqueue_with_a_key_makes_one_job_and_pages_go_on_behind_a_cursor() {
    let api = Api::start().await;
    let enqueue = |key: &'static str| {
        ["job", "enqueue", "import", "--kind", "tour", "--payload", "1", "--delay", "1h", "--key", key]
    };
    let ids = [api.run(&enqueue("a")).await.out, api.run(&enqueue("a")).await.out, api.run(&enqueue("b")).await.out];
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    let list = ["job", "list", "import", "--state", "delayed", "--limit", "1"];
    let first = api.run(&list).await;
    assert!(first.out.contains(ids[0].trim()), "{first:?}");
    let cursor = first.err.trim().strip_prefix("note: there are more: --cursor ").expect("a cursor").to_owned();
    let second = api.run(&[list.as_slice(), &["--cursor", &cursor]].concat()).await;
    assert!(second.out.contains(ids[2].trim()) && !second.out.contains(ids[0].trim()), "{second:?}");
}
