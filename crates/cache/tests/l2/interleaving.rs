//! A load that began before an invalidation and ends after it: its value stays readable on no node,
//! in no tier.
//!
//! Every interleaving draws an order for the steps of one load, of a second one, of the write and
//! of its invalidation. The invalidation is by key, tag, pattern, class or of everything, on nodes
//! of which some hold the old value. Some steps wait for the effect of the previous one, others
//! race it. A load that begins on a node which made the invalidation, or has its notice, is not
//! even answered the old value.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rand::seq::SliceRandom;
use tidegate_cache::{Fill, Key, Pattern, Tag};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{poll_until, scale};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::ground::{CLASS, Node, SOON, patient};

const NODES: usize = 3;
/// Concurrent rounds, each with an installation of its own.
const LANES: usize = 16;
/// How long a load waits for another process's, which here may not end before it does.
const WAIT: Duration = Duration::from_millis(4);

/// A door that stays open once it is.
#[derive(Default)]
struct Gate {
    is_open: AtomicBool,
    opened: Notify,
}

impl Gate {
    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    async fn passed(&self) {
        let mut opened = std::pin::pin!(self.opened.notified());
        opened.as_mut().enable();
        if !self.is_open.load(Ordering::SeqCst) {
            opened.await;
        }
    }
}

/// A load whose loader reads the row and returns on a signal.
struct Load {
    node: usize,
    has_begun: Arc<Gate>,
    may_read: Arc<Gate>,
    has_read: Arc<Gate>,
    may_end: Arc<Gate>,
    has_ended: Arc<Gate>,
    call: Option<JoinHandle<u32>>,
}

impl Load {
    fn new(node: usize) -> Self {
        let gate = Arc::<Gate>::default;
        Self {
            node,
            has_begun: gate(),
            may_read: gate(),
            has_read: gate(),
            may_end: gate(),
            has_ended: gate(),
            call: None,
        }
    }

    /// Waits for the gate, unless the call ends without a load.
    async fn until(&self, gate: impl Fn(&Self) -> &Gate) {
        tokio::select! {
            () = gate(self).passed() => {}
            () = self.has_ended.passed() => {}
        }
    }

