//! Posts and followers in SQL, feeds in the cache, and the jobs between them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::{AnyPool, AssertSqlSafe};
use tidegate_cache::{Direction, Key, SortedSetShape};
use tidegate_queue::{Broker, Classify, Data, EnqueueOptions, Failure, Job, JobId, Producer};

use crate::Refused;

/// Followers of one job: about 15 ms of Redis.
const CHUNK: usize = 1_000;
/// Longest pause of a job while a server is away.
const PAUSE: Duration = Duration::from_secs(1);
/// Two marks of a complete feed, with one random score. A rebuild adds `BEGUN`, then the posts,
/// then `WHOLE` with the score of `BEGUN`. A feed without both marks was lost: it has only the
/// posts added since.
const BEGUN: &str = "begun";
const WHOLE: &str = "whole";
/// Above the ids of all posts. Higher scores are those of the two marks, so they are never trimmed.
pub(crate) const END: i64 = 1 << 52;
/// Highest score of a sorted set.
const HIGHEST: i64 = (1 << 53) - 1;
/// How often a page is read again if its feed is lost meanwhile.
const TRIES: u32 = 10;

#[derive(Clone)]
pub(crate) struct Feeds {
    pub(crate) sql: AnyPool,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) jobs: Producer,
    /// The members of a feed are ids of posts, which are their scores too.
    sets: SortedSetShape,
    kept: i64,
}

#[derive(Serialize)]
pub(crate) struct Post {
    pub(crate) id: i64,
    author: String,
    text: String,
}

/// Adds a post to the feeds of some followers: those behind `after`, in the order of their names.
#[derive(Serialize, Deserialize)]
pub(crate) struct FanOut {
    post: i64,
    author: String,
    part: u32,
    after: String,
}

impl Job for FanOut {
    const KIND: &'static str = "fan-out";
    const QUEUE: &'static str = "feeds";
}

impl FanOut {
    /// Enqueues the job, once for each post and part.
    async fn enqueue(&self, jobs: &Producer) -> Result<(), Failure> {
        let id = JobId::new(format!("{}-{}", self.post, self.part))?;
        jobs.enqueue_with(self, EnqueueOptions::new().id(id)).await?;
        Ok(())
    }
}

/// Runs one part, and enqueues the next one before, so that parts run side by side. What runs twice
/// changes nothing the second time.
pub(crate) async fn fan_out(job: FanOut, Data(feeds): Data<Feeds>) -> Result<(), Failure> {
    let select = "SELECT follower FROM follows WHERE author = $1 AND follower > $2 ORDER BY follower LIMIT $3";
    let select = sqlx::query_scalar(select).bind(&job.author).bind(&job.after).bind(i64::try_from(CHUNK)?);
    let followers: Vec<String> = select.fetch_all(&feeds.sql).await.or_snooze(PAUSE)?;
    let keys: Vec<Key> = followers.iter().map(|follower| key_of(follower)).collect::<Result<_, _>>()?;
    let FanOut { post, author, part, .. } = job;
    if let Some(after) = followers.get(CHUNK - 1) {
        FanOut { post, author, part: part + 1, after: after.clone() }.enqueue(&feeds.jobs).await?;
    }
    for added in feeds.sets.add_to_many(&keys, &post.to_string(), post).await.or_snooze(PAUSE)? {
        added.or_snooze(PAUSE)?;
    }
    Ok(())
}

impl Feeds {
    pub(crate) fn new(sql: AnyPool, broker: Arc<dyn Broker>, sets: SortedSetShape, kept: u32) -> Self {
        let sets = sets.limit(kept as usize + 2).renewing();
        Self { sql, jobs: Producer::new(broker.clone()), broker, sets, kept: kept.into() }
    }

    /// Writes a post, once for each key of its author, and has it fanned out.
    pub(crate) async fn post(&self, author: &str, key: &str, text: &str) -> Result<i64, Refused> {
        let insert = "INSERT INTO posts (author, idempotency_key, text) SELECT id, $2, $3 FROM users WHERE id = $1
                      ON CONFLICT DO NOTHING RETURNING id";
        let insert = sqlx::query_scalar(insert).bind(author).bind(key).bind(text);
        let post = match insert.fetch_optional(&self.sql).await? {
            Some(post) => post,
            None => {
                let known = "SELECT id, text FROM posts WHERE author = $1 AND idempotency_key = $2";
                let known = sqlx::query_as(known).bind(author).bind(key).fetch_optional(&self.sql).await?;
                match known.ok_or_else(|| no_user(author))? {
                    (post, known) if text == String::as_str(&known) => post,
                    _ => {
                        return Err(Refused(
                            StatusCode::UNPROCESSABLE_ENTITY,
                            "the Idempotency-Key was used for another post".into(),
                        ));
                    }
                }
            }
        };
        // Until this has succeeded the post is not acknowledged.
        self.announce(post, author).await?;
        Ok(post)
    }

