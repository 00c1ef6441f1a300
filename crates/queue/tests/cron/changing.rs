//! Schedules that are changed while schedulers run, and invalid schedules.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tidegate_queue::{
    Broker, CatchUp, Clock, CronField, Fetch, MemoryBroker, Overlap, Recurrence, Schedule, ScheduleError, ScheduledRun,
    Scheduler, Schedules, Timestamp, Triggered, Wake, WorkerId,
};
use tokio_util::sync::CancellationToken;

use crate::outages::{DUE, minutely, poll_until, run_ready, scheduler, schedules, tick_at};
use crate::support::{Bench, LEASE, QUEUE};
use crate::unsteady::Unsteady;

fn seconds(n: u64) -> Timestamp {
    DUE.after(Duration::from_secs(n))
}

pub async fn a_change_of_the_payload_keeps_the_next_time(bench: Bench) {
    let all = schedules(&bench);
    let daily = |payload| {
        let recurrence = Recurrence::Every(Duration::from_secs(86_400));
        Schedule::new("s", recurrence, QUEUE, "test").payload(payload)
    };
    let first = all.put(daily(json!(1))).await.unwrap().next;
    bench.advance(3_600);
    let changed = all.put(daily(json!(2)).version(7)).await.unwrap();
    assert_eq!(changed.next, first);
    let now = first.unwrap();
    bench.clock.set(now);
    assert_eq!(scheduler(&bench).tick(now).await.unwrap().enqueued, 1);
    let job = bench.fetch_one().await;
    assert_eq!((job.payload.as_str(), job.version, job.kind.as_str()), ("2", 7, "test"));

    let mut hourly = daily(json!(2));
    hourly.recurrence = Recurrence::Every(Duration::from_secs(3_600));
    let now = bench.now();
    assert_eq!(all.put(hourly).await.unwrap().next, Some(now.after(Duration::from_secs(3_600))));
}

pub async fn runs_due_before_a_change_use_the_old_schedule(bench: Bench) {
    schedules(&bench).put(minutely("s")).await.unwrap();
    bench.clock.set(seconds(1));
    let mut elsewhere = minutely("s");
    elsewhere.queue = "elsewhere".to_owned();
    let changed = schedules(&bench).put(elsewhere).await.unwrap();
    assert_eq!((changed.next, changed.last.map(|last| last.due)), (Some(seconds(60)), Some(DUE)));
    assert_eq!(run_ready(&bench).await, [0]);
    assert_eq!(tick_at(&bench, 60).await, 1);
    assert_eq!(bench.broker.counts("elsewhere").await.unwrap().ready, 1);
    assert_eq!(bench.broker.counts(QUEUE).await.unwrap().ready, 0);
}

pub async fn a_pause_leaves_nothing_to_catch_up_with(bench: Bench) {
    let all = schedules(&bench);
    all.put(minutely("s").catch_up(CatchUp::All { at_most: 500 })).await.unwrap();
    assert_eq!(all.pause("s").await.unwrap().next, None);
    assert_eq!(tick_at(&bench, 600).await, 0);
    assert!(all.pause("s").await.unwrap().schedule.paused);
    assert_eq!(all.resume("s").await.unwrap().next, Some(seconds(660)));
    assert_eq!(all.resume("s").await.unwrap().next, Some(seconds(660)));
    assert_eq!(tick_at(&bench, 659).await, 0);
    assert_eq!(tick_at(&bench, 660).await, 1);
    // By putting the whole schedule, too.
    all.put(minutely("s").paused(true)).await.unwrap();
    assert_eq!(tick_at(&bench, 1_200).await, 0);
    assert_eq!(all.put(minutely("s")).await.unwrap().next, Some(seconds(1_260)));
    assert!(matches!(all.pause("t").await, Err(ScheduleError::Unknown(name)) if name == "t"));
    assert!(matches!(all.resume("t").await, Err(ScheduleError::Unknown(_))));
}

