//! In the place of the exporter where the program was built without it: nothing is exported, and nothing costs anything.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use tidegate_perfmon::TraceContext;
use tracing::Span;
use tracing::span::Id;

use crate::node::StartError;
use crate::settings::Settings;
use crate::telemetry::{BoxedLayer, Statement, Telemetry};

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

#[derive(Debug)]
pub(crate) struct Export;

impl Export {
    pub(crate) fn start(_: &Arc<Telemetry>, _: &Settings) -> Result<Option<Self>, StartError> {
        Ok(None)
    }

    pub(crate) async fn end(&self) {}
}
