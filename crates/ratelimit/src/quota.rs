//! Quotas: a limit per period.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::QuotaError;

/// A limit per period, and a burst for the algorithms that support one. A value is always valid.
///
/// `per_second(2)` means two per second. Text form: `100/minute`, `5/15m`, `100/minute burst 20`.
/// `Display` prints a text that parses to the same quota, and serde uses the same form.
///
/// ```
/// # use tidegate_ratelimit::Quota;
/// assert_eq!("100/minute".parse(), Quota::per_minute(100));
/// assert_eq!("5/15m".parse::<Quota>()?.to_string(), "5/15m");
/// # Ok::<_, tidegate_ratelimit::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quota {
    limit: u64,
    period: u64,
    burst: u64,
}

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Quota {
    /// Maximum limit and burst, 2⁵³ − 1: exact in stores that count with doubles.
    pub const MAX_LIMIT: u64 = (1 << 53) - 1;
    /// Maximum period, 366 days.
    pub const MAX_PERIOD: Duration = Duration::from_micros(366 * DAY);

    /// `limit` per second.
    ///
    /// # Errors
    /// [`QuotaError`] if `limit` is zero or above [`Quota::MAX_LIMIT`].
    pub const fn per_second(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_micros(SECOND))
    }

    /// `limit` per minute.
    ///
    /// # Errors
    /// As [`Quota::per_second`].
    pub const fn per_minute(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_micros(MINUTE))
    }

    /// `limit` per hour.
    ///
    /// # Errors
    /// As [`Quota::per_second`].
    pub const fn per_hour(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_micros(HOUR))
    }

    /// `limit` per 24 hours.
    ///
    /// # Errors
    /// As [`Quota::per_second`].
    pub const fn per_day(limit: u64) -> Result<Self, QuotaError> {
        Self::new(limit, Duration::from_micros(DAY))
    }

    /// `limit` per `period`, with a burst equal to the limit.
    ///
    /// # Errors
    /// [`QuotaError`] if `limit` is zero or above [`Quota::MAX_LIMIT`], or if `period` is zero,
    /// above [`Quota::MAX_PERIOD`] or not a whole number of microseconds.
    pub const fn new(limit: u64, period: Duration) -> Result<Self, QuotaError> {
        if limit == 0 {
            return Err(QuotaError::ZeroLimit);
        }
        if limit > Self::MAX_LIMIT {
            return Err(QuotaError::LimitTooLarge { limit, max: Self::MAX_LIMIT });
        }
        let whole = period.subsec_nanos().is_multiple_of(1_000);
        if period.is_zero() || !whole || period.as_secs() > Self::MAX_PERIOD.as_secs() {
            return Err(QuotaError::Period { period, max: Self::MAX_PERIOD });
        }
        let micros = period.as_secs() * SECOND + period.subsec_micros() as u64;
        if micros > 366 * DAY {
            return Err(QuotaError::Period { period, max: Self::MAX_PERIOD });
        }
        Ok(Self { limit, period: micros, burst: limit })
    }

    /// The same quota with another burst: the amount that a [`TokenBucket`](crate::TokenBucket)
    /// admits at once after an idle period. Window algorithms have no burst. If one is built with a
    /// burst, it ignores the burst; a later change to a quota with a burst is refused with
    /// [`QuotaError::NoBurst`].
    ///
    /// # Errors
    /// [`QuotaError`] if `burst` is zero or above [`Quota::MAX_LIMIT`].
    pub const fn burst(self, burst: u64) -> Result<Self, QuotaError> {
        if burst == 0 {
            return Err(QuotaError::ZeroBurst);
        }
        if burst > Self::MAX_LIMIT {
            return Err(QuotaError::BurstTooLarge { burst, max: Self::MAX_LIMIT });
        }
        Ok(Self { burst, ..self })
    }

    /// Returns an error if the quota has its own burst, for algorithms that do not support one.
    ///
    /// # Errors
    /// [`QuotaError::NoBurst`] if the burst differs from the limit.
    pub const fn ensure_no_burst(self) -> Result<(), QuotaError> {
        if self.burst == self.limit { Ok(()) } else { Err(QuotaError::NoBurst { burst: self.burst }) }
    }

    pub(crate) const fn without_burst(self) -> Self {
        Self { burst: self.limit, ..self }
    }

    /// One of `parts` equal shares of the limit and of the burst, each at least 1.
    #[cfg(feature = "redis")]
    pub(crate) fn share(&self, parts: std::num::NonZeroU32) -> Self {
        let part = |whole: u64| (whole / u64::from(parts.get())).max(1);
        Self { limit: part(self.limit), burst: part(self.burst), ..*self }
    }

    /// `permille` thousandths of the limit and of the burst, each at least 1.
    pub(crate) fn part(&self, permille: u32) -> Self {
        let part = |whole: u64| {
            let part = u128::from(whole) * u128::from(permille) / 1_000;
            u64::try_from(part).unwrap_or(Self::MAX_LIMIT).clamp(1, Self::MAX_LIMIT)
        };
        Self { limit: part(self.limit), burst: part(self.burst), ..*self }
    }

    /// Amount admitted per period.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The period.
    pub const fn period(&self) -> Duration {
        Duration::from_micros(self.period)
    }

    /// The period in microseconds.
    pub const fn period_micros(&self) -> u64 {
        self.period
    }

    /// Amount that a token bucket admits at once. Equal to the limit unless it was set.
    pub const fn burst_size(&self) -> u64 {
        self.burst
    }
}

