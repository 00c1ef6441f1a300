//! `Vary`: which request headers choose among the responses of one target.

use data_encoding::HEXLOWER;
use http::header::{HeaderMap, HeaderName, VARY};
use sha2::{Digest, Sha256};

/// With more headers than this, nearly every request is another variant, so it is not kept.
const MOST: usize = 8;

/// The headers that chose a response, and a hash of their values, which may be credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) names: Vec<HeaderName>,
    pub(super) digest: [u8; 32],
}

impl Selection {
    /// Returns the headers that chose this response. `None` if its `Vary` cannot be obeyed.
    pub(super) fn of(request: &HeaderMap, response: &HeaderMap) -> Option<Self> {
        let mut names = Vec::new();
        for line in response.get_all(VARY) {
            for name in line.as_bytes().split(|byte| *byte == b',') {
                match name.trim_ascii() {
                    b"" => {}
                    name => names.push(HeaderName::from_bytes(name).ok().filter(|_| names.len() < 8 * MOST)?),
                }
            }
        }
        names.sort_unstable_by(|left, right| left.as_str().cmp(right.as_str()));
        names.dedup();
        if names.len() > MOST {
            return None;
        }
        let digest = digest(&names, request);
        Some(Self { names, digest })
    }

    /// Whether a response with this selection answers the request too.
    pub(super) fn admits(&self, request: &HeaderMap) -> bool {
        self.names.is_empty() || self.digest == digest(&self.names, request)
    }

    /// Returns the name of the variant for this request.
    pub(super) fn variant(&self, request: &HeaderMap) -> String {
        HEXLOWER.encode(&digest(&self.names, request)[..16])
    }
}

/// Hashes all lines of each header, joined as one, without blanks around commas. Absent is not the
/// same as empty. Each length precedes its text, so that no two requests have the same input.
fn digest(names: &[HeaderName], request: &HeaderMap) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut text = Vec::new();
    for name in names {
        text.clear();
        let mut lines = request.get_all(name).iter().peekable();
        let is_present = lines.peek().is_some();
        for line in lines {
            for part in line.as_bytes().split(|byte| *byte == b',') {
                if !text.is_empty() {
                    text.push(b',');
                }
                text.extend_from_slice(part.trim_ascii());
            }
        }
        hash.update((name.as_str().len() as u64).to_le_bytes());
        hash.update(name.as_str());
        hash.update([u8::from(is_present)]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(&text);
    }
    hash.finalize().into()
}
