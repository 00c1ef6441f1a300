use std::sync::Arc;

use tidegate_model::schedule::{RawSchedule, ScheduleDraft};
use tidegate_queue::{Broker, JobRecord, JobState, MemoryBroker, QueueOptions, Worker};
use tidegate_settings::Hidden;
use tidegate_store::{Occurring, Webhook};
use tidegate_testkit::poll_until;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::jobs::DeliverNotification;
use crate::jobs::test_ground::Ground as Tables;

const PATIENCE: Duration = Duration::from_secs(60);

fn settings(email: bool, per_tenant_day: u32) -> ReminderSettings {
    let lead = Duration::from_secs(15 * 60);
    ReminderSettings { lead, horizon: Duration::from_secs(3600), email, per_tenant_day }
}

struct Ground {
    tables: Tables,
    broker: Arc<MemoryBroker>,
    reminders: ReminderSettings,
}

impl Ground {
    async fn new(reminders: ReminderSettings) -> Self {
        Self { tables: Tables::new().await, broker: Arc::new(MemoryBroker::new()), reminders }
    }

    fn producer(&self) -> Producer {
        Producer::new(Arc::clone(&self.broker) as _)
    }

    fn work(&self) -> DropGuard {
        let (store, producer, reminders) = (self.tables.store.clone(), self.producer(), self.reminders);
        let notifier = Notifier { store: store.clone(), producer: producer.clone() };
        let worker = Worker::builder(Arc::clone(&self.broker) as _)
            .queue(ExpandSchedules::QUEUE, QueueOptions::new().concurrency(4))
            .handler::<ExpandSchedules, _>(ExpandHandler { store, producer, reminders })
            .handler::<RemindOfSchedule, _>(RemindHandler { notifier, reminders })
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(worker.run(shutdown.clone()));
        shutdown.drop_guard()
    }

    async fn create(&self, starts_at: DateTime<Utc>, rule: Option<&str>) -> Uuid {
        let raw = RawSchedule {
            title: "Stand-up".to_owned(),
            starts_at: starts_at.to_rfc3339(),
            ends_at: (starts_at + TimeDelta::minutes(15)).to_rfc3339(),
            recurrence: rule.map(str::to_owned),
            attendees: ["a@example.org", "Bob", "c@example.org"].map(str::to_owned).to_vec(),
        };
        let draft = ScheduleDraft::try_new(&raw).unwrap();
        self.tables.store.create_schedule(&self.tables.tenant, &draft).await.unwrap().id
    }

    /// Runs one check of schedules to its end.
    async fn expand(&self, id: &str) -> JobRecord {
        let id = JobId::new(id).unwrap();
        let options = EnqueueOptions::new().id(id.clone());
        self.producer().enqueue_with(&ExpandSchedules::default(), options).await.unwrap();
        self.end(&id).await
    }

    async fn end(&self, id: &JobId) -> JobRecord {
        let ended = async || {
            let job = self.broker.job(ExpandSchedules::QUEUE, id).await.unwrap().unwrap();
            job.state.is_finished().then_some(job)
        };
        poll_until(PATIENCE, ended).await.expect("it ends")
    }

    async fn told(&self) -> usize {
        self.tables.store.notifications(&self.tables.tenant, 0, 1000).await.unwrap().len()
    }

    async fn are_told(&self, count: usize) {
        let told = async || (self.told().await >= count).then_some(());
        poll_until(PATIENCE, told).await.expect("they are sent");
    }

    /// Waits until no job of the queue is ready or running.
    async fn is_quiet(&self) {
        let quiet = async || {
            let counts = self.broker.counts(ExpandSchedules::QUEUE).await.unwrap();
            (counts.ready == 0 && counts.leased == 0).then_some(())
        };
        poll_until(PATIENCE, quiet).await.expect("it comes to rest");
    }
}

fn in_minutes(minutes: i64) -> DateTime<Utc> {
    clock::now() + TimeDelta::minutes(minutes)
}

