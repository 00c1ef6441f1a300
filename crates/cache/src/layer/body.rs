//! Bodies: kept ones, and those that are streamed through.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// Body of a response of a [`CacheLayer`](super::CacheLayer): kept, or of the inner service.
pub struct CachedBody<B: Body>(Inner<B>);

enum Inner<B: Body> {
    Whole(Option<Bytes>),
    /// The part that was read before it was clear that the body will not be kept, and the rest.
    Through {
        read: VecDeque<Result<Frame<Bytes>, B::Error>>,
        rest: B,
    },
}

impl<B: Body<Data = Bytes>> CachedBody<B> {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Inner::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    pub(super) fn through(rest: B) -> Self {
        Self(Inner::Through { read: VecDeque::new(), rest })
    }
}

/// Result of reading a body.
pub(super) enum Collected<B: Body> {
    Whole(Bytes),
    /// It is longer than allowed, broke off, or has trailers.
    Not(CachedBody<B>),
}

/// Reads a body of at most `most` bytes. Holds no more than that and one frame.
pub(super) async fn collect<B: Body<Data = Bytes> + Unpin>(mut body: B, most: usize) -> Collected<B> {
    if body.size_hint().lower() > most as u64 {
        return Collected::Not(CachedBody::through(body));
    }
    let mut read = VecDeque::new();
    let mut length = 0_usize;
    while let Some(next) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let data = next.as_ref().ok().and_then(Frame::data_ref).map(Bytes::len);
        read.push_back(next);
        length = length.saturating_add(data.unwrap_or(0));
        if data.is_none() || length > most {
            return Collected::Not(CachedBody(Inner::Through { read, rest: body }));
        }
    }
    let mut parts = read.into_iter().filter_map(|frame| frame.ok()?.into_data().ok());
    let Some(first) = parts.next() else { return Collected::Whole(Bytes::new()) };
    if first.len() == length {
        return Collected::Whole(first);
    }
    let mut whole = BytesMut::with_capacity(length);
    whole.extend_from_slice(&first);
    parts.for_each(|part| whole.extend_from_slice(&part));
    Collected::Whole(whole.freeze())
}

impl<B: Body<Data = Bytes> + Unpin> Body for CachedBody<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut self.get_mut().0 {
            Inner::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Through { read, rest } => match read.pop_front() {
                Some(frame) => Poll::Ready(Some(frame)),
                None => Pin::new(rest).poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_none(),
            Inner::Through { read, rest } => read.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Inner::Through { read, rest } => {
                let ahead: u64 = read.iter().flatten().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
                let (behind, mut hint) = (rest.size_hint(), SizeHint::new());
                hint.set_lower(behind.lower().saturating_add(ahead));
                if let Some(upper) = behind.upper().and_then(|upper| upper.checked_add(ahead)) {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}

impl<B: Body> fmt::Debug for CachedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Inner::Whole(_) => "CachedBody(whole)",
            Inner::Through { .. } => "CachedBody(through)",
        })
    }
}
