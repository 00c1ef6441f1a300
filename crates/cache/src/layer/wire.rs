//! Responses as bytes, for the tier that processes share.
//!
//! Numbers are little-endian; a text is its length and its bytes:
//!
//! ```text
//! 1 status:u16 received:u64 (ms since 1970)
//!   lifetime:u64 while_revalidate:u64 if_error:u64 initial_age:u64 (ms)
//!   is_open:u8 names:u16 (text u16)* digest:[32] headers:u16 (name u16, value u32)* body: the rest
//! ```

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::entry::{Entry, Kept};
use super::freshness::Freshness;
use super::vary::Selection;
use tidegate_cache_tiers::{Codec, CodecError};

/// Raised with every change of the form.
const VERSION: u8 = 1;
/// Space for the data around a body.
const AROUND: usize = 128 << 10;

/// Writes and reads [`Entry`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire {
    limit: usize,
}

impl Wire {
    pub(super) fn new(most_body: usize) -> Self {
        Self { limit: most_body.saturating_add(AROUND) }
    }
}

impl Codec<Entry> for Wire {
    fn version(&self) -> u8 {
        VERSION
    }

    fn encode(&self, entry: &Entry) -> Result<Vec<u8>, CodecError> {
        match entry {
            // Never requested: it goes to the waiting requests, and no tier keeps it.
            Entry::Unshared => Err(CodecError::failed("nothing to share")),
            Entry::Kept(kept) => write(kept).ok_or_else(|| CodecError::failed("a header is too long")),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Entry, CodecError> {
        let entry = match bytes.split_first() {
            Some((1, rest)) => read(rest).map(Entry::Kept),
            _ => None,
        };
        entry.ok_or_else(|| CodecError::failed("no response of this version"))
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

fn write(kept: &Kept) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(kept.body.len() + 1024);
    out.push(1);
    out.extend(kept.status.as_u16().to_le_bytes());
    let Freshness { lifetime, while_revalidate, if_error, initial_age, is_open } = kept.freshness;
    let received = kept.received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    for time in [received, lifetime, while_revalidate, if_error, initial_age] {
        out.extend(u64::try_from(time.as_millis()).ok()?.to_le_bytes());
    }
    out.push(u8::from(is_open));
    out.extend(u16::try_from(kept.selection.names.len()).ok()?.to_le_bytes());
    for name in &kept.selection.names {
        write_name(&mut out, name)?;
    }
    out.extend(kept.selection.digest);
    out.extend(u16::try_from(kept.headers.len()).ok()?.to_le_bytes());
    for (name, value) in &kept.headers {
        write_name(&mut out, name)?;
        out.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
        out.extend(value.as_bytes());
    }
    out.extend(&kept.body);
    Some(out)
}

fn write_name(out: &mut Vec<u8>, name: &HeaderName) -> Option<()> {
    out.extend(u16::try_from(name.as_str().len()).ok()?.to_le_bytes());
    out.extend(name.as_str().as_bytes());
    Some(())
}

fn read(mut bytes: &[u8]) -> Option<Kept> {
    let bytes = &mut bytes;
    let status = StatusCode::from_u16(u16::from_le_bytes(take(bytes)?)).ok()?;
    let mut time = || Some(Duration::from_millis(u64::from_le_bytes(take(bytes)?)));
    let received = SystemTime::UNIX_EPOCH.checked_add(time()?)?;
    let (lifetime, while_revalidate, if_error, initial_age) = (time()?, time()?, time()?, time()?);
    let [is_open] = take(bytes)?;
    let mut names = Vec::new();
    for _ in 0..u16::from_le_bytes(take(bytes)?) {
        names.push(read_name(bytes)?);
    }
    let selection = Selection { names, digest: take(bytes)? };
    let mut headers = HeaderMap::new();
    for _ in 0..u16::from_le_bytes(take(bytes)?) {
        let name = read_name(bytes)?;
        let length = usize::try_from(u32::from_le_bytes(take(bytes)?)).ok()?;
        let value = HeaderValue::from_bytes(bytes.split_off(..length)?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    let freshness = Freshness { lifetime, while_revalidate, if_error, initial_age, is_open: is_open == 1 };
    Some(Kept { status, headers, body: Bytes::copy_from_slice(bytes), received, freshness, selection })
}

fn read_name(bytes: &mut &[u8]) -> Option<HeaderName> {
    let length = u16::from_le_bytes(take(bytes)?);
    HeaderName::from_bytes(bytes.split_off(..usize::from(length))?).ok()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
