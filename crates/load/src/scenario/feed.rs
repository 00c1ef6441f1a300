//! Readers page through their feeds while posts arrive, one in a while from a celebrity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::scale;
use tokio::time::Instant;

use super::definition::{Measured, Scenario};
use super::helpers::{counted, settled, unique};
use crate::driver::{Mode, Turn};
use crate::lock::lock;
use crate::{Answer, Api, Check};

/// Users that follow all authors and the celebrity.
const READERS: u64 = 8;
const AUTHORS: u64 = 4;
/// Interval, in turns, between posts of the celebrity.
const CELEBRITY_EVERY: u64 = 100;
/// Pages of a whole feed.
const PAGES: usize = 5;
/// Time after which all jobs are done.
const SETTLED: Duration = Duration::from_secs(120);

pub(super) struct Feed {
    prefix: String,
    /// Followers of the celebrity: 100,000 at full size.
    followers: usize,
    /// Followers whose feeds are in the cache from the beginning on, so that only jobs add to them.
    active: usize,
    /// Most posts of a feed.
    kept: usize,
    known: Mutex<Known>,
    /// Posts that were sent, answered or not.
    sent: AtomicU64,
}

/// Content of the answers.
#[derive(Default)]
struct Known {
    /// Author and text of each acknowledged post.
    posts: BTreeMap<i64, (String, String)>,
    /// Posts that a reader has seen.
    seen: BTreeMap<String, BTreeSet<i64>>,
    walks: u64,
    rebuilds: u64,
}

impl Default for Feed {
    fn default() -> Self {
        let (followers, active, kept) = (scale(1_500, 100_000), scale(300, 2_000), scale(100, 1_000));
        Self { prefix: unique(), followers, active, kept, known: Mutex::default(), sent: AtomicU64::default() }
    }
}

impl Feed {
    fn author(&self, number: u64) -> String {
        format!("{}-author-{}", self.prefix, number % AUTHORS)
    }

    fn reader(&self, number: u64) -> String {
        format!("{}-reader-{}", self.prefix, number % READERS)
    }

    fn celebrity(&self) -> String {
        format!("{}-star", self.prefix)
    }

    /// The active followers of the celebrity, among all of them.
    fn fans(&self) -> Vec<String> {
        let numbers = (0..self.followers).step_by(self.followers / self.active);
        numbers.map(|number| format!("{}-fan-{number}", self.celebrity())).collect()
    }

    /// Notes that a post was acknowledged.
    fn note(&self, author: &str, text: &str, answer: &Answer) -> anyhow::Result<i64> {
        let post = answer.number("post")?;
        let mut known = lock(&self.known);
        let before = known.posts.insert(post, (author.to_owned(), text.to_owned()));
        ensure!(before.is_none_or(|before| before.1 == text), "post {post} was written twice");
        Ok(post)
    }

    async fn write(&self, api: &Api, author: &str, key: &str) -> anyhow::Result<Answer> {
        let body = json!({ "text": format!("{author} {key}") });
        api.post(&format!("/users/{author}/posts"), Some(key), &body).await?.expect(201)
    }

    /// A post, its repeat, and another text under the same key.
    async fn post(&self, turn: &mut Turn, author: &str) -> anyhow::Result<()> {
        let (api, key) = (turn.api.clone(), turn.number.to_string());
        let text = format!("{author} {key}");
        self.sent.fetch_add(1, Ordering::Relaxed);
        let answer = turn.call("post", self.write(&api, author, &key)).await?;
        let post = self.note(author, &text, &answer)?;
        if turn.number % 8 == 1 {
            let again = turn.call("repeat", self.write(&api, author, &key)).await?;
            ensure!(again.number("post")? == post, "the repeat of post {post} was answered {}", again.body);
            let other = json!({ "text": "other" });
            let path = format!("/users/{author}/posts");
            turn.call("refusal", api.post(&path, Some(&key), &other)).await?.expect(422)?;
        }
        Ok(())
    }

