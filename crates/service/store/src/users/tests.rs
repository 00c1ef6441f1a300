use futures_util::future::join_all;
use tidegate_model::tenant::{ApiKey, Plan};
use tidegate_ratelimit::{Overrides, Tier};

use super::*;
use crate::ground::{Ground, tenant};

/// Not hashed: the tables accept any text.
pub(crate) fn password(text: &str) -> StoredPassword {
    StoredPassword::from_table(text.to_owned())
}

pub(crate) async fn user(store: &Store, tenant: &TenantId, email: &str) -> User {
    let email = email.parse().unwrap();
    store.create_user(tenant, email, "Ada".to_owned(), &password("one")).await.unwrap().unwrap()
}

pub(crate) async fn of_fifty_users_at_once_as_many_as_there_are_seats_are_created(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let create = |number: usize| {
        let (store, acme) = (&store, &acme);
        let email = format!("user{number}@example.org").parse().unwrap();
        async move { store.create_user(acme, email, "A user".to_owned(), &password("one")).await }
    };
    let created = join_all((0..50).map(create)).await;
    assert_eq!(created.iter().filter(|created| matches!(created, Ok(Some(_)))).count(), 10, "the free tier's");
    let full = created.iter().filter(|created| matches!(created, Err(StoreError::Full { what: "users", most: 10 })));
    assert_eq!(full.count(), 40);
    let page = store.users(&acme, 100, None).await.unwrap();
    assert_eq!((page.items.len(), page.next_cursor), (10, None));
    assert_eq!(store.seats_used(&acme).await.unwrap(), 10);

    // After a deletion another user can be created.
    assert!(store.delete_user(&acme, page.items[0].id).await.unwrap());
    assert_eq!(store.seats_used(&acme).await.unwrap(), 9);
    assert!(create(60).await.is_ok());
    assert!(matches!(create(61).await, Err(StoreError::Full { .. })));
    let plan = Plan::try_new(Tier::FREE, Overrides { max_users: Some(11), ..Overrides::default() }).unwrap();
    store.set_plan(&acme, &plan).await.unwrap();
    assert!(create(61).await.is_ok(), "a seat of the tenant's own");
}

pub(crate) async fn an_address_is_one_users_of_its_tenant_and_may_be_in_two(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    let other: TenantId = "other".parse().unwrap();
    store.create_tenant(&tenant(&other), &ApiKey::generate()).await.unwrap();
    let ada = user(&store, &acme, "Ada@Example.org").await;
    let again = store.create_user(&acme, "ada@example.org".parse().unwrap(), "Ada".to_owned(), &password("two")).await;
    assert!(matches!(again, Err(StoreError::Exists { what: "user", .. })), "{again:?}");
    let there = user(&store, &other, "ada@example.org").await;

    let found = store.user_of_email(&acme, &"ada@EXAMPLE.org".parse().unwrap()).await.unwrap();
    assert_eq!(found, Some((ada.clone(), password("one"))));
    assert_eq!(store.user(&acme, ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.user(&other, ada.id).await.unwrap(), None);
    assert!(!store.delete_user(&other, ada.id).await.unwrap());
    assert!(!store.set_password(&other, ada.id, &password("two"), None).await.unwrap());
    assert!(store.delete_user(&acme, ada.id).await.unwrap());
    assert_eq!(store.user(&acme, ada.id).await.unwrap(), None);
    assert_eq!(store.user(&other, there.id).await.unwrap(), Some(there));
    let nobody = "nobody".parse().unwrap();
    assert_eq!(
        store.create_user(&nobody, "a@b".parse().unwrap(), "A".to_owned(), &password("one")).await.unwrap(),
        None
    );
}

pub(crate) async fn pages_hold_every_user_once(ground: &Ground) {
    let (store, acme) = ground.with_tenant().await;
    for number in 0..7 {
        user(&store, &acme, &format!("user{number}@example.org")).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.users(&acme, 3, after).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.iter().map(|user| user.email.to_string()));
        let Some(cursor) = page.next_cursor else { break };
        after = Some(cursor.parse().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..7).map(|number| format!("user{number}@example.org")).collect::<Vec<_>>());
}
