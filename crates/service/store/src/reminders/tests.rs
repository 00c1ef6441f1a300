use chrono::{SubsecRound, TimeDelta};
use futures_util::future::join_all;
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};
use tidegate_model::tenant::ApiKey;

use super::*;
use crate::ground::{Ground, TestDatabase, acme, tenant as new_tenant};
use crate::sql::Sql;

const MOST: u32 = 1000;

fn draft(title: &str, starts_at: DateTime<Utc>, rule: Option<&str>) -> ScheduleDraft {
    let raw = RawSchedule {
        title: title.to_owned(),
        starts_at: starts_at.to_rfc3339(),
        ends_at: (starts_at + TimeDelta::minutes(30)).to_rfc3339(),
        recurrence: rule.map(str::to_owned),
        attendees: ["a@example.org", "Bob", "c@example.org", "d@example.org"].map(str::to_owned).to_vec(),
    };
    ScheduleDraft::try_new(&raw).unwrap()
}

/// Noon of a day in the far future.
fn noon() -> DateTime<Utc> {
    "2190-06-01T12:00:00Z".parse().unwrap()
}

/// A schedule as an older backup contains it, or as a node of the previous version writes it.
static INSERT_OF_BEFORE: Sql = Sql::search(
    "INSERT INTO schedule (id, tenant_id, title, starts_at, ends_at, attendees, created_at, updated_at)
     VALUES ($1, $2, 'of before', $3, $3 + 1, '[]', 0, 0)",
);

async fn due(store: &Store) -> Vec<DueSchedule> {
    store.due_schedules(noon() + TimeDelta::days(9), None, 100).await.unwrap()
}

/// Returns everything due, with reminders of the start and of the `hours` hours after it.
async fn occurring(store: &Store, hours: i64) -> Vec<Occurring> {
    let occurring = |schedule: DueSchedule| {
        let within = (0..=hours).map(|hour| schedule.starts_at + TimeDelta::hours(hour)).collect();
        Occurring { schedule, within, next: None }
    };
    due(store).await.into_iter().map(occurring).collect()
}

async fn pending(store: &Store) -> Vec<PendingReminder> {
    store.pending_reminders((noon(), noon() + TimeDelta::days(9)), None, 100).await.unwrap()
}

async fn told(store: &Store) -> Vec<Notification> {
    store.notifications(&acme(), 0, 100).await.unwrap()
}

async fn counted(store: &Store) -> u64 {
    // Around midnight, both days are read.
    let today = clock::now().date_naive();
    let days = store.analytics(&acme(), today.pred_opt().unwrap(), today).await.unwrap();
    days.values().map(|day| day.reminders_sent).sum()
}

pub(crate) async fn schedules_are_due_from_their_start_on_until_they_are_over(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let past = clock::now().trunc_subsecs(0) - TimeDelta::days(3);
    let create = |title, starts_at, rule| {
        let (store, tenant) = (&store, &tenant);
        async move { store.create_schedule(tenant, &draft(title, starts_at, rule)).await.unwrap() }
    };
    create("over", past, None).await;
    let comes_again = create("comes again", past, Some("FREQ=DAILY")).await;
    let once = create("once", noon(), None).await;
    let found: Vec<_> = due(&store).await.into_iter().map(|due| (due.id, due.next_at)).collect();
    assert_eq!(found, [(comes_again.id, past), (once.id, noon())]);
    let first = store.due_schedules(noon(), None, 1).await.unwrap();
    let rest = store.due_schedules(noon(), first.first(), 9).await.unwrap();
    assert_eq!((first[0].id, rest[0].id, rest.len()), (comes_again.id, once.id, 1));
    assert!(store.due_schedules(noon() - TimeDelta::milliseconds(1), first.first(), 9).await.unwrap().is_empty());

    // After a change it is due again. When it is over, it is not.
    store.prepare_reminders(&occurring(&store, 0).await, MOST).await.unwrap();
    assert_eq!(due(&store).await, []);
    store.replace_schedule(&tenant, once.id, &draft("later", noon() + TimeDelta::hours(1), None)).await.unwrap();
    let again = due(&store).await;
    assert_eq!((again.len(), again[0].next_at), (1, noon() + TimeDelta::hours(1)));
    store.replace_schedule(&tenant, once.id, &draft("over", past, None)).await.unwrap();
    assert_eq!(due(&store).await, []);
}

pub(crate) async fn a_schedule_that_came_without_a_time_is_looked_at(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let mut change = store.begin().await.unwrap();
    let values = [Uuid::now_v7().into(), tenant.as_str().into(), noon().into()];
    change.run(&INSERT_OF_BEFORE, &values, Touched::new()).await.unwrap();
    change.commit().await.unwrap();
    let due: Vec<_> = due(&store).await.into_iter().map(|due| due.starts_at).collect();
    assert_eq!(due, [noon()]);
}

