//! The layer that receives sqlx's events.

use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::Statements;
use super::database::Database;
use super::event::{STATEMENT_TARGET, Statement};
use super::request::Request;
use crate::otlp::StatementSpans;
use crate::trace::{JOB_TARGET, REQUEST_TARGET};

struct Listener {
    statements: Arc<Statements>,
    /// `None` if traces are not exported.
    spans: Option<StatementSpans>,
}

/// Makes a layer that passes each statement to `statements` and `spans`, with a separate filter.
///
/// It never logs: an event inside an event would confuse the filters of the layers after it.
pub(crate) fn layer<S>(statements: Arc<Statements>, spans: Option<StatementSpans>) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_heard = |metadata: &Metadata<'_>| {
        // On a connection's thread only the caller's innermost span is entered. If it were filtered
        // out, the request above it could not be found.
        let is_our_span = metadata.is_span() && metadata.target().starts_with("tidegate");
        *metadata.level() <= Level::DEBUG && (is_our_span || metadata.target() == STATEMENT_TARGET)
    };
    Listener { statements, spans }.with_filter(filter_fn(is_heard).with_max_level_hint(LevelFilter::DEBUG))
}

impl<S> Layer<S> for Listener
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() != REQUEST_TARGET {
            return;
        }
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Request::begin(attributes));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != STATEMENT_TARGET {
            return;
        }
        Statement::read(event, |statement| {
            let request = context
                .event_scope(event)
                .and_then(|mut scope| scope.find_map(|span| span.extensions().get::<Arc<Request>>().cloned()));
            self.statements.record(statement, Database::of_this_thread(), request.as_deref());
            let Some(spans) = &self.spans else { return };
            // Deeper spans belong to Tidegate too, but are not exported.
            let is_exported = |metadata: &Metadata<'_>| [REQUEST_TARGET, JOB_TARGET].contains(&metadata.target());
            let within =
                context.event_scope(event).and_then(|mut scope| scope.find(|span| is_exported(span.metadata())));
            if let Some(within) = within {
                spans.tell(statement, &within.id());
            }
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let request = span.extensions_mut().remove::<Arc<Request>>();
        if let Some(request) = request {
            self.statements.ended(&request);
            request.end();
        }
    }
}
