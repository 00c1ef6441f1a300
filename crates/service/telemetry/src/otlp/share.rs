//! The sampler: decides which traces are exported.

use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};
use sha2::{Digest, Sha256};
use tidegate_settings::{OtlpSettings, Tokens};

/// Samples a share of all traces. Child spans follow the decision of their parent in this process.
///
/// Any client may send the header with the trace of a request. So neither the sampled flag nor the
/// id of that header makes a trace exported. The decision is a keyed hash of the trace id. A trace
/// that is marked as not sampled is never exported.
#[derive(Debug, Clone)]
pub(super) struct Share {
    share: f64,
    key: Key,
}

impl Share {
    pub(super) fn new(share: f64, key: Key) -> Self {
        Self { share, key }
    }

    fn has(&self, trace: TraceId) -> bool {
        // At the limits no hash is needed, and none may change the result.
        if self.share <= 0.0 || self.share >= 1.0 {
            return self.share >= 1.0;
        }
        let digest = Sha256::new().chain_update(self.key.0).chain_update(trace.to_bytes()).finalize();
        let (head, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        // A double keeps 53 of the 64 bits, and so does the quotient: it is never above one.
        u64::from_be_bytes(*head) as f64 / 2.0_f64.powi(64) < self.share
    }
}

/// A key that clients do not know, and that all processes of one collector share, so that they
/// sample the same traces.
#[derive(Clone)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// Derives the key from the configured headers of the collector, which worker and API share, or
    /// else from the tokens. If neither is configured, the key is the same in every installation.
    pub(super) fn of(otlp: &OtlpSettings, tokens: &Tokens) -> Self {
        const PURPOSE: &str = "otlp.sample";
        Self(match &otlp.headers {
            Some(headers) => Sha256::new().chain_update(PURPOSE).chain_update(headers.reveal()).finalize().into(),
            None => tokens.derive(PURPOSE),
        })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(****)")
    }
}

impl ShouldSample for Share {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(|parent| parent.span().span_context().clone()).filter(SpanContext::is_valid);
        let is_sent = match &parent {
            Some(parent) if parent.is_remote() => parent.is_sampled() && self.has(trace_id),
            Some(parent) => parent.is_sampled(),
            None => self.has(trace_id),
        };
        SamplingResult {
            decision: if is_sent { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: parent.map_or(TraceState::NONE, |parent| parent.trace_state().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags};
    use tidegate_settings::test_ground::check_with;

    use super::*;

    fn asks(share: &Share, trace: u128, parent: Option<(bool, bool)>) -> bool {
        let trace = TraceId::from(trace);
        let context = parent.map(|(is_remote, is_sampled)| {
            let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
            let parent = SpanContext::new(trace, SpanId::from(1_u64), flags, is_remote, TraceState::NONE);
            Context::new().with_remote_span_context(parent)
        });
        let result = share.should_sample(context.as_ref(), trace, "request", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    fn is_sent(share: f64, parent: Option<(bool, bool)>) -> bool {
        asks(&Share::new(share, Key([7; 32])), 7, parent)
    }

    #[test]
    fn an_unauthenticated_client_cannot_cause_additional_sampling() {
        assert!(!is_sent(0.0, Some((true, true))), "whatever its header says");
        assert!(is_sent(1.0, Some((true, true))) && is_sent(1.0, None));
        assert!(!is_sent(0.0, None));
        assert!(!is_sent(1.0, Some((true, false))), "who doesn't want to be recorded is not");
        assert!(is_sent(0.0, Some((false, true))), "below a span of ours that is");
        assert!(!is_sent(1.0, Some((false, false))));
    }

    #[test]
    fn a_chosen_trace_id_is_sampled_no_more_often_than_others() {
        let sent = |share: f64, ids: &mut dyn Iterator<Item = u128>| {
            let share = Share::new(share, Key([7; 32]));
            ids.filter(|&id| asks(&share, id, Some((true, true)))).count()
        };
        // Ids that a sampler without a hash would select first, at either end of the id.
        assert!(sent(1e-4, &mut (1..=1_000)) <= 5);
        assert!(sent(1e-4, &mut (1..=1_000).map(|id| id << 64)) <= 5);
        assert!(sent(1e-4, &mut (1..=1_000).map(|id| (id << 96) + 1)) <= 5);
        let tenth = sent(0.1, &mut (1..=10_000));
        assert!((850..=1_150).contains(&tenth), "{tenth} of 10,000 at a tenth");
    }

    #[test]
    fn processes_of_one_installation_choose_the_same_traces_and_another_one_others() {
        let chosen = |settings: &[(&'static str, &str)]| {
            let mut all = vec![("TIDEGATE_OTLP_ENDPOINT", "http://127.0.0.1:4318")];
            all.extend_from_slice(settings);
            let settings = check_with(&all).unwrap();
            let share = Share::new(0.5, Key::of(settings.performance.otlp.as_ref().unwrap(), &settings.tokens));
            (1..=64).filter(|&id| asks(&share, id, None)).collect::<Vec<_>>()
        };
        let token = ("TIDEGATE_ADMIN_TOKEN", "a-long-secret-token-of-one");
        let headers = ("TIDEGATE_OTLP_HEADERS", "x-collector-key=abc");
        assert_eq!(chosen(&[token]), chosen(&[token]));
        assert_ne!(chosen(&[token]), chosen(&[("TIDEGATE_ADMIN_TOKEN", "a-long-secret-token-of-two")]));
        assert_eq!(chosen(&[headers, token]), chosen(&[headers]), "a worker has no need of the tokens");
        assert_ne!(chosen(&[headers]), chosen(&[("TIDEGATE_OTLP_HEADERS", "x-collector-key=abd")]));
    }
}