pub(crate) async fn however_many_prepare_and_send_it_a_reminder_is_one(ground: &Ground) {
    let place: TestDatabase = ground.place().await;
    let ((one, _keep_one), (other, _keep_other)) = (place.open().await, place.open().await);
    one.create_tenant(&new_tenant(&acme()), &ApiKey::generate()).await.unwrap();
    for title in ["a", "b", "c"] {
        one.create_schedule(&acme(), &draft(title, noon(), Some("FREQ=HOURLY"))).await.unwrap();
    }
    let all = occurring(&one, 3).await;
    let prepared = join_all((0..6).map(|number| {
        let (store, all) = (if number % 2 == 0 { &one } else { &other }, &all);
        async move { store.prepare_reminders(all, MOST).await.unwrap().made }
    }));
    assert_eq!(prepared.await.iter().sum::<u64>(), 12);
    let reminders = pending(&one).await;
    assert_eq!(reminders.len(), 12);
    let first = one.pending_reminders((noon(), noon()), None, 2).await.unwrap();
    let rest = one.pending_reminders((noon(), noon()), first.last(), 9).await.unwrap();
    assert_eq!((first.as_slice(), rest.as_slice()), (&reminders[..2], &reminders[2..3]));

    let sent = join_all((0..36).map(|number| {
        let (store, reminder) = (if number % 2 == 0 { &one } else { &other }, &reminders[number % 12]);
        async move { store.send_reminder(&acme(), reminder.schedule, reminder.at, MOST).await.unwrap().unwrap() }
    }));
    let sent = sent.await;
    for (number, again) in sent.iter().enumerate() {
        assert_eq!(again, &sent[number % 12], "the repeated notification is the same");
        assert_eq!(again.mails, 3);
    }
    assert_eq!((told(&one).await.len(), counted(&one).await, pending(&one).await.len()), (12, 12, 0));
    let body: serde_json::Value = serde_json::from_str(&sent[0].notification.body).unwrap();
    assert_eq!(body["starts_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), reminders[0].at);
    assert_eq!(one.remove_reminders_before(noon() + TimeDelta::hours(1)).await.unwrap(), 3);
}

pub(crate) async fn a_send_that_dies_in_the_middle_leaves_the_reminder_to_be_sent(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let schedule = store.create_schedule(&tenant, &draft("a", noon(), None)).await.unwrap();
    let all = occurring(&store, 0).await;
    let mut dies = store.begin().await.unwrap();
    assert_eq!(dies.prepare(&all.iter().collect::<Vec<_>>(), MOST).await.unwrap().made, 1);
    drop(dies);
    assert_eq!((due(&store).await.len(), pending(&store).await.len()), (1, 0), "neither moved nor made");
    store.prepare_reminders(&all, MOST).await.unwrap();
    let mut dies = store.begin().await.unwrap();
    assert!(dies.send_reminder(&tenant, schedule.id, noon(), MOST).await.unwrap().is_some());
    drop(dies);
    assert_eq!((told(&store).await.len(), counted(&store).await, pending(&store).await.len()), (0, 0, 1));
    assert!(store.send_reminder(&tenant, schedule.id, noon(), MOST).await.unwrap().is_some());
    assert_eq!((told(&store).await.len(), counted(&store).await, pending(&store).await.len()), (1, 1, 0));
}

pub(crate) async fn a_schedule_that_is_changed_or_deleted_takes_its_reminders_along(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    let mut ids = Vec::new();
    for title in ["changed", "deleted", "changed and back"] {
        ids.push(store.create_schedule(&tenant, &draft(title, noon(), None)).await.unwrap().id);
    }
    let stale = occurring(&store, 0).await;
    store.prepare_reminders(&stale, MOST).await.unwrap();
    let later = draft("changed", noon() + TimeDelta::hours(1), None);
    store.replace_schedule(&tenant, ids[0], &later).await.unwrap();
    assert!(store.delete_schedule(&tenant, ids[1]).await.unwrap());
    store.replace_schedule(&tenant, ids[2], &later).await.unwrap();
    for id in &ids {
        assert_eq!(store.send_reminder(&tenant, *id, noon(), MOST).await.unwrap(), None);
    }
    // A preparation that read it before the change creates nothing.
    assert_eq!(store.prepare_reminders(&stale, MOST).await.unwrap().made, 0);
    store.replace_schedule(&tenant, ids[2], &draft("back", noon(), None)).await.unwrap();
    store.prepare_reminders(&occurring(&store, 0).await, MOST).await.unwrap();
    let back = store.send_reminder(&tenant, ids[2], noon(), MOST).await.unwrap().unwrap();
    assert_eq!(back.schedule.title, "back");
    let other = "other".parse().unwrap();
    assert!(store.send_reminder(&other, ids[0], noon(), MOST).await.is_err(), "there is no such tenant");
    assert_eq!(told(&store).await.len(), 1, "numbers of what was not sent are given again");
    let at = noon() + TimeDelta::hours(1);
    assert_eq!(store.send_reminder(&tenant, ids[0], at, MOST).await.unwrap().unwrap().notification.seq, 2);
}

pub(crate) async fn a_tenant_has_so_many_reminders_and_mails_on_a_day(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    for title in ["a", "b"] {
        store.create_schedule(&tenant, &draft(title, noon(), Some("FREQ=HOURLY"))).await.unwrap();
    }
    // Twelve of each on the first day, one on the second.
    let all = occurring(&store, 12).await;
    let prepared = store.prepare_reminders(&all[..1], 15).await.unwrap();
    assert_eq!((prepared.made, prepared.refused.len()), (13, 0));
    let prepared = store.prepare_reminders(&all[1..], 15).await.unwrap();
    assert_eq!((prepared.made, prepared.refused.get(&tenant)), (4, Some(&9)), "three of this day, one of the next");
    let mut mails = Vec::new();
    for reminder in &pending(&store).await[..4] {
        let sent = store.send_reminder(&tenant, reminder.schedule, reminder.at, 5).await.unwrap().unwrap();
        mails.push(sent.mails);
    }
    assert_eq!(mails, [3, 2, 0, 0]);
}
