//! Trends, anomalies and forecasts against noise of which everything is known.

mod anomalies;
mod forecasts;
mod trends;
mod watch;
