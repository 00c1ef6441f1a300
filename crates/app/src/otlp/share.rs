//! Which traces are sent.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// A share of all traces; what a span of ours decided holds for those below it.
///
/// A caller that marks its trace as recorded doesn't make us send it: anybody may write that header. One that marks it as not
/// recorded is believed.
#[derive(Debug, Clone)]
pub(super) struct Share(pub(super) f64);

impl ShouldSample for Share {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_asked_by_others = parent.is_some_and(|parent| {
            let span = parent.span();
            let parent = span.span_context();
            parent.is_valid() && parent.is_remote() && parent.is_sampled()
        });
        let share = Sampler::TraceIdRatioBased(self.0);
        let sampler = if is_asked_by_others { share } else { Sampler::ParentBased(Box::new(share)) };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    fn is_sent(share: f64, parent: Option<(bool, bool)>) -> bool {
        let trace = TraceId::from(7_u128);
        let context = parent.map(|(is_remote, is_sampled)| {
            let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
            let parent = SpanContext::new(trace, SpanId::from(1_u64), flags, is_remote, TraceState::NONE);
            Context::new().with_remote_span_context(parent)
        });
        let result = Share(share).should_sample(context.as_ref(), trace, "request", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn a_stranger_makes_nothing_be_sent_that_would_not_be() {
        assert!(!is_sent(0.0, Some((true, true))), "whatever its header says");
        assert!(is_sent(1.0, Some((true, true))) && is_sent(1.0, None));
        assert!(!is_sent(0.0, None));
        assert!(!is_sent(1.0, Some((true, false))), "who doesn't want to be recorded is not");
        assert!(is_sent(0.0, Some((false, true))), "below a span of ours that is");
        assert!(!is_sent(1.0, Some((false, false))));
    }
}
