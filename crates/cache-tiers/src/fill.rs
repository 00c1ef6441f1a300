//! Result of a loader.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::tag::Tag;

/// A value to store, with the options that only its loader can know.
///
/// `Ok(value.into())` if there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Fill<V> {
    pub(crate) value: Held<V>,
    pub(crate) tags: Vec<Tag>,
    #[doc(hidden)]
    pub ttl: Option<Duration>,
    pub(crate) is_negative: bool,
    #[doc(hidden)]
    pub keep: Keep,
    /// Time past its end for which L2 serves it, if it came from there.
    pub(crate) grace: Option<Duration>,
}

/// State of the tiers for a key once a value for it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The value, which replaces the old one.
    Value,
    /// No value any more.
    Nothing,
    /// The previous value.
    Former,
}

impl<V> Fill<V> {
    /// Creates a value with the lifetime of its class and no tags.
    pub fn new(value: V) -> Self {
        Self {
            value: Held::New(value),
            tags: Vec::new(),
            ttl: None,
            is_negative: false,
            keep: Keep::Value,
            grace: None,
        }
    }

    /// Keeps the value in no tier. The caller and those that joined its load get it, and the next
    /// reader loads again. An earlier value of the key is removed in all tiers and processes, as by
    /// an invalidation.
    ///
    /// Use it for values that turn out not to be worth keeping: an answer that holds only for this
    /// moment, or one that is too large. Never use it for values that only one caller may see,
    /// because callers that joined the load get them too. Put the caller into the key instead.
    ///
    /// A value that was stored during the load stays. If the key is known to have existed (in L1,
    /// or past its lifetime in L2) and L2 can't be reached, the invalidation is owed
    /// (`TieredCache::owed`). Otherwise nothing is owed, and what L2 may hold of the key ends by
    /// its own lifetime. The same holds for other processes with a handle that has no codec: they
    /// are notified if L1 held something here.
    ///
    /// Concurrent misses are one load in each process. Processes load one after another: each waits
    /// for the previous one, up to `RedisTier::wait` (10 s), and finds nothing. If a key is usually
    /// not worth keeping, use a class with a lifetime of zero or a handle without a codec. These do
    /// not wait.
    ///
    /// ```
    /// # extern crate tidegate_cache_tiers as tidegate_cache;
    /// use tidegate_cache::Fill;
    ///
    /// let load = async || Ok::<_, std::io::Error>(Fill::new(100).uncached());
    /// # drop(load);
    /// ```
    pub fn uncached(mut self) -> Self {
        self.keep = Keep::Nothing;
        self
    }

    /// Like [`uncached`](Self::uncached), but the old value stays.
    #[doc(hidden)]
    pub fn beside_the_former(mut self) -> Self {
        self.keep = Keep::Former;
        self
    }

    /// Adds a tag by which the entry can be invalidated.
    pub fn tag(self, tag: Tag) -> Self {
        self.tags([tag])
    }

    /// Adds several tags.
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        // A value that is confirmed again and again must not collect the same tags each time.
        let (has_some, before) = (matches!(self.value, Held::Known(_)), self.tags.len());
        for tag in tags {
            if !has_some || !self.tags[..before].contains(&tag) {
                self.tags.push(tag);
            }
        }
        self
    }

    /// Replaces the lifetime of the class, clamped to between 1 ms and 365 days. In a sliding class
    /// it is the time that the value lives unread. Zero is no lifetime: the value is
    /// [`uncached`](Self::uncached), and no grace extends it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Marks the value as the answer "there is nothing", such as a page for status 404. It lives
    /// for the [`negative_ttl`](crate::TtlClass::negative_ttl) of its class, unless [`Fill::ttl`]
    /// says otherwise. Its grace is no longer than either of them. An old value is better than
    /// none, but an old "there is nothing" hides newer values.
    pub fn negative(mut self) -> Self {
        self.is_negative = true;
        self
    }
}

impl<V> Fill<Option<V>> {
    /// There is nothing under this key, and that is worth remembering for the
    /// [`negative_ttl`](crate::TtlClass::negative_ttl) of the class.
    ///
    /// ```
    /// # extern crate tidegate_cache_tiers as tidegate_cache;
    /// use tidegate_cache::Fill;
    ///
    /// // The next reader is spared the search.
    /// let load = async || Ok::<Fill<Option<String>>, std::io::Error>(Fill::absent());
    /// # drop(load);
    /// ```
    pub fn absent() -> Self {
        Self::new(None).negative()
    }

    /// Creates the result of a search: [`Fill::new`] for `Some`, [`Fill::absent`] for `None`.
    pub fn found(value: Option<V>) -> Self {
        if value.is_some() { Self::new(value) } else { Self::absent() }
    }
}

impl<V> From<V> for Fill<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}

/// A value that L1 still holds, given to the loader that is to replace it
/// (`TypedCache::fetch_or_revalidate`).
#[derive(Debug)]
pub struct Known<V> {
    value: Arc<V>,
    tags: Vec<Tag>,
}

impl<V> Known<V> {
    pub(crate) fn new(value: Arc<V>, tags: Vec<Tag>) -> Self {
        Self { value, tags }
    }

    /// Returns the value, with what the source compares: an `ETag`, a version, a time of change.
    pub fn value(&self) -> &Arc<V> {
        &self.value
    }

    /// Answer of a source that has not changed: the value is fresh again from now on, with its
    /// tags.
    ///
    /// Tags can be added and the lifetime replaced, as with any fill. The default lifetime is that
    /// of the class. The lifetime that the loader chose before and [`negative`](Fill::negative) are
    /// not remembered, so repeat them.
    pub fn still_holds(self) -> Fill<V> {
        Fill {
            value: Held::Known(self.value),
            tags: self.tags,
            ttl: None,
            is_negative: false,
            keep: Keep::Value,
            grace: None,
        }
    }
}

/// A new value, or one that L1 holds already.
#[derive(Debug, Clone)]
pub(crate) enum Held<V> {
    New(V),
    Known(Arc<V>),
}

impl<V> Held<V> {
    pub(crate) fn into_arc(self) -> Arc<V> {
        match self {
            Self::New(value) => Arc::new(value),
            Self::Known(value) => value,
        }
    }
}

impl<V> Deref for Held<V> {
    type Target = V;

    fn deref(&self) -> &V {
        match self {
            Self::New(value) => value,
            Self::Known(value) => value,
        }
    }
}

impl<V: PartialEq> PartialEq for Held<V> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<V: Eq> Eq for Held<V> {}
