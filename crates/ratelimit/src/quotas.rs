//! Several quotas that hold together.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Quota, QuotaError};

/// One to eight quotas of different periods, all of which hold: what [`Windows`](crate::Windows) applies. Always valid once
/// built.
///
/// As text they stand one after the other with `;` between: `100/minute; 1000/hour`. It prints what it parses, in the order
/// given, and serde uses the same text.
///
/// ```
/// # use tidegate_ratelimit::{Quota, Quotas, QuotasError};
/// let quotas: Quotas = "100/minute; 1000/hour".parse()?;
/// assert_eq!(*quotas, [Quota::per_minute(100)?, Quota::per_hour(1_000)?]);
/// assert_eq!(quotas.to_string(), "100/minute; 1000/hour");
/// let twice = "100/minute; 5/60s".parse::<Quotas>().unwrap_err();
/// assert_eq!(twice.to_string(), "quotas 1 and 2 are both over 60s");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quotas {
    /// The first one stands in all places that are not taken.
    quotas: [Quota; Self::MAX],
    count: usize,
}

/// Why several quotas can't hold together. Positions count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotasError {
    /// There is none.
    #[error("at least one quota is needed")]
    Empty,
    /// There are more than [`Quotas::MAX`].
    #[error("{count} quotas are more than {max}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// The most that there may be.
        max: usize,
    },
    /// Two are over the same period: the greater one would never decide.
    #[error("quotas {first} and {second} are both over {period:?}")]
    SamePeriod {
        /// The period of both.
        period: Duration,
        /// The position of the first one.
        first: usize,
        /// The position of the other.
        second: usize,
    },
    /// One of them is none.
    #[error("quota {position}: {source}")]
    Quota {
        /// The position of that one.
        position: usize,
        /// What is wrong with it.
        source: QuotaError,
    },
}

impl Quotas {
    /// The most that hold together.
    pub const MAX: usize = 8;

    /// All of `quotas`.
    ///
    /// # Errors
    /// [`QuotasError`] when there is none, more than [`Quotas::MAX`], or a period appears twice.
    pub fn new(quotas: &[Quota]) -> Result<Self, QuotasError> {
        let count = quotas.len();
        let first = *quotas.first().ok_or(QuotasError::Empty)?;
        if count > Self::MAX {
            return Err(QuotasError::TooMany { count, max: Self::MAX });
        }
        for (second, quota) in quotas.iter().enumerate() {
            let period = quota.period();
            if let Some(first) = quotas[..second].iter().position(|other| other.period() == period) {
                return Err(QuotasError::SamePeriod { period, first: first + 1, second: second + 1 });
            }
        }
        let mut all = Self { quotas: [first; Self::MAX], count };
        all.quotas[..count].copy_from_slice(quotas);
        Ok(all)
    }

    /// The same for windows, which have no burst.
    pub(crate) const fn without_bursts(mut self) -> Self {
        let mut place = 0;
        while place < Self::MAX {
            self.quotas[place] = self.quotas[place].without_burst();
            place += 1;
        }
        self
    }

    /// The same with that one in place of the one over its period.
    pub(crate) fn with(mut self, quota: Quota) -> Result<Self, QuotaError> {
        let mut present = self.quotas[..self.count].iter_mut();
        let place = present.find(|place| place.period_micros() == quota.period_micros());
        *place.ok_or(QuotaError::NoSuchWindow { period: quota.period() })? = quota;
        Ok(self)
    }

    /// Each of them changed in the same way, which keeps the periods.
    #[cfg(feature = "redis")]
    pub(crate) fn map(mut self, change: impl FnMut(Quota) -> Quota) -> Self {
        self.quotas = self.quotas.map(change);
        self
    }
}

/// The quotas in the order given.
impl Deref for Quotas {
    type Target = [Quota];

    fn deref(&self) -> &[Quota] {
        &self.quotas[..self.count]
    }
}

impl PartialEq for Quotas {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Quotas {}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, quota) in self.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{quota}")?;
        }
        Ok(())
    }
}

impl FromStr for Quotas {
    type Err = QuotasError;

    fn from_str(text: &str) -> Result<Self, QuotasError> {
        if text.trim().is_empty() {
            return Err(QuotasError::Empty);
        }
        let count = text.split(';').count();
        if count > Self::MAX {
            return Err(QuotasError::TooMany { count, max: Self::MAX });
        }
        let quota = |(index, part): (usize, &str)| {
            part.parse::<Quota>().map_err(|source| QuotasError::Quota { position: index + 1, source })
        };
        let quotas = text.split(';').enumerate().map(quota).collect::<Result<Vec<_>, _>>()?;
        Self::new(&quotas)
    }
}

impl From<Quota> for Quotas {
    fn from(quota: Quota) -> Self {
        Self { quotas: [quota; Self::MAX], count: 1 }
    }
}

impl TryFrom<String> for Quotas {
    type Error = QuotasError;

    fn try_from(text: String) -> Result<Self, QuotasError> {
        text.parse()
    }
}

impl From<Quotas> for String {
    fn from(quotas: Quotas) -> Self {
        quotas.to_string()
    }
}
