//! Charges in Redis what was admitted during an outage.

use std::time::Duration;

use tidegate_redis::Arg;

use super::limiter::numbers;
use super::{MAX_MICROS, RedisAlgorithm, RedisLimiter};
use crate::CheckError;
use crate::key::ensure_short;
use crate::timestamp::whole_micros;

/// The amounts of one key that one process admitted during an outage, and its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debit<'a> {
    /// Identifies the process among all that share the limiter.
    pub(crate) process: &'a str,
    /// Increases with each debit of the process.
    pub(crate) number: u64,
    /// Pairs of the time since an amount was admitted and the amount.
    pub(crate) charges: &'a [(Duration, u64)],
    /// Remaining time of a block that began in the process.
    pub(crate) block: Duration,
    /// Time since the block was set manually. `None` if it was not. A manual block replaces every
    /// earlier one, even a longer one.
    pub(crate) by_hand: Option<Duration>,
}

/// Additional time for which a number is stored after its charges have expired, in microseconds.
/// Charges that are repeated later no longer count.
const MEMORY: u64 = 60_000_000;

impl<A: RedisAlgorithm> RedisLimiter<A> {
    /// Charges a debit. Repeating it, even after an error, charges nothing more.
    pub(crate) async fn debit(&self, key: &str, debit: Debit<'_>) -> Result<(), CheckError> {
        ensure_short(key)?;
        let algorithm = self.algorithm();
        let [_, _, decay] = self.policy().map_or([0; 3], |policy| policy.rule());
        let memory = algorithm.remembers().saturating_add(MEMORY).min(MAX_MICROS) / 1_000;
        let block = whole_micros(debit.block).min(MAX_MICROS);
        let mut args: Vec<Arg> = vec![debit.process.into(), debit.number.into()];
        args.extend([memory, block].map(Arg::from));
        args.push(debit.by_hand.map_or(Arg::from(-1_i64), |age| whole_micros(age).min(MAX_MICROS).into()));
        let mut numbers = numbers(&[decay.min(MAX_MICROS), debit.charges.len() as u64], &algorithm, 0);
        for (age, amount) in debit.charges {
            numbers.extend([whole_micros(*age).min(MAX_MICROS), *amount]);
            algorithm.rule(*amount, &mut numbers);
        }
        args.extend(numbers.into_iter().map(Arg::from));
        let group = self.group(key);
        let keys = [group.as_str().to_owned(), group.key("debits")];
        self.client().run(&self.scripts.debit, &keys, args).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidegate_redis::{Client, ClockPrelude, Command, Config, Keyspace, Role};
    use tidegate_testkit::redis::{Effect, RedisServer};

    use super::*;
    use crate::{
        FixedWindow, LeakyBucket, Limiter, Quota, Quotas, SlidingCounter, SlidingWindow, TokenBucket, Windows,
    };

    const START: u64 = 1_700_000_000_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    struct World {
        client: Client,
        server: RedisServer,
    }

    impl World {
        async fn start() -> Self {
            let server = RedisServer::start().await;
            let config = Config::parse(&server.url()).unwrap().command_timeout(30 * SECOND);
            let world = Self { client: Client::connect(&config, Role::Cache).await.unwrap(), server };
            world.set_clock(Duration::ZERO).await;
            world
        }

        async fn set_clock(&self, passed: Duration) {
            let now = START + whole_micros(passed);
            self.client.execute(Command::new("SET").key("clock").arg(now)).await.unwrap();
        }

        async fn count(&self, command: &'static str, key: &str) -> i64 {
            self.client.execute(Command::new(command).key(key)).await.unwrap().as_int().unwrap()
        }

        fn limiter<A: RedisAlgorithm>(&self, name: &str, algorithm: A) -> RedisLimiter<A> {
            let builder = RedisLimiter::builder(name, algorithm, self.client.clone(), Keyspace::new("test").unwrap());
            builder.test_clock(ClockPrelude::from_key("clock")).build().unwrap()
        }
    }

    async fn debit<A: RedisAlgorithm>(limiter: &RedisLimiter<A>, number: u64, charges: &[(Duration, u64)]) {
        let debit = Debit { process: "process", number, charges, block: Duration::ZERO, by_hand: None };
        limiter.debit("key", debit).await.unwrap();
    }

    async fn remaining<A: RedisAlgorithm>(limiter: &RedisLimiter<A>) -> u64 {
        limiter.peek("key", 0).await.unwrap().remaining()
    }

    #[tokio::test]
    async fn many_debits_share_segments_and_count_for_a_period() {
        let world = World::start().await;
        let quota = Quota::new(100_000, 60 * SECOND).unwrap();
        let limiter = world.limiter("window", SlidingWindow::new(quota));
        let step = Duration::from_millis(120);
        for nth in 1..=500 {
            world.set_clock(u32::try_from(nth).unwrap() * step).await;
            // Admitted just now, and during the two seconds before.
            debit(&limiter, nth, &[(Duration::from_millis(37 * nth % 2_000), 1), (Duration::ZERO, 1)]).await;
            if nth % 3 == 0 {
                assert!(limiter.check("key", 1).await.unwrap().is_allowed());
            }
        }
        let (used, bytes) = (100_000 - remaining(&limiter).await, world.count("STRLEN", "test:{rl:window:key}").await);
        assert!((1_166 - 60..=1_166).contains(&used), "{used}");
        assert!(bytes <= 100 + 14 * 2 * 62, "{bytes} bytes");
        // The last charge is from the end of the minute. It counts for one minute, and at most one
        // segment longer.
        world.set_clock(120 * SECOND - Duration::from_micros(1)).await;
        assert!(remaining(&limiter).await < 100_000);
        world.set_clock(121 * SECOND).await;
        assert_eq!(remaining(&limiter).await, 100_000);
    }

    /// A charge is never lost: a debit that is repeated is charged at least once.
    async fn tear<A: RedisAlgorithm>(algorithm: A) {
        let world = World::start().await;
        let limiter = world.limiter("torn", algorithm);
        let file = world.server.append_only_file();
        let base = file.effects();
        debit(&limiter, 1, &[(Duration::ZERO, 10)]).await;
        let script = world.server.effects_since(base.len());
        assert_eq!(script.iter().map(Effect::name).collect::<Vec<_>>(), ["SET", "HSET", "PEXPIREAT"]);
        for prefix in 0..=script.len() {
            world.server.replay(&[&base, &script[..prefix]].concat()).await;
            debit(&limiter, 1, &[(Duration::ZERO, 10)]).await;
            let charged = 100 - remaining(&limiter).await;
            assert_eq!(charged, if prefix == 1 { 20 } else { 10 }, "after {:?}", &script[..prefix]);
        }
        // The server ignores the partial script, receives the repetition, and has both after the
        // next restart.
        world.server.replay(&base).await;
        let written = world.server.append_only_file().effects().len();
        debit(&limiter, 1, &[(Duration::ZERO, 10)]).await;
        let repeated = world.server.effects_since(written);
        for prefix in 0..=script.len() {
            world.server.replay(&[&base, &script[..prefix], &repeated].concat()).await;
            assert_eq!(remaining(&limiter).await, 90, "after {:?}", &script[..prefix]);
        }
    }

    #[tokio::test]
    async fn a_torn_debit_is_charged_when_it_is_repeated() {
        let quota = Quota::per_minute(100).unwrap();
        tear(SlidingWindow::new(quota)).await;
        tear(FixedWindow::new(quota)).await;
        tear(SlidingCounter::new(quota)).await;
        tear(TokenBucket::new(quota)).await;
        tear(Windows::new(Quotas::new(&[quota, Quota::per_hour(200).unwrap()]).unwrap())).await;
    }

    #[tokio::test]
    async fn a_bucket_takes_what_has_not_refilled_since() {
        async fn charges<A: RedisAlgorithm>(world: &World, name: &str, algorithm: A) {
            let limiter = world.limiter(name, algorithm);
            world.set_clock(Duration::ZERO).await;
            // Another client uses the bucket.
            assert!(limiter.check("key", 1).await.unwrap().is_allowed());
            debit(&limiter, 1, &[(3_600 * SECOND, 100)]).await;
            assert_eq!(remaining(&limiter).await, 99, "{name}: that has refilled long ago");
            // Sixty in two parts, of which twenty have refilled.
            debit(&limiter, 2, &[(12 * SECOND, 40), (6 * SECOND, 20)]).await;
            assert_eq!(remaining(&limiter).await, 99 - 40, "{name}");
            debit(&limiter, 3, &[(Duration::ZERO, 1_000)]).await;
            let wait = limiter.check("key", 1).await.unwrap().retry_after().unwrap();
            assert!(wait <= 61 * SECOND, "{name}: {wait:?}, twice the capacity at most");
        }
        let world = World::start().await;
        let quota = Quota::per_minute(100).unwrap();
        charges(&world, "bucket", TokenBucket::new(quota)).await;
        charges(&world, "meter", LeakyBucket::meter(quota)).await;
    }

    #[tokio::test]
    async fn a_block_by_hand_replaces_what_began_before_and_another_one_lengthens() {
        let world = World::start().await;
        let limiter = world.limiter("window", SlidingWindow::new(Quota::per_minute(100).unwrap()));
        let mut number = 0;
        let mut left_after = async |block, by_hand| {
            number += 1;
            let debit = Debit { process: "process", number, charges: &[], block, by_hand };
            limiter.debit("key", debit).await.unwrap();
            limiter.peek("key", 0).await.unwrap().blocked_for()
        };
        assert_eq!(left_after(600 * SECOND, None).await, Some(600 * SECOND));
        assert_eq!(left_after(60 * SECOND, None).await, Some(600 * SECOND));
        world.set_clock(10 * SECOND).await;
        assert_eq!(left_after(60 * SECOND, Some(11 * SECOND)).await, Some(590 * SECOND), "that one was set before");
        assert_eq!(left_after(60 * SECOND, Some(9 * SECOND)).await, Some(60 * SECOND));
        assert_eq!(left_after(Duration::ZERO, Some(Duration::ZERO)).await, None);
    }

    #[tokio::test]
    async fn a_repetition_whose_number_is_forgotten_charges_nothing() {
        let world = World::start().await;
        let limiter = world.limiter("bucket", TokenBucket::new(Quota::per_minute(100).unwrap()));
        debit(&limiter, 1, &[(10 * SECOND, 100)]).await;
        debit(&limiter, 1, &[(10 * SECOND, 100)]).await;
        assert_eq!(remaining(&limiter).await, 16);
        // The reply was lost, and the process was disconnected for longer than the number is
        // stored.
        let memory = 120 * SECOND + Duration::from_micros(1 + MEMORY);
        world.set_clock(memory).await;
        assert_eq!(world.count("DEL", "test:{rl:bucket:key}:debits").await, 1);
        assert!(limiter.check("key", 1).await.unwrap().is_allowed());
        debit(&limiter, 1, &[(10 * SECOND + memory, 100)]).await;
        assert_eq!(remaining(&limiter).await, 99);
    }
}
