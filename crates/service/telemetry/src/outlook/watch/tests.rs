use std::time::Duration;

use tidegate_cache::{Capacity, Fill, Key, TieredCache, TtlClass};
use tidegate_perfmon::action::{Outcome, RevertError};
use tidegate_perfmon::{By, Dialect, Queries, QueryConfig, Registry, RequestQueries, Seen, Window};
use tidegate_queue::Concurrency;
use tidegate_ratelimit::LimiterStats;
use tidegate_settings::AlertSettings;
use tidegate_settings::test_ground::check_with;

use super::super::{CacheRoom, JobsAtOnce, counters, sections};
use super::*;
use crate::latest::LatestReport;
use crate::sources::members;
use crate::{AlertDispatcher, CacheWatch, Topic};

const ROOM: u64 = 16 << 20;

fn settings(acts: &str) -> PerformanceSettings {
    check_with(&[("TIDEGATE_PERFORMANCE_ACTIONS", acts)]).unwrap().performance
}

/// A cache of large values, with many more keys than it has room for.
struct House {
    cache: TieredCache,
    watch: Arc<CacheWatch>,
    registry: Registry,
    queries: Queries,
    outlook: OutlookWatch,
    minute: u64,
}

impl House {
    fn new(acts: &str) -> Self {
        let registry = Registry::builder().build();
        let watch = Arc::new(CacheWatch::new(&registry, false));
        let cache = TieredCache::builder().capacity(Capacity::Bytes(ROOM)).observer(Arc::clone(&watch) as _).build();
        let actuators: Vec<Arc<dyn Actuator>> = vec![
            Arc::new(CacheRoom::new(cache.clone(), ROOM)),
            Arc::new(JobsAtOnce::new("import", Concurrency::new(2))),
        ];
        let outlook = OutlookWatch::new(&settings(acts), 1_000_000, actuators);
        Self { cache, watch, registry, queries: Queries::new(QueryConfig::default()), outlook, minute: 0 }
    }

    /// Runs a minute in which these keys are read, each once.
    async fn minute(&mut self, keys: std::ops::Range<usize>) -> MinuteReport {
        let values = self.cache.typed::<Vec<u8>>(TtlClass::API).weigh(Vec::len);
        for index in keys {
            let key = Key::builder("page").part(index).build().unwrap();
            let load = async || Ok::<_, std::io::Error>(Fill::new(vec![0; 60_000]));
            values.fetch(&key, load).await.unwrap();
        }
        self.minute += 1;
        self.outlook.turn(self.minute, self.counters())
    }

    /// Records requests in this minute.
    fn serve(&self, requests: usize) {
        let endpoint = self.registry.endpoint("GET", "/api/schedules/{id}");
        (0..requests).for_each(|_| endpoint.record(tidegate_perfmon::StatusClass::Success, Duration::from_millis(1)));
        self.registry.tick(self.registry.now());
    }

    fn counters(&self) -> Counters {
        Counters {
            tiers: self.cache.stats().tiers,
            expiries: self.watch.expiries(),
            limiters: Vec::new(),
            queues: Vec::new(),
            in_flight: 3,
            outcomes: self.registry.outcomes(),
            api: self.registry.overall(Window::Seconds(60)),
            process: None,
            queries: self.queries.top(By::Total, usize::MAX),
            repeated: self.queries.repeated(usize::MAX),
        }
    }

    fn room(&self) -> u64 {
        self.cache.stats().tiers[0].capacity.unwrap()
    }
}

