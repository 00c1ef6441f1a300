//! Which bucket a duration falls into.

use std::time::Duration;

use crate::histogram::bounds::EXPOSITION_BOUNDS;

/// 2⁶ buckets per power of two: a bucket is at most 1/64 of its lower end wide.
const GROUPING_POWER: u32 = 6;
/// Values from 2³⁷ ns (137.4 s) on share the last bucket.
const RANGE_POWER: u32 = 37;
const GROUP: usize = 1 << GROUPING_POWER;
/// How many bounds are exposed.
pub(crate) const EXPOSED: usize = EXPOSITION_BOUNDS.len();
const PLAIN_BUCKETS: usize = (RANGE_POWER - GROUPING_POWER + 1) as usize * GROUP;
const RANGE_END: u64 = 1 << RANGE_POWER;
/// Below, every number has its bucket.
pub(crate) const FIRST_FOUND: u64 = GROUP as u64;
/// How much greater [`leading`] is than the number of the plain bucket, modulo their count.
const TURN: usize = (f64::MAX_EXP as usize - 1 + GROUPING_POWER as usize - 1) * GROUP % PLAIN_BUCKETS;
/// In the table: an edge cuts this bucket.
const CUT: u16 = 1 << 15;
/// The most that the table can represent.
const MOST_EDGES: usize = CUT as usize - 1 - PLAIN_BUCKETS;
/// No layout has more, the open one included.
pub(crate) const MOST_BUCKETS: usize = PLAIN_BUCKETS + MOST_EDGES + 1;

/// The bucket boundaries of a histogram: log-linear, cut once more at every exact edge.
///
/// Below 128 ns every nanosecond has its own bucket. Above, each power of two is divided into 64
/// equal buckets, so a bucket is at most 1/64 (1.5625 %) wide. An *edge* splits the bucket it falls
/// into. So the number of samples at or below it is exact and costs nothing extra to count. The
/// scheme is the log-linear one of `HdrHistogram` and of the `histogram` crate ("grouping power"
/// 6); the splitting is ours.
#[derive(Debug)]
pub struct Layout {
    /// Edges that split a bucket, ascending, in nanoseconds.
    edges: Box<[u64]>,
    /// The number of each plain bucket, or of its first piece, with [`CUT`] if it contains an edge.
    /// The table is rotated, so that a look-up subtracts nothing. It takes 4 KB, so that it stays
    /// in the L1 cache. It is part of the layout, so that a look-up follows one pointer less.
    numbers: [u16; PLAIN_BUCKETS],
    /// Between which exposed bounds each plain bucket lies, turned alike.
    between: [u8; PLAIN_BUCKETS],
    /// The largest value of each bucket, ascending. The last bucket is open; its value is the end
    /// of the range.
    uppers: Box<[u64]>,
    /// The number of buckets at or below each of the exposed bounds.
    exposed: [usize; EXPOSED],
}

impl Layout {
    /// Creates a layout with exact edges at the given durations. Edges of 137.4 s and above are
    /// ignored: the range ends there, and such a threshold counts as the end of the range. Of more
    /// than 30,719 edges the smallest are kept.
    #[expect(clippy::cast_possible_truncation, reason = "few bounds are exposed")]
    pub fn new(edges: impl IntoIterator<Item = Duration>) -> Self {
        let mut edges: Vec<u64> = edges
            .into_iter()
            .map(nanos)
            .filter(|&edge| edge < RANGE_END && edge != plain_upper(plain_index(edge)))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        edges.truncate(MOST_EDGES);

        let mut numbers = [0; PLAIN_BUCKETS];
        let mut uppers = Vec::with_capacity(PLAIN_BUCKETS + edges.len() + 1);
        let mut rest = edges.iter().peekable();
        let mut next: u16 = 0;
        for plain in 0..PLAIN_BUCKETS {
            let number: &mut u16 = &mut numbers[(plain + TURN) % PLAIN_BUCKETS];
            *number = next;
            let upper = plain_upper(plain);
            while let Some(&edge) = rest.next_if(|&&edge| edge < upper) {
                uppers.push(edge);
                *number |= CUT;
                next += 1;
            }
            uppers.push(upper);
            next += 1;
        }
        uppers.push(RANGE_END);
        let exposed = EXPOSITION_BOUNDS.map(|bound| up_to(&uppers, bound));
        let between = numbers.map(|number| exposed_range(&exposed, first_bucket(number)) as u8);
        Self { edges: edges.into(), numbers, between, uppers: uppers.into(), exposed }
    }