    fn begin(&mut self, lane: &Lane) {
        let [begun, read, has_read, end, ended] =
            [&self.has_begun, &self.may_read, &self.has_read, &self.may_end, &self.has_ended].map(Arc::clone);
        let (node, key, row, tag) = (lane.nodes[self.node].clone(), lane.key(), Arc::clone(&lane.row), lane.tag());
        self.call = Some(tokio::spawn(async move {
            let load = async move || {
                begun.open();
                read.passed().await;
                let value = row.load(Ordering::SeqCst);
                has_read.open();
                end.passed().await;
                Ok::<_, Infallible>(Fill::new(value).tag(tag))
            };
            let value = *node.things.fetch(&key, load).await.unwrap().value;
            ended.open();
            value
        }));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin(usize),
    Read(usize),
    End(usize),
    Write,
    Invalidate,
    /// The node of the second load receives the notice.
    Hear,
}

/// One installation on the server.
struct Lane {
    nodes: Vec<Node>,
    row: Arc<AtomicU32>,
    round: u32,
}

impl Lane {
    async fn start(url: &str, number: usize) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(Node::start_in(url, &format!("lane{number}"), |tier| tier.wait(WAIT)).await);
        }
        Self { nodes, row: Arc::default(), round: 0 }
    }

    fn key(&self) -> Key {
        Key::builder("thing").part(self.round % 7).build().unwrap()
    }

    fn tag(&self) -> Tag {
        Tag::of(["tag", &(self.round % 5).to_string()])
    }

    fn invalidation(&self, node: usize) -> JoinHandle<()> {
        let (cache, key, tag, how) = (self.nodes[node].cache.clone(), self.key(), self.tag(), self.round % 5);
        tokio::spawn(async move {
            match how {
                0 => drop(cache.remove(&key).await.unwrap()),
                1 => cache.invalidate_tag(&tag).await.unwrap(),
                2 => drop(cache.invalidate_pattern(&Pattern::parse("thing:*").unwrap()).await.unwrap()),
                3 => drop(cache.invalidate_class(CLASS.name()).await.unwrap()),
                _ => cache.clear().await.unwrap(),
            }
        })
    }

    fn held(&self, node: usize) -> Option<u32> {
        self.nodes[node].things.peek(&self.key()).into_value().map(|value| *value)
    }

    /// Returns when the node has the notices of all earlier changes, and holds none of the old
    /// values.
    async fn hear(&self, node: usize, writer: usize, old: u32, place: &str) {
        let canary = Key::builder("canary").part(node).build().unwrap();
        let things = &self.nodes[node].things;
        // Word of a class or of everything that comes meanwhile refuses it.
        poll_until(SOON, async || things.put(&canary, 0).await.then_some(())).await.unwrap();
        // Words come in order: once this one has come, the others have too.
        self.nodes[writer].cache.remove(&canary).await.unwrap();
        let began = Instant::now();
        while things.peek(&canary).into_value().is_some() || self.held(node) == Some(old) {
            assert!(began.elapsed() < SOON, "{place}: node {node} hears nothing");
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Returns whether a load that had read the old value ended after the invalidation had
    /// returned.
    async fn interleave(&mut self) -> bool {
        self.round += 1;
        let (old, new) = (self.row.load(Ordering::SeqCst), self.row.load(Ordering::SeqCst) + 1);
        let place = format!("round {}, invalidation {}", self.round, self.round % 5);
        // The first load must run. The others may hold a value in L1 that no other process can see.
        let mut at: Vec<usize> = (0..NODES).collect();
        at.shuffle(&mut rand::rng());
        self.nodes[at[0]].cache.remove(&self.key()).await.unwrap();
        if rand::random() {
            let alone = self.nodes[at[1]].cache.typed::<u32>(CLASS);
            alone.put(&self.key(), Fill::new(old).tag(self.tag())).await;
        }
        let mut loads = [Load::new(at[0]), Load::new(at[rand::random_range(0..NODES)])];
        let writer = rand::random_range(0..NODES);

        let steps = order();
        let mut invalidation = None::<JoinHandle<()>>;
        let (mut first, mut has_returned, mut is_overtaken) = (None, false, [false; 2]);
        let (mut has_heard, mut is_later) = (false, [false; 2]);
        for step in steps {
            match step {
                Step::Begin(load) => {
                    let node = loads[load].node;
                    is_later[load] = has_returned && node == writer || has_heard && node == loads[1].node;
                    loads[load].begin(self);
                    // Behind the other load it may have to wait for that one's value.
                    if loads[1 - load].call.is_none() {
                        loads[load].until(|load| &load.has_begun).await;
                        first = Some(load);
                    }
                }
                Step::Read(load) => {
                    loads[load].may_read.open();
                    if first == Some(load) && rand::random_range(0..8) > 0 {
                        loads[load].until(|load| &load.has_read).await;
                    }
                }
                Step::End(load) => {
                    is_overtaken[load] = has_returned;
                    loads[load].may_end.open();
                }
                Step::Hear => {
                    if let Some(under_way) = invalidation.take() {
                        under_way.await.unwrap();
                        has_returned = true;
                    }
                    self.hear(loads[1].node, writer, old, &place).await;
                    has_heard = true;
                }
                Step::Write => self.row.store(new, Ordering::SeqCst),
                Step::Invalidate => {
                    let mut under_way = self.invalidation(writer);
                    if rand::random_range(0..4) == 0 {
                        invalidation = Some(under_way);
                    } else {
                        (&mut under_way).await.unwrap();
                        has_returned = true;
                    }
                }
            }
            match rand::random_range(0..6) {
                0 => sleep(Duration::from_micros(rand::random_range(0..300))).await,
                1 | 2 => tokio::task::yield_now().await,
                _ => {}
            }
        }
        if let Some(under_way) = invalidation {
            under_way.await.unwrap();
        }
        let mut was_tried = false;
        for ((load, is_overtaken), is_later) in loads.iter_mut().zip(is_overtaken).zip(is_later) {
            let answer = load.call.take().unwrap().await.unwrap();
            assert!(!is_later || answer == new, "{place}: a read on node {} that began after it", load.node);
            was_tried |= answer == old && is_overtaken;
        }
        self.nobody_reads(old, new, writer, &place).await;
        was_tried
    }

    async fn nobody_reads(&self, old: u32, new: u32, writer: usize, place: &str) {
        assert_ne!(self.held(writer), Some(old), "{place}: L1 of the node that invalidated");
        for node in 0..NODES {
            let began = Instant::now();
            while self.held(node) == Some(old) {
                assert!(began.elapsed() < SOON, "{place}: L1 of node {node}");
                sleep(Duration::from_millis(1)).await;
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            // Its remembered tags, classes and epoch are dropped by the same notices as the values
            // of L1.
            if at != writer {
                self.hear(at, writer, old, place).await;
            }
            node.outlive_l1();
            let row = Arc::clone(&self.row);
            let load = async move || Ok::<_, Infallible>(Fill::new(row.load(Ordering::SeqCst)));
            assert_eq!(*node.things.fetch(&self.key(), load).await.unwrap().value, new, "{place}: L2");
        }
        for node in 0..NODES {
            assert_ne!(self.held(node), Some(old), "{place}: it came back to L1 of node {node}");
        }
    }
}

/// Returns the steps in an order in which each load begins, reads and ends, the first one around
/// write and invalidation.
fn order() -> Vec<Step> {
    use Step::{Begin, End, Hear, Invalidate, Read, Write};
    let mut before = vec![
        (Begin(0), Read(0)),
        (Read(0), Write),
        (Write, Invalidate),
        (Invalidate, End(0)),
        (Invalidate, Hear),
        (Begin(1), Read(1)),
        (Read(1), End(1)),
    ];
    // The second one: anywhere, or behind the write, or reading before it.
    match rand::random_range(0..4) {
        0 => before.push((Write, Begin(1))),
        1 => before.push((Read(1), Write)),
        // While the first one, which read the old value, is still in progress.
        2 => before.extend([(Hear, Begin(1)), (Begin(1), End(0))]),
        _ => {}
    }
    let mut left = vec![Begin(0), Read(0), End(0), Begin(1), Read(1), End(1), Write, Invalidate, Hear];
    let mut steps = Vec::new();
    while !left.is_empty() {
        let may_come = |step: &Step| before.iter().all(|(first, then)| then != step || steps.contains(first));
        let next: Vec<Step> = left.iter().copied().filter(may_come).collect();
        let step = next[rand::random_range(0..next.len())];
        left.retain(|other| *other != step);
        steps.push(step);
    }
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_load_overtaken_by_an_invalidation_leaves_its_value_on_no_node() {
    let rounds = scale(400, 100_000) / LANES;
    let server = RedisServer::start().await;
    let url = patient(&server.url());
    let mut lanes = Vec::new();
    for number in 0..LANES {
        let mut lane = Lane::start(&url, number).await;
        lanes.push(async move {
            let mut overtaken = 0;
            for _ in 0..rounds {
                overtaken += usize::from(lane.interleave().await);
            }
            assert_eq!(lane.nodes.iter().map(|node| node.l2().errors).sum::<u64>(), 0);
            overtaken
        });
    }
    let started = Instant::now();
    let overtaken: usize = futures_util::future::join_all(lanes).await.into_iter().sum();
    let (count, took) = (rounds * LANES, started.elapsed());
    println!("{count} interleavings in {took:?}; in {overtaken} an old value came after the invalidation had returned");
    // About half of the random orders are such; a quarter is many standard deviations away.
    assert!(overtaken > count / 4, "{overtaken} of {count}: little was tried");
}