pub async fn removed_and_put_anew_amid_a_tick_it_is_another_schedule(bench: Bench) {
    let all = schedules(&bench);
    all.put(minutely("s")).await.unwrap();
    bench.clock.set(seconds(1));
    let unsteady = Unsteady::new(bench.broker.clone(), 1);
    let slow = Scheduler::new(unsteady.clone());
    let mut tick = pin!(slow.tick(seconds(1)));
    // It has read the schedule, and is about to enqueue.
    poll_until(&unsteady, 2, &mut tick).await;
    assert!(all.remove("s").await.unwrap());
    assert!(!all.remove("s").await.unwrap());
    let anew = all.create(minutely("s").payload(json!("new"))).await.unwrap();
    let ticked = tick.await.unwrap();
    assert_eq!((ticked.enqueued, ticked.next), (1, Some(seconds(60))), "the old one's job, and the new one's time");
    assert_eq!(all.get("s").await.unwrap(), Some(anew));
    assert_eq!(tick_at(&bench, 60).await, 1);
    let payloads: Vec<_> = bench.fetch(10).await.into_iter().map(|job| job.payload).collect();
    assert_eq!(payloads, [r#"{"n":1}"#, "\"new\""]);
}

pub async fn runs_that_must_not_overlap_are_skipped_until_the_last_is_over(bench: Bench) {
    let all = schedules(&bench);
    all.put(minutely("s").overlap(Overlap::Skip)).await.unwrap();
    assert_eq!(tick_at(&bench, 0).await, 1);
    let running = bench.fetch_one().await;
    bench.clock.set(seconds(60));
    let ticked = scheduler(&bench).tick(seconds(60)).await.unwrap();
    assert_eq!((ticked.enqueued, ticked.skipped), (0, 1));
    let last = all.get("s").await.unwrap().unwrap().last.unwrap();
    assert_eq!((last.due, last.skipped, &last.job), (seconds(60), true, &running.token.id));
    assert_eq!(all.trigger("s").await.unwrap(), Triggered::StillRunning(running.token.id.clone()));

    bench.ack(&running.token).await;
    assert_eq!(tick_at(&bench, 120).await, 1);
    assert_eq!(run_ready(&bench).await, [2]);
    // Several late times at once: the first of them runs.
    all.put(minutely("s").overlap(Overlap::Skip).grace(Duration::from_secs(600))).await.unwrap();
    assert_eq!(tick_at(&bench, 400).await, 1);
}

pub async fn a_run_out_of_turn_leaves_the_times_alone(bench: Bench) {
    let all = schedules(&bench);
    let before = all.put(minutely("s").paused(true)).await.unwrap();
    let Triggered::Enqueued(id) = all.trigger("s").await.unwrap() else { panic!("nothing runs yet") };
    let run = ScheduledRun::of(&id).unwrap();
    assert_eq!((run.schedule.as_str(), run.due), ("s", None));
    assert!(matches!(all.trigger("s").await.unwrap(), Triggered::Enqueued(other) if other != id));
    assert_eq!(bench.fetch(10).await.len(), 2);
    assert_eq!(all.get("s").await.unwrap(), Some(before));
    assert!(matches!(all.trigger("t").await, Err(ScheduleError::Unknown(_))));
}

pub async fn a_schedule_ends(bench: Bench) {
    let all = schedules(&bench);
    all.put(minutely("s").until(seconds(60))).await.unwrap();
    assert_eq!(tick_at(&bench, 0).await, 1);
    assert_eq!(tick_at(&bench, 60).await, 1);
    assert_eq!(tick_at(&bench, 120).await, 0);
    let ended = all.get("s").await.unwrap().unwrap();
    assert_eq!((ended.next, ended.last.unwrap().due), (None, seconds(60)));
    assert!(matches!(all.put(minutely("s").until(seconds(60))).await, Err(ScheduleError::NeverFires { .. })));
    assert_eq!(all.put(minutely("s")).await.unwrap().next, Some(seconds(180)));
}

pub async fn everyone_may_change_at_once(bench: Bench) {
    let all = schedules(&bench);
    all.put(minutely("s")).await.unwrap();
    let creations = join_all((0..8).map(|_| all.create(minutely("t")))).await;
    assert_eq!(creations.iter().filter(|created| created.is_ok()).count(), 1);
    assert!(creations.iter().flat_map(Result::as_ref).all(|state| state.schedule.name == "t"));
    let names: Vec<_> = all.list().await.unwrap().schedules.into_iter().map(|state| state.schedule.name).collect();
    assert_eq!(names, ["s", "t"]);
    let changes = join_all((0..8).map(|n| all.put(minutely("s").payload(json!(n))))).await;
    assert!(changes.iter().all(Result::is_ok), "{changes:?}");
    bench.clock.set(DUE);
    let ticks = join_all((0..8).map(|_| async { scheduler(&bench).tick(DUE).await.unwrap().enqueued })).await;
    assert_eq!(ticks.iter().sum::<usize>(), 2, "{ticks:?}");
}

pub async fn bad_schedules_are_refused_by_name_and_place(bench: Bench) {
    let all = schedules(&bench);
    let with = |change: fn(&mut Schedule)| {
        let mut schedule = minutely("s");
        change(&mut schedule);
        schedule
    };
    let cron = |expression: &str, zone: &str| {
        let mut schedule = minutely("s");
        schedule.recurrence = Recurrence::cron(expression, zone);
        schedule
    };
    let refused: Vec<(Schedule, &str)> = vec![
        (minutely(&"n".repeat(10_240)), "schedule name: the name has 10240 bytes, above the limit of 64"),
        (minutely("a b"), "schedule name: character ' ' at byte 1"),
        (with(|schedule| schedule.queue = "q".repeat(10_240)), "queue name: the name has 10240 bytes"),
        (with(|schedule| schedule.kind = String::new()), "kind: the name is empty"),
        (
            with(|schedule| schedule.payload = json!("x".repeat(20_000))),
            "payload of 20002 bytes is above the limit of 16384",
        ),
        (with(|schedule| schedule.recurrence = Recurrence::Every(Duration::ZERO)), "an interval of 0ns is not between"),
        (with(|schedule| schedule.grace = Duration::MAX), "a grace of"),
        (with(|schedule| schedule.catch_up = CatchUp::All { at_most: 0 }), "catching up with at most 0 runs"),
        (
            with(|schedule| schedule.until = Some(DUE.before(Duration::from_secs(1)))),
            "and up to its end, 2023-11-14T22:13:59.000Z",
        ),
        (cron("0 0 30 2 *", "UTC"), "cron expression \"0 0 30 2 *\" in UTC never fires after 2023-11-14T22:13:20.000Z"),
        (cron("0 0 31 2,4,6 *", "Europe/Berlin"), "in Europe/Berlin never fires"),
        (cron("0 24 * * *", "UTC"), "hour field, \"24\" at byte 2: number out of bounds; allowed are 0 to 23"),
        (cron("* * * * *", "Europe/Bielefeld"), "unknown time zone \"Europe/Bielefeld\""),
        (cron("* * * * *", "berlin"), "did you mean Europe/Berlin?"),
    ];
    for (schedule, expected) in refused {
        let error = all.put(schedule).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
        assert!(error.len() < 300);
    }
    match all.put(cron("0 0 1 1 8", "UTC")).await {
        Err(ScheduleError::Expression(error)) => {
            assert_eq!((error.field, error.at, error.part.as_str()), (Some(CronField::DayOfWeek), 8, "8"));
        }
        other => panic!("{other:?}"),
    }
    assert!(all.list().await.unwrap().schedules.is_empty());
    assert!(matches!(all.get("a b").await, Err(ScheduleError::Name(_))));
    assert!(matches!(all.remove("").await, Err(ScheduleError::Name(_))));
    // An invalid change leaves the valid schedule unchanged.
    let good = all.put(minutely("s")).await.unwrap();
    all.put(cron("0 0 30 2 *", "UTC")).await.unwrap_err();
    assert_eq!(all.get("s").await.unwrap(), Some(good));
}

#[test]
fn json_has_one_recurrence_and_no_unknown_field() {
    let read = |text: &str| serde_json::from_str::<Schedule>(text).map_err(|error| error.to_string());
    let full = r#"{"name":"n","expression":"0 6 * * 1","zone":"Europe/Berlin","queue":"q","kind":"k","payload":{"a":1},
        "version":2,"priority":0,"max_attempts":5,"timeout_ms":1000,"catch_up":{"all":{"at_most":10}},"grace_ms":5000,
        "overlap":"skip","paused":true,"until":"2030-01-01T00:00:00.000Z"}"#;
    let schedule = read(full).unwrap();
    let again = serde_json::to_value(&schedule).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(full).unwrap());
    let least = read(r#"{"name":"n","every_ms":60000,"queue":"q","kind":"k"}"#).unwrap();
    assert_eq!(least, Schedule::new("n", Recurrence::Every(Duration::from_secs(60)), "q", "k"));
    let zone = read(r#"{"name":"n","expression":"@daily","queue":"q","kind":"k"}"#).unwrap();
    assert_eq!(zone.recurrence, Recurrence::cron("@daily", "UTC"));
    for (bad, expected) in [
        (r#"{"name":"n","queue":"q","kind":"k"}"#, "expression"),
        (r#"{"name":"n","expression":"@daily","every_ms":1,"queue":"q","kind":"k"}"#, "either"),
        (r#"{"name":"n","every_ms":60000,"zone":"UTC","queue":"q","kind":"k"}"#, "either"),
        (r#"{"name":"n","every_ms":60000,"queue":"q","kind":"k","catchup":"once"}"#, "catchup"),
        (r#"{"name":"n","every_ms":-1,"queue":"q","kind":"k"}"#, "-1"),
        (r#"{"name":"n","every_ms":60000,"queue":"q","kind":"k","priority":9}"#, "9"),
    ] {
        let error = read(bad).expect_err(bad);
        assert!(error.contains(expected), "{error}");
    }
}

/// In real time: two schedulers, a schedule that is put while they run, and jobs that are made when
/// they are due.
#[tokio::test]
async fn running_schedulers_see_changes_and_stop_on_shutdown() {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let stop = CancellationToken::new();
    let running: Vec<_> = (0..2)
        .map(|_| {
            let scheduler = Scheduler::new(broker.clone()).with_poll(Duration::from_millis(100));
            let stop = stop.clone();
            tokio::spawn(async move { scheduler.run(stop).await })
        })
        .collect();
    let recurrence = Recurrence::Every(Duration::from_secs(1));
    let all = Schedules::new(broker.clone());
    let first = all.put(Schedule::new("s", recurrence, QUEUE, "test")).await.unwrap().next.unwrap();
    let fetch = || Fetch { worker: WorkerId::generate(), max: 10, lease: LEASE };
    let mut times = Vec::new();
    while times.len() < 2 {
        let wake = broker.wait(&[QUEUE.to_owned()], Duration::from_secs(20)).await.unwrap();
        assert!(matches!(wake, Wake::Ready), "no job came in 20 s");
        for job in broker.ack_and_fetch(QUEUE, Vec::new(), fetch()).await.unwrap().1 {
            let due = ScheduledRun::of(&job.token.id).unwrap().due.unwrap();
            assert!(job.created_at >= due, "not before its time");
            times.push(due);
        }
    }
    assert_eq!(times[0], first);
    assert!(times[1] > first && times.is_sorted());
    assert!(Timestamp::now(&Clock::system()) >= times[1]);
    stop.cancel();
    for scheduler in running {
        scheduler.await.unwrap();
    }
}
