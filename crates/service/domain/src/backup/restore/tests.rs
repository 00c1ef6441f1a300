use super::*;

#[test]
fn what_a_killed_restore_fetched_is_removed_by_the_next() {
    let place = tempfile::tempdir().unwrap();
    let [left, other] = [".restore-0198c2a4", "tidegate.db"].map(|name| place.path().join(name));
    std::fs::write(&left, "all tables, in clear").unwrap();
    std::fs::write(&other, "").unwrap();
    remove_fetched(place.path()).unwrap();
    assert!(!left.exists() && other.exists());
}
