//! The life of alerts, against a plain model and by example.

mod life;
mod model;
mod shown;
mod silences;
mod support;
