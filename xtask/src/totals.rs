//! Sum of the results that `cargo test` reports once for each test program.

use std::fmt;

/// Counts of "test result:" lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    programs: u64,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Adds a line of output, if it is a result:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|result| result.split_once(". ")) else {
            return;
        };
        self.programs += 1;
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let number = number.parse::<u64>().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { programs, passed, failed, ignored } = self;
        let verdict = if *failed == 0 { "ok" } else { "FAILED" };
        write!(f, "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored (sum of {programs})")
    }
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn results_are_added_up_and_other_lines_ignored() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "a test printed: test result: ok. 100 passed",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
            "test result: nonsense",
        ] {
            totals.add(line);
        }
        assert_eq!(totals, Totals { programs: 2, passed: 7, failed: 2, ignored: 1 });
        assert_eq!(totals.to_string(), "test result: FAILED. 7 passed; 2 failed; 1 ignored (sum of 2)");
    }
}
