//! Pages of which 85 % are in the cache, and updates in one process that readers of others know of.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{bail, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::definition::{Measured, Scenario, Target};
use super::helpers::{counted, unique};
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Answer, Api, Check};

/// Products that the example creates. The first of them are read again and again.
const PRODUCTS: u64 = 1_000;
const HOT: u64 = 20;
/// Percentage of turns that read a page that is in no cache. One more percent is updates.
const COLD_PERCENT: u64 = 13;

/// The run in progress.
const CACHED: usize = 0;
const UNCACHED: usize = 1;
const FAST: usize = 2;
const MIXED: usize = 3;

/// Processes at most.
const PROCESSES: usize = 6;
/// Time after which each process has the newest page, even without a notice of its version.
const MOMENT: Duration = Duration::from_secs(10);

/// Pages of one run.
#[derive(Default)]
struct Pages {
    count: AtomicU64,
    hits: AtomicU64,
    micros: AtomicU64,
}

/// Knowledge of readers and writers about one product.
#[derive(Default)]
struct Product {
    /// Version before the first turn.
    opening: i64,
    updates: i64,
    /// The newest version that an answer has named.
    newest: i64,
    prices: BTreeMap<i64, i64>,
}

pub(super) struct ProductPage {
    prefix: String,
    run: AtomicUsize,
    pages: [Pages; MIXED + 1],
    next_cold: AtomicU64,
    products: Mutex<BTreeMap<u64, Product>>,
    /// Statements of each process before the first turn.
    statements: Mutex<BTreeMap<i64, i64>>,
    /// Pages read without a version right after an update, and those of them that were older.
    unaware: AtomicU64,
    behind: AtomicU64,
    /// Pages that were older than their reader knew, or had the price of another version.
    wrong: AtomicU64,
}

impl Default for ProductPage {
    fn default() -> Self {
        Self {
            prefix: unique(),
            run: AtomicUsize::new(MIXED),
            pages: Default::default(),
            next_cold: AtomicU64::default(),
            products: Mutex::default(),
            statements: Mutex::default(),
            unaware: AtomicU64::default(),
            behind: AtomicU64::default(),
            wrong: AtomicU64::default(),
        }
    }
}

impl ProductPage {
    fn products(&self) -> MutexGuard<'_, BTreeMap<u64, Product>> {
        lock(&self.products)
    }

    fn newest(&self, product: u64) -> i64 {
        self.products().get(&product).map_or(0, |known| known.newest)
    }

    /// Reads a page that must have this version or a newer one, and the price of its version.
    async fn read(&self, turn: &mut Turn, product: u64, at_least: i64) -> anyhow::Result<i64> {
        let run = self.run.load(Ordering::Relaxed);
        let (operation, suffix) = if run == UNCACHED { ("page, no cache", "&cache=off") } else { ("page", "") };
        let path = format!("/products/{product}?at_least={at_least}{suffix}");
        let (api, started) = (turn.api.clone(), Instant::now());
        let page = turn.call(operation, api.get(&path)).await?.expect(200)?;
        let took = u64::try_from(started.elapsed().as_micros())?;
        if let Some(pages) = self.pages.get(run) {
            pages.count.fetch_add(1, Ordering::Relaxed);
            pages.hits.fetch_add(u64::from(page.body["source"] != "loaded"), Ordering::Relaxed);
            pages.micros.fetch_add(took, Ordering::Relaxed);
        }
        let (version, price) = (page.number("version")?, page.number("price")?);
        let known = self.products().get(&product).and_then(|known| known.prices.get(&version).copied());
        if version < at_least || known.is_some_and(|known| known != price) {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            bail!("product {product}, known to have version {at_least} and price {known:?}, was read as {}", page.body);
        }
        Ok(version)
    }

    /// Updates a product. Returns its new version.
    async fn update(&self, turn: &mut Turn, product: u64) -> anyhow::Result<i64> {
        let (key, price) = (format!("{}-{}", self.prefix, turn.number), i64::try_from(1 + turn.number % 1_000_000)?);
        let (path, body, api) = (format!("/products/{product}"), json!({ "price": price }), turn.api.clone());
        let put = api.send(Method::PUT, &path, Some(&key), Some(&body));
        let version = turn.call("update", put).await?.expect(200)?.number("version")?;
        let mut products = self.products();
        let known = products.entry(product).or_default();
        ensure!(known.prices.insert(version, price).is_none(), "two updates made version {version} of {product}");
        known.updates += 1;
        known.newest = known.newest.max(version);
        Ok(version)
    }

    /// The statements of all processes since the first turn. Which process answers is chance.
    async fn statements(&self, api: &Api) -> anyhow::Result<BTreeMap<i64, i64>> {
        let mut statements = BTreeMap::new();
        for _ in 0..PROCESSES {
            let answer = api.get("/statements").await?.expect(200)?;
            statements.insert(answer.number("process")?, answer.number("statements")?);
        }
        Ok(statements)
    }

    /// Figures that compare the runs.
    async fn compare(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let opening = lock(&self.statements).clone();
        let statements = self.statements(api).await?;
        let since = statements.iter().map(|(process, count)| count - opening.get(process).unwrap_or(&0));
        let of = |run: usize| {
            let Pages { count, hits, micros } = &self.pages[run];
            [count, hits, micros].map(|number| number.load(Ordering::Relaxed))
        };
        let ([cached, hits, micros], [uncached, _, uncached_micros]) = (of(CACHED), of(UNCACHED));
        let [fast, fast_hits, _] = of(FAST);
        // Each page that bypasses the cache is one statement.
        let uncached = i64::try_from(uncached)?;
        let (made, pages) = (since.sum::<i64>() - uncached, i64::try_from(cached + fast)?);
        let hits = (hits + fast_hits) * 100 / (cached + fast).max(1);
        let mean = micros / cached.max(1);
        let uncached_mean = uncached_micros / u64::try_from(uncached)?.max(1);
        Ok(vec![
            Check::count(format!("{hits} % hits, as the reference has 85"), (82..=87).contains(&hits)),
            Check::count(
                format!("a page takes {mean} µs on average, and {uncached_mean} without cache: at least 5 times less"),
                mean * 5 <= uncached_mean,
            ),
            Check::count(format!("{made} statements for {pages} pages, at most 16 %"), made * 100 <= pages * 16),
        ])
    }
}

