//! Operations on the pauses of scans.

use serde_json::{Value, json};

use super::super::scans;
use crate::openapi::schema::{between, count, object, one_of, or_null, text, told};
use crate::openapi::{Audience, Operation, Routes, get, put};

const SCAN: &str = "/api/queue/scans/{kind}";

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            of_scan(get("showScan", SCAN, Audience::Reader, "The pause between two pages of scans of a kind"))
                .ok(scan()),
            scans::show,
        )
        .add(
            of_scan(put("replaceScan", SCAN, Audience::Admin, "Sets the pause between two pages of scans of a kind"))
                .body(object([("pause_ms", or_null(between(0, scans::LONGEST_PAUSE_MS)))]), json!({"pause_ms": 200}))
                .ok(scan())
                .fails(409, "It was changed at the same time, or it can't be read."),
            scans::replace,
        )
}

fn of_scan(operation: Operation) -> Operation {
    operation.part("kind", one_of(&scans::KINDS), scans::KINDS[0])
}

fn scan() -> Value {
    object([("kind", text()), ("pause_ms", told(or_null(count()), "`null` for the pause of the worker."))])
}
