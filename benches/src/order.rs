//! Order of accesses to many keys, drawn in advance so that drawing costs the measurement nothing.

/// Accesses until an order repeats; a power of two.
const LENGTH: usize = 1 << 20;

/// A fixed sequence of indices below a number of keys. The same in every run.
pub struct Order(Box<[u32]>);

impl Order {
    /// Every key is as likely as every other.
    pub fn uniform(keys: u32) -> Self {
        let mut random = SplitMix::new(1);
        Self::draw(|| below(keys, random.fraction()))
    }

    /// The key of rank `r` has weight `1 / r^exponent`. The ranks of keys are shuffled, so that
    /// popular keys are not neighbours in memory.
    pub fn zipf(keys: u32, exponent: f64) -> Self {
        let (zipf, mut random) = (Zipf::new(keys, exponent), SplitMix::new(2));
        Self::draw(|| zipf.draw(&mut random))
    }

    fn draw(mut next: impl FnMut() -> u32) -> Self {
        Self((0..LENGTH).map(|_| next()).collect())
    }

    /// Walks through the order endlessly. Walkers of different numbers start far apart.
    pub fn walk(&self, number: usize) -> Walk<'_> {
        Walk { order: &self.0, at: number * (LENGTH / 4) }
    }
}

/// A position in an [`Order`].
pub struct Walk<'a> {
    order: &'a [u32],
    at: usize,
}

impl Walk<'_> {
    /// The next index.
    #[inline]
    pub fn step(&mut self) -> usize {
        self.at = (self.at + 1) % LENGTH;
        self.order[self.at] as usize
    }
}

/// Zipf's law over the keys below a number.
pub(crate) struct Zipf {
    /// The weights of all ranks up to each.
    cumulated: Vec<f64>,
    key_of_rank: Vec<u32>,
}

impl Zipf {
    /// The key of rank `r` has weight `1 / r^exponent`; the ranks are shuffled.
    pub(crate) fn new(keys: u32, exponent: f64) -> Self {
        let (mut total, mut random) = (0.0, SplitMix::new(3));
        let cumulated = (1..=keys)
            .map(|rank| {
                total += f64::from(rank).powf(-exponent);
                total
            })
            .collect();
        let mut key_of_rank: Vec<u32> = (0..keys).collect();
        for last in (1..keys).rev() {
            key_of_rank.swap(last as usize, below(last + 1, random.fraction()) as usize);
        }
        Self { cumulated, key_of_rank }
    }

    /// The next key.
    pub(crate) fn draw(&self, random: &mut SplitMix) -> u32 {
        self.key_of_rank[self.rank(random) as usize]
    }

    /// The next rank, from zero on.
    pub(crate) fn rank(&self, random: &mut SplitMix) -> u32 {
        let last = self.cumulated.len() - 1;
        let point = random.fraction() * self.cumulated[last];
        u32::try_from(self.cumulated.partition_point(|&up_to| up_to <= point).min(last))
            .expect("below a number of keys")
    }
}

/// `SplitMix64` (Steele, Lea and Flood 2014): enough for drawing keys.
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in `0.0..1.0`.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper 53 bits, as many as a double holds.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between zero and `limit`")]
fn below(limit: u32, fraction: f64) -> u32 {
    (f64::from(limit) * fraction) as u32
}