#[async_trait]
impl Scenario for ProductPage {
    fn name(&self) -> &'static str {
        "product_page"
    }

    fn runs(&self) -> Vec<Measured> {
        let page = |operation, reference, mean_ms| Target { operation, reference, mean_ms, ..Target::default() };
        let cached = page("page", "mean 50 ms at 85 % hits", Some(5.0));
        let uncached = page("page, no cache", "mean 250 ms", None);
        let reads = |rate, targets| Measured { mode: Mode::Open { rate }, seconds: 10, targets };
        vec![reads(20.0, vec![cached.clone()]), reads(20.0, vec![uncached]), reads(200.0, vec![cached])]
    }

    async fn begin_run(&self, _api: &Api, number: usize) -> anyhow::Result<()> {
        self.run.store(number, Ordering::Relaxed);
        Ok(())
    }

    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        for product in 1..=HOT {
            let page = api.get(&format!("/products/{product}")).await?.expect(200)?;
            let version = page.number("version")?;
            self.products().insert(product, Product { opening: version, newest: version, ..Product::default() });
        }
        *lock(&self.statements) = self.statements(api).await?;
        Ok(())
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        let chance = (turn.shuffled() >> 32) % 100;
        let hot = 1 + turn.number % HOT;
        match self.run.load(Ordering::Relaxed) {
            // The page that follows is read in another process.
            MIXED if chance < 25 => {
                let version = self.update(turn, hot).await?;
                let unaware = self.read(turn, hot, 0).await?;
                self.unaware.fetch_add(1, Ordering::Relaxed);
                self.behind.fetch_add(u64::from(unaware < version), Ordering::Relaxed);
                self.read(turn, hot, version).await?;
            }
            run if run != MIXED && chance < COLD_PERCENT => {
                let cold = self.next_cold.fetch_add(1, Ordering::Relaxed) % (PRODUCTS - HOT);
                self.read(turn, 1 + HOT + cold, 0).await?;
            }
            run if run != MIXED && chance == COLD_PERCENT => {
                let version = self.update(turn, hot).await?;
                self.read(turn, hot, version).await?;
            }
            _ => {
                let newest = self.newest(hot);
                self.read(turn, hot, newest).await?;
            }
        }
        Ok(())
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        let (mut updates, mut versions, mut old) = (0, 0, Vec::new());
        for product in 1..=HOT {
            let page = api.get(&format!("/products/{product}?cache=off")).await?.expect(200)?;
            let newest = page.number("version")?;
            if !all_show(api, product, newest).await? {
                old.push(product);
            }
            let products = self.products();
            let Some(known) = products.get(&product) else { continue };
            updates += known.updates;
            versions += newest - known.opening;
        }
        let (behind, unaware) = (self.behind.load(Ordering::Relaxed), self.unaware.load(Ordering::Relaxed));
        let wrong = self.wrong.load(Ordering::Relaxed);
        let mut newest = format!("all processes show the newest pages; {}", counted(&old, "products are old"));
        if unaware > 0 {
            newest += &format!("; {behind} of {unaware} readers right after an update saw an older page");
        }
        let mut invariants = vec![
            Check::count(format!("each of {updates} updates was made once: {versions} versions"), updates == versions),
            Check::count(
                format!("{wrong} pages were older than an update that their reader knew of, or had another price"),
                wrong == 0,
            ),
            Check::count(newest, old.is_empty()),
        ];
        if self.pages[UNCACHED].count.load(Ordering::Relaxed) > 0 {
            invariants.extend(self.compare(api).await?);
        }
        Ok(invariants)
    }
}

/// Whether all processes show this version soon, to readers that do not know of it.
async fn all_show(api: &Api, product: u64, version: i64) -> anyhow::Result<bool> {
    let deadline = Instant::now() + MOMENT;
    let path = format!("/products/{product}");
    let mut in_a_row = 0;
    while in_a_row < PROCESSES {
        let page: Answer = api.get(&path).await?.expect(200)?;
        if page.number("version")? == version {
            in_a_row += 1;
        } else {
            in_a_row = 0;
            sleep(Duration::from_millis(20)).await;
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
    Ok(true)
}
