//! Where figures are going: whether they move, whether they left their own past, and when they will reach a limit.
//!
//! Everything here is a pure function of numbers, one a minute. [`History`] keeps them, [`trend`] says whether they rise or
//! fall, [`Detector`] says when they are no longer what they were, [`forecast`] says where they will be and how sure that
//! is. [`Outlook`] does all of it for many figures under names.
//!
//! ```
//! use tidegate_perfmon::outlook::{Outlook, Settings};
//!
//! let mut outlook = Outlook::new(Settings::default());
//! for minute in 0..120_u32 {
//!     let open = 100.0 + 2.0 * f64::from(minute) + f64::from(minute % 5); // a leak, and some noise
//!     outlook.push("descriptors", u64::from(minute), open, 1.0);
//! }
//! let trend = outlook.trend("descriptors").unwrap();
//! assert!(trend.is_significant() && (1.9..2.1).contains(&trend.slope));
//! let reach = outlook.reach("descriptors", 400.0).unwrap();
//! assert!((20..=40).contains(&reach.expected));
//! ```
//!
//! # What stands behind it
//!
//! - Slope: Theil (1950) and Sen (1968), the median of the slopes of all pairs. Significance: Mann (1945) and Kendall, with
//!   Kendall's correction for ties and Bayley and Hammersley's (1946) for noise that resembles itself from minute to minute.
//! - Anomaly: the modified z-score of Iglewicz and Hoaglin (1993), that is the distance from the median in terms of the
//!   median absolute deviation, held against 3.5; see [`Detector`] for what is asked beyond it.
//! - Forecast: Holt's linear trend, damped, in the form of Gardner and `McKenzie` (1985). Its intervals are the errors that
//!   the same forecast would have made at the same distance in the past.
//!
//! # What it does not guarantee
//!
//! - The season of a day is not modelled: the morning's rise is a trend, and the first morning behind a start may be an
//!   anomaly. From the second day on the baseline has seen one.
//! - A forecast knows nothing of causes. Its interval holds for as long as the figure goes on as it did.
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

pub use anomaly::{Anomaly, Detector, Side};
pub use forecast::{Forecast, Reach, Step, forecast};
pub use history::{History, Point, Refused};
pub use trend::{Trend, trend};
pub use watch::{Figure, Outlook, Settings, ToldAnomaly};
