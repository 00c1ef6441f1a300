//! Compares the laws and layers in `docs/architecture.md` with those in the code.

mod confined;
mod imports;
mod layers;
mod stack;
mod text;

use std::fs;
use std::path::Path;

use self::text::{PAGE, table};
use super::table::{CONFINED, CONFINED_NAMES, ROWS};

/// Returns every difference.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"));
    let page = read(PAGE)?;
    let mut differences = imports::compare(ROWS, &table(&page, "Who may import whom")?);
    differences.extend(confined::compare(CONFINED, CONFINED_NAMES, &table(&page, "Where libraries are confined")?));
    differences.extend(layers::check(&page, read)?);
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::check;

    #[test]
    fn the_page_says_what_the_code_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(root), Ok(Vec::new()));
    }
}
