//! What to change, why, how sure that is, what it may bring, and what would show that it was wrong.
//!
//! [`Signals`] hold the figures of one minute: of caches, queues, limiters, the API and its
//! queries. [`advise`] reads the last minutes and returns [`Advice`]. It is a pure function: the
//! same minutes always give the same advice.
//!
//! ```
//! use tidegate_perfmon::advice::{CacheSignals, Limits, Signals, advise};
//!
//! let minutes: Vec<Signals> = (0..10)
//!     .map(|minute| {
//!         let mut signals = Signals::new(minute);
//!         let mut cache = CacheSignals::new("schedules");
//!         (cache.hits, cache.misses, cache.evictions) = (700, 300, 280);
//!         signals.caches.push(cache);
//!         signals
//!     })
//!     .collect();
//! let advice = advise(&Limits::default(), &minutes);
//! assert_eq!((advice[0].id, advice[0].target.as_str()), ("more-room", "schedules"));
//! assert_eq!(advice[0].action.as_ref().unwrap().actuator, "cache:schedules");
//! ```
//!
//! # How it judges
//!
//! *Lately* is the last five minutes. *Before* is the period of up to thirty minutes before these.
//! A figure of a period is the median of its minutes; a count is their sum. A rule applies only if
//! at least three of the last five minutes have data. A rule that compares also needs ten minutes
//! of data before these. Too little traffic gives no advice.
//!
//! # What it does not guarantee
//!
//! - A rule sees figures, not causes. Hence `disproved_by`.
//! - Names and statements are shown as they were given: mask them before.

mod caches;
mod kinds;
mod rules;
mod signals;
mod stretch;

pub use kinds::{Advice, Change, Evidence, Limits, Symptom};
pub use rules::advise;
pub use signals::{ApiSignals, CacheSignals, LimiterSignals, QuerySignals, QueueSignals, Signals};
