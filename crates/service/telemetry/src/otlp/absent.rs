//! In the place of the exporter where the program was built without it: nothing is exported, and nothing costs anything.

use std::io;
use std::sync::Arc;

use http::{Method, StatusCode};
use tidegate_perfmon::TraceContext;
use tidegate_settings::Settings;
use tracing::Span;
use tracing::span::Id;

use crate::{BoxedLayer, Statement, Telemetry};

/// There is none.
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

/// What a node sends: nothing.
#[derive(Debug)]
pub struct Export;

impl Export {
    /// Begins nothing.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn start(_: &Arc<Telemetry>, _: &Settings) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Ends nothing.
    pub async fn end(&self) {}
}