    /// Enqueues the first part of the fan-out, and notes that this is done.
    async fn announce(&self, post: i64, author: &str) -> Result<(), Refused> {
        let first = FanOut { post, author: author.to_owned(), part: 0, after: String::new() };
        first
            .enqueue(&self.jobs)
            .await
            .map_err(|failure| Refused(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()))?;
        let note = sqlx::query("UPDATE posts SET is_announced = 1 WHERE id = $1");
        note.bind(post).execute(&self.sql).await?;
        Ok(())
    }

    /// Announces what processes that died have not. Each process may do this.
    pub(crate) async fn announce_regularly(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let select = "SELECT id, author FROM posts WHERE is_announced = 0 ORDER BY id LIMIT 100";
        loop {
            tick.tick().await;
            let left: Vec<(i64, String)> = sqlx::query_as(select).fetch_all(&self.sql).await.unwrap_or_default();
            for (post, author) in left {
                // While a server is away this fails; the next tick tries again.
                let _ = self.announce(post, &author).await;
            }
        }
    }

    /// Returns the newest posts before a post, newest first.
    pub(crate) async fn page(&self, user: &str, before: i64, limit: usize) -> Result<Vec<Post>, Refused> {
        let key = key_of(user)?;
        let mut tries = 0;
        let found = loop {
            // The same rebuild's marks before and after the read: the feed was complete in between.
            let rebuild = self.rebuild_of(&key).await?;
            if rebuild.is_some() {
                let found = self.sets.page(&key, Direction::Forward, ..before, None, limit).await?;
                if self.rebuild_of(&key).await? == rebuild {
                    break found;
                }
            }
            tries += 1;
            if tries == TRIES {
                let reason = format!("the feed of `{user}` was lost {TRIES} times");
                return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, reason));
            }
            self.rebuild(user, &key).await?;
        };
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = found.iter().map(|found| found.score.to_string()).collect();
        let select = format!("SELECT id, author, text FROM posts WHERE id IN ({}) ORDER BY id DESC", ids.join(", "));
        // Numbers alone are put into it.
        let rows: Vec<(i64, String, String)> = sqlx::query_as(AssertSqlSafe(select)).fetch_all(&self.sql).await?;
        Ok(rows.into_iter().map(|(id, author, text)| Post { id, author, text }).collect())
    }

    /// The score that the two marks of a whole feed have.
    async fn rebuild_of(&self, key: &Key) -> Result<Option<i64>, Refused> {
        let marks = self.sets.page(key, Direction::Forward, END.., None, 2).await?;
        Ok(marks.first().filter(|first| marks.len() == 2 && marks[1].score == first.score).map(|first| first.score))
    }

    /// Adds what SQL knows to a feed that was lost. What jobs add meanwhile stays.
    async fn rebuild(&self, user: &str, key: &Key) -> Result<(), Refused> {
        self.check_user(user).await?;
        let mark = match self.sets.score(key, BEGUN).await? {
            // Another rebuild goes on, or has ended unfinished. This one may end it.
            Some(mark) => mark,
            None => {
                let mark = rand::random_range(END..=HIGHEST);
                self.sets.add(key, BEGUN, mark).await?;
                mark
            }
        };
        let select = "SELECT posts.id FROM posts JOIN follows ON follows.author = posts.author
                      WHERE follower = $1 ORDER BY posts.id DESC LIMIT $2";
        let posts: Vec<i64> = sqlx::query_scalar(select).bind(user).bind(self.kept).fetch_all(&self.sql).await?;
        let posts: Vec<_> = posts.into_iter().map(|post| (post.to_string(), post)).collect();
        let mut members: Vec<_> = posts.iter().map(|(member, score)| (member.as_str(), *score)).collect();
        members.push((WHOLE, mark));
        self.sets.add_many(key, &members).await?;
        Ok(())
    }

    pub(crate) async fn follow(&self, follower: &str, author: &str) -> Result<(), Refused> {
        let users = sqlx::query_scalar("SELECT id FROM users WHERE id = $1 OR id = $2").bind(follower).bind(author);
        let users: Vec<String> = users.fetch_all(&self.sql).await?;
        for user in [follower, author] {
            users.iter().find(|known| *known == user).ok_or_else(|| no_user(user))?;
        }
        let insert = sqlx::query("INSERT INTO follows VALUES ($1, $2) ON CONFLICT DO NOTHING");
        insert.bind(author).bind(follower).execute(&self.sql).await?;
        // The next read rebuilds the feed with the older posts of the author.
        self.forget(follower).await
    }

    /// Refuses a user that is not in SQL.
    pub(crate) async fn check_user(&self, user: &str) -> Result<(), Refused> {
        let select = sqlx::query_scalar("SELECT id FROM users WHERE id = $1").bind(user);
        let found: Option<String> = select.fetch_optional(&self.sql).await?;
        found.map(drop).ok_or_else(|| no_user(user))
    }

    /// Drops a feed from the cache.
    pub(crate) async fn forget(&self, user: &str) -> Result<(), Refused> {
        self.sets.delete(&key_of(user)?).await?;
        Ok(())
    }
}

/// Name of a feed in the cache.
fn key_of(user: &str) -> Result<Key, tidegate_cache::KeyError> {
    Key::builder("feed").part(user).build()
}

fn no_user(user: &str) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("there is no user `{user}`"))
}
