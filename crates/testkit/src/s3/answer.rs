//! Answers of S3.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::CONTENT_LENGTH;
use hyper::{Response, StatusCode};

/// An answer whose body may be cut off.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// An answer with that text.
pub(super) fn text(status: StatusCode, text: String) -> Answer {
    content(status, text.into())
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    content(status, Bytes::new())
}

/// A refusal with an S3 error code.
pub(super) fn refuse(status: StatusCode, code: &str) -> Answer {
    text(status, format!("<Error><Code>{code}</Code></Error>"))
}

/// An answer with that content.
pub(super) fn content(status: StatusCode, content: Bytes) -> Answer {
    let body = Full::new(content).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Answer::new(body);
    *answer.status_mut() = status;
    answer
}

/// An answer that announces the whole content, but closes the connection after its first bytes.
pub(super) fn cut_off(status: StatusCode, content: &Bytes, after: usize) -> Answer {
    let begun = Ok(Frame::data(content.slice(..after.min(content.len()))));
    let broken = async {
        // hyper flushes its buffer when it has to wait for more.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    let body = stream::once(async { begun }).chain(stream::once(broken));
    let mut answer = Answer::new(StreamBody::new(body).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_LENGTH, content.len().into());
    answer
}
