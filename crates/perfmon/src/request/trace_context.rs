//! The place in a trace that a request or a job has: the `traceparent` of W3C Trace Context.

use std::fmt;
use std::str::FromStr;

/// Which trace something belongs to, and below which span.
///
/// Read from and shown as the header `traceparent` of [W3C Trace Context](https://www.w3.org/TR/trace-context/). Neither
/// id is ever zero.
///
/// ```
/// use tidegate_perfmon::TraceContext;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = header.parse().unwrap();
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), header);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    is_sampled: bool,
}

/// Why a text is not a valid `traceparent`. The receiver of such a header starts a trace of its
/// own, as the recommendation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceContextError {
    /// Not `version-trace-parent-flags` in lower-case hexadecimal digits of 2, 32, 16 and 2 places.
    Shape,
    /// Version `ff`, which is forbidden.
    Version,
    /// An id of zero, which means none.
    Zero,
}

impl fmt::Display for TraceContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "a traceparent is `00-`, 32, `-`, 16, `-` and 2 lower-case hexadecimal digits",
            Self::Version => "the version `ff` of a traceparent is forbidden",
            Self::Zero => "a traceparent's ids must not be zero",
        })
    }
}

impl std::error::Error for TraceContextError {}

impl TraceContext {
    /// `None` where an id is zero.
    #[must_use]
    pub const fn new(trace_id: u128, span_id: u64, is_sampled: bool) -> Option<Self> {
        if trace_id == 0 || span_id == 0 { None } else { Some(Self { trace_id, span_id, is_sampled }) }
    }

    /// Returns the id of the whole trace.
    #[must_use]
    pub const fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Returns the id of the parent span.
    #[must_use]
    pub const fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Whether the caller records this trace.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.is_sampled
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    /// Reads the part of later versions that this one knows, as the recommendation says.
    ///
    /// # Errors
    ///
    /// [`TraceContextError`] says what it is not.
    fn from_str(header: &str) -> Result<Self, TraceContextError> {
        let mut parts = header.split('-');
        let [Some(version), Some(trace_id), Some(span_id), Some(flags)] = std::array::from_fn(|_| parts.next()) else {
            return Err(TraceContextError::Shape);
        };
        let version = hex::<2>(version)?;
        if version == 0xff {
            return Err(TraceContextError::Version);
        }
        if version == 0 && parts.next().is_some() {
            return Err(TraceContextError::Shape);
        }
        let (trace_id, span_id, flags) = (hex::<32>(trace_id)?, hex::<16>(span_id)?, hex::<2>(flags)?);
        let span_id = u64::try_from(span_id).map_err(|_| TraceContextError::Shape)?;
        Self::new(trace_id, span_id, flags & 1 == 1).ok_or(TraceContextError::Zero)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled))
    }
}

fn hex<const LENGTH: usize>(text: &str) -> Result<u128, TraceContextError> {
    let is_hex = text.len() == LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex {
        return Err(TraceContextError::Shape);
    }
    u128::from_str_radix(text, 16).map_err(|_| TraceContextError::Shape)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn displayed_text_is_parsed_back(trace_id in 1_u128.., span_id in 1_u64.., is_sampled: bool) {
            let context = TraceContext::new(trace_id, span_id, is_sampled).unwrap();
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }

        #[test]
        fn any_text_is_accepted(text in "\\PC{0,80}|[0-9a-f-]{50,60}") {
            if let Ok(context) = text.parse::<TraceContext>() {
                prop_assert!(context.trace_id() != 0 && context.span_id() != 0);
            }
        }
    }

    #[test]
    fn an_invalid_header_is_refused() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert!(!good.parse::<TraceContext>().unwrap().is_sampled());
        let refused = |header: &str| header.parse::<TraceContext>().unwrap_err();
        assert_eq!(refused(""), TraceContextError::Shape);
        assert_eq!(refused(&good.to_uppercase()), TraceContextError::Shape);
        assert_eq!(refused(&format!("{good}-more")), TraceContextError::Shape);
        assert_eq!(refused(&good.replace("4bf9", "+bf9")), TraceContextError::Shape);
        assert_eq!(refused(&good.replacen("00", "ff", 1)), TraceContextError::Version);
        assert_eq!(refused(&good.replace("00f067aa0ba902b7", "0000000000000000")), TraceContextError::Zero);
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-is-new";
        assert!(later.parse::<TraceContext>().unwrap().is_sampled());
    }
}
