//! A line of the text of `/metrics`, for code that reads the text like a scraper.

/// A line such as `name_total{label="value"} 3`.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: Vec<(&'a str, String)>,
    pub(crate) value: f64,
}

impl<'a> Sample<'a> {
    /// Parses a line. `None` if it is a comment or invalid.
    pub(crate) fn read(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        // An exemplar may follow the value.
        let value = rest.split_whitespace().next()?.parse().ok()?;
        (!name.is_empty() && !name.starts_with('#')).then_some(Self { name, labels, value })
    }
}

/// Returns the labels up to the closing brace, and the rest.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.strip_prefix(',').unwrap_or(rest);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = unquoted(quoted)?;
        labels.push((name, value));
        rest = behind;
    }
}

/// Returns a value up to its closing quote, and the rest.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_one_that_is_none_is_not() {
        let line = "jobs_total{queue=\"import\",note=\"a \\\"b\\\" c\\nd, e}\"} 3 # {trace_id=\"1\"} 1";
        let sample = Sample::read(line).unwrap();
        let labels = [("queue", "import".to_owned()), ("note", "a \"b\" c\nd, e}".to_owned())];
        assert_eq!((sample.name, &sample.labels[..], sample.value), ("jobs_total", &labels[..], 3.0));
        assert_eq!(Sample::read("depth 1.5").map(|sample| sample.value), Some(1.5));
        for wrong in ["# TYPE a counter", "a{x=\"never ends 1", "a{x} 1", "a NOT", ""] {
            assert_eq!(Sample::read(wrong), None, "{wrong}");
        }
    }
}
