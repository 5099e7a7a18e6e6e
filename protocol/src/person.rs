//! The public half of a person's keys as a file: what `fieldseal keys new` writes and `init` puts into the policy.
//!
//! It is a [`Person`] with the format's version in front, and nothing is proven by it:
//! whoever signs the policy vouches for the people in it.

use evidence::envelope::{EnvelopeError, parse_strict};
use serde_json::{Map, Value};

use crate::{
    error::DocumentError,
    policy::Person,
    version::{self, VERSION},
};

const KIND: &str = "person's file";
/// The longest file that is read.
pub const MAX_PERSON_BYTES: usize = 64 * 1024;

/// Reads a person's file.
///
/// # Errors
/// It is malformed, of an unknown version, or has unknown, doubled or missing fields.
pub fn read(json: &[u8]) -> Result<Person, DocumentError> {
    if json.len() > MAX_PERSON_BYTES {
        return Err(DocumentError::invalid(KIND, "it is too long"));
    }
    let mut fields: Map<String, Value> = parse_strict(json).map_err(EnvelopeError::Json)?;
    let v = fields.remove("v").and_then(|v| v.as_u64());
    version::check(
        KIND,
        v.ok_or_else(|| DocumentError::invalid(KIND, "it has no `v`"))?,
    )?;
    let person: Person =
        serde_json::from_value(Value::Object(fields)).map_err(EnvelopeError::Json)?;
    if person.roles.is_empty() || person.agencies.is_empty() {
        let why = "it names no role or no agency";
        return Err(DocumentError::invalid(KIND, why));
    }
    Ok(person)
}

/// The file's bytes.
///
/// # Errors
/// The encoder fails, which it does not.
pub fn write(person: &Person) -> Result<Vec<u8>, DocumentError> {
    #[derive(serde::Serialize)]
    struct File<'p> {
        v: u64,
        #[serde(flatten)]
        person: &'p Person,
    }
    let file = File { v: VERSION, person };
    let mut json = serde_json::to_vec_pretty(&file).map_err(EnvelopeError::Json)?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::World;

    #[test]
    fn a_written_person_is_read_again_and_nothing_else() {
        let person = World::new().policy.people[0].clone();
        let text = String::from_utf8(write(&person).unwrap()).unwrap();
        assert_eq!(read(text.as_bytes()).unwrap(), person);
        for bad in [
            text.replace("\"v\": 1", "\"v\": 2"),
            text.replace("\"v\": 1,", ""),
            text.replace("\"v\": 1,", "\"v\": 1, \"scope\": 1,"),
            text.replace("\"v\": 1,", "\"v\": 1, \"v\": 1,"),
            text.replace("\"roles\": [\n    \"investigator\"\n  ]", "\"roles\": []"),
            String::new(),
        ] {
            assert_ne!(bad, text);
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
