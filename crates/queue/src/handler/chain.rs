//! Errors and their sources: one of a type, and the texts of all.

use std::error::Error;
use std::fmt::{self, Write as _};

use tidegate_queue_broker::internal::{TEXT_LIMIT, shortened};

/// Returns the first error in the chain that is an `E`.
pub(crate) fn in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        link = error.source();
    }
    None
}

/// The texts of the error and its sources, up to the limit of the record. A source's text is
/// skipped if the text before it already ends with it.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = bounded(error);
    let mut link = error.source();
    while let Some(source) = link
        && text.len() <= TEXT_LIMIT
    {
        let more = bounded(source);
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        link = source.source();
    }
    shortened(text)
}

/// The error's text, cut slightly above the limit: an error may print the data it has read.
fn bounded(error: &dyn Error) -> String {
    struct Bounded(String);

    impl fmt::Write for Bounded {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            let room = (TEXT_LIMIT + 1).saturating_sub(self.0.len());
            self.0.push_str(&part[..part.ceil_char_boundary(room)]);
            if self.0.len() > TEXT_LIMIT { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut text = Bounded(String::new());
    // Stops with an error when the limit is reached.
    let _ = write!(text, "{error}");
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::{Failure, Outcome};

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layered {
        text: String,
        source: Option<Box<Layered>>,
    }

    fn layered(texts: &[&str]) -> Layered {
        let (first, rest) = texts.split_first().unwrap();
        let source = (!rest.is_empty()).then(|| Box::new(layered(rest)));
        Layered { text: (*first).to_owned(), source }
    }

    #[test]
    fn the_chain_is_kept_without_repetition() {
        assert_eq!(chain(&layered(&["a", "b", "c"])), "a: b: c");
        assert_eq!(chain(&layered(&["can't send: refused", "refused", "port 25"])), "can't send: refused: port 25");
        let failure = Failure::bury(layered(&["outer", "inner"]));
        assert_eq!(Outcome::from(failure), Outcome::bury("outer: inner"));
    }

    #[test]
    fn the_text_is_bounded() {
        for texts in [vec!["ä".repeat(1 << 20)], vec!["ä".repeat(1_000); 100]] {
            let texts: Vec<String> = texts.iter().enumerate().map(|(nth, text)| format!("{nth} {text}")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let text = chain(&layered(&texts));
            assert!(text.len() <= TEXT_LIMIT + '…'.len_utf8() && text.ends_with('…'), "{}", text.len());
        }
    }
}
