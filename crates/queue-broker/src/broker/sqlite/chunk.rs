//! The rows that one statement takes.

/// Most rows in one statement.
pub(super) const CHUNK: usize = 500;
/// Most bytes of payloads or results in one statement, except for its first row: SQLite refuses
/// JSON above 1 GB.
const CHUNK_BYTES: usize = 8 << 20;

/// Splits rows into the chunks that one statement takes.
pub(super) fn chunks<T>(mut rows: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut total = 0;
        let fits = rows.iter().take(CHUNK).take_while(|row| {
            total += bytes(row);
            total <= CHUNK_BYTES
        });
        let count = fits.count().max(1).min(rows.len());
        let (chunk, rest) = rows.split_at(count);
        rows = rest;
        (count > 0).then_some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_limited_in_rows_and_bytes_but_takes_at_least_one() {
        let cut = |rows: &[usize]| chunks(rows, |bytes| *bytes).map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(cut(&[]), [0; 0]);
        assert_eq!(cut(&[1; 1_001]), [500, 500, 1]);
        assert_eq!(cut(&[1 << 20; 20]), [8, 8, 4]);
        assert_eq!(cut(&[CHUNK_BYTES + 1, 1, CHUNK_BYTES, usize::MAX >> 1]), [1, 1, 1, 1]);
    }
}
