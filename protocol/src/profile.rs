//! Profiles: a named choice of artifacts with options, paths and limits, written in YAML.
//!
//! A profile travels inside the order as text. It names artifacts; which of them an
//! agent knows is the agent's matter, and the rest become gaps.

use std::collections::BTreeSet;

use evidence::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{hours::Hours, name::Name, scope::Scope, version::VERSION};

/// The longest profile that is read.
///
/// A hunt may carry 100,000 digests, each by its first 16 hex digits; as base64 in an order's envelope this still fits a
/// message.
pub const MAX_PROFILE_BYTES: usize = 2 << 20;
const MAX_ARTIFACTS: usize = 256;
const MAX_PATHS: usize = 4096;
const MAX_PATH_BYTES: usize = 4096;

/// A profile can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// It is longer than what is read.
    #[error("the profile has {0} bytes. Keep it below 2 MiB.")]
    TooLong(usize),
    /// It is no YAML of this shape.
    #[error("the profile is not valid YAML of the profile's schema: {0}. Correct it there.")]
    Yaml(#[from] serde_norway::Error),
    /// A later format.
    #[error("the profile is of version {0}, which this program does not know. Update the program.")]
    UnknownVersion(u64),
    /// A value makes no sense.
    #[error("the profile is not valid: {0}. Correct it.")]
    Invalid(String),
    /// No built-in profile has this name.
    #[error("there is no built-in profile {0:?}. The built-in ones are: {names}.", names = names())]
    NoSuchProfile(String),
}

/// What is to be gathered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The schema's version.
    pub v: u64,
    /// The profile's name.
    pub name: Name,
    /// One sentence for people.
    pub about: String,
    /// The artifacts; the agent orders them by volatility.
    pub artifacts: Vec<Chosen>,
    /// The roots of walks; empty leaves them to each artifact.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What the run may cost.
    #[serde(default)]
    pub limits: Limits,
}

/// One artifact of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// The artifact's name in the registry.
    pub name: Name,
    /// Its options; the artifact says which it knows.
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// What a run may cost; 0 is no limit.
///
/// The last two hold back what lies on the disk; what is gone in seconds is gathered as soon as the run begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of collected files.
    pub size_bytes: u64,
    /// Number of collected files.
    pub files: u64,
    /// Seconds from start to end.
    pub wall_seconds: u64,
    /// Share of the host's processors, 1 to 100.
    pub cpu_percent: u64,
    /// Bytes read a second.
    pub io_bytes_per_second: u64,
    /// Peak memory of the agent.
    pub memory_bytes: u64,
    /// Whether it waits while the host runs on its battery.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mains_only: bool,
    /// It waits outside of these hours of the host; none are as good as all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
}

impl Limits {
    /// The stricter of both, field by field.
    pub fn stricter(&self, other: &Self) -> Self {
        let pick = |a: u64, b: u64| match (a, b) {
            (0, limit) | (limit, 0) => limit,
            (a, b) => a.min(b),
        };
        Self {
            size_bytes: pick(self.size_bytes, other.size_bytes),
            files: pick(self.files, other.files),
            wall_seconds: pick(self.wall_seconds, other.wall_seconds),
            cpu_percent: pick(self.cpu_percent, other.cpu_percent),
            io_bytes_per_second: pick(self.io_bytes_per_second, other.io_bytes_per_second),
            memory_bytes: pick(self.memory_bytes, other.memory_bytes),
            mains_only: self.mains_only || other.mains_only,
            hours: match (&self.hours, &other.hours) {
                (Some(own), Some(others)) => Some(own.both(others)),
                (own, others) => own.clone().or_else(|| others.clone()),
            },
        }
    }

    /// Checks that they make sense.
    ///
    /// # Errors
    /// A share is above the whole.
    pub fn validate(&self) -> Result<(), ProfileError> {
        if self.cpu_percent > 100 {
            return Err(ProfileError::Invalid("cpu_percent is above 100".into()));
        }
        Ok(())
    }
}

