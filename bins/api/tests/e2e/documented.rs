//! The metrics of a running node match the manual.

use reqwest::Method;

use crate::harness::Api;

const MANUAL: &str = include_str!("../../../../docs/operations/metrics.md");

#[tokio::test]
async fn every_family_of_metrics_is_in_the_manual() {
    let api = Api::start().await;
    let answer = api.request(Method::GET, "/metrics").send().await.expect("an answer");
    let text = answer.text().await.expect("text");
    let mut families = 0;
    for (family, kind) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        families += 1;
        let name = if kind == "counter" { format!("{family}_total") } else { family.to_owned() };
        // Of a use of Redis the manual names the first and of the others the ends.
        let short = name.strip_prefix("tidegate_redis_").map(|end| format!("`…_{end}`"));
        let named = [Some(format!("`{name}`")), Some(format!("`{name}{{")), short];
        assert!(
            named.iter().flatten().any(|named| MANUAL.contains(named.as_str())),
            "{name} is not in docs/operations/metrics.md"
        );
    }
    assert!(families > 50, "{text}");
}
