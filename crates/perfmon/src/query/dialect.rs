//! Whose SQL a statement is.

use serde::Serialize;

/// Whose rules of quoting, comments and parameters a statement follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Dialect {
    /// `"x"` may be a string, `` `x` `` and `[x]` are names, comments don't nest, parameters are `?1`, `:a`, `@a` and `$a`.
    Sqlite,
    /// `"x"` is a name, `E''`, `U&''` and `$tag$` quote, comments nest, parameters are `$1`, operators are free.
    Postgres,
}
