//! The limits of the tiers.

use tidegate_ratelimit::{Overrides, QuotaError, Tier, TierLimits};

fn figures(limits: TierLimits) -> (u64, u64, u64, Option<u32>) {
    (limits.per_minute(), limits.per_hour(), limits.per_day(), limits.max_users())
}

#[test]
fn grant_what_they_promise() {
    assert_eq!(figures(Tier::Free.limits()), (60, 1_000, 10_000, Some(10)));
    assert_eq!(figures(Tier::Basic.limits()), (120, 3_000, 30_000, Some(50)));
    assert_eq!(figures(Tier::Premium.limits()), (300, 10_000, 100_000, Some(200)));
    assert_eq!(figures(Tier::Enterprise.limits()), (1_000, 50_000, 500_000, None));
}

#[test]
fn have_one_name_everywhere() {
    for tier in Tier::ALL {
        assert_eq!(tier.to_string().parse(), Ok(tier));
        assert_eq!(serde_json::to_string(&tier).unwrap(), format!("\"{tier}\""));
        assert_eq!(serde_json::from_str::<Tier>(&format!("\"{}\"", tier.name())).unwrap(), tier);
    }
    for name in ["", "FREE", "gold"] {
        assert!(name.parse::<Tier>().unwrap_err().to_string().contains("free, basic, premium, enterprise"));
    }
}

#[test]
fn yield_to_a_tenants_own_limits() {
    let overrides: Overrides = serde_json::from_str(r#"{"per_minute":5,"max_users":1}"#).unwrap();
    let limits = Tier::Free.limits().with_overrides(&overrides).unwrap();
    assert_eq!(figures(limits), (5, 1_000, 10_000, Some(1)));
    let none = Overrides { per_day: Some(0), ..Overrides::default() };
    assert_eq!(Tier::Free.limits().with_overrides(&none), Err(QuotaError::ZeroLimit));
    assert!(serde_json::from_str::<Overrides>(r#"{"per_week":5}"#).is_err());
}

#[test]
fn show_their_figures() {
    let json = serde_json::to_value(Tier::Enterprise.limits()).unwrap();
    let shown = serde_json::json!({"per_minute": 1_000, "per_hour": 50_000, "per_day": 500_000, "max_users": null});
    assert_eq!(json, shown);
}
