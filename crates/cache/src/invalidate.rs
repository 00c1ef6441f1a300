//! Invalidation: this process first, then the tiers behind it.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join;
use tokio::runtime::Handle;

use crate::tiered::TieredCache;
use crate::touched::Touched;
use tidegate_cache_tiers::{
    Event, Key, Owed, Pattern, Scope, Tag, class::Count, class_id::ClassId, l2::Debt, tiers::Tiers,
};

impl TieredCache {
    /// Invalidates everything that a store write touched. Call it after the commit.
    ///
    /// As for every invalidation: after it returns, no later read sees a value that was loaded
    /// before it began, and no load in progress can bring one back. L1 is complete when the call is
    /// first polled, without waiting, except for a pattern over many entries. With L1 alone it
    /// waits for nothing. A cancelled call is completed: a pattern in a task of its own, which may
    /// take longer.
    ///
    /// # Errors
    ///
    /// [`Owed`] if the shared tier could not be notified. This process has invalidated it.
    pub async fn invalidate(&self, touched: &Touched) -> Result<(), Owed> {
        let tags = touched.tags().map(Scope::Tag);
        let scopes: Vec<Scope<'_>> = tags.chain(touched.keys().map(Scope::Key)).collect();
        self.invalidate_scopes(&scopes).await?;
        Ok(())
    }

    /// Invalidates one key. Returns whether L1 held a live value.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Self::invalidate).
    pub async fn remove(&self, key: &Key) -> Result<bool, Owed> {
        Ok(self.invalidate_scopes(&[Scope::Key(key)]).await? > 0)
    }

    /// Invalidates several keys. Returns how many held a live value in L1.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Self::invalidate).
    pub async fn remove_many<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Result<usize, Owed> {
        let scopes: Vec<Scope<'_>> = keys.into_iter().map(Scope::Key).collect();
        self.invalidate_scopes(&scopes).await
    }

    /// Makes the key stale from now on, on every node and tier. Returns whether L1 held a live
    /// value.
    ///
    /// The next read reloads it. The old value is still served within the grace of its class
    /// ([`TtlClass::grace`](crate::TtlClass::grace)), which begins now: during the load, as the
    /// [`soft_timeout`](crate::TtlClass::soft_timeout) says, and when the load fails. Use it for a
    /// source that changed if an old value is better than none. Otherwise [remove](Self::remove)
    /// the key. A load that began earlier does not make the old value fresh again, because it fills
    /// nothing. Without a grace this is an invalidation.
    ///
    /// This process keeps what it holds in L1, even if L2 does not hold it. If L2 holds another
    /// entry of the key, it falls back on that one. Other processes drop the key from L1 and read
    /// what L2 has as stale. They cannot fall back on a value that only their L1 had.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn expire(&self, key: &Key) -> Result<bool, Owed> {
        Ok(self.invalidate_scopes(&[Scope::Expired(key)]).await? > 0)
    }

    /// Like [`expire`](Self::expire), for several keys. Returns how many were live in L1.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn expire_many<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Result<usize, Owed> {
        let scopes: Vec<Scope<'_>> = keys.into_iter().map(Scope::Expired).collect();
        self.invalidate_scopes(&scopes).await
    }

    /// Invalidates every entry that carries the tag, in constant time. Their space is freed later.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_tag(&self, tag: &Tag) -> Result<(), Owed> {
        self.invalidate_scopes(&[Scope::Tag(tag)]).await?;
        Ok(())
    }

    /// Removes exactly the entries whose key matches. Returns how many of them were live in L1.
    ///
    /// Walks over all entries of L1 and over all keys of L2. In L1 it takes one short read lock per
    /// entry, so readers are never blocked for long. It lets other tasks run about every hundred
    /// microseconds, and after each key if the pattern is expensive. The processes that receive it
    /// do the same. L2 is walked twice, a thousand keys per step: a million keys take seconds.
    /// Prefer a tag.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Self::invalidate).
    pub async fn invalidate_pattern(&self, pattern: &Pattern) -> Result<usize, Owed> {
        self.invalidate_scopes(&[Scope::Pattern(pattern)]).await
    }

    /// Like [`invalidate_pattern`](Self::invalidate_pattern), for one class. It may be unknown.
    ///
    /// Loads in progress with a matching key are fenced in all classes. At worst they run again.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_pattern_of(&self, class: &str, pattern: &Pattern) -> Result<usize, Owed> {
        self.invalidate_scopes(&[Scope::PatternOf(class, pattern)]).await
    }

    /// Invalidates every entry of the class, in constant time. Returns whether the class is known.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_class(&self, name: &str) -> Result<bool, Owed> {
        let class = self.tiers.classes.by_name(name);
        if let Some(class) = &class {
            class.counters.add(Count::Invalidation);
        }
        self.invalidate_scopes(&[Scope::Class(name)]).await?;
        Ok(class.is_some())
    }

    /// Invalidates everything, in constant time. The sweeper frees the space right afterwards.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn clear(&self) -> Result<(), Owed> {
        self.invalidate_scopes(&[Scope::All]).await?;
        Ok(())
    }

    /// Invalidates L1 first, then the tiers behind it, or during a long walk over L1.
    async fn invalidate_scopes(&self, scopes: &[Scope<'_>]) -> Result<usize, Owed> {
        let here = self.invalidate_here(scopes);
        if let Some(l2) = &self.tiers.l2 {
            // A load that started after L1 was done may have read the old value from L2.
            let once_more = InL1 { tiers: &self.tiers, scopes, is_done: false };
            // Boxed, so that the size of a caller's future does not depend on Redis. Both run
            // concurrently, so that L2 owes the invalidation from the first poll on.
            let telling = l2.invalidate(scopes.iter().map(|scope| Debt::of(*scope)).collect()).boxed();
            let (removed, told) = join(here, telling).await;
            once_more.invalidate(|_, _| ()).await;
            told.map_err(|reason| Owed::new(removed, reason))?;
            return Ok(removed);
        }
        Ok(here.await)
    }

    /// Invalidates in L1 and reports it.
    async fn invalidate_here(&self, scopes: &[Scope<'_>]) -> usize {
        let notify = |scope: Scope<'_>, count| {
            let is_counted =
                matches!(scope, Scope::Key(_) | Scope::Expired(_) | Scope::Pattern(_) | Scope::PatternOf(..));
            // A class that this process does not use does not concern it.
            if !matches!(scope, Scope::Class(class) if self.tiers.classes.by_name(class).is_none()) {
                self.tiers.notify(&Event::Invalidated { scope, removed: is_counted.then_some(count) });
            }
        };
        InL1 { tiers: &self.tiers, scopes, is_done: false }.invalidate(notify).await
    }

    /// Number of invalidations that the shared tier has not received. `None` without one.
    pub fn owed(&self) -> Option<u64> {
        self.tiers.l2.as_ref().map(|l2| l2.owed())
    }
}

