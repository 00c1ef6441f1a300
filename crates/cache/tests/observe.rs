//! Reports of the cache: statistics, events, and two types under one key.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use futures_util::FutureExt;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tidegate_cache::{
    Capacity, DynError, Event, Fill, Key, Known, LoadError, Lookup, LookupOutcome, ManualClock, Observer, Pattern,
    Removal, Source, Tag, TieredCache, TtlClass, TypedCache,
};

/// No test waits longer for anything.
const SOON: Duration = Duration::from_secs(20);

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Observer for Listener {
    fn on(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Listener {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn key(index: u32) -> Key {
    Key::builder("k").part(index).build().unwrap()
}

#[tokio::test]
async fn a_value_of_another_type_is_a_miss_that_is_reported_and_replaced() {
    let listener = Arc::new(Listener::default());
    let cache = TieredCache::builder().observer(listener.clone()).build();
    let (numbers, texts) = (cache.typed::<u32>(TtlClass::API), cache.typed::<String>(TtlClass::API));
    now(numbers.put(&key(1), 1));
    assert_eq!(texts.peek(&key(1)), Lookup::Miss);
    let heard = listener.take();
    assert!(heard[0].contains("TypeMismatch") && heard[0].contains("k:1") && heard[0].contains("String"), "{heard:?}");
    let read = texts.fetch(&key(1), async || Ok::<_, Infallible>(Fill::new("one".to_owned()))).await.unwrap();
    assert_eq!((read.value.as_str(), read.source), ("one", Source::Loaded));
    assert_eq!(numbers.peek(&key(1)), Lookup::Miss);
    let stats = &cache.stats().classes[0];
    assert_eq!((stats.type_mismatches, stats.misses, stats.hits), (3, 3, 0));
}

#[tokio::test]
async fn statistics_count_each_operation() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).capacity(Capacity::Entries(100)).build();
    let class = TtlClass::new("reviews", Duration::from_secs(60)).grace(Duration::from_secs(60));
    let reviews = cache.typed::<u32>(class);
    let other = cache.typed::<u32>(TtlClass::API);
    assert_eq!(cache.stats().classes[0].hit_rate, None);

    for _ in 0..4 {
        reviews.fetch(&key(1), async || Ok::<_, u8>(Fill::new(1))).await.unwrap();
    }
    reviews.fetch(&key(2), async || Err::<Fill<u32>, u8>(0)).await.unwrap_err();
    now(other.put(&key(3), 3));
    clock.advance(Duration::from_secs(60));
    assert_eq!(reviews.peek(&key(1)), Lookup::Stale(Arc::new(1)));
    assert_eq!(now(cache.remove_many([&key(1), &key(2), &key(3)])).unwrap(), 2);
    assert_eq!(now(cache.invalidate_pattern(&Pattern::parse("k:*").unwrap())).unwrap(), 0);
    assert!(now(cache.invalidate_class("reviews")).unwrap());
    assert!(!now(cache.invalidate_class("unknown")).unwrap());

    let stats = cache.stats();
    let reviews = &stats.classes[0];
    assert_eq!((reviews.class, reviews.ttl), ("reviews", Duration::from_secs(60)));
    assert_eq!((reviews.hits, reviews.stale_hits, reviews.misses), (3, 1, 2));
    assert_eq!((reviews.loads, reviews.load_failures, reviews.invalidations), (2, 1, 2));
    assert_eq!(reviews.hit_rate, Some(4.0 / 6.0));
    assert_eq!((stats.classes[1].class, stats.classes[1].invalidations), ("api", 1));
    let l1 = &stats.tiers[0];
    assert_eq!((l1.tier, l1.entries, l1.capacity, l1.weight), ("l1", Some(0), Some(100), Some(0)));
    assert_eq!((l1.hits, l1.misses, l1.evictions), (4, 2, Some(0)));
}

#[tokio::test]
async fn events_name_what_happened() {
    let listener = Arc::new(Listener::default());
    let cache = TieredCache::builder().observer(listener.clone()).capacity(Capacity::Entries(1)).build();
    let numbers = cache.typed::<u32>(TtlClass::API);
    numbers.fetch(&key(1), async || Ok::<_, u8>(Fill::new(1))).await.unwrap();
    numbers.fetch(&key(2), async || Err::<Fill<u32>, u8>(0)).await.unwrap_err();
    now(numbers.put(&key(3), 1));
    now(cache.remove(&key(3))).unwrap();
    now(cache.invalidate_tag(&Tag::new("t"))).unwrap();
    now(cache.invalidate_pattern(&Pattern::parse("x*").unwrap())).unwrap();
    now(cache.invalidate_class("api")).unwrap();
    now(cache.clear()).unwrap();
    let heard = listener.take();
    let wanted = [
        ("Lookup", "Miss"),
        ("Loaded", "Stored"),
        ("Lookup", "Miss"),
        ("Loaded", "Failed"),
        ("Evicted", "k:1"),
        ("Removed", "k:3), cause: Invalidated"),
        ("Invalidated", "k:3)), removed: Some(1)"),
        ("Invalidated", "Tag(t)"),
        ("Invalidated", "x*"),
        ("Invalidated", "Class(\"api\")"),
        ("Invalidated", "All"),
    ];
    assert_eq!(heard.len(), wanted.len(), "{heard:#?}");
    for (heard, (kind, detail)) in heard.iter().zip(wanted) {
        assert!(heard.starts_with(kind) && heard.contains(detail), "{heard}: {kind} {detail}");
    }
}

#[test]
fn one_lookup_in_64_is_timed() {
    struct Timed(Mutex<(u32, u32)>);
    impl Observer for Timed {
        fn on(&self, event: &Event<'_>) {
            if let Event::Lookup { outcome: LookupOutcome::Hit | LookupOutcome::Stale, latency, .. } = event {
                let mut counts = self.0.lock().unwrap();
                counts.0 += 1;
                counts.1 += u32::from(latency.is_some());
            }
        }
    }
    let (timed, clock) = (Arc::new(Timed(Mutex::default())), ManualClock::new());
    let cache = TieredCache::builder().observer(timed.clone()).clock(clock.clone()).build();
    let numbers = cache.typed::<u32>(TtlClass::new("numbers", Duration::from_secs(1)).grace(Duration::from_secs(1)));
    now(numbers.put(&key(1), 1));
    for expected in [(640, 10), (1280, 20)] {
        for _ in 0..640 {
            numbers.peek(&key(1));
        }
        assert_eq!(*timed.0.lock().unwrap(), expected);
        clock.advance(Duration::from_secs(1)); // from here on stale
    }
}

#[tokio::test]
async fn an_observer_that_panics_stops_no_waiter() {
    struct Angry;
    impl Observer for Angry {
        fn on(&self, event: &Event<'_>) {
            assert!(!matches!(event, Event::Loaded { .. } | Event::Evicted { .. }), "angry");
        }
    }
    let cache = TieredCache::builder().observer(Arc::new(Angry)).capacity(Capacity::Entries(1)).build();
    let numbers = cache.typed::<u32>(TtlClass::API);
    for index in 0..3 {
        let read = numbers.fetch(&key(index), async move || Ok::<_, u8>(Fill::new(index))).await.unwrap();
        assert_eq!(*read.value, index);
    }
}

#[test]
fn removals_are_reported_with_their_cause() {
    let (listener, clock) = (Arc::new(Listener::default()), ManualClock::new());
    let cache = TieredCache::builder().observer(listener.clone()).clock(clock.clone()).build();
    let numbers = cache.typed::<u32>(TtlClass::API);
    let left = || {
        let mut heard = listener.take();
        heard.retain(|heard| heard.starts_with("Removed"));
        heard
    };
    let removed = |index: u32, cause: &str| format!("Removed {{ tier: \"l1\", key: Key(k:{index}), cause: {cause} }}");

    now(numbers.put(&key(1), 1));
    assert_eq!(left(), [""; 0]);
    now(numbers.put(&key(1), 2));
    assert_eq!(left(), [removed(1, "Replaced")]);
    now(cache.invalidate_pattern(&Pattern::parse("k:*").unwrap())).unwrap();
    assert_eq!(left(), [removed(1, "Invalidated")]);

    now(numbers.put(&key(1), 1));
    now(numbers.put(&key(2), 2));
    clock.advance(Duration::from_secs(300));
    assert_eq!(numbers.peek(&key(1)), Lookup::Miss);
    assert_eq!(left(), [removed(1, "Expired")]);
    assert_eq!(cache.sweep(), 1);
    assert_eq!(left(), [removed(2, "Expired")]);

    now(numbers.put(&key(3), Fill::new(3).tag(Tag::new("t"))));
    now(cache.invalidate_tag(&Tag::new("t"))).unwrap();
    assert_eq!(left(), [""; 0], "reported only once it leaves");
    assert_eq!(cache.sweep(), 1);
    assert_eq!(left(), [removed(3, "Invalidated")]);
    assert_eq!(cache.stats().tiers[0].evictions, Some(0));
}

#[tokio::test]
async fn an_observer_that_panics_costs_a_batch_nothing() {
    struct Angry;
    impl Observer for Angry {
        fn on(&self, _: &Event<'_>) {
            panic!("angry");
        }
    }
    let cache = TieredCache::builder().observer(Arc::new(Angry)).build();
    let numbers = cache.typed::<u32>(TtlClass::API);
    let keys = [key(1), key(2), key(3), key(4)];
    let load = async |missing: Vec<Key>| {
        Ok::<_, u8>(missing.into_iter().take(3).map(|key| (key, Fill::new(7))).collect::<Vec<_>>())
    };
    let reads = numbers.fetch_many(&keys, load).await;
    let values: Vec<_> = reads.into_iter().map(|read| read.unwrap().map(|read| *read.value)).collect();
    assert_eq!(values, [Some(7), Some(7), Some(7), None]);
}

/// A panic while entries are removed must not cost the loads their limit.
#[tokio::test]
async fn the_keeper_continues_after_a_sweep_that_panics() {
    struct Angry;
    impl Observer for Angry {
        fn on(&self, event: &Event<'_>) {
            assert!(!matches!(event, Event::Removed { .. }), "angry");
        }
    }
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a value that will not go");
        }
    }
    let builder = || TieredCache::builder().sweep_every(Duration::from_millis(100));
    let brief = TtlClass::new("brief", Duration::from_millis(1));
    let (angry, bombs) = (builder().observer(Arc::new(Angry)).build(), builder().build());
    now(angry.typed::<u32>(brief).put(&key(1), 1));
    now(bombs.typed::<Bomb>(brief).put(&key(1), Bomb));
    for cache in [angry, bombs] {
        let is_swept = async || (cache.stats().tiers[0].entries == Some(0)).then_some(());
        tidegate_testkit::poll_until(SOON, is_swept).await.unwrap();
        let limited = cache.typed::<u32>(TtlClass::new("limited", SOON).load_limit(Duration::from_millis(50)));
        let hung = || std::future::pending::<Result<Fill<u32>, Infallible>>();
        let read = tokio::time::timeout(SOON, limited.fetch(&key(2), hung)).await.unwrap();
        assert!(matches!(read, Err(LoadError::CutOff)), "{read:?}");
    }
}

