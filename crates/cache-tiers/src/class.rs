//! The classes in use and their counters.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::class_id::ClassId;
use crate::moment::nanos;
use crate::places::Places;
use crate::ttl::TtlClass;

/// Stripes of the counters; enough that cores rarely write to one line.
const STRIPES: usize = 16;

/// One lookup in this many is timed.
const SAMPLE: u64 = 64;

/// Counter of a class.
#[derive(Debug, Clone, Copy)]
pub enum Count {
    Hit,
    StaleHit,
    Miss,
    Load,
    LoadFailure,
    Collapsed,
    Invalidation,
    TypeMismatch,
    Queued,
    Refused,
    TimedOut,
    SharedHit,
}

const COUNTS: usize = Count::SharedHit as usize + 1;

#[derive(Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; COUNTS]);

/// Counters of one class, spread over cache lines by thread and added up when read.
pub struct Counters {
    stripes: Box<[Stripe]>,
    /// Nanoseconds that the last load took; zero before the first.
    last_load: AtomicU64,
}

impl Counters {
    fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Stripe::default()).collect(), last_load: AtomicU64::new(0) }
    }

    pub fn add(&self, count: Count) {
        self.tick(count);
    }

    /// Counts one. Returns how many this thread's stripe had counted before.
    pub(crate) fn tick(&self, count: Count) -> u64 {
        self.stripes[stripe()].0[count as usize].fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the next lookup on this thread should be timed.
    pub(crate) fn sample_due(&self) -> bool {
        let counts = &self.stripes[stripe()].0;
        let seen = |count: Count| counts[count as usize].load(Ordering::Relaxed);
        (seen(Count::Hit) + seen(Count::StaleHit) + seen(Count::Miss)).is_multiple_of(SAMPLE)
    }

    /// Remembers how long a load took.
    pub fn took(&self, load: Duration) {
        self.last_load.store(nanos(load), Ordering::Relaxed);
    }

    /// Returns how long the last load took; `None` before the first.
    pub fn last_load(&self) -> Option<Duration> {
        Some(self.last_load.load(Ordering::Relaxed)).filter(|nanos| *nanos > 0).map(Duration::from_nanos)
    }

    pub(crate) fn sum(&self, count: Count) -> u64 {
        self.stripes.iter().map(|stripe| stripe.0[count as usize].load(Ordering::Relaxed)).sum()
    }
}

/// Threads take the stripes in turn.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    MINE.with(|mine| *mine)
}

/// A class as one cache knows it.
pub struct Class {
    pub id: ClassId,
    pub ttl: TtlClass,
    pub counters: Arc<Counters>,
    /// Permits for its loads, if the class bounds them.
    pub(crate) places: Option<Arc<Places>>,
}

/// The classes of one cache, by name.
#[derive(Default)]
pub struct ClassTable(RwLock<Known>);

#[derive(Default)]
struct Known {
    classes: Vec<Arc<Class>>,
    /// The permits of each class, per bound: handles with one bound share them.
    places: Vec<(ClassId, (u32, Duration), Arc<Places>)>,
}

impl Known {
    fn places(&mut self, id: ClassId, bound: Option<(u32, Duration)>) -> Option<Arc<Places>> {
        let (count, wait) = bound?;
        if let Some((_, _, places)) = self.places.iter().find(|(of, bound, _)| *of == id && *bound == (count, wait)) {
            return Some(Arc::clone(places));
        }
        let places = Arc::new(Places::new(count, wait));
        self.places.push((id, (count, wait), Arc::clone(&places)));
        Some(places)
    }
}

impl ClassTable {
    /// Returns the class of this name. If its times differ from earlier ones, the new ones are
    /// shown.
    pub fn enter(&self, ttl: TtlClass) -> Arc<Class> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (id, counters) = match all.classes.iter().find(|class| class.ttl.name() == ttl.name()) {
            Some(known) if known.ttl == ttl => return Arc::clone(known),
            Some(known) => (known.id, Arc::clone(&known.counters)),
            None => (ClassId::new(all.classes.len()), Arc::new(Counters::new())),
        };
        let places = all.places(id, ttl.places());
        let class = Arc::new(Class { id, ttl, counters, places });
        match all.classes.get_mut(id.index()) {
            Some(known) => *known = Arc::clone(&class),
            None => all.classes.push(Arc::clone(&class)),
        }
        class
    }

    pub fn by_name(&self, name: &str) -> Option<Arc<Class>> {
        self.all().into_iter().find(|class| class.ttl.name() == name)
    }

    pub fn by_id(&self, id: ClassId) -> Option<Arc<Class>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).classes.get(id.index()).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Class>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).classes.clone()
    }
}
