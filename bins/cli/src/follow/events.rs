//! Reads a stream of server-sent events.

use std::io;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

use crate::failure::Failure;

/// Maximum number of bytes of a line, and of the data of an event.
const LONGEST: usize = 1 << 20;
/// The API writes a comment each 15 s, so a stream that is silent for longer has broken.
const SILENCE: Duration = Duration::from_secs(45);
/// Time after which a client comes back, unless the server names another.
const USUAL_RETRY: Duration = Duration::from_secs(2);

/// An event, or a comment between events.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    /// The data as JSON, or as a text if it is none.
    pub(crate) data: Value,
    /// Text of the server for people; such an event has nothing else.
    pub(super) comment: Option<String>,
}

/// The events of one response.
pub(super) struct Events {
    lines: BoxStream<'static, Option<String>>,
    parser: Parser,
    silence: Duration,
}

impl Events {
    pub(super) fn of(response: Response, asked: String) -> Result<Self, Failure> {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            let reason = "it is no stream of events".to_owned();
            return Err(Failure::Foreign { asked, status: response.status(), reason });
        }
        let bytes = response.bytes_stream().map_err(io::Error::other);
        let lines = FramedRead::new(StreamReader::new(bytes), LinesCodec::new_with_max_length(LONGEST));
        Ok(Self { lines: lines.map(Result::ok).boxed(), parser: Parser::default(), silence: SILENCE })
    }

    /// The next event. `None` at the end of the stream, whatever ended it.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            let line = timeout(self.silence, self.lines.next()).await.ok()???;
            if let Some(event) = self.parser.line(&line)? {
                return Some(event);
            }
        }
    }

    /// Time after which to come back.
    pub(super) fn retry(&self) -> Duration {
        self.parser.retry.unwrap_or(USUAL_RETRY)
    }
}

/// Puts events together from lines.
#[derive(Debug, Default)]
struct Parser {
    name: String,
    id: Option<String>,
    data: String,
    has_data: bool,
    retry: Option<Duration>,
}

impl Parser {
    /// Takes a line. `None` if the event is too long, `Some(None)` if it is not complete yet.
    fn line(&mut self, line: &str) -> Option<Option<Event>> {
        if line.is_empty() {
            return Some(self.whole());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            // A comment without a text keeps the connection open.
            "" if !value.is_empty() => {
                return Some(Some(Event { comment: Some(value.to_owned()), ..Event::default() }));
            }
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry),
            "data" => {
                if self.data.len() + value.len() > LONGEST {
                    return None;
                }
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            _ => {}
        }
        Some(None)
    }

    /// The event that a blank line ends. `None` if it has no data.
    fn whole(&mut self) -> Option<Event> {
        let (name, id, data) = (std::mem::take(&mut self.name), self.id.take(), std::mem::take(&mut self.data));
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Event { name, id, data, comment: None })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events(text: &str) -> Vec<Event> {
        let mut parser = Parser::default();
        text.lines().filter_map(|line| parser.line(line).flatten()).collect()
    }

    #[test]
    fn events_have_a_name_an_id_and_data() {
        let text = "event: alert\nid: a-1\ndata: {\"a\":\ndata: 1}\nretry: 5000\n\n:\n\ndata: text\n\nevent: none\n\n";
        let expected = [
            Event { name: "alert".into(), id: Some("a-1".into()), data: json!({"a": 1}), comment: None },
            Event { name: "message".into(), id: None, data: json!("text"), comment: None },
        ];
        assert_eq!(events(text), expected);
    }

    #[test]
    fn a_comment_with_a_text_is_handed_on() {
        assert_eq!(events(": no queue records events\n\n")[0].comment.as_deref(), Some("no queue records events"));
    }

    #[test]
    fn what_is_no_field_is_skipped() {
        assert_eq!(events("nonsense\ndata\nretry: soon\n: \nid: \0\n\n")[0].data, json!(""));
        assert_eq!(events("<html>\n\n<body>\n\n"), []);
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let (mut parser, line) = (Parser::default(), format!("data: {}", "x".repeat(LONGEST / 2)));
        let taken = std::iter::repeat_with(|| parser.line(&line)).take(10).filter(Option::is_some).count();
        assert_eq!(taken, 2);
    }
}
