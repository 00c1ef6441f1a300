use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidegate_model::import::Position;
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};
use tidegate_model::tenant::ApiKey;

use super::*;
use crate::ground::{Ground, chunk as next_chunk, tenant};
use crate::sql::Sql;

fn draft() -> ScheduleDraft {
    let raw: RawSchedule = serde_json::from_value(serde_json::json!({
        "title": "t", "starts_at": "2030-01-01T09:00:00Z", "ends_at": "2030-01-01T10:00:00Z",
    }))
    .unwrap();
    ScheduleDraft::try_new(&raw).unwrap()
}

/// Returns the sum of all days of the tenant.
async fn total(store: &Store, tenant: &TenantId) -> Tally {
    let far = |year| NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
    let days = store.analytics(tenant, far(1970), far(2200)).await.unwrap();
    days.values().fold(Tally::default(), |sum, day| Tally {
        created: sum.created + day.created,
        updated: sum.updated + day.updated,
        imported: sum.imported + day.imported,
        reminders_sent: sum.reminders_sent + day.reminders_sent,
        views: sum.views + day.views,
    })
}

async fn waiting(store: &Store, tenant: &TenantId) -> i64 {
    let row = store.one(&super::super::sql::analytics::COUNT, &[tenant.as_str().into()]).await.unwrap();
    row.unwrap().int("waiting").unwrap()
}

/// Rolls like a worker that is killed in the middle of a page.
async fn roll_and_die(store: &Store, limit: u32) {
    let mut change = store.begin().await.unwrap();
    change.roll(limit).await.unwrap();
}

/// Activities, rolls, concurrent rolls and killed rolls in random order: after each step the counts
/// match what was done.
pub(crate) async fn what_is_read_is_what_was_done_however_it_is_rolled(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let other: TenantId = "other".parse().unwrap();
    store.create_tenant(&tenant(&other), &ApiKey::generate()).await.unwrap();
    let draft = draft();
    let mut random = StdRng::seed_from_u64(7);
    let (mut done, mut others, mut last) = (Tally::default(), Tally::default(), None);
    for step in 0..120 {
        match random.random_range(0..10) {
            0..3 => {
                last = Some(store.create_schedule(&acme, &draft).await.unwrap().id);
                done.created += 1;
            }
            3..5 => {
                if let Some(id) = last {
                    store.replace_schedule(&acme, id, &draft).await.unwrap().unwrap();
                    done.updated += 1;
                }
                assert!(store.replace_schedule(&acme, Uuid::now_v7(), &draft).await.unwrap().is_none());
            }
            5 => {
                let n = random.random_range(0..1_000);
                let mut change = store.begin().await.unwrap();
                change.note(&acme, Activity::Reminded, n).await.unwrap();
                change.commit().await.unwrap();
                done.reminders_sent += n;
            }
            6 => {
                store.create_schedule(&other, &draft).await.unwrap();
                others.created += 1;
                // An uncommitted activity does not count.
                let mut change = store.begin().await.unwrap();
                change.note(&acme, Activity::Reminded, 1_000_000).await.unwrap();
            }
            7 => roll_and_die(&store, random.random_range(1..5)).await,
            8 => assert!(store.roll_activity(random.random_range(1..5)).await.unwrap() < 5),
            _ => {
                let rolls = join_all((0..2).map(|_| store.roll_activity(4))).await;
                assert!(rolls.iter().all(Result::is_ok), "{rolls:?}");
            }
        }
        assert_eq!(total(&store, &acme).await, done, "step {step}");
        assert_eq!(total(&store, &other).await, others, "step {step}");
    }
    assert!(done.created > 10 && done.updated > 5 && done.reminders_sent > 0 && others.created > 5, "{done:?}");
    while store.roll_activity(50).await.unwrap() > 0 {}
    assert_eq!((waiting(&store, &acme).await, waiting(&store, &other).await), (0, 0));
    assert_eq!((total(&store, &acme).await, total(&store, &other).await), (done, others));
}