#[tokio::test]
async fn advice_for_more_room_is_followed_judged_and_can_be_taken_back() {
    let mut house = House::new("on");
    let before = house.room();
    let mut done = Vec::new();
    while done.is_empty() && house.minute < 30 {
        done = house.minute(0..400).await.done;
    }
    let change = &done[0];
    assert_eq!(
        (change.advice, change.actuator.as_str(), &change.outcome),
        ("more-room", "cache:l1", &Outcome::OnTrial)
    );
    assert!(house.room() > before && house.room() <= before / 4 * 5 + 1, "{} of {before}", house.room());

    let mut judged = Vec::new();
    while judged.is_empty() && house.minute < 60 {
        judged = house.minute(0..400).await.done;
    }
    assert_eq!((judged[0].id, &judged[0].outcome), (change.id, &Outcome::Kept), "a larger part fits");

    let reverted = house.outlook.revert(change.id).unwrap();
    assert!(matches!(reverted.outcome, Outcome::Reverted { minute: None, .. }));
    assert_eq!(house.room(), before);
    assert!(matches!(house.outlook.revert(change.id), Err(RevertError::NotInForce { .. })));
}

#[tokio::test]
async fn without_the_setting_advice_is_only_given() {
    let mut house = House::new("off");
    let before = house.room();
    for _ in 0..15 {
        assert!(house.minute(0..400).await.done.is_empty());
    }
    assert_eq!(house.room(), before);
    let sources = crate::Sources::default();
    let outlook = Arc::new(house.outlook);
    sections::register(&sources, &outlook);
    let sections = sources.sections();
    assert_eq!(sections.iter().map(|section| section.name()).collect::<Vec<_>>(), ["trends", "anomalies", "advice"]);
    let advice = sections[2].json(10);
    assert_eq!(
        (&advice["items"][0]["id"], &advice["items"][0]["target"]),
        (&"more-room".into(), &"l1".into()),
        "{advice}"
    );
    assert!(advice["items"][0]["evidence"].as_array().is_some_and(|evidence| !evidence.is_empty()), "{advice}");
    assert_eq!(advice["actions"]["enabled"], false);
    assert_eq!(advice["actions"]["actuators"].as_array().map(Vec::len), Some(2), "{advice}");
    assert_eq!(sections[0].json(1)["items"][0]["at_unix_ms"], 1_000_000 + 15 * 60_000);
    // Readers do not wait for a calculation.
    let _calculating = outlook.calculating.lock().unwrap();
    for section in &sections {
        let table = section.table(10).unwrap();
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{}", section.name());
    }
    let figures = sections[0].table(100).unwrap();
    assert!(figures.rows.iter().any(|row| row[0] == "cache.l1.hit_rate"), "{figures:?}");
}

/// Returns the members of a list's items that have no column in its table.
fn missing(items: &serde_json::Value, columns: &[&str]) -> Vec<String> {
    let all = items.as_array().unwrap().iter().flat_map(members);
    all.filter(|member| !columns.contains(&member.as_str())).collect()
}

#[tokio::test]
async fn each_member_of_the_json_is_a_column() {
    let mut house = House::new("on");
    // The last minutes differ from the others, so that there is an item of each kind.
    while house.minute < 70 {
        house.minute(0..700).await;
    }
    for _ in 0..5 {
        house.serve(1_000);
        house.minute(0..700).await;
    }
    let outlook = Arc::new(house.outlook);
    let sources = crate::Sources::default();
    sections::register(&sources, &outlook);
    let sections = sources.sections();
    let told: Vec<_> = sections.iter().map(|section| section.json(100)).collect();
    let items = |of: usize| told[of]["items"].as_array().unwrap();
    assert!(items(0).iter().any(|item| item["forecast"].is_object()), "{}", told[0]);
    assert!(!items(1).is_empty() && !items(2).is_empty(), "{} {}", told[1], told[2]);
    // A metric without a limit, trend or forecast has null there, and the columns are empty.
    let whole = ["trend", "forecast", "reach", "action", "symptom"];
    for (at, columns, lists) in [
        (0, sections::TRENDS, vec![&told[0]["items"]]),
        (1, sections::ANOMALIES, vec![&told[1]["items"]]),
        (
            2,
            sections::ADVICE,
            vec![&told[2]["items"], &told[2]["actions"]["journal"], &told[2]["actions"]["actuators"]],
        ),
    ] {
        for list in &lists {
            let mut missing = missing(list, columns);
            missing.retain(|member| !whole.contains(&member.as_str()));
            assert!(!list.as_array().unwrap().is_empty() && missing.is_empty(), "{missing:?} of {list}");
        }
        let rows = sections[at].table(100).unwrap().rows;
        assert_eq!(rows.len(), lists.iter().map(|list| list.as_array().unwrap().len()).sum::<usize>());
    }
    assert_eq!(told[2]["actions"]["journal"][0]["minute"], serde_json::Value::Null, "a time is told as such");
    assert!(told[2]["actions"]["journal"][0]["at_unix_ms"].is_u64(), "{}", told[2]);
}

