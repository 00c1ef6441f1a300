//! Invalidations that L2 has not processed: one per key or tag, bounded, retried until it has.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "sessions")]
use super::end::End;
use crate::event::Scope;
use crate::key::Key;
use crate::pattern::Pattern;
use crate::tag::Tag;

/// If there are more, one debt that clears everything replaces them.
const LIMIT: usize = 10_000;
/// An invalidation for L2.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Debt {
    Key(Key),
    /// The value counts as stale from now on.
    Expired(Key),
    Tag(Tag),
    Pattern(Pattern, Option<String>),
    Class(String),
    All,
    /// Not an invalidation: an entry that must be stored, and stays.
    #[cfg(feature = "sessions")]
    End(End),
}

impl Debt {
    /// Whether it is paid after all others, which could undo it, and is covered by none.
    fn is_last(&self) -> bool {
        #[cfg(feature = "sessions")]
        return matches!(self, Self::End(_));
        #[cfg(not(feature = "sessions"))]
        false
    }

    pub fn of(scope: Scope<'_>) -> Self {
        match scope {
            Scope::Key(key) => Self::Key(key.clone()),
            Scope::Expired(key) => Self::Expired(key.clone()),
            Scope::Tag(tag) => Self::Tag(tag.clone()),
            Scope::Pattern(pattern) => Self::Pattern(pattern.clone(), None),
            Scope::PatternOf(class, pattern) => Self::Pattern(pattern.clone(), Some(class.to_owned())),
            Scope::Class(class) => Self::Class(class.to_owned()),
            Scope::All => Self::All,
        }
    }
}

#[derive(Default)]
struct Book {
    /// Numbered, so that a debt that is added again while it is being paid stays.
    debts: HashMap<Debt, u64>,
    next: u64,
    is_paying: bool,
}

impl Book {
    fn owe(&mut self, debt: Debt) {
        self.next += 1;
        // Everything covers later debts as well, since it is not paid yet.
        let debt = if !debt.is_last() && self.debts.contains_key(&Debt::All) { Debt::All } else { debt };
        self.debts.insert(debt, self.next);
        if self.debts.len() > LIMIT {
            self.debts.retain(|debt, _| debt.is_last());
            if self.debts.len() >= LIMIT {
                self.debts.clear();
            }
            self.debts.insert(Debt::All, self.next);
        }
    }
}

/// Pending invalidations, one per key or tag.
#[derive(Default)]
pub(super) struct Debts {
    book: Mutex<Book>,
    /// Number of debts, readable without the lock.
    count: AtomicUsize,
}

impl Debts {
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst) as u64
    }

    /// Adds debts.
    pub(super) fn add(&self, debts: impl IntoIterator<Item = Debt>) {
        let mut book = self.book();
        debts.into_iter().for_each(|debt| book.owe(debt));
        self.count.store(book.debts.len(), Ordering::SeqCst);
    }

    /// Takes the payer's role if there is something to pay and no task has the role.
    pub(super) fn begin_paying(&self) -> bool {
        let mut book = self.book();
        !book.debts.is_empty() && !mem::replace(&mut book.is_paying, true)
    }

    /// Gives the payer's role back, whatever is left.
    pub(super) fn stop_paying(&self) {
        self.book().is_paying = false;
    }

    /// Ends the payer's role if nothing is left.
    pub(super) fn is_settled(&self) -> bool {
        let mut book = self.book();
        book.is_paying = !book.debts.is_empty();
        !book.is_paying
    }

    pub(super) fn due(&self) -> Vec<(Debt, u64)> {
        let mut due: Vec<_> = self.book().debts.iter().map(|(debt, number)| (debt.clone(), *number)).collect();
        due.sort_by_key(|(debt, _)| debt.is_last());
        due
    }

    pub(super) fn paid(&self, paid: &[(Debt, u64)]) {
        let mut book = self.book();
        for (debt, number) in paid {
            if book.debts.get(debt) == Some(number) {
                book.debts.remove(debt);
            }
        }
        self.count.store(book.debts.len(), Ordering::SeqCst);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
