//! Identifiers: 128 random bits in lower-case base32, 26 characters behind a one-letter prefix.
//!
//! Parsed types everywhere, so that an id from outside can never be a piece of a path.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the id of a {kind}. It must be `{prefix}` and 26 characters of a-z and 2-7."
)]
pub struct NotAnId {
    kind: &'static str,
    prefix: &'static str,
    text: String,
}

macro_rules! id {
    ($name:ident, $prefix:literal, $kind:literal) => {
        #[doc = concat!("The id of a ", $kind, ": `", $prefix, "` and 26 characters.")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new random id.
            ///
            /// # Errors
            /// The system's random source does not answer.
            pub fn random() -> Result<Self, getrandom::Error> {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes)?;
                Ok(Self(bytes))
            }

            /// The id made of these 128 bits.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 128 bits.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse($prefix, text).map(Self).ok_or_else(|| NotAnId {
                    kind: $kind,
                    prefix: $prefix,
                    text: text.chars().take(64).collect(),
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(HostId, "h-", "host");
id!(AgentId, "a-", "agent");
id!(OrderId, "o-", "order");
id!(CollectionId, "c-", "collection");
id!(KitId, "k-", "kit");
id!(HoldId, "l-", "legal hold");

fn parse(prefix: &str, text: &str) -> Option<[u8; 16]> {
    let rest = text.strip_prefix(prefix)?;
    if rest.len() != 26 || rest.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let bytes = BASE32_NOPAD
        .decode(rest.to_ascii_uppercase().as_bytes())
        .ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let id = AgentId::random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 28);
    }

    #[test]
    fn rejects_what_is_not_an_id() {
        for text in [
            "",
            "a-",
            "a-../../etc/passwd/aaaaaaaaaa",
            "h-aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "a-AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "a-aaaaaaaaaaaaaaaaaaaaaaaaa",
            "a-aaaaaaaaaaaaaaaaaaaaaaaaab",
        ] {
            assert!(text.parse::<AgentId>().is_err(), "{text}");
        }
    }
}