#[tokio::test]
async fn each_occurrence_is_notified_once_despite_repeats_and_crashes() {
    let ground = Ground::new(settings(true, 1000)).await;
    let webhook = Webhook {
        id: Uuid::now_v7(),
        url: Hidden::new("http://127.0.0.1:9/"),
        secret: Hidden::new("whsec_0123456789abcdef"),
        kinds: Vec::new(),
        created_at: clock::now(),
        disabled_at: None,
    };
    let (store, tenant) = (&ground.tables.store, &ground.tables.tenant);
    assert!(store.create_webhook(tenant, &webhook, 1).await.unwrap());
    let at = in_minutes(10);
    // For the first, a run died after the reminder's row. For the second, it died after the
    // notification. The third is new.
    let (prepared, sent) = (ground.create(at, None).await, ground.create(at, None).await);
    let due = store.due_schedules(in_minutes(60), None, 10).await.unwrap();
    let occurring: Vec<_> =
        due.into_iter().map(|schedule| Occurring { schedule, within: vec![at], next: None }).collect();
    assert_eq!(store.prepare_reminders(&occurring, 1000).await.unwrap().made, 2);
    assert!(store.send_reminder(tenant, sent, at, 1000).await.unwrap().is_some());
    let third = ground.create(at, Some("FREQ=DAILY")).await;
    ground.create(in_minutes(40), None).await;

    let _workers = (ground.work(), ground.work());
    let looks = ["expand-1", "expand-2", "expand-3", "expand-4"].map(|id| ground.expand(id));
    let looks = futures_util::future::join_all(looks).await;
    assert!(looks.iter().all(|look| look.state == JobState::Done), "{looks:?}");
    let prepared_now = looks.iter().map(|look| look.result.as_ref().unwrap()["prepared"].as_u64().unwrap());
    assert_eq!(prepared_now.sum::<u64>(), 2, "the third, and the one that is sent later");
    ground.are_told(3).await;
    // Like a job that is delivered again.
    let again = RemindOfSchedule { tenant: tenant.clone(), schedule: sent, at };
    let id = ground.producer().enqueue(&again).await.unwrap();
    let again = ground.end(&id).await;
    assert_eq!(again.result.unwrap(), json!({"seq": 1, "webhooks": 1, "mails": 2}));
    ground.is_quiet().await;
    assert_eq!(ground.told().await, 3);
    assert_eq!(ground.broker.counts(DeliverNotification::QUEUE).await.unwrap().ready, 3, "one post each");
    let mails = ground.broker.counts(SendEmail::QUEUE).await.unwrap().ready;
    assert_eq!(mails, 6, "two each");
    let days = store.analytics(tenant, at.date_naive() - TimeDelta::days(1), at.date_naive()).await.unwrap();
    assert_eq!(days.values().map(|day| day.reminders_sent).sum::<u64>(), 3);
    let told = store.notifications(tenant, 0, 10).await.unwrap();
    for id in [prepared, sent, third] {
        assert_eq!(told.iter().filter(|told| told.body.contains(&id.to_string())).count(), 1);
    }
}

#[tokio::test]
async fn occurrences_without_a_running_worker_are_skipped() {
    let ground = Ground::new(settings(false, 1000)).await;
    let store = &ground.tables.store;
    let old = in_minutes(-10 * 24 * 60 - 60);
    ground.create(old, Some("FREQ=DAILY")).await;
    let just_now = ground.create(in_minutes(-2), Some("FREQ=DAILY")).await;
    ground.create(in_minutes(-2), None).await;
    ground.create(old, Some("FREQ=SECONDLY;COUNT=4000000000")).await;
    let _worker = ground.work();
    let look = ground.expand("expand").await.result.unwrap();
    assert_eq!((&look["schedules"], &look["prepared"], &look["unreadable"]), (&json!(3), &json!(1), &json!(1)));
    ground.are_told(1).await;
    ground.is_quiet().await;
    let told = store.notifications(&ground.tables.tenant, 0, 10).await.unwrap();
    assert!(told.len() == 1 && told[0].body.contains(&just_now.to_string()), "{told:?}");
    let due = store.due_schedules(in_minutes(48 * 60), None, 10).await.unwrap();
    let next: Vec<_> = due.iter().map(|due| due.next_at).collect();
    assert_eq!(next, [old + TimeDelta::days(11), due[1].starts_at + TimeDelta::days(1)]);

    // A job that runs too late sends nothing.
    let late = RemindOfSchedule { tenant: ground.tables.tenant.clone(), schedule: just_now, at: in_minutes(-6) };
    let id = ground.producer().enqueue(&late).await.unwrap();
    assert_eq!(ground.end(&id).await.state, JobState::Cancelled);
    assert_eq!(ground.told().await, 1);
}

#[tokio::test]
async fn many_pages_are_looked_at_and_a_tenant_has_its_bound() {
    let ground = Ground::new(settings(false, 700)).await;
    // The limit applies to a day, so all occurrences are on the same day.
    let at = (clock::now() + TimeDelta::minutes(5)).date_naive().and_hms_opt(23, 59, 59).unwrap().and_utc();
    let mut reminders = ground.reminders;
    reminders.horizon = Duration::from_secs(24 * 3600);
    let ground = Ground { reminders, ..ground };
    let until = at.format("%Y%m%dT%H%M%SZ");
    for _ in 0..PAGE {
        ground.create(at, None).await;
    }
    for _ in 0..3 {
        ground.create(at - TimeDelta::minutes(2), Some(&format!("FREQ=SECONDLY;UNTIL={until}"))).await;
    }
    let _worker = ground.work();
    let look = ground.expand("expand").await;
    let result = look.result.unwrap();
    // Three times 121 occurrences in two minutes, one each second, and the single ones.
    assert_eq!(ground.tables.store.due_schedules(at, None, 10).await.unwrap(), []);
    assert_eq!((&result["prepared"], &result["over_the_bound"]), (&json!(700), &json!(500 + 363 - 700)), "{result}");
}

#[tokio::test]
async fn a_look_that_is_cancelled_stops_and_the_next_goes_on() {
    let ground = Ground::new(settings(false, 1000)).await;
    ground.create(in_minutes(40), None).await;
    let id = JobId::new("expand-1").unwrap();
    let options = EnqueueOptions::new().id(id.clone());
    ground.producer().enqueue_with(&ExpandSchedules::default(), options).await.unwrap();
    ground.broker.cancel(ExpandSchedules::QUEUE, &id).await.unwrap();
    let _worker = ground.work();
    assert_eq!(ground.end(&id).await.state, JobState::Cancelled);
    let look = ground.expand("expand-2").await;
    assert_eq!(look.result.unwrap()["prepared"], 1);
}
