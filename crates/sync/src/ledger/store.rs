//! What a store does for ledgers.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::fence::Fence;

/// Names a ledger, and how long it remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerId {
    /// Its name.
    pub name: String,
    /// How long the ids of postings are remembered.
    pub horizon: Duration,
}

/// A change of one account or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting<'a> {
    /// Names the posting.
    pub id: &'a str,
    /// The account that gives; none for a deposit.
    pub from: Option<&'a str>,
    /// The account that gets; none for a withdrawal.
    pub to: Option<&'a str>,
    /// How much, at most 2^53 − 1.
    pub amount: u64,
    /// Refused below the highest seen.
    pub fence: Option<Fence>,
}

impl Posting<'_> {
    /// What a repeat must have in common with the first: all but the id and the token.
    pub(crate) fn fingerprint(&self) -> String {
        let part = |account: Option<&str>| account.map_or("-".to_owned(), |name| format!("{}:{name}", name.len()));
        format!("{} {} {}", self.amount, part(self.from), part(self.to))
    }
}

/// The answer to [`LedgerStore::post`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Posted {
    /// Posted, now or before; a balance of no account is zero.
    Done {
        /// Balance of the giver after it.
        from: u64,
        /// Balance of the taker after it.
        to: u64,
    },
    /// The id was used for another posting.
    Reused,
    /// The token is below the highest seen.
    Fenced {
        /// That one.
        highest: Fence,
    },
    /// The giver's account was never opened.
    UnknownFrom,
    /// The taker's was not, and this is no deposit.
    UnknownTo,
    /// The giver has less.
    Overdrawn {
        /// This.
        balance: u64,
    },
    /// The taker's balance would go over 2^53 − 1.
    TooLarge,
}

/// A store of ledgers. Each method is one atomic step.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// Posts, once for each id.
    ///
    /// # Errors
    /// A failing store.
    async fn post(&self, ledger: &LedgerId, posting: Posting<'_>) -> Result<Posted, StoreError>;

    /// Reads balances.
    ///
    /// # Errors
    /// A failing store.
    async fn balances(&self, ledger: &LedgerId, accounts: &[&str]) -> Result<Vec<Option<u64>>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::Posting;

    #[test]
    fn different_postings_have_different_fingerprints() {
        let print = |from, to, amount| Posting { id: "x", from, to, amount, fence: None }.fingerprint();
        assert_ne!(print(Some("a"), Some("b 1:c"), 1), print(Some("a 5:b"), Some("c"), 1));
        assert_ne!(print(None, Some("a"), 1), print(Some("a"), None, 1));
        assert_ne!(print(None, Some("a"), 1), print(None, Some("a"), 11));
    }
}
