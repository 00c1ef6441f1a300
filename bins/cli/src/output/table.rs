//! Tables of answers.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use serde_json::Value;

use super::cell::{Kind, cell, plain};

/// Spaces between two columns.
const GAP: u16 = 2;

/// A column, or a line of a card: title, JSON pointer to the value, and its meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    pointer: &'static str,
    kind: Kind,
}

pub(crate) const fn column(title: &'static str, pointer: &'static str, kind: Kind) -> Column {
    Column { title, pointer, kind }
}

/// A line for each item, below a head.
pub(crate) fn table(items: &Value, columns: &[Column]) -> String {
    let mut table = bare();
    table.set_header(columns.iter().map(|column| column.title.to_uppercase()));
    for item in items.as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|column| {
            let text = Cell::new(shown(item, column));
            if column.kind.is_number() { text.set_alignment(CellAlignment::Right) } else { text }
        }));
    }
    laid_out(table)
}

/// A line for each field.
pub(crate) fn card(value: &Value, fields: &[Column]) -> String {
    let mut table = bare();
    for field in fields {
        table.add_row([format!("{}:", field.title), shown(value, field)]);
    }
    laid_out(table)
}

/// Adds a table below a text, unless there are no items.
pub(crate) fn below(head: String, items: &Value, columns: &[Column]) -> String {
    let is_empty = items.as_array().is_none_or(Vec::is_empty);
    if is_empty { head } else { format!("{head}\n\n{}", table(items, columns)) }
}

/// Shows an answer whose fields are not known here: a table of its items, or else a card.
pub(crate) fn generic(value: &Value) -> String {
    let items = value.as_array().or_else(|| value["items"].as_array());
    let mut table = bare();
    match (items, value.as_object()) {
        (Some(items), _) => {
            // What is nested would make lines of thousands of characters.
            let fields = items.first().and_then(Value::as_object).into_iter().flatten();
            let names: Vec<_> =
                fields.filter(|(_, value)| !value.is_object() && !value.is_array()).map(|(name, _)| name).collect();
            table.set_header(names.iter().map(|name| plain(&name.to_uppercase())));
            for item in items {
                table.add_row(names.iter().map(|name| cell(&item[name.as_str()], Kind::Number)));
            }
        }
        (None, Some(fields)) => {
            for (name, value) in fields {
                let nested = value.as_object().into_iter().flatten();
                table.add_rows(nested.map(|(inner, value)| field(&format!("{name}.{inner}"), value)));
                if !value.is_object() {
                    table.add_row(field(name, value));
                }
            }
        }
        (None, None) => return cell(value, Kind::Number),
    }
    laid_out(table)
}

fn field(name: &str, value: &Value) -> [String; 2] {
    [format!("{}:", plain(name)), cell(value, Kind::Number)]
}

fn shown(item: &Value, column: &Column) -> String {
    cell(item.pointer(column.pointer).unwrap_or(&Value::Null), column.kind)
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Puts each row on one line, whatever the width of the terminal, so that `grep` finds it.
fn laid_out(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 2] = [column("name", "/name", Kind::Text), column("jobs", "/counts/ready", Kind::Number)];

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let items = json!([{"name": "a", "counts": {"ready": 1}}, {"name": "longer", "counts": {"ready": 1000}}]);
        assert_eq!(table(&items, &COLUMNS), "NAME    JOBS\na          1\nlonger  1000");
    }

    #[test]
    fn answers_of_any_shape_are_shown() {
        for value in [
            json!(null),
            json!(7),
            json!([]),
            json!([1, [2]]),
            json!({"items": [null]}),
            json!({"a": {"b": []}}),
            json!("x"),
        ] {
            table(&value, &COLUMNS);
            card(&value, &COLUMNS);
            generic(&value);
        }
    }
}
