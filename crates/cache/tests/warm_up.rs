//! A restart is not a cold start: the hottest keys are kept, and loaded before the first request.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_cache::{Capacity, Fill, HotKeys, Key, Source, TieredCache, TtlClass, TypedCache, WarmUp, WarmUpState};
use tidegate_testkit::{Scratch, scale};
use tokio::sync::Semaphore;

const CLASS: TtlClass = TtlClass::new("things", Duration::from_secs(600));

fn key(index: usize) -> Key {
    Key::builder("thing").part(index).build().unwrap()
}

fn index(key: &Key) -> usize {
    key.parts().unwrap()[1].text.parse().unwrap()
}

/// Ranks by Zipf's law with exponent 0.99, from a generator of its own, so that every run reads the
/// same keys.
struct Zipf {
    cumulated: Vec<f64>,
    state: u64,
}

impl Zipf {
    #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
    fn new(keys: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=keys).map(|rank| {
            sum += (rank as f64).powf(-0.99);
            sum
        });
        Self { cumulated: cumulated.collect(), state: seed }
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough")]
    fn next(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let share = (self.state >> 11) as f64 / (1_u64 << 53) as f64;
        let wanted = share * self.cumulated.last().unwrap();
        self.cumulated.partition_point(|sum| *sum < wanted)
    }
}

fn process() -> TypedCache<usize> {
    TieredCache::builder().capacity(Capacity::Entries(2_000)).build().typed(CLASS)
}

/// How many of the reads were hits.
async fn hits(things: &TypedCache<usize>, reads: usize, zipf: &mut Zipf) -> usize {
    let mut hits = 0;
    for _ in 0..reads {
        let wanted = zipf.next();
        let read = things.fetch(&key(wanted), async move || Ok::<_, Infallible>(Fill::new(wanted))).await;
        hits += usize::from(read.unwrap().source == Source::Hit);
    }
    hits
}

#[tokio::test]
async fn a_restart_with_warm_up_has_nine_tenths_of_the_old_hits() {
    let scratch = Scratch::new();
    let file = scratch.path().join("hot-keys");
    let mut zipf = Zipf::new(scale(20_000, 100_000), 0x5EED);
    let old = process();
    hits(&old, scale(40_000, 1_000_000), &mut zipf).await;
    let before = hits(&old, 10_000, &mut zipf).await;
    old.cache().hot_keys(2_000).save(&file).await.unwrap();
    drop(old);

    let cold = hits(&process(), 10_000, &mut zipf).await;
    let new = process();
    let load = async |key: Key| Ok::<_, Infallible>(Fill::new(index(&key)));
    let keys = HotKeys::load(&file).await.unwrap();
    let done = WarmUp::new().class(&new, load).start(keys).wait().await;
    assert_eq!((done.state, done.loaded, done.failed), (WarmUpState::Done, done.total, 0));
    let after = hits(&new, 10_000, &mut zipf).await;
    println!("hits of 10,000 reads: {before} before the restart, {after} after it, {cold} without warm-up");
    assert!(after * 10 >= before * 9, "{after} of {before}");
    assert!(cold < after, "{cold} without, {after} with: the warm-up must be what does it");
}

#[tokio::test]
async fn the_hottest_come_first() {
    let things = process();
    for index in 0..1_000 {
        things.put(&key(index), index).await;
    }
    for round in 0..6_400 {
        assert!(things.peek(&key(7)).into_value().is_some());
        if round % 4 == 0 {
            assert!(things.peek(&key(8)).into_value().is_some());
        }
    }
    let hot = things.cache().hot_keys(3);
    let keys: Vec<_> = hot.iter().map(|hot| (index(&hot.key), hot.class.as_str())).collect();
    assert_eq!((keys[0], keys[1], keys.len()), ((7, "things"), (8, "things"), 3));
    assert!(hot.iter().next().unwrap().heat >= 80, "{hot:?}");
    assert_eq!(things.cache().hot_keys(usize::MAX).len(), 1_000, "what was not sampled follows");
}

