//! The headers that a client receives.

use std::time::Duration;

use http::HeaderMap;
use tidegate_ratelimit::headers::{apply, apply_tenant, whole_seconds};
use tidegate_ratelimit::{Allowance, Decision, Denial, Quota, TenantState, Tier, Timestamp};

fn allowed(quota: Quota, remaining: u64, reset_after: Duration) -> Decision {
    Decision::Allowed(Allowance { quota, limit: quota.limit(), remaining, reset_after, delay: Duration::ZERO })
}

fn denied(quota: Quota, retry_after: Duration) -> Decision {
    let reset_after = 2 * retry_after;
    Decision::Denied(Denial { quota, limit: quota.limit(), remaining: 0, reset_after, retry_after, blocked_for: None })
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn an_allowance_says_what_is_left() {
    let mut headers = HeaderMap::new();
    apply(&mut headers, "minute", &allowed(Quota::per_minute(100).unwrap(), 20, Duration::from_millis(22_001)));
    assert_eq!(all(&headers, "ratelimit-policy"), ["\"minute\";q=100;w=60"]);
    assert_eq!(all(&headers, "ratelimit"), ["\"minute\";r=20;t=23"]);
    assert!(!headers.contains_key("retry-after"));
}

#[test]
fn a_denial_says_when_to_come_back_never_too_early() {
    for (wait, seconds) in [(1, "1"), (1_000_000, "1"), (1_000_001, "2"), (86_400_000_000, "86400")] {
        let mut headers = HeaderMap::new();
        apply(&mut headers, "api", &denied(Quota::per_minute(100).unwrap(), Duration::from_micros(wait)));
        assert_eq!(all(&headers, "retry-after"), [seconds]);
        assert_eq!(all(&headers, "ratelimit"), [format!("\"api\";r=0;t={seconds}")]);
    }
    assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
}

#[test]
fn several_limiters_share_the_response() {
    let quota = Quota::per_minute(100).unwrap();
    let mut headers = HeaderMap::new();
    apply(&mut headers, "one", &denied(quota, Duration::from_secs(9)));
    apply(&mut headers, "two", &allowed(quota, 3, Duration::ZERO));
    apply(&mut headers, "three", &denied(quota, Duration::from_secs(5)));
    assert_eq!(all(&headers, "ratelimit").len(), 3);
    assert_eq!(all(&headers, "retry-after"), ["9"]);
}

#[test]
fn any_name_and_any_number_make_a_legal_structured_field() {
    let quota = Quota::new(Quota::MAX_LIMIT, Duration::from_micros(1)).unwrap();
    let mut headers = HeaderMap::new();
    apply(&mut headers, "a\"b\\c\r\nd é", &allowed(quota, u64::MAX, Duration::MAX));
    assert_eq!(all(&headers, "ratelimit-policy"), [r#""a\"b\\c__d _";q=999999999999999;w=1"#]);
    assert_eq!(all(&headers, "ratelimit"), [r#""a\"b\\c__d _";r=999999999999999;t=999999999999999"#]);
}

#[test]
fn a_tenant_sees_three_policies_and_the_binding_window() {
    let noon = Timestamp::from_micros(20_000 * 86_400_000_000 + 12 * 3_600_000_000);
    let mut tenant = TenantState::default();
    let limits = Tier::FREE.into();
    let policies = ["\"minute\";q=60;w=60, \"hour\";q=1000;w=3600, \"day\";q=10000;w=86400"];
    let mut headers = HeaderMap::new();
    apply_tenant(&mut headers, &tenant.check(&limits, noon, 60).unwrap());
    assert_eq!(all(&headers, "ratelimit-policy"), policies);
    assert_eq!(all(&headers, "ratelimit"), ["\"minute\";r=0;t=60"]);
    assert!(!headers.contains_key("retry-after"));

    let mut headers = HeaderMap::new();
    apply_tenant(&mut headers, &tenant.check(&limits, noon, 1).unwrap());
    assert_eq!(all(&headers, "ratelimit-policy"), policies);
    assert_eq!(all(&headers, "ratelimit"), ["\"minute\";r=0;t=60"]);
    assert_eq!(all(&headers, "retry-after"), ["60"]);
}
