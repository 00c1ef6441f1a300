//! Tables that become lists on a phone. Roles keep them tables where CSS changes `display`.

use maud::{Markup, html};

/// A column: its label, and the class of its cells.
pub(super) type Column = (&'static str, &'static str);
pub(super) const NUMBER: &str = "number";
pub(super) const TEXT: &str = "text";
pub(super) const NAME: &str = "";
/// Actions on the row.
pub(super) const ACTION: &str = "action";

/// The first column names the row.
pub(super) fn table(caption: &str, columns: &[Column], rows: impl Iterator<Item = Vec<Markup>>) -> Markup {
    let mut rows = rows.peekable();
    html! {
        @if rows.peek().is_none() {
            p.none { "None." }
        } @else {
            table.stack role="table" {
                caption.visually-hidden { (caption) }
                (head(columns))
                tbody role="rowgroup" {
                    @for row in rows {
                        tr role="row" {
                            @for (at, (cell, (label, class))) in row.iter().zip(columns).enumerate() {
                                @if at == 0 { th scope="row" role="rowheader" class=(class) { (cell) } }
                                @else { td role="cell" class=(class) data-label=(label) { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn head(columns: &[Column]) -> Markup {
    html! {
        thead role="rowgroup" {
            tr role="row" {
                @for (label, class) in columns {
                    th scope="col" role="columnheader" class=(class) {
                        @if *class == ACTION { span.visually-hidden { (label) } } @else { (label) }
                    }
                }
            }
        }
    }
}