    /// One page. Returns its posts, and where the next one begins.
    fn page_of(&self, answer: &Answer, before: i64) -> anyhow::Result<(Vec<i64>, Option<i64>)> {
        let (mut ids, mut last) = (Vec::new(), before);
        let known = lock(&self.known);
        for post in answer.body["posts"].as_array().context("the page has no `posts`")? {
            let id = post["id"].as_i64().context("a post has no `id`")?;
            ensure!(id < last, "post {id} comes behind {last}");
            if let Some((author, text)) = known.posts.get(&id) {
                ensure!(post["author"] == *author && post["text"] == *text, "post {id} was {author}'s {text}: {post}");
            }
            ids.push(id);
            last = id;
        }
        Ok((ids, answer.body["next"].as_i64()))
    }

    /// Reads a feed from its newest post to its oldest one. All that its reader must see is in it,
    /// but for what newer posts have displaced.
    async fn walk(&self, turn: &mut Turn, reader: &str, must: &BTreeSet<i64>) -> anyhow::Result<()> {
        let (api, limit) = (turn.api.clone(), self.kept / PAGES);
        let (mut walked, mut next) = (BTreeSet::new(), Some(i64::MAX));
        while let Some(before) = next {
            let cursor = if before == i64::MAX { String::new() } else { format!("&before={before}") };
            let path = format!("/users/{reader}/feed?limit={limit}{cursor}");
            let answer = turn.call("page", api.get(&path)).await?.expect(200)?;
            let (ids, following) = self.page_of(&answer, before)?;
            walked.extend(ids);
            next = following;
        }
        ensure!(walked.len() <= self.kept, "`{reader}` has {} posts", walked.len());
        let mut known = lock(&self.known);
        let in_flight = self.sent.load(Ordering::Relaxed).saturating_sub(known.posts.len() as u64);
        let lowest = walked.first().copied().unwrap_or(i64::MAX);
        for missing in must.difference(&walked) {
            let newer = known.posts.range(missing + 1..).count() + usize::try_from(in_flight)?;
            if *missing > lowest || newer < self.kept {
                bail!("`{reader}` does not see post {missing}, but {walked:?}");
            }
        }
        known.walks += 1;
        known.seen.entry(reader.to_owned()).or_default().extend(walked);
        Ok(())
    }

    /// A reader sees again what it has seen. If the cache loses the feed, it sees all that was
    /// acknowledged before.
    async fn read(&self, turn: &mut Turn, is_lost: bool) -> anyhow::Result<()> {
        let reader = self.reader(turn.number / 2);
        let must = if is_lost {
            let must = lock(&self.known).posts.keys().copied().collect();
            let path = format!("/users/{reader}/feed");
            let api = turn.api.clone();
            turn.call("forget", api.send(Method::DELETE, &path, None, None)).await?.expect(200)?;
            lock(&self.known).rebuilds += 1;
            must
        } else {
            lock(&self.known).seen.get(&reader).cloned().unwrap_or_default()
        };
        self.walk(turn, &reader, &must).await
    }

    /// The newest acknowledged posts of these authors.
    fn expected(&self, is_author: impl Fn(&str) -> bool) -> Vec<i64> {
        let known = lock(&self.known);
        let posts = known.posts.iter().rev().filter(|(_, (author, _))| is_author(author));
        posts.map(|(post, _)| *post).take(self.kept).collect()
    }

    /// Compares the feeds of users with what they must be. Returns those that differ.
    async fn wrong(&self, api: &Api, users: Vec<String>, expected: &[i64]) -> anyhow::Result<Vec<String>> {
        let compare = async |user: String| {
            let answer = api.get(&format!("/users/{user}/feed?limit={}", self.kept)).await?.expect(200)?;
            let (found, _) = self.page_of(&answer, i64::MAX)?;
            anyhow::Ok((found != expected).then(|| format!("{user} has {found:?}, not {expected:?}")))
        };
        let compared: Vec<_> = stream::iter(users).map(compare).buffer_unordered(16).try_collect().await?;
        Ok(compared.into_iter().flatten().collect())
    }
}