impl Profile {
    /// Reads and validates a profile.
    ///
    /// # Errors
    /// It is no YAML of this schema, of an unknown version, or makes no sense.
    pub fn parse(yaml: &str) -> Result<Self, ProfileError> {
        #[derive(Deserialize)]
        struct Head {
            v: u64,
        }
        if yaml.len() > MAX_PROFILE_BYTES {
            return Err(ProfileError::TooLong(yaml.len()));
        }
        // A mapping with a key twice is refused here, at any depth.
        let _: serde_norway::Value = serde_norway::from_str(yaml)?;
        let Head { v } = serde_norway::from_str(yaml)?;
        if v != VERSION {
            return Err(ProfileError::UnknownVersion(v));
        }
        let profile: Self = serde_norway::from_str(yaml)?;
        profile.validate()?;
        Ok(profile)
    }

    /// The artifact of this name, if the profile chose it.
    pub fn chosen(&self, name: &str) -> Option<&Chosen> {
        self.artifacts.iter().find(|a| a.name.as_str() == name)
    }

    fn validate(&self) -> Result<(), ProfileError> {
        let invalid = |why: String| Err(ProfileError::Invalid(why));
        if self.artifacts.is_empty() || self.artifacts.len() > MAX_ARTIFACTS {
            return invalid("it must name 1 to 256 artifacts".into());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.artifacts.iter().find(|a| !seen.insert(&a.name)) {
            return invalid(format!("artifact {} stands in it twice", twice.name));
        }
        check_paths(&self.paths)?;
        self.limits.validate()
    }
}

/// What an order adds to its profile: roots of walks instead of the profile's, stricter limits, and a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The roots of walks, where given.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Limits; the stricter of these and the profile's hold.
    #[serde(default)]
    pub limits: Limits,
    /// What may be gathered at all, and by what right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

impl Parameters {
    /// The profile as this order wants it.
    ///
    /// # Errors
    /// A path or limit makes no sense.
    pub fn apply(&self, mut profile: Profile) -> Result<Profile, ProfileError> {
        check_paths(&self.paths)?;
        self.limits.validate()?;
        if let Some(scope) = &self.scope {
            scope.validate()?;
        }
        if !self.paths.is_empty() {
            profile.paths.clone_from(&self.paths);
        }
        profile.limits = profile.limits.stricter(&self.limits);
        Ok(profile)
    }
}

/// Absolute, without `..`: an agent walks what it was told by name, and nothing beside it.
pub(crate) fn check_paths(paths: &[String]) -> Result<(), ProfileError> {
    if paths.len() > MAX_PATHS {
        return Err(ProfileError::Invalid("it has more than 4,096 paths".into()));
    }
    for path in paths {
        let drive = matches!(path.as_bytes(), [d, b':', b'\\', ..] if d.is_ascii_alphabetic());
        let climbs = path.split(['/', '\\']).any(|c| c == "..");
        let fine = path.len() <= MAX_PATH_BYTES && !path.contains('\0') && !climbs;
        if !fine || !(path.starts_with('/') || drive) {
            let shown: String = path.chars().take(80).collect();
            return Err(ProfileError::Invalid(format!(
                "{shown:?} is no absolute path"
            )));
        }
    }
    Ok(())
}

/// A profile that is compiled in.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub yaml: &'static str,
}

/// Every built-in profile.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "triage",
        yaml: include_str!("../../profiles/triage.yaml"),
    },
    BuiltIn {
        name: "volatile",
        yaml: include_str!("../../profiles/volatile.yaml"),
    },
    BuiltIn {
        name: "full",
        yaml: include_str!("../../profiles/full.yaml"),
    },
    BuiltIn {
        name: "files",
        yaml: include_str!("../../profiles/files.yaml"),
    },
    BuiltIn {
        name: "hashes",
        yaml: include_str!("../../profiles/hashes.yaml"),
    },
];

/// The text of the built-in profile called `name`, and the profile.
///
/// # Errors
/// There is none of this name.
pub fn built_in(name: &str) -> Result<(&'static str, Profile), ProfileError> {
    let found = BUILT_IN.iter().find(|b| b.name == name);
    let found =
        found.ok_or_else(|| ProfileError::NoSuchProfile(name.chars().take(80).collect()))?;
    Ok((found.yaml, Profile::parse(found.yaml)?))
}