#[tokio::test]
async fn anomalies_advice_and_changes_are_sent_once_to_each_follower() {
    let mut house = House::new("on");
    let latest = Arc::new(LatestReport::new(&house.registry));
    let dispatcher = AlertDispatcher::new(&AlertSettings::default(), &house.registry, latest);
    let mut follower = dispatcher.follow("", &[Topic::Outlook, Topic::Advice], None).unwrap();
    while house.minute < 75 {
        if house.minute > 70 {
            house.serve(1_000);
        }
        let news = house.minute(0..700).await;
        house.outlook.tell(&news, &dispatcher);
    }
    let mut told = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), follower.next()).await {
        let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        told.push((event.name, data));
    }
    let of = |name: &str| told.iter().filter(|(event, _)| *event == name).map(|(_, data)| data).collect::<Vec<_>>();
    let advice = of("advice");
    let room = advice.iter().filter(|advice| advice["id"] == "more-room").count();
    assert_eq!(room, 1, "continuing advice is sent once: {advice:?}");
    assert!(of("change").iter().any(|change| change["outcome"]["state"] == "on_trial"), "{told:?}");
    let anomalies = of("anomaly");
    assert!(anomalies.iter().any(|anomaly| anomaly["name"] == "http.requests_per_minute"), "{told:?}");
    assert!(anomalies[0]["at_unix_ms"].is_u64(), "{anomalies:?}");
}

#[test]
fn advice_that_was_forgotten_is_news_again() {
    let mut given = BTreeMap::new();
    let house = Signals::new(1);
    assert!(advise(&Limits::default(), &[house]).is_empty());
    given.insert(("more-room", "l1".to_owned()), 10);
    assert!(new_among(&[], &mut given, 10 + FORGOTTEN).is_empty() && given.len() == 1);
    assert!(new_among(&[], &mut given, 11 + FORGOTTEN).is_empty() && given.is_empty());
}

#[tokio::test]
async fn the_signals_of_a_minute_are_its_events() {
    let mut house = House::new("off");
    let schedules = house.registry.endpoint("GET", "/api/schedules/{id}");
    house.minute(0..10).await;
    for _ in 0..99 {
        schedules.record(tidegate_perfmon::StatusClass::Success, Duration::from_millis(10));
    }
    schedules.record(tidegate_perfmon::StatusClass::ServerError, Duration::from_millis(10));
    house.registry.tick(house.registry.now());
    house.minute(0..30).await;
    let calculating = house.outlook.calculating.lock().unwrap();
    let minute = calculating.minutes.last().unwrap();
    let cache = minute.cache("l1").unwrap();
    assert_eq!((cache.hits, cache.misses, cache.evictions), (10, 20, 0));
    let api = minute.api.unwrap();
    assert_eq!((api.requests, api.errors, api.in_flight), (100, 1, Some(3.0)));
    assert!((0.010..0.0102).contains(&api.p99.unwrap()), "{api:?}");
}