/// Names of the units. `Display` uses the first after a number (`5/15m`), else the second.
const UNITS: [(u64, &[&str]); 6] = [
    (DAY, &["d", "day", "days"]),
    (HOUR, &["h", "hour", "hours"]),
    (MINUTE, &["m", "minute", "minutes", "min"]),
    (SECOND, &["s", "second", "seconds", "sec"]),
    (1_000, &["ms", "millisecond", "milliseconds"]),
    (1, &["us", "microsecond", "microseconds"]),
];

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.limit)?;
        // A microsecond divides every period, so a unit is always found.
        if let Some((unit, names)) = UNITS.iter().find(|(unit, _)| self.period.is_multiple_of(*unit)) {
            match self.period / unit {
                1 => f.write_str(names[1])?,
                count => write!(f, "{count}{}", names[0])?,
            }
        }
        if self.burst != self.limit {
            write!(f, " burst {}", self.burst)?;
        }
        Ok(())
    }
}

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let (limit, rest) = text.trim().split_once('/').ok_or(QuotaError::Syntax)?;
        let limit = number(limit.trim()).ok_or(QuotaError::Syntax)?;
        let (period, burst) = match rest.split_once("burst") {
            Some((period, burst)) => (period, Some(number(burst.trim()).ok_or(QuotaError::Syntax)?)),
            None => (rest, None),
        };
        let period = period.trim();
        let unit_at = period.find(|c: char| !c.is_ascii_digit()).ok_or(QuotaError::Syntax)?;
        let (count, unit) = period.split_at(unit_at);
        let count = if count.is_empty() { 1 } else { number(count).ok_or(QuotaError::Syntax)? };
        let unit = unit.trim().to_ascii_lowercase();
        let (unit, _) = UNITS.iter().find(|(_, names)| names.contains(&unit.as_str())).ok_or(QuotaError::Syntax)?;
        let quota = Self::new(limit, Duration::from_micros(count.saturating_mul(*unit)))?;
        burst.map_or(Ok(quota), |burst| quota.burst(burst))
    }
}

/// Accepts only digits: `u64::from_str` would also accept a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl TryFrom<String> for Quota {
    type Error = QuotaError;

    fn try_from(text: String) -> Result<Self, QuotaError> {
        text.parse()
    }
}

impl From<Quota> for String {
    fn from(quota: Quota) -> Self {
        quota.to_string()
    }
}
