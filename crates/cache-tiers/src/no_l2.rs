//! Replaces L2 in a build without the feature `redis`.
//!
//! The other modules name the same types and methods in both builds, so they need no `cfg`. Most
//! types here have no value: code that needs one compiles to nothing.

#![allow(
    dead_code,
    clippy::unused_async,
    clippy::needless_pass_by_value,
    reason = "the names and signatures are those of L2, of which each feature uses a part"
)]

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use self::codec::{Codec, CodecError};
use crate::class::Class;
use crate::event::{Observer, Scope};
use crate::fill::Fill;
use crate::inquiry::Inquiry;
use crate::key::Key;
use crate::pattern::Pattern;
use crate::stats::TierStats;
use crate::tag::Tag;
use crate::ttl::TtlClass;
use tidegate_clock::Clock;

/// Types without a value.
macro_rules! none {
    ($($name:ident)+) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}
    )+};
}

/// Methods of a type without a value.
macro_rules! never {
    ($type:ident: $(fn $name:ident$([$v:ident])?(&$self:ident$(, $($argument:tt)*)?) -> $answer:ty;)*) => {
        impl $type {$(
            pub fn $name$(<$v>)?(&$self$(, $($argument)*)?) -> $answer {
                match *$self {}
            }
        )*}
    };
    ($type:ident: $(async fn $name:ident$([$v:ident])?(&$self:ident$(, $($argument:tt)*)?) -> $answer:ty;)*) => {
        impl $type {$(
            pub async fn $name$(<$v>)?(&$self$(, $($argument)*)?) -> $answer {
                match *$self {}
            }
        )*}
    };
}

/// Replaces the codecs.
pub mod codec {
    /// Any value serves as a codec, because nothing is encoded.
    pub trait Codec<V>: Send + Sync + 'static {}

    impl<V, C: Send + Sync + 'static> Codec<V> for C {}

    #[derive(Debug, thiserror::Error)]
    #[error("there is no codec")]
    pub struct CodecError;
}

none!(EntryId Following L2 RedisTier Ticket Tickets Word);

// These have a value, as `CodecError` has. Otherwise the compiler warns that code behind the calls
// that return them is unreachable.

#[derive(Clone)]
pub struct Patience;

#[derive(Clone)]
pub struct Glancing;

/// An invalidation, of which no other process is notified.
pub enum Debt {
    Key(Key),
    Any,
}

/// Value that would be stored.
pub struct New {
    pub id: EntryId,
}

/// L2 was not reached.
pub struct Untold;

#[derive(Debug, Clone, Copy)]
pub struct Mark {
    pub id: Option<EntryId>,
    pub left: Duration,
    pub noticed: u64,
}

pub enum Sought<V> {
    Found { fill: Fill<V>, mark: Option<Mark> },
    Stale(Past<V>),
    Absent(Option<Ticket>),
}

pub struct Past<V> {
    pub fill: Fill<V>,
    pub id: EntryId,
    pub left: Duration,
    pub noticed: u64,
}

pub enum News<V> {
    Found(Fill<V>, Option<Mark>),
    Stale(Past<V>),
}

pub struct Glance<V> {
    pub fill: Fill<V>,
    pub mark: Option<Mark>,
}

#[derive(Default)]
pub struct Attempts(());

pub enum Meaning {
    Value(Key),
    Tag(Tag),
    Class(String),
    Pattern(Pattern, Option<String>),
    All,
    Unknown,
}

type Wanted<'a> = (&'a Key, &'a Inquiry);
type Told = Result<(), Box<dyn Error + Send + Sync>>;

pub fn is_named(class: &str, mark: &str) -> bool {
    class == mark
}

impl Mark {
    pub fn noticed(mark: Option<Self>) -> u64 {
        mark.map_or(0, |mark| mark.noticed)
    }
}

impl Debt {
    pub fn of(_scope: Scope<'_>) -> Self {
        Self::Any
    }
}

impl Attempts {
    pub fn are_over(&mut self) -> bool {
        true
    }
}

impl EntryId {
    pub fn expired(self) -> Option<Self> {
        match self {}
    }

