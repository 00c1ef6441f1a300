//! Coupons on PostgreSQL, while other transactions have locked some of their rows.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_load::Api;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Process, binary, poll_until};

const LONG: Duration = Duration::from_secs(30);
/// Its order differs from that of bytes: `a` is before `B`.
const DATABASE: &str = "CREATE DATABASE icu LOCALE_PROVIDER icu ICU_LOCALE 'en' TEMPLATE template0";
/// Statement of `settle` and of a batch for a row.
const SETTLING: &str = "UPDATE coupons";
const BATCH: &str = "INSERT INTO coupons";

struct Servers {
    redis: RedisServer,
    postgres: PostgresServer,
}

impl Servers {
    /// With tables, these campaigns and these rows of them. No process runs yet.
    async fn start(campaigns: &[&str], rows: &str) -> Self {
        let servers = Self { redis: RedisServer::start().await, postgres: PostgresServer::start_tcp(&[]).await };
        servers.postgres.psql(DATABASE).await;
        let (process, api) = servers.process().await;
        for campaign in campaigns {
            let body = json!({ "campaign": campaign, "coupons": 10 });
            api.post("/campaigns", None, &body).await.unwrap().expect(201).unwrap();
        }
        drop(process);
        servers.psql(&format!("INSERT INTO coupons VALUES {rows}; CREATE TABLE gates (name TEXT)")).await;
        servers
    }

    async fn process(&self) -> (Process, Api) {
        let url = format!("{}/icu", self.postgres.url().strip_suffix("/postgres").unwrap());
        let process = Process::builder(binary("examples/coupons")).env("PORT", "0").env("REDIS_URL", self.redis.url());
        let mut process = process.env("DATABASE_URL", url).start().unwrap();
        let api = Api::of(&mut process).await.unwrap();
        (process, api)
    }

    async fn psql(&self, script: &str) -> String {
        self.postgres.psql(&format!("\\connect icu\n{script}")).await
    }

    /// Locks a row until this gate is open.
    async fn hold(&self, row: &str, gate: &str) {
        let wait = format!(
            "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM gates WHERE name = '{gate}')
             LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
        );
        let lock = format!("SELECT FROM coupons WHERE (campaign, user_id) = {row} FOR UPDATE");
        self.psql(&format!("BEGIN; {lock}; {wait}; COMMIT")).await;
    }

    async fn open(&self, gate: &str) {
        self.psql(&format!("INSERT INTO gates VALUES ('{gate}')")).await;
    }

    /// Waits until one such statement waits for a lock.
    async fn until_one_waits(&self, statement: &str) {
        let waiting = format!(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '{statement}%'"
        );
        poll_until(LONG, async || (self.psql(&waiting).await == "1").then_some(())).await.unwrap();
    }

    /// Waits until this number of transactions hold a gate.
    async fn until_held(&self, holders: &str) {
        let sleeping = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'DO%' AND wait_event = 'PgSleep'";
        poll_until(LONG, async || (self.psql(sleeping).await == holders).then_some(())).await.unwrap();
    }
}

async fn issue(api: &Api, campaign: &str, user: &str) -> (u16, Value) {
    let path = format!("/campaigns/{campaign}/coupons");
    let answer = api.post(&path, None, &json!({ "user": user })).await.unwrap();
    (answer.status.as_u16(), answer.body)
}

#[tokio::test]
async fn a_batch_and_settling_lock_rows_in_the_same_order_whatever_that_of_sql_is() {
    let rows = "('a', 'user-1', 1, 0), ('B', 'user-1', 1, 0), ('plug', 'user-0', 1, 2)";
    let servers = Servers::start(&["a", "B", "plug"], rows).await;
    let order = servers.psql("SELECT name FROM campaigns ORDER BY name").await;
    assert_eq!(order, "a\nB\nplug");

    let side_by_side = async {
        servers.until_held("2").await;
        let (process, api) = servers.process().await;
        // It has begun, and waits for `a`.
        servers.until_one_waits(SETTLING).await;
        // The next batch has all callers that come while this one waits.
        let first = async {
            assert_eq!(issue(&api, "plug", "user-0").await.0, 201);
        };
        let both = async {
            servers.until_one_waits(BATCH).await;
            let (of_a, of_b) = tokio::join!(issue(&api, "a", "user-1"), issue(&api, "B", "user-1"));
            assert_eq!((of_a.0, of_b.0), (201, 201), "{of_a:?} {of_b:?}");
        };
        let gates = async {
            let is_reserved = async |campaign: &str| {
                let path = format!("/campaigns/{campaign}");
                let counts = async || api.get(&path).await.ok().filter(|counts| counts.body["reserved"] == 1);
                poll_until(LONG, counts).await.unwrap();
            };
            is_reserved("a").await;
            is_reserved("B").await;
            servers.open("plug").await;
            // Only the plug is settled yet.
            poll_until(LONG, async || (api.get("/campaigns/plug").await.ok()?.body["issued"] == 1).then_some(()))
                .await
                .unwrap();
            servers.until_one_waits(BATCH).await;
            servers.open("a").await;
        };
        tokio::join!(first, both, gates);
        process
    };
    let hold_a = servers.hold("('a', 'user-1')", "a");
    let hold_plug = servers.hold("('plug', 'user-0')", "plug");
    tokio::join!(hold_a, hold_plug, side_by_side);
    let deadlock = servers.postgres.log().find(|line| line.contains("deadlock detected"));
    assert_eq!(deadlock, None);
}

#[tokio::test]
async fn a_locked_row_holds_up_other_users_no_longer_than_a_batch_may_take() {
    let servers = Servers::start(&["spring"], "('spring', 'user-1', 1, 2)").await;
    let (_process, api) = servers.process().await;
    let others = async {
        servers.until_held("1").await;
        let locked = issue(&api, "spring", "user-1");
        let next = async {
            servers.until_one_waits(BATCH).await;
            let answer = issue(&api, "spring", "user-2").await;
            assert_eq!(answer.0, 201, "{answer:?}");
        };
        let (locked, ()) = tokio::join!(locked, next);
        assert_eq!((locked.0, &locked.1["error"]), (503, &json!("SQL gave no answer within 5s")));
        // The row is still locked.
        servers.until_held("1").await;
        servers.open("user-1").await;
    };
    tokio::join!(servers.hold("('spring', 'user-1')", "user-1"), others);
    // Both have theirs in the end.
    let answer = issue(&api, "spring", "user-1").await;
    assert_eq!(answer.0, 201, "{answer:?}");
    let counts = api.get("/campaigns/spring").await.unwrap().body;
    assert_eq!((&counts["issued"], &counts["rows"]), (&json!(2), &json!(2)), "{counts}");
}