type Left = (Key, u32, Removal);

/// Returns a handle whose listener records removed values.
fn noting(cache: &TieredCache, class: TtlClass) -> (TypedCache<u32>, Arc<Mutex<Vec<Left>>>) {
    let left = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&left);
    let note = move |key: &Key, value: Arc<u32>, cause| notes.lock().unwrap().push((key.clone(), *value, cause));
    (cache.typed::<u32>(class).on_removal(note), left)
}

#[tokio::test]
async fn a_listener_gets_each_removed_value_with_the_reason() {
    let clock = ManualClock::new();
    let cache = TieredCache::builder().clock(clock.clone()).capacity(Capacity::Bytes(1_000)).build();
    let (values, left) = noting(&cache, TtlClass::API);
    let values = values.weigh(|value| if *value == 0 { 2_000 } else { 1 });
    let take = || std::mem::take(&mut *left.lock().unwrap());
    now(values.put(&key(1), 1));
    assert_eq!(take(), []);
    now(values.put(&key(1), 2));
    assert_eq!(take(), [(key(1), 1, Removal::Replaced)]);
    now(values.remove(&key(1))).unwrap();
    assert_eq!(take(), [(key(1), 2, Removal::Invalidated)]);
    // A value that is too large was never stored, and removes the old one.
    now(values.put(&key(1), 3));
    now(values.put(&key(1), 0));
    assert_eq!(take(), [(key(1), 3, Removal::Replaced)]);
    now(values.put(&key(1), 0));
    assert_eq!(take(), []);
    now(values.put(&key(1), 4));
    clock.advance(TtlClass::API.ttl());
    assert_eq!(values.peek(&key(1)), Lookup::Miss);
    assert_eq!(take(), [(key(1), 4, Removal::Expired)]);
    now(values.put(&key(1), Fill::new(5).tag(Tag::new("t"))));
    now(cache.invalidate_tag(&Tag::new("t"))).unwrap();
    cache.sweep();
    assert_eq!(take(), [(key(1), 5, Removal::Invalidated)]);
    now(values.put(&key(1), 6));
    now(values.put(&key(1), Fill::new(7).uncached()));
    assert_eq!(take(), [(key(1), 6, Removal::Invalidated)]);
    for index in 10..50 {
        now(values.put(&key(index), index));
    }
    let evicted = take();
    assert!(!evicted.is_empty() && evicted.iter().all(|(_, _, cause)| *cause == Removal::Evicted), "{evicted:?}");
    assert_eq!(cache.stats().tiers[0].evictions, Some(evicted.len() as u64));
    assert!(evicted.iter().all(|(left, value, _)| *left == key(*value)));
}