#[async_trait]
impl Scenario for Feed {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        let (followers, kept) = (self.followers.to_string(), self.kept.to_string());
        vec![("CELEBRITY", self.celebrity()), ("FOLLOWERS", followers), ("KEPT", kept)]
    }

    fn runs(&self) -> Vec<Measured> {
        vec![
            Measured { mode: Mode::Open { rate: 50.0 }, seconds: 10, targets: Vec::new() },
            Measured { mode: Mode::Closed { users: 16 }, seconds: 5, targets: Vec::new() },
        ]
    }

    async fn prepare(&self, api: &Api) -> anyhow::Result<()> {
        let authors = (0..AUTHORS).map(|number| self.author(number));
        let readers = (0..READERS).map(|number| self.reader(number));
        for user in authors.clone().chain(readers.clone()) {
            api.send(Method::PUT, &format!("/users/{user}"), None, None).await?.expect(201)?;
        }
        for reader in readers {
            for author in authors.clone().chain([self.celebrity()]) {
                api.send(Method::PUT, &format!("/users/{reader}/following/{author}"), None, None).await?.expect(201)?;
            }
        }
        ensure!(self.wrong(api, self.fans(), &[]).await?.is_empty(), "no feed has a post at first");
        // As many posts as are kept, so that each further one displaces one.
        let write = async |number: usize| {
            let (author, key) = (self.author(number as u64), format!("opening-{number}"));
            self.sent.fetch_add(1, Ordering::Relaxed);
            let answer = self.write(api, &author, &key).await?;
            self.note(&author, &format!("{author} {key}"), &answer).map(drop)
        };
        stream::iter(0..self.kept).map(write).buffer_unordered(16).try_collect().await
    }

    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()> {
        match turn.number {
            number if number % CELEBRITY_EVERY == 0 => self.post(turn, &self.celebrity()).await,
            number if number % 2 == 1 => self.post(turn, &self.author(number / 2)).await,
            // A feed that is lost is made anew from SQL, which takes long at full size.
            number => self.read(turn, number % scale(8, 200) as u64 == 2).await,
        }
    }

    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>> {
        jobs_done(api).await?;
        // The last post is the celebrity's, in a feed that no other job adds to.
        let (celebrity, started) = (self.celebrity(), Instant::now());
        let answer = self.write(api, &celebrity, "last").await?;
        self.note(&celebrity, &format!("{celebrity} last"), &answer)?;
        let left = jobs_done(api).await?;
        let took = started.elapsed();
        let posts = self.expected(|author| author == celebrity);
        let mut wrong = self.wrong(api, self.fans(), &posts).await?;
        let readers = (0..READERS).map(|number| self.reader(number)).collect();
        wrong.extend(self.wrong(api, readers, &self.expected(|_| true)).await?);
        let known = lock(&self.known);
        Ok(vec![
            Check::count(
                format!(
                    "{} jobs and {} posts without a job are left, {} jobs are dead",
                    left["jobs"], left["unannounced"], left["dead"]
                ),
                left == json!({ "unannounced": 0, "jobs": 0, "dead": 0 }),
            ),
            Check::count(
                format!(
                    "the fan-out of a post to {} followers ended after {:.2} s",
                    self.followers,
                    took.as_secs_f64()
                ),
                took < SETTLED,
            ),
            Check::count(
                format!(
                    "each of {} feeds has the newest of {} acknowledged posts, at most {}; {}",
                    self.fans().len() as u64 + READERS,
                    known.posts.len(),
                    self.kept,
                    counted(&wrong, "differ")
                ),
                wrong.is_empty(),
            ),
            Check::count(
                format!(
                    "{} walks through all pages, {} of them after a loss, had no gap and no repeat",
                    known.walks, known.rebuilds
                ),
                known.walks > 0,
            ),
        ])
    }
}

/// Waits until no job is left, and returns the answer of `/queue` then.
async fn jobs_done(api: &Api) -> anyhow::Result<Value> {
    let is_done = |queue: &Value| queue["unannounced"] == 0 && queue["jobs"] == 0;
    Ok(settled(api, "/queue", SETTLED, is_done).await?.body)
}
