//! Several quotas that apply together.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Quota, QuotaError};

/// One to eight valid quotas of different periods that all apply: see [`Windows`](crate::Windows).
///
/// The text form separates quotas with `;`: `100/minute; 1000/hour`. `Display` prints a text that
/// parses to the same quotas, in the given order, and serde uses the same form.
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
    /// Unused elements repeat the first quota.
    quotas: [Quota; Self::MAX],
    count: usize,
}

/// Reason why quotas cannot be combined. Positions count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotasError {
    /// There are no quotas.
    #[error("at least one quota is needed")]
    Empty,
    /// There are more quotas than [`Quotas::MAX`].
    #[error("{count} quotas are more than {max}")]
    TooMany {
        /// Number of quotas.
        count: usize,
        /// Maximum number of quotas.
        max: usize,
    },
    /// Two quotas have the same period, so the larger one would never apply.
    #[error("quotas {first} and {second} are both over {period:?}")]
    SamePeriod {
        /// The period of both.
        period: Duration,
        /// Position of the first quota.
        first: usize,
        /// Position of the second quota.
        second: usize,
    },
    /// One of the quotas is invalid.
    #[error("quota {position}: {source}")]
    Quota {
        /// Position of the invalid quota.
        position: usize,
        /// The error of that quota.
        source: QuotaError,
    },
}

impl Quotas {
    /// Maximum number of quotas.
    pub const MAX: usize = 8;

    /// Combines `quotas`.
    ///
    /// # Errors
    /// [`QuotasError`] if `quotas` is empty, has more than [`Quotas::MAX`] elements, or contains a
    /// period twice.
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

    pub(crate) const fn without_bursts(mut self) -> Self {
        let mut place = 0;
        while place < Self::MAX {
            self.quotas[place] = self.quotas[place].without_burst();
            place += 1;
        }
        self
    }

    /// The same quotas, with `quota` in place of the one with the same period.
    pub(crate) fn with(mut self, quota: Quota) -> Result<Self, QuotaError> {
        let mut present = self.quotas[..self.count].iter_mut();
        let place = present.find(|place| place.period_micros() == quota.period_micros());
        *place.ok_or(QuotaError::NoSuchWindow { period: quota.period() })? = quota;
        Ok(self)
    }

    /// Applies `change`, which must keep the periods, to each quota.
    #[cfg(feature = "redis")]
    pub(crate) fn map(mut self, change: impl FnMut(Quota) -> Quota) -> Self {
        self.quotas = self.quotas.map(change);
        self
    }
}

/// The quotas in the given order.
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
