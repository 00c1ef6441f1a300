//! A line of the text of `/metrics`, for what reads the text as a scraper does.

/// A line such as `name_total{label="value"} 3`.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: Vec<(&'a str, String)>,
    pub(crate) value: f64,
}

impl<'a> Sample<'a> {
    /// `None` if the line is a comment or cannot be read.
    pub(crate) fn read(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        // Behind the value an exemplar may follow.
        let value = rest.split_whitespace().next()?.parse().ok()?;
        (!name.is_empty() && !name.starts_with('#')).then_some(Self { name, labels, value })
    }
}

/// The labels up to the closing brace, and what follows it.
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

/// A value up to its closing quote, and what follows that.
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