    /// The number of buckets, the open one included.
    pub fn buckets(&self) -> usize {
        self.uppers.len()
    }

    /// The bucket of a duration in nanoseconds.
    #[inline]
    pub(crate) fn index(&self, nanos: u64) -> usize {
        if nanos >= RANGE_END {
            return self.uppers.len() - 1;
        }
        let plain = plain_index(nanos);
        let number = self.numbers[(plain + TURN) % PLAIN_BUCKETS];
        let first = first_bucket(number);
        if number & CUT == 0 { first } else { self.piece(plain, first, nanos) }
    }

    /// Returns the place of most durations from [`FIRST_FOUND`] to the end of the range. For a
    /// duration in a bucket that an edge cuts, it returns a number that no bucket has.
    #[inline(always)]
    pub(crate) fn found(&self, nanos: u64) -> Place {
        // The remainder changes nothing, and spares a comparison.
        let plain = leading(nanos) % PLAIN_BUCKETS;
        Place { bucket: usize::from(self.numbers[plain]), between: usize::from(self.between[plain]) }
    }

    /// The bucket of a duration in nanoseconds, and between which exposed bounds it lies.
    pub(crate) fn place(&self, nanos: u64) -> Place {
        let bucket = self.index(nanos);
        Place { bucket, between: self.exposed_range(bucket) }
    }

    /// Which piece of a bucket that edges cut, of which the first has this number.
    fn piece(&self, plain: usize, first: usize, nanos: u64) -> usize {
        let edges_before = first - plain;
        first + self.edges[edges_before..].iter().take_while(|&&edge| edge < nanos).count()
    }

    /// The largest duration of a bucket; of the open bucket its lower end.
    pub(crate) fn upper(&self, bucket: usize) -> Duration {
        Duration::from_nanos(self.uppers[bucket])
    }

    /// How many buckets lie wholly at or below `bound`.
    pub(crate) fn buckets_up_to(&self, bound: Duration) -> usize {
        up_to(&self.uppers, bound)
    }

    /// Between which exposed bounds a bucket lies: 0 up to the first, [`EXPOSED`] above the last.
    pub(crate) fn exposed_range(&self, bucket: usize) -> usize {
        exposed_range(&self.exposed, bucket)
    }
}

impl Default for Layout {
    /// A layout with edges at [`EXPOSITION_BOUNDS`](crate::EXPOSITION_BOUNDS) only.
    fn default() -> Self {
        Self::new(EXPOSITION_BOUNDS)
    }
}

/// Which counters count a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) bucket: usize,
    /// Between which exposed bounds: 0 up to the first, [`EXPOSED`] above the last.
    pub(crate) between: usize,
}

fn exposed_range(exposed: &[usize; EXPOSED], bucket: usize) -> usize {
    exposed.partition_point(|&within| within <= bucket)
}

/// By its entry in the table the number of a plain bucket, or of the first piece of it.
fn first_bucket(number: u16) -> usize {
    usize::from(number & !CUT)
}

fn up_to(uppers: &[u64], bound: Duration) -> usize {
    let bound = nanos(bound);
    let closed = uppers.len() - 1;
    uppers[..closed].partition_point(|&upper| upper <= bound)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    const NANOS: u64 = 1_000_000_000;
    // Without the 128 bits of `Duration::as_nanos`, which the recorder would feel.
    duration.as_secs().saturating_mul(NANOS).saturating_add(u64::from(duration.subsec_nanos()))
}

/// Returns the power of two of a number, followed by its leading binary places. Buckets are
/// numbered like that, up to a constant.
///
/// A float stores a number in this form, so one conversion finds both. It is cheaper than finding
/// the highest bit and two shifts.
#[expect(clippy::cast_precision_loss, reason = "37 bits fit")]
#[inline(always)]
fn leading(nanos: u64) -> usize {
    // From a signed number, since of an unsigned one machines make a float in many steps.
    ((nanos.cast_signed() as f64).to_bits() >> (f64::MANTISSA_DIGITS - 1 - GROUPING_POWER)) as usize
}

