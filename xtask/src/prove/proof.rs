//! One long proof.

/// A test that shows more the longer it runs.
pub(super) struct Proof {
    pub(super) name: &'static str,
    /// The claim that it proves at full size.
    pub(super) shows: &'static str,
    pub(super) package: &'static str,
    /// Features that the package needs for its tests of Redis.
    pub(super) features: &'static [&'static str],
    /// The test's binary and its name there.
    pub(super) binary: &'static str,
    pub(super) test: &'static str,
}

pub(super) const fn proof(
    name: &'static str,
    shows: &'static str,
    package: &'static str,
    binary: &'static str,
    test: &'static str,
) -> Proof {
    Proof { name, shows, package, features: &[], binary, test }
}

impl Proof {
    /// Whether it starts `tidegate-api` or `tidegate-worker`, as tests of the API alone do. Other
    /// proofs need not wait for their build.
    pub(super) fn drives_binaries(&self) -> bool {
        self.package == "tidegate-api"
    }

    /// Whether it starts the examples.
    pub(super) fn drives_examples(&self) -> bool {
        self.package == "tidegate-load"
    }

    pub(super) const fn with(mut self, features: &'static [&'static str]) -> Self {
        self.features = features;
        self
    }
}
