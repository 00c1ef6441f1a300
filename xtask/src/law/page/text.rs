//! The page as text: its tables, each found by its heading, and the names in backquotes.

pub(super) const PAGE: &str = "docs/architecture.md";

/// One row of a table.
pub(super) struct Row<'a> {
    pub(super) cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// Returns the names in backquotes of a cell, in order; none if there is no such cell.
    pub(super) fn names(&self, cell: usize) -> Vec<&'a str> {
        self.cells.get(cell).into_iter().flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
    }
}

/// The rows of the first table below a heading, without its head.
pub(super) fn table<'a>(page: &'a str, heading: &str) -> Result<Vec<Row<'a>>, String> {
    let is_heading = |line: &&str| line.starts_with('#') && line.trim_start_matches('#').trim() == heading;
    let mut lines = page.lines().skip_while(|line| !is_heading(line));
    lines.next().ok_or_else(|| format!("{PAGE} has no heading `{heading}`"))?;
    let below = lines.take_while(|line| !line.starts_with('#'));
    let rows = below.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows: Vec<Row<'_>> = rows.skip(2).map(|line| Row { cells: cells(line) }).collect();
    if rows.is_empty() { Err(format!("{PAGE} has no table under `{heading}`")) } else { Ok(rows) }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// The name of a package on the page.
pub(super) fn short(package: &str) -> &str {
    package.strip_prefix("tidegate-").unwrap_or(package)
}

/// Returns names in backquotes, or a word for none.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn the_first_table_below_its_heading_is_read() {
        let page = "# A\n| x |\n|---|\n| `no` |\n\n## B\n\ntext\n\n| x | y |\n|---|---|\n| `a`, b and `c` | d |\n\
                    |`e`||\n\n| z |\n|---|\n| `f` |\n";
        let rows = table(page, "B").unwrap();
        let names: Vec<_> = rows.iter().map(|row| (row.names(0), row.names(1))).collect();
        assert_eq!(names, [(vec!["a", "c"], vec![]), (vec!["e"], vec![])]);
    }

    #[test]
    fn a_heading_without_a_table_is_an_error() {
        assert!(table("# A\n\n## B\n| x |\n|---|\n| y |\n", "A").is_err());
        assert!(table("# A\n", "B").is_err());
    }
}