    pub fn fresh(self) -> Option<Self> {
        match self {}
    }
}

impl Following {
    pub async fn next(&mut self) -> Option<Word> {
        match *self {}
    }
}

impl Glancing {
    pub fn left(&self) -> Patience {
        Patience
    }
}

impl L2 {
    pub fn may_glance(self: &Arc<Self>) -> bool {
        match **self {}
    }

    pub fn new(tier: RedisTier, _clock: Clock, _observer: Option<Arc<dyn Observer>>) -> Arc<Self> {
        match tier {}
    }
}

never! { Ticket:
    async fn renewed_during[T](&self, _: impl Future<Output = T>) -> T;
}

never! { Tickets:
    async fn renewed_during[T](&self, _: impl Future<Output = T>) -> T;
}

never! { L2:
    fn patience(&self) -> Patience;
    fn patience_for(&self, _: usize) -> Patience;
    fn glancing(&self) -> Glancing;
    fn owed(&self) -> u64;
    fn stats(&self) -> TierStats;
    fn pack[V](&self, _: &TtlClass, _: &dyn Codec<V>, _: &Fill<V>) -> Result<New, CodecError>;
    fn codec_failed(&self, _: &Class, _: &Key, _: &CodecError) -> ();
    fn forget_what_was_said(&self) -> ();
    fn is_followed_by(&self, _: &Following) -> ();
    fn was_forbidden_to_follow(&self) -> ();
    fn is_not_followed(&self) -> ();
    fn take_in(&self, _: &Word) -> Option<Meaning>;
}

never! { L2:
    async fn fence(&self, _: &Key, _: &mut Patience) -> Option<Ticket>;
    async fn announce(&self, _: &Key, _: &mut Patience) -> bool;
    async fn put(&self, _: &Key, _: Option<New>) -> bool;
    async fn put_many(&self, _: Vec<(Key, Option<New>)>) -> ();
    async fn put_unless(&self, _: &Key, _: New, _: &[u8]) -> Result<bool, Untold>;
    async fn put_end(&self, _: &Key, _: New) -> Result<(), Untold>;
    async fn invalidate(&self, _: Vec<Debt>) -> Told;
    async fn seek[V](&self, _: &Key, _: &Class, _: &dyn Codec<V>, _: &Inquiry, _: bool, _: &mut Patience) -> Sought<V>;
    async fn seek_newer[V](
        &self, _: &Key, _: &Class, _: &dyn Codec<V>, _: &Inquiry, _: EntryId, _: &mut Patience
    ) -> Sought<V>;
    async fn seek_many[V](
        &self, _: &[Wanted<'_>], _: &Class, _: &dyn Codec<V>, _: bool, _: &mut Patience, _: impl FnMut(usize, News<V>)
    ) -> Option<Tickets>;
    async fn glance[V](&self, _: &Key, _: &Class, _: &dyn Codec<V>, _: &Inquiry, _: &Glancing) -> Option<Glance<V>>;
    async fn fill[V](
        &self, _: Option<Ticket>, _: &Class, _: &dyn Codec<V>, _: &Fill<V>, _: (&Inquiry, u64), _: &mut Patience
    ) -> Option<Mark>;
    async fn fill_many[V](
        &self, _: Option<Tickets>, _: &Class, _: &dyn Codec<V>, _: &[Wanted<'_>], _: (&[Fill<V>], &[u64]),
        _: &mut Patience
    ) -> Vec<Option<Mark>>;
    async fn clear(&self, _: &Key, _: &Class, _: Option<Ticket>, _: bool, _: &mut Patience) -> ();
    async fn clear_many(&self, _: &Class, _: Option<&mut Tickets>, _: &[(Key, bool)], _: &mut Patience) -> ();
    async fn forget_absent(&self, _: &mut Tickets, _: impl Iterator<Item = &Key>, _: &mut Patience) -> ();
    async fn start_following(&self, _: &mut Attempts) -> Option<Following>;
    async fn holds(&self, _: &Key, _: EntryId, _: Option<EntryId>) -> bool;
}
