//! What to change, why, how sure that is, what it may bring, and what would show that it was wrong.
//!
//! [`Signals`] say what caches, queues, limiters, the API and its queries did in a minute. [`advise`] looks at the last of
//! them and returns [`Advice`]: a pure function, so that the same minutes always give the same advice.
//!
//! ```
//! use tidegate_perfmon::advice::{CacheSignals, Limits, Signals, advise};
//!
//! let minutes: Vec<Signals> = (0..10)
//!     .map(|minute| {
//!         let mut signals = Signals::new(minute);
//!         let cache = CacheSignals { hits: 700, misses: 300, evictions: 280, ..CacheSignals::new("schedules") };
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
//! *Lately* is the last five minutes, *before* the up to thirty before these. A figure of a stretch is the median of its
//! minutes, a count their sum. A rule speaks only where at least three of the last five minutes say something, and where it
//! compares, at least ten of those before. Too little traffic says nothing.
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
