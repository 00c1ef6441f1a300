//! Trends, anomalies and forecasts against noise of which everything is known.

mod anomalies;
mod forecasts;
mod random;
mod trends;
mod watch;
