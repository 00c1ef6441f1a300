//! Figures for other libraries: `prometheus-client` and `metrics`.

#[cfg(feature = "metrics")]
pub(crate) mod facade;
#[cfg(feature = "prometheus")]
mod prometheus;
