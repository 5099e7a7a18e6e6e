//! Makes evidence, genuine and forged, from fixed keys: what `tests/vectors/` holds.
//!
//! Certificates and signatures come out the same each time (deterministic ECDSA); encryption and time
//! stamps can't.

pub(crate) mod authority;
pub(crate) mod cases;
pub(crate) mod certificate;
pub(crate) mod deployment;
pub(crate) mod draft;
pub(crate) mod judge;
pub(crate) mod log;
pub(crate) mod zip;

use std::collections::BTreeMap;

use evidence::instant::Instant;

/// The moment around which everything here happens: 2026-11-20T10:00:00Z.
const NOON: i64 = 1_795_168_800;
/// A day in seconds.
pub(crate) const DAY: i64 = 86_400;

/// So many seconds after that moment.
pub(crate) fn at(seconds: i64) -> Instant {
    Instant {
        seconds: NOON + seconds,
        ns: 0,
    }
}

/// The files of a folder, by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What the one who checks has at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Given {
    /// The root's certificate.
    Trust,
    /// The vault's key.
    Identity,
    /// A vault's key that opens nothing here.
    OtherIdentity,
    /// The root of the time-stamping authority.
    StampTrust,
    /// The policy, taken from the deployment.
    Policy,
}

impl Given {
    /// Its name in the index.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Identity => "identity",
            Self::OtherIdentity => "other_identity",
            Self::StampTrust => "stamp_trust",
            Self::Policy => "policy",
        }
    }
}

/// One folder of evidence and what a verifier must say of it.
pub(crate) struct Case {
    /// The folder's name.
    pub(crate) name: &'static str,
    /// What was done to it.
    pub(crate) about: &'static str,
    /// The files in it.
    pub(crate) files: Files,
    /// What the verifier is given.
    pub(crate) given: Vec<Given>,
    /// The exit code.
    pub(crate) exit: u8,
    /// Every code that is more than a note, sorted.
    pub(crate) codes: Vec<&'static str>,
    /// Notes that must be among those made.
    pub(crate) notes: Vec<&'static str>,
    /// Every fault of the ZIP's form, sorted.
    pub(crate) faults: Vec<&'static str>,
    /// Whether only those receipts lie there that the case itself has put there.
    pub(crate) is_bare: bool,
}

impl Case {
    /// A genuine and complete collection, checked with the root at hand.
    pub(crate) fn genuine(name: &'static str, about: &'static str, files: Files) -> Self {
        Self {
            name,
            about,
            files,
            given: vec![Given::Trust],
            exit: 0,
            codes: Vec::new(),
            notes: Vec::new(),
            faults: Vec::new(),
            is_bare: false,
        }
    }

    /// A forgery, and every code that it must get.
    pub(crate) fn forged(
        name: &'static str,
        about: &'static str,
        files: Files,
        codes: &[&'static str],
    ) -> Self {
        Self {
            exit: 1,
            ..Self::genuine(name, about, files)
        }
        .codes(codes)
    }

    /// Genuine as far as it goes, with these reservations.
    pub(crate) fn reserved(
        name: &'static str,
        about: &'static str,
        files: Files,
        codes: &[&'static str],
    ) -> Self {
        Self {
            exit: 2,
            ..Self::genuine(name, about, files)
        }
        .codes(codes)
    }

    fn codes(mut self, codes: &[&'static str]) -> Self {
        self.codes = codes.to_vec();
        self.codes.sort_unstable();
        self
    }

    /// Without the receipts that the server gave for the genuine evidence.
    pub(crate) fn bare(mut self) -> Self {
        self.is_bare = true;
        self
    }

    /// With other things at hand.
    pub(crate) fn given(mut self, given: &[Given]) -> Self {
        self.given = given.to_vec();
        self
    }

    /// With notes that must be made.
    pub(crate) fn notes(mut self, notes: &[&'static str]) -> Self {
        self.notes = notes.to_vec();
        self
    }

    /// With faults of the ZIP's form.
    pub(crate) fn faults(mut self, faults: &[&'static str]) -> Self {
        self.faults = faults.to_vec();
        self.faults.sort_unstable();
        self
    }

    /// As it stands in the index.
    pub(crate) fn entry(&self) -> serde_json::Value {
        let given: Vec<_> = self.given.iter().map(|g| g.name()).collect();
        serde_json::json!({
            "name": self.name, "about": self.about, "given": given, "exit_code": self.exit,
            "codes": self.codes, "notes": self.notes, "faults": self.faults,
        })
    }
}