#[tokio::test]
async fn no_dead_key_is_hot() {
    let things = process();
    things.put(&key(1), 1).await;
    things.cache().invalidate_class(CLASS.name()).await.unwrap();
    assert!(things.cache().hot_keys(10).is_empty());
}

#[tokio::test]
async fn loads_are_bounded_in_order_and_stop_when_cancelled() {
    let things = process();
    let (started, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
    let load = {
        let (started, gate) = (started.clone(), gate.clone());
        move |key: Key| {
            let (started, gate) = (started.clone(), gate.clone());
            async move {
                started.lock().unwrap().push(index(&key));
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Fill::new(index(&key)))
            }
        }
    };
    let keys = HotKeys::of_class(CLASS.name(), (0..100).map(key));
    let run = WarmUp::new().class(&things, load).concurrency(3).start(keys);
    let mut progress = run.follow();
    gate.add_permits(10);
    progress.wait_for(|seen| seen.done() == 10).await.unwrap();
    while started.lock().unwrap().len() < 13 {
        tokio::task::yield_now().await;
    }
    run.cancel();
    let end = run.wait().await;
    assert_eq!((end.state, end.loaded, end.total), (WarmUpState::Cancelled, 10, 100));
    gate.add_permits(100);
    let mut order = started.lock().unwrap().clone();
    order.sort_unstable();
    assert_eq!(order, (0..13).collect::<Vec<_>>(), "hottest first, three at once, none after the cancellation");
}

#[tokio::test]
async fn each_key_is_reported_with_its_outcome() {
    let things = process();
    let calls = Arc::new(AtomicUsize::new(0));
    things.put(&key(1), 1).await;
    let other = things.cache().typed::<String>(CLASS);
    let counted = calls.clone();
    let fails = move |_: Key| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err::<Fill<usize>, _>("no such row") }
    };
    let texts = |key: Key| async move { Ok::<_, Infallible>(Fill::new(key.to_string())) };
    let warm_up = WarmUp::new().class(&things, fails).prefix("text", &other, texts);
    let text = Key::builder("text").part("a").build().unwrap();
    let mut keys = HotKeys::of_class(CLASS.name(), [key(1), key(2), text.clone()]);
    keys.extend(HotKeys::of_class("nobody's", [key(3)]));
    let done = warm_up.start(keys).wait().await;
    assert_eq!((done.present, done.failed, done.loaded, done.unknown), (1, 1, 1, 1));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(**other.peek(&text).into_value().as_ref().unwrap(), "text:a");
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_at_the_path_of_the_snapshot_is_not_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let scratch = Scratch::new();
    let (path, other) = (scratch.join("hot"), scratch.join("not ours"));
    std::fs::write(&other, "as it was").unwrap();
    let pid = std::process::id();
    for beside in std::iter::once(format!("hot.{pid}.new")).chain((0..20).map(|n| format!("hot.{pid}-{n}.new"))) {
        symlink(&other, scratch.join(beside)).unwrap();
    }
    symlink(&other, &path).unwrap();
    let keys = HotKeys::of_class("things", [key(1)]);
    for _ in 0..3 {
        keys.save(&path).await.unwrap();
        assert_eq!(HotKeys::load(&path).await.unwrap(), keys);
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "as it was");
        let kept = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!((kept.is_file(), kept.permissions().mode() & 0o777), (true, 0o600));
    }
}

#[tokio::test]
async fn concurrent_saves_leave_one_complete_snapshot_and_no_other_file() {
    let scratch = Scratch::new();
    let path = scratch.join("hot");
    let snapshots: Vec<_> = (0..8).map(|n| HotKeys::of_class("things", (0..n * 500).map(key))).collect();
    let saves = snapshots.iter().cycle().take(64).map(|keys| keys.save(&path));
    for saved in futures_util::future::join_all(saves).await {
        saved.unwrap();
    }
    assert!(snapshots.contains(&HotKeys::load(&path).await.unwrap()));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
}

