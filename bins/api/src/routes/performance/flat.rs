//! Converts JSON to rows for sections without a table of their own: each leaf under its path.

use serde_json::Value;
use tidegate_telemetry::{Table, cell};

/// Two columns: `figure`, such as `sessions.0.state`, and `value`.
pub(super) fn table(json: &Value) -> Table {
    let mut rows = Vec::new();
    walk(json, &mut String::new(), &mut rows);
    Table { columns: &["figure", "value"], rows }
}

fn walk(json: &Value, path: &mut String, rows: &mut Vec<Vec<String>>) {
    match json {
        Value::Object(members) => members.iter().for_each(|(name, value)| step(value, name, path, rows)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| step(value, &at.to_string(), path, rows));
        }
        leaf => rows.push(vec![path.clone(), cell(leaf)]),
    }
}

fn step(value: &Value, name: &str, path: &mut String, rows: &mut Vec<Vec<String>>) {
    let before = path.len();
    if before > 0 {
        path.push('.');
    }
    path.push_str(name);
    walk(value, path, rows);
    path.truncate(before);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_leaf_stands_under_its_path() {
        let json = json!({"a": {"b": [1, "two", null]}, "c": true, "d": [], "e": {}});
        let rows = [["a.b.0", "1"], ["a.b.1", "two"], ["a.b.2", ""], ["c", "true"]];
        assert_eq!(table(&json).rows, rows.map(|row| row.map(str::to_owned).to_vec()));
        assert_eq!(table(&json!(7)).rows, [["", "7"]]);
    }
}
