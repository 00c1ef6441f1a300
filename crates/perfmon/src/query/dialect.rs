//! Whose SQL a statement is.

use serde::Serialize;

/// The rules of quoting, comments and parameters of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Dialect {
    /// `"x"` may be a string. `` `x` `` and `[x]` are names. Comments do not nest. Parameters are
    /// `?1`, `:a`, `@a` and `$a`.
    Sqlite,
    /// `"x"` is a name. `E''`, `U&''` and `$tag$` are quotes. Comments nest. Parameters are `$1`.
    /// Operators can be user-defined.
    Postgres,
}
