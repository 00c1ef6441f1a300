//! Parser of the text of `INFO`.

use std::collections::HashMap;
use std::str::FromStr;

/// The `name:value` lines of an answer to `INFO`. Other lines are skipped.
pub(crate) struct Fields<'a>(HashMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(|line| line.trim_end_matches('\r').split_once(':')).collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// A finite number: servers also write `-nan` and `inf`.
    pub(crate) fn fraction(&self, name: &str) -> Option<f64> {
        self.number::<f64>(name).filter(|number| number.is_finite())
    }

    /// Major and minor version. Valkey reports the version of Redis that it is compatible with.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.text("redis_version")?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_lines_and_passes_over_the_rest() {
        let fields =
            Fields::parse("# Server\r\nredis_version:7.0.15\r\nempty:\r\nno value\r\nuptime:12\r\nratio:-nan\r\n");
        assert_eq!(fields.version(), Some((7, 0)));
        assert_eq!(fields.text("empty"), Some(""));
        assert_eq!(fields.number::<u64>("uptime"), Some(12));
        assert_eq!(fields.number::<u8>("redis_version"), None);
        assert_eq!(fields.fraction("ratio"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), name in "[a-z_]{0,12}", value in any::<String>()) {
            let text = format!("{text}\n{name}:{value}\r\nredis_version:{value}");
            let fields = Fields::parse(&text);
            let _ = (fields.version(), fields.number::<u64>(&name), fields.fraction(&name));
        }
    }
}