/// Otherwise each process that is killed while it saves would leave one for ever.
#[tokio::test]
async fn files_of_killed_saves_are_removed_at_the_next_start() {
    let scratch = Scratch::new();
    let path = scratch.join("hot");
    let keys = HotKeys::of_class("things", [key(1)]);
    keys.save(&path).await.unwrap();
    let hours_ago = |name: &str, hours: u64| {
        let file = std::fs::File::create(scratch.join(name)).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(now - Duration::from_secs(hours * 60 * 60)).unwrap();
    };
    let left = ["hot.17-0.new", "hot.4194304-12.new"];
    let kept =
        ["hot.new", "hot.17-.new", "hot.17-0.new.bak", "hot.a-0.new", "hot.1-2-3.new", "hotter.17-0.new", "17-0.new"];
    left.iter().chain(&kept).for_each(|name| hours_ago(name, 2));
    hours_ago("hot.18-0.new", 0);
    std::fs::create_dir(scratch.join("hot.19-0.new")).unwrap();
    assert_eq!(HotKeys::load(&path).await.unwrap(), keys);
    for name in left {
        assert!(!scratch.join(name).exists(), "{name}");
    }
    for name in kept.into_iter().chain(["hot", "hot.18-0.new", "hot.19-0.new"]) {
        assert!(scratch.join(name).exists(), "{name}");
    }
    // There may be no list yet.
    std::fs::remove_file(&path).unwrap();
    hours_ago(left[0], 2);
    assert!(HotKeys::load(&path).await.unwrap().is_empty());
    assert!(!scratch.join(left[0]).exists());
}

#[tokio::test]
async fn a_missing_file_has_no_hot_keys_and_an_invalid_one_is_an_error() {
    let scratch = Scratch::new();
    let file = scratch.path().join("hot-keys");
    assert!(HotKeys::load(&file).await.unwrap().is_empty());
    std::fs::write(&file, "something else").unwrap();
    assert!(HotKeys::load(&file).await.is_err());
    HotKeys::of_class("things", [key(1)]).save(&file).await.unwrap();
    assert_eq!(HotKeys::load(&file).await.unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_key_returns_its_parts() {
    let key = Key::builder("a:b").part("50%").part("").named("z", "=").named("b", "x y").build().unwrap();
    let parts: Vec<_> = key.parts().unwrap().into_iter().map(|part| (part.name, part.text)).collect();
    let named = |name: &str, text: &str| (Some(name.to_owned()), text.to_owned());
    let plain = |text: &str| (None, text.to_owned());
    assert_eq!(parts, [plain("a:b"), plain("50%"), plain(""), named("b", "x y"), named("z", "=")]);
    assert_eq!(Key::builder("a").part("x".repeat(300)).build().unwrap().parts(), None);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_snapshot_in_redis_is_shared_and_expires() {
    use tidegate_cache::RedisSnapshot;
    use tidegate_redis::{Client, Command, Config, Keyspace, Role};

    let server = tidegate_testkit::redis::RedisServer::start().await;
    let client = Client::connect(&Config::parse(&server.url()).unwrap(), Role::Cache).await.unwrap();
    let snapshot = RedisSnapshot::new(client.clone(), &Keyspace::new("tg").unwrap(), "api");
    assert!(snapshot.load().await.unwrap().is_empty());
    let keys = HotKeys::of_class("things", (0..1_000).map(key));
    snapshot.save(&keys).await.unwrap();
    assert_eq!(snapshot.load().await.unwrap(), keys);
    let left = client.execute(Command::new("TTL").key("tg:{chot:api}")).await.unwrap().as_int().unwrap();
    assert!((1..=7 * 24 * 3600).contains(&left), "{left}");
}
