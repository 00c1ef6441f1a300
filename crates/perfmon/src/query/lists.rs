//! Lists whose length is no part of a shape.

use super::lexer::Unreadable;

/// Brackets may stand deeper in one another, but then no list among them collapses.
const DEPTHS: usize = 8;

/// The part of a bracket's content that collapses.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Collapses {
    #[default]
    Nothing,
    /// Items between commas, after `IN` and `ARRAY`.
    Items,
    /// The items in parentheses after `VALUES`.
    Rows,
}

/// The content of a bracket, or of the statement at the outermost level. Positions are those of the
/// written text.
#[derive(Clone, Copy, Default)]
struct Level {
    closes: u8,
    collapses: Collapses,
    /// The range of the first item, once it has ended.
    first: Option<(usize, usize)>,
    /// The start of this item, and the end of the one before it.
    start: usize,
    end_of_last: usize,
    /// A comma was read and is not written: the next item may have to go.
    is_comma_due: bool,
}

/// Watches what is written, and takes an item back that is like the first of its list.
#[derive(Default)]
pub(super) struct Lists {
    levels: [Level; DEPTHS],
    depth: usize,
}

impl Lists {
    /// Call it before any token but a comma and a closing bracket. `opens` is true for a
    /// parenthesis: only a parenthesis begins a row.
    pub(super) fn before_token(&mut self, out: &mut Vec<u8>, opens: bool) {
        let Some(level) = self.levels.get_mut(self.depth) else { return };
        if level.collapses == Collapses::Rows {
            let is_between_rows = level.first.is_none() || level.is_comma_due;
            if !(opens && is_between_rows) {
                level.collapses = Collapses::Nothing;
            }
        }
        if level.is_comma_due {
            level.is_comma_due = false;
            level.end_of_last = out.len();
            out.extend_from_slice(b", ");
            level.start = out.len();
        }
    }

    /// Behind the keyword `VALUES`.
    pub(super) fn values(&mut self) {
        if let Some(level) = self.levels.get_mut(self.depth) {
            (level.collapses, level.first) = (Collapses::Rows, None);
        }
    }

    /// Behind an opening bracket.
    pub(super) fn open(&mut self, out: &[u8], bracket: u8, is_list: bool) {
        if let Some(level) = self.levels.get_mut(self.depth)
            && level.collapses == Collapses::Rows
        {
            level.start = out.len() - 1;
        }
        self.depth += 1;
        if let Some(level) = self.levels.get_mut(self.depth) {
            *level = Level {
                closes: if bracket == b'(' { b')' } else { b']' },
                collapses: if is_list { Collapses::Items } else { Collapses::Nothing },
                start: out.len(),
                ..Level::default()
            };
        }
    }

    /// Writes a closing bracket.
    pub(super) fn close(&mut self, out: &mut Vec<u8>, bracket: u8) -> Result<(), Unreadable> {
        if let Some(level) = self.levels.get_mut(self.depth) {
            if level.closes != bracket {
                return Err(Unreadable);
            }
            if level.is_comma_due {
                out.extend_from_slice(b",");
            } else if level.collapses == Collapses::Items {
                level.end_item(out);
            }
        }
        out.push(bracket);
        self.depth = self.depth.checked_sub(1).ok_or(Unreadable)?;
        if let Some(level) = self.levels.get_mut(self.depth)
            && level.collapses == Collapses::Rows
        {
            level.end_item(out);
        }
        Ok(())
    }

    /// Keeps a comma back.
    pub(super) fn comma(&mut self, out: &mut Vec<u8>) {
        let Some(level) = self.levels.get_mut(self.depth) else {
            out.extend_from_slice(b", ");
            return;
        };
        if level.is_comma_due {
            out.extend_from_slice(b",");
        } else if level.collapses == Collapses::Items {
            level.end_item(out);
        }
        level.is_comma_due = true;
    }

    /// At the end of a statement, where every bracket must be closed.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if self.depth > 0 {
            return Err(Unreadable);
        }
        let level = &mut self.levels[0];
        if level.is_comma_due {
            out.extend_from_slice(b",");
        }
        *level = Level::default();
        Ok(())
    }
}

impl Level {
    fn end_item(&mut self, out: &mut Vec<u8>) {
        match self.first {
            None => self.first = Some((self.start, out.len())),
            Some((start, end)) if out[start..end] == out[self.start..] => out.truncate(self.end_of_last),
            Some(_) => {}
        }
    }
}
