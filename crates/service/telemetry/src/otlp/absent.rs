//! Replaces the exporter in builds without it: nothing is exported, and there is no cost.

use std::io;
use std::sync::Arc;

use http::{Method, StatusCode};
use tidegate_perfmon::TraceContext;
use tidegate_settings::Settings;
use tracing::Span;
use tracing::span::Id;

use crate::{BoxedLayer, Statement, Telemetry};

/// Has no values.
pub(crate) enum StatementSpans {}

impl StatementSpans {
    pub(crate) fn tell(&self, _: &Statement, _: &Id) {
        match *self {}
    }
}

pub(crate) fn listeners(_: &Settings) -> Option<(BoxedLayer, StatementSpans)> {
    None
}

pub(crate) fn listen() {}

pub(crate) fn adopt(_: &Span, _: Option<TraceContext>) -> Option<TraceContext> {
    None
}

pub(crate) fn name_request(_: &Span, _: &Method, _: &str) {}

pub(crate) fn name_job(_: &Span, _: &str) {}

pub(crate) fn answered(_: &Span, _: StatusCode) {}

/// An export that does nothing.
#[derive(Debug)]
pub struct Export;

impl Export {
    /// Returns `None`.
    ///
    /// # Errors
    ///
    /// Never fails.
    pub fn start(_: &Arc<Telemetry>, _: &Settings) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Does nothing.
    pub async fn end(&self) {}
}
