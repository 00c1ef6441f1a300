//! Trends, anomalies and forecasts: whether figures move, whether they left their own past, and
//! when they will reach a limit.
//!
//! Everything here is a pure function of numbers, one a minute. [`History`] keeps them. [`trend`]
//! returns whether they rise or fall. [`Detector`] reports when they leave their usual range.
//! [`forecast`] returns where they will be and how sure that is. [`Outlook`] does all of it for
//! many named figures.
//!
//! ```
//! use tidegate_perfmon::outlook::{Outlook, Settings};
//!
//! let mut outlook = Outlook::new(Settings::default());
//! for minute in 0..120_u32 {
//!     // A leak, and some noise.
//!     let open = 100.0 + 2.0 * f64::from(minute) + f64::from(minute % 5);
//!     outlook.push("descriptors", u64::from(minute), open, 1.0);
//! }
//! let trend = outlook.trend("descriptors").unwrap();
//! assert!(trend.is_significant() && (1.9..2.1).contains(&trend.slope));
//! let reach = outlook.reach("descriptors", 400.0).unwrap();
//! assert!((20..=40).contains(&reach.expected));
//! ```
//!
//! # Methods
//!
//! - Slope: Theil (1950) and Sen (1968), the median of the slopes of all pairs. Significance: Mann
//!   (1945) and Kendall, with Kendall's correction for ties, and with the correction of Bayley and
//!   Hammersley (1946) for autocorrelated noise.
//! - Anomaly: the modified z-score of Iglewicz and Hoaglin (1993), which is the distance from the
//!   median divided by the median absolute deviation. Its limit is 3.5; see [`Detector`] for the
//!   further conditions.
//! - Forecast: Holt's linear trend, damped, in the form of Gardner and `McKenzie` (1985). Its
//!   intervals are the errors that the same forecast would have made at the same distance in the
//!   past.
//!
//! # What it does not guarantee
//!
//! - Daily seasons are not modelled: the morning's rise is a trend, and the first morning after a
//!   start may be an anomaly. From the second day on the baseline contains a morning.
//! - A forecast does not know causes. Its interval holds only while the figure behaves as before.
//! - Nothing is kept over a restart.

mod anomaly;
mod backtest;
mod baseline;
mod forecast;
mod history;
mod holt;
mod mann_kendall;
mod order;
mod theil_sen;
mod trend;
mod watch;

pub use anomaly::{Anomaly, Detector};
pub use baseline::Side;
pub use forecast::{Forecast, Reach, Step, forecast};
pub use history::{History, Point, Refused};
pub use trend::{Trend, trend};
pub use watch::{Figure, Outlook, Settings, ToldAnomaly};