/// Scopes to invalidate in L1. The invalidation is completed even if its caller leaves during the
/// walk over L1, or while L2 is notified. L2 then owes it.
struct InL1<'a> {
    tiers: &'a Arc<Tiers>,
    scopes: &'a [Scope<'a>],
    is_done: bool,
}

impl InL1<'_> {
    /// Reports how many live entries were removed, if counted, for each scope and in total.
    async fn invalidate(mut self, notify: impl Fn(Scope<'_>, usize)) -> usize {
        let mut removed = 0;
        for scope in self.scopes {
            let count = match *scope {
                Scope::Pattern(pattern) => self.tiers.remove_in_pieces(pattern, None).await,
                Scope::PatternOf(class, pattern) => match self.tiers.classes.by_name(class) {
                    Some(class) => self.tiers.remove_in_pieces(pattern, Some(class.id)).await,
                    None => 0,
                },
                scope => self.tiers.drop_scope(scope),
            };
            removed += count;
            notify(*scope, count);
        }
        self.is_done = true;
        removed
    }
}

impl Drop for InL1<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        for scope in self.scopes {
            match *scope {
                Scope::Pattern(pattern) => Walk::new(self.tiers, pattern, None).carry_on(),
                Scope::PatternOf(class, pattern) => {
                    if let Some(class) = self.tiers.classes.by_name(class) {
                        Walk::new(self.tiers, pattern, Some(class.id)).carry_on();
                    }
                }
                scope => {
                    self.tiers.drop_scope(scope);
                }
            }
        }
    }
}

/// A walk over L1 whose caller has left.
struct Walk {
    tiers: Arc<Tiers>,
    pattern: Pattern,
    class: Option<ClassId>,
    is_done: bool,
}

impl Walk {
    /// From now on, no load in progress fills a matching key.
    fn new(tiers: &Arc<Tiers>, pattern: &Pattern, class: Option<ClassId>) -> Self {
        tiers.flights.fence_matching(pattern);
        Self { tiers: Arc::clone(tiers), pattern: pattern.clone(), class, is_done: false }
    }

    /// Continues in a task of its own, so that others may run; at once if there is no runtime.
    fn carry_on(self) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // Moved as a whole, so that it is completed if the task is dropped.
                let mut walk = self;
                walk.tiers.remove_in_pieces(&walk.pattern, walk.class).await;
                walk.is_done = true;
            });
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        // Also if the runtime was shut down.
        if !self.is_done {
            self.tiers.remove_matching(&self.pattern, |slot| self.class.is_none_or(|class| class == slot.class));
        }
    }
}