#[tokio::test]
async fn a_value_that_is_still_served_is_not_reported_as_removed() {
    let (clock, listener) = (ManualClock::new(), Arc::new(Listener::default()));
    let cache = TieredCache::builder().clock(clock.clone()).observer(listener.clone()).build();
    let (values, left) = noting(&cache, TtlClass::new("files", SOON).grace(SOON).soft_timeout(SOON));
    now(values.put(&key(1), 1));
    let Lookup::Fresh(held) = values.peek(&key(1)) else { panic!("it was set") };
    clock.advance(SOON);
    let unchanged = async |known: Option<Known<u32>>| Ok::<_, Infallible>(known.unwrap().still_holds());
    let read = values.fetch_or_revalidate(&key(1), unchanged).await.unwrap();
    assert!(Arc::ptr_eq(&read.value, &held) && read.source == Source::Loaded, "{read:?}");
    assert_eq!(*left.lock().unwrap(), []);
    assert!(!listener.take().iter().any(|event| event.contains("Removed")));
    now(values.put(&key(1), 2));
    assert_eq!(*left.lock().unwrap(), [(key(1), 1, Removal::Replaced)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_for_a_load_do_not_wait_for_a_listener() {
    let cache = TieredCache::builder().build();
    let (answered, is_answered) = mpsc::channel();
    let (told, is_told) = mpsc::channel();
    let is_answered = Mutex::new(is_answered);
    let values = cache.typed::<u32>(TtlClass::new("slow", SOON).grace(SOON).soft_timeout(SOON));
    let values = values.on_removal(move |_, value, why| {
        let in_time = is_answered.lock().unwrap().recv_timeout(SOON / 2).is_ok();
        told.send((*value, why, in_time)).unwrap();
    });
    values.put(&key(1), 1).await;
    values.expire(&key(1)).await.unwrap();
    let load = async || Ok::<_, Infallible>(Fill::new(2).uncached());
    assert_eq!(*values.fetch(&key(1), load).await.unwrap().value, 2);
    answered.send(()).unwrap();
    assert_eq!(is_told.recv_timeout(SOON).unwrap(), (1, Removal::Invalidated, true));
}

#[tokio::test]
async fn a_listener_gets_values_of_its_class_and_type_and_may_use_the_cache_and_panic() {
    let cache = TieredCache::builder().build();
    let (values, left) = noting(&cache, TtlClass::API);
    let others = cache.typed::<u32>(TtlClass::COMPUTATION);
    let texts = cache.typed::<String>(TtlClass::API);
    let again = values.downgrade();
    let values = values.on_removal(move |key, value, _| {
        // Under a lock of the cache this would not return.
        now(again.upgrade().unwrap().put(key, Fill::new(*value + 1).ttl(Duration::from_secs(9))));
        panic!("told of");
    });
    now(others.put(&key(1), 1));
    now(texts.put(&key(2), "two".to_owned()));
    now(cache.remove_many(&[key(1), key(2)])).unwrap();
    assert_eq!(*left.lock().unwrap(), []);
    now(values.put(&key(3), 7));
    assert!(now(values.remove(&key(3))).unwrap());
    assert_eq!(*left.lock().unwrap(), [(key(3), 7, Removal::Invalidated)]);
    assert_eq!(values.peek(&key(3)), Lookup::Fresh(8.into()), "as the listener said");
}

#[tokio::test]
async fn a_cache_is_dropped_even_if_its_listener_uses_it() {
    let values = TieredCache::builder().build().typed::<u32>(TtlClass::API);
    let again = values.downgrade();
    let left = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&left);
    let values = values.on_removal(move |key, _, _| {
        let is_there = again.upgrade().unwrap().contains(key);
        notes.lock().unwrap().push(is_there);
    });
    now(values.put(&key(1), 1));
    now(values.put(&key(1), 2));
    assert_eq!(*left.lock().unwrap(), [true]);
    let value = Arc::downgrade(&values.peek(&key(1)).into_value().unwrap());
    let weak = values.downgrade();
    drop(values);
    // The thread of the cache may hold it for a moment.
    let is_over = async || (weak.upgrade().is_none() && value.upgrade().is_none()).then_some(());
    tidegate_testkit::poll_until(Duration::from_secs(20), is_over).await.unwrap();
}

#[tokio::test]
async fn a_loader_may_fail_with_a_boxed_error() {
    use std::error::Error;

    type AnyError = Box<dyn Error + Send + Sync>;
    let values = TieredCache::builder().build().typed::<u32>(TtlClass::API);
    let load = async || -> Result<Fill<u32>, DynError<AnyError>> {
        let source: AnyError = Box::new(std::io::Error::other("no such host".parse::<u8>().unwrap_err()));
        Err(source)?
    };
    let failed: Box<dyn Error> = values.fetch(&key(1), load).await.unwrap_err().into();
    let loaders = failed.source().unwrap();
    assert_eq!(loaders.to_string(), "invalid digit found in string");
    assert!(loaders.source().is_none(), "an io::Error passes its inner error off as itself");
}