#[tokio::test]
async fn a_statement_that_requests_repeat_is_advised_to_be_batched() {
    let mut house = House::new("off");
    let run = |house: &House, sql: &str, times: usize| {
        let request = RequestQueries::new();
        for _ in 0..times {
            house.queries.record(&Seen {
                sql,
                dialect: Dialect::Sqlite,
                elapsed: Duration::from_millis(1),
                rows: 1,
                at_unix_ms: 1,
                within: Some(&request),
                trace: None,
            });
        }
        house.queries.finish("/api/schedules", &request, 1, None);
    };
    for _ in 0..6 {
        run(&house, "SELECT a FROM often WHERE b = 1", 8);
        run(&house, "SELECT a FROM seldom WHERE b = 1", 2);
        house.minute(0..1).await;
    }
    let shown = house.outlook.shown();
    let batch: Vec<_> = shown.advice.iter().filter(|advice| advice.id == "batch").collect();
    assert_eq!(batch.len(), 1, "{:?}", shown.advice);
    assert!(batch[0].target.contains("from often"), "{:?}", batch[0]);
    let calculating = house.outlook.calculating.lock().unwrap();
    let minute = calculating.minutes.last().unwrap();
    let often = minute.queries.iter().find(|query| query.fingerprint.contains("from often")).unwrap();
    assert_eq!((often.calls, often.repeated_in, often.most_in_a_request), (8, 1, 8));
    assert!((often.total - 0.008).abs() < 1e-6, "{often:?}");
}

#[tokio::test]
async fn a_statement_that_rises_among_many_brings_nothing_of_the_past() {
    let mut house = House::new("off");
    let run = |house: &House, shape: usize, millis: u64| {
        house.queries.record(&Seen {
            sql: &format!("SELECT a FROM t{shape}"),
            dialect: Dialect::Sqlite,
            elapsed: Duration::from_millis(millis),
            rows: 1,
            at_unix_ms: 1,
            within: None,
            trace: None,
        });
    };
    // Shape 0 is the 100th by total time. It is the only one of the last minute.
    (0..100).for_each(|shape| run(&house, shape, 1_000 + shape as u64));
    house.minute(0..1).await;
    run(&house, 0, 150);
    house.minute(0..1).await;
    let calculating = house.outlook.calculating.lock().unwrap();
    let queries = &calculating.minutes.last().unwrap().queries;
    assert_eq!((queries.len(), queries[0].calls), (1, 1), "{queries:?}");
    assert!((queries[0].total - 0.15).abs() < 1e-6, "{queries:?}");
}

#[test]
fn a_key_that_was_not_listed_before_counts_for_all_of_its_refusals() {
    let stats = |denied: u64, top: &[(&str, u64)]| {
        let mut stats = LimiterStats::default();
        stats.denied = denied;
        stats.top_denied = top.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect();
        stats
    };
    let share = |then, now| counters::of_limiter("api", &now, &then).largest_share;
    assert_eq!(share(stats(10, &[("a", 10)]), stats(30, &[("a", 20), ("b", 10)])), Some(0.5));
    assert_eq!(share(stats(10, &[]), stats(20, &[("a", 15)])), Some(1.0));
    assert_eq!(share(stats(10, &[("a", 10)]), stats(10, &[("a", 10)])), None);
}

/// An actuator that only has a name.
struct Fixed(&'static str);

impl Actuator for Fixed {
    fn name(&self) -> &str {
        self.0
    }

    fn now(&self) -> f64 {
        1.0
    }

    fn bounds(&self) -> std::ops::RangeInclusive<f64> {
        1.0..=1.0
    }

    fn set(&self, _: f64) -> Result<(), action::Refused> {
        Ok(())
    }
}

#[tokio::test]
async fn only_limiters_with_an_actuator_may_be_named_by_advice() {
    let house = House::new("on");
    house.outlook.add_actuator(Arc::new(Fixed("limit:api")));
    for minute in 1..=2 {
        let limiters = vec![("ddos", LimiterStats::default()), ("api", LimiterStats::default())];
        house.outlook.turn(minute, Counters { limiters, ..house.counters() });
    }
    let calculating = house.outlook.calculating.lock().unwrap();
    let limiters = &calculating.minutes.last().unwrap().limiters;
    let fixed: Vec<_> = limiters.iter().map(|limiter| (&*limiter.name, limiter.is_fixed)).collect();
    assert_eq!(fixed, [("ddos", true), ("api", false)]);
}