pub(crate) async fn an_import_counts_what_it_brought_in_with_each_chunk(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let file = [Some("t"), Some("t"), None, Some("t")];
    let start = store.open_import("job", &acme, Position::START).await.unwrap();
    let chunk = next_chunk(&file, start.next, 3);
    store.advance_import("job", &acme, start, &chunk).await.unwrap();
    // Overtaken: it made no progress and counts nothing.
    store.advance_import("job", &acme, start, &chunk).await.unwrap();
    assert_eq!(total(&store, &acme).await, Tally { imported: 2, ..Tally::default() });
    assert_eq!(waiting(&store, &acme).await, 1, "one row a chunk");
    let next = store.open_import("job", &acme, Position::START).await.unwrap();
    store.advance_import("job", &acme, next, &next_chunk(&file, next.next, 3)).await.unwrap();
    assert_eq!(total(&store, &acme).await, Tally { imported: 3, ..Tally::default() });
}

pub(crate) async fn days_are_told_apart_and_old_ones_go(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let day = |day| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
    let note = async |n: i64, at: &str| {
        let at: DateTime<Utc> = at.parse().unwrap();
        let mut change = store.begin().await.unwrap();
        let values = [Uuid::now_v7().into(), acme.as_str().into(), "created".into(), n.into(), at.into()];
        change.run(&INSERT, &values, Touched::new()).await.unwrap();
        change.commit().await.unwrap();
    };
    note(1, "2026-03-01T00:00:00Z").await;
    note(2, "2026-03-01T23:59:59.999Z").await;
    note(4, "2026-03-02T00:00:00Z").await;
    note(8, "2026-03-03T12:00:00Z").await;
    for is_rolled in [false, true] {
        if is_rolled {
            assert_eq!(store.roll_activity(100).await.unwrap(), 4);
        }
        let days = store.analytics(&acme, day(1), day(2)).await.unwrap();
        let created: Vec<_> = days.iter().map(|(day, tally)| (*day, tally.created)).collect();
        assert_eq!(created, [(day(1), 3), (day(2), 4)], "rolled: {is_rolled}");
    }
    assert_eq!(store.remove_days_before(day(2)).await.unwrap(), 1);
    assert_eq!(total(&store, &acme).await.created, 12);
}

/// Reads the table that processes of the previous version use.
static OF_DAYS: Sql = Sql::search("SELECT kind FROM analytics_day WHERE tenant_id = $1");

pub(crate) async fn a_kind_of_a_newer_version_is_left_out(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let day = begin_of(NaiveDate::from_ymd_opt(2030, 1, 1).unwrap());
    let mut change = store.begin().await.unwrap();
    for kind in ["created", "shared"] {
        let values = [acme.as_str().into(), day.into(), kind.into(), 3_i64.into()];
        change.run(&ADD, &values, Touched::new()).await.unwrap();
    }
    change.commit().await.unwrap();
    assert_eq!(total(&store, &acme).await, Tally { created: 3, ..Tally::default() });
}

/// A batch that is sent again, for example after a lost reply or by a suspended process, counts
/// once.
pub(crate) async fn a_batch_of_views_counts_once(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let gone: TenantId = "gone".parse().unwrap();
    let day = NaiveDate::from_ymd_opt(2030, 1, 1).unwrap();
    let views =
        |count| [(&gone, 1), (&acme, count)].map(|(tenant, count)| Views { tenant: tenant.clone(), day, count });
    for number in [7, 7, 6, 8, 7] {
        store.add_views("one", number, &views(2)).await.unwrap();
    }
    store.add_views("another", 7, &views(3)).await.unwrap();
    assert_eq!(total(&store, &acme).await, Tally { views: 2 + 2 + 3, ..Tally::default() });
    assert_eq!(store.analytics(&acme, day, day).await.unwrap()[&day].views, 7);
    let days = store.all(&OF_DAYS, &[acme.as_str().into()]).await.unwrap();
    assert!(days.is_empty(), "a process of the version before could not read {days:?}");

    assert_eq!(store.remove_days_before(day).await.unwrap(), 0);
    assert_eq!(store.remove_days_before(day.succ_opt().unwrap()).await.unwrap(), 1);
    assert_eq!(total(&store, &acme).await, Tally::default());

    assert_eq!(store.remove_idle_streams(clock::now() - chrono::TimeDelta::days(1)).await.unwrap(), 0);
    assert_eq!(store.remove_idle_streams(clock::now() + chrono::TimeDelta::days(1)).await.unwrap(), 2);
}