/// Returns the plain bucket of a number within the range.
#[expect(clippy::cast_possible_truncation, reason = "below PLAIN_BUCKETS for every value below the range's end")]
fn plain_index(nanos: u64) -> usize {
    if nanos < FIRST_FOUND { nanos as usize } else { leading(nanos).wrapping_sub(TURN) % PLAIN_BUCKETS }
}

fn plain_upper(bucket: usize) -> u64 {
    if bucket < 2 * GROUP {
        return bucket as u64;
    }
    let shift = bucket / GROUP - 1;
    let mantissa = (bucket % GROUP + GROUP) as u64;
    ((mantissa + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        let layout = Layout::default();
        let mut lower = 0;
        for (bucket, &upper) in layout.uppers[..layout.buckets() - 1].iter().enumerate() {
            assert_eq!(layout.index(lower), bucket);
            assert_eq!(layout.index(upper), bucket);
            assert!((upper - lower) * 64 <= lower, "{lower}..={upper}");
            lower = upper + 1;
        }
        assert_eq!(lower, RANGE_END);
        assert_eq!(layout.index(RANGE_END), layout.buckets() - 1);
        assert_eq!(layout.index(u64::MAX), layout.buckets() - 1);
    }

    #[test]
    fn the_fast_lookup_is_right_and_misses_only_cut_buckets() {
        let layout = Layout::default();
        let edges: Vec<usize> = layout.edges.iter().map(|&edge| plain_index(edge)).collect();
        for plain in GROUP..PLAIN_BUCKETS {
            for nanos in [plain_upper(plain - 1) + 1, plain_upper(plain)] {
                match layout.found(nanos) {
                    found if edges.contains(&plain) => assert!(found.bucket >= MOST_BUCKETS, "{nanos} ns"),
                    found => assert_eq!(found, layout.place(nanos), "{nanos} ns"),
                }
            }
        }
    }

    #[test]
    fn edges_beyond_the_range_are_ignored() {
        let plain = Layout::new([]).buckets();
        assert_eq!(plain, PLAIN_BUCKETS + 1);
        assert_eq!(Layout::new([Duration::MAX, Duration::from_nanos(RANGE_END), Duration::ZERO]).buckets(), plain);
    }

    #[test]
    fn edges_that_the_table_cannot_distinguish_are_left_out() {
        let layout = Layout::new((0..40_000).map(|edge| Duration::from_nanos(1_000_000_000 + edge)));
        assert!(layout.buckets() <= MOST_BUCKETS);
        let within = layout.buckets_up_to(Duration::from_nanos(1_000_000_500));
        assert_eq!(layout.index(1_000_000_500) + 1, within);
        assert_eq!(layout.index(1_000_000_501), within);
    }

    #[test]
    fn nanoseconds_stop_at_584_years() {
        assert_eq!(nanos(Duration::MAX), u64::MAX);
        assert_eq!(nanos(Duration::new(18_446_744_073, 709_551_615)), u64::MAX);
        assert_eq!(nanos(Duration::new(3, 7)), 3_000_000_007);
    }

    proptest! {
        #[test]
        fn an_edge_divides_exactly(edges in prop::collection::vec(0..RANGE_END, 0..40), value in 0..RANGE_END) {
            let layout = Layout::new(edges.iter().copied().map(Duration::from_nanos));
            let bucket = layout.index(value);
            prop_assert!(layout.uppers[bucket] >= value);
            for &edge in &edges {
                let within = layout.buckets_up_to(Duration::from_nanos(edge));
                prop_assert_eq!(bucket < within, value <= edge, "edge {}", edge);
            }
        }

        #[test]
        fn many_edges_in_one_bucket_stay_apart(offsets in prop::collection::vec(0u64..1000, 0..50), at in 0u64..1000) {
            let base = 1_000_000_000;
            let layout = Layout::new(offsets.iter().map(|o| Duration::from_nanos(base + o)));
            for &offset in &offsets {
                let within = layout.buckets_up_to(Duration::from_nanos(base + offset));
                prop_assert_eq!(layout.index(base + at) < within, at <= offset);
            }
        }
    }
}
