//! The limits of the tiers.

use tidegate_ratelimit::{Overrides, QuotaError, TenantPlan, Tier, TierError, TierLimits, Tiers};

fn figures(limits: TierLimits) -> (u64, u64, u64, Option<u32>) {
    (limits.per_minute(), limits.per_hour(), limits.per_day(), limits.max_users())
}

#[test]
fn grant_what_they_promise() {
    assert_eq!(figures(Tier::FREE.limits()), (60, 1_000, 10_000, Some(10)));
    assert_eq!(figures(Tier::BASIC.limits()), (120, 3_000, 30_000, Some(50)));
    assert_eq!(figures(Tier::PREMIUM.limits()), (300, 10_000, 100_000, Some(200)));
    assert_eq!(figures(Tier::ENTERPRISE.limits()), (1_000, 50_000, 500_000, None));
}

#[test]
fn are_found_by_their_names() {
    let tiers = Tiers::default();
    let names: Vec<&str> = tiers.iter().map(Tier::name).collect();
    assert_eq!(names, ["free", "basic", "premium", "enterprise"]);
    for tier in tiers.iter() {
        assert_eq!(tiers.get(tier.name()).as_ref(), Ok(tier));
    }
    for name in ["", "FREE", "gold"] {
        assert!(tiers.get(name).unwrap_err().to_string().contains("free, basic, premium, enterprise"));
    }
}

#[test]
fn can_be_added_and_changed() {
    let limits = TierLimits::new(200, 5_000, 50_000, Some(25)).unwrap();
    let tiers = Tiers::default().with(Tier::new("startup", limits).unwrap()).unwrap();
    let tiers = tiers.with(Tier::new("free", limits).unwrap()).unwrap();
    let names: Vec<&str> = tiers.iter().map(Tier::name).collect();
    assert_eq!(names, ["free", "basic", "premium", "enterprise", "startup"]);
    assert_eq!(figures(tiers.get("free").unwrap().limits()), (200, 5_000, 50_000, Some(25)));
    assert_eq!(figures(Tiers::default().get("free").unwrap().limits()), (60, 1_000, 10_000, Some(10)));
    assert!(tiers.get("gold").unwrap_err().to_string().ends_with("enterprise, startup"));

    let number = |tiers: Tiers, number: usize| tiers.with(Tier::new(&format!("tier-{number}"), limits).unwrap());
    let full = (5..255).try_fold(tiers, number).unwrap();
    assert_eq!(number(full.clone(), 255), Err(TierError::TooMany { max: 255 }));
    assert!(number(full, 254).is_ok());
}

#[test]
fn have_a_name_that_fits_logs_and_urls() {
    for name in ["a", "tier-2", "0123456789abcdef"] {
        assert_eq!(Tier::new(name, Tier::FREE.limits()).unwrap().name(), name);
    }
    for name in ["", "0123456789abcdefg", "Gold", "two words", "gold\0", "größe"] {
        let error = Tier::new(name, Tier::FREE.limits()).unwrap_err();
        assert!(error.to_string().contains("1 to 16 lower-case letters"), "{error}");
    }
}

#[test]
fn a_plan_keeps_its_tier_and_limits_in_json() {
    let startup = Tier::new("startup", TierLimits::new(200, 5_000, 50_000, None).unwrap()).unwrap();
    let own = Overrides { per_hour: Some(9), ..Overrides::default() };
    let plan = TenantPlan::try_new(startup, own).unwrap().at_epoch(4);
    let json = serde_json::to_value(plan).unwrap();
    assert_eq!((&json["tier"], &json["effective_limits"]["per_hour"]), (&"startup".into(), &9.into()));
    assert_eq!(serde_json::from_value::<TenantPlan>(json.clone()).unwrap(), plan);
    for (field, wrong) in [("tier", "Gold".into()), ("effective_limits", serde_json::json!({"per_minute": 0}))] {
        let mut json = json.clone();
        json[field] = wrong;
        assert!(serde_json::from_value::<TenantPlan>(json).is_err(), "{field}");
    }
}

#[test]
fn yield_to_a_tenants_own_limits() {
    let overrides: Overrides = serde_json::from_str(r#"{"per_minute":5,"max_users":1}"#).unwrap();
    let limits = Tier::FREE.limits().with_overrides(&overrides).unwrap();
    assert_eq!(figures(limits), (5, 1_000, 10_000, Some(1)));
    let none = Overrides { per_day: Some(0), ..Overrides::default() };
    assert_eq!(Tier::FREE.limits().with_overrides(&none), Err(QuotaError::ZeroLimit));
    assert!(serde_json::from_str::<Overrides>(r#"{"per_week":5}"#).is_err());
}

#[test]
fn show_their_figures() {
    let json = serde_json::to_value(Tier::ENTERPRISE.limits()).unwrap();
    let shown = serde_json::json!({"per_minute": 1_000, "per_hour": 50_000, "per_day": 500_000, "max_users": null});
    assert_eq!(json, shown);
}