/// The digest of a profile: of its YAML bytes as carried.
pub fn digest(yaml: &str) -> Digest {
    Digest::of(yaml.as_bytes())
}

fn names() -> String {
    let names: Vec<_> = BUILT_IN.iter().map(|b| b.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "v: 1\nname: x\nabout: y\nartifacts: [{name: processes}]\n";

    #[test]
    fn every_built_in_profile_is_valid_and_bears_its_name() {
        for entry in BUILT_IN {
            let (_, profile) = built_in(entry.name).unwrap();
            assert_eq!(profile.name.as_str(), entry.name);
        }
        let error = built_in("none").unwrap_err().to_string();
        assert!(error.contains("triage"), "{error}");
    }

    #[test]
    fn rejects_what_is_not_a_profile() {
        assert!(Profile::parse(SMALL).is_ok());
        for bad in [
            "",
            "v: 1",
            "[]",
            &SMALL.replace("v: 1", "v: 2"),
            &format!("{SMALL}scope: all\n"),
            &format!("{SMALL}name: z\n"),
            &format!("{SMALL}paths: [etc]\n"),
            &format!("{SMALL}paths: [/a/../b]\n"),
            &format!("{SMALL}limits: {{cpu_percent: 101}}\n"),
            &format!("{SMALL}limits: {{files: -1}}\n"),
            &format!("{SMALL}limits: {{speed: 1}}\n"),
            &SMALL.replace("{name: processes}", ""),
            &SMALL.replace("{name: processes}", "{name: a}, {name: a}"),
            &SMALL.replace("{name: processes}", "{name: a, options: {b: 1, b: 2}}"),
            &SMALL.replace("processes", "../x"),
            &" ".repeat(MAX_PROFILE_BYTES + 1),
        ] {
            assert!(Profile::parse(bad).is_err(), "{bad:.60}");
        }
    }

    #[test]
    fn of_each_limit_the_stricter_holds_whoever_set_it() {
        let fields: [fn(&mut Limits) -> &mut u64; 6] = [
            |l| &mut l.size_bytes,
            |l| &mut l.files,
            |l| &mut l.wall_seconds,
            |l| &mut l.cpu_percent,
            |l| &mut l.io_bytes_per_second,
            |l| &mut l.memory_bytes,
        ];
        for field in fields {
            let with = |value| {
                let mut limits = Limits::default();
                *field(&mut limits) = value;
                limits
            };
            // 0 is no limit.
            for (one, other, wanted) in [(7, 9, 7), (9, 7, 7), (0, 7, 7), (7, 0, 7), (0, 0, 0)] {
                assert_eq!(with(one).stricter(&with(other)), with(wanted));
            }
        }
        let mains = Limits {
            mains_only: true,
            ..Limits::default()
        };
        assert!(mains.stricter(&Limits::default()).mains_only);
        assert!(Limits::default().stricter(&mains).mains_only);
    }

    #[test]
    fn an_order_can_only_make_limits_stricter() {
        let (_, profile) = built_in("triage").unwrap();
        let limits = Limits {
            files: 10,
            wall_seconds: 1_000_000,
            io_bytes_per_second: 5,
            mains_only: true,
            hours: Some("Mon-Fri 18:00-08:00".parse().unwrap()),
            ..Limits::default()
        };
        let paths = vec!["/etc".to_owned()];
        let mut profile = profile;
        profile.limits.hours = Some("Mon 00:00-24:00".parse().unwrap());
        let more = Parameters {
            paths,
            limits,
            scope: None,
        };
        let applied = more.apply(profile.clone()).unwrap();
        assert_eq!(applied.limits.files, 10);
        assert_eq!(applied.limits.wall_seconds, profile.limits.wall_seconds);
        assert_eq!(applied.limits.io_bytes_per_second, 5);
        assert!(applied.limits.mains_only);
        let both = applied.limits.hours.unwrap().to_string();
        assert_eq!(both, "Mon 18:00-24:00");
        assert_eq!(applied.limits.memory_bytes, profile.limits.memory_bytes);
        assert_eq!(applied.paths, ["/etc"]);
    }
}
