//! What of a record full-text search finds: the words of its texts, however deep; no times, digests or base64.
//!
//! Times and digests have indexes of their own, and as words they would make the largest part of the index.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::line::Cell;

/// So much of one record is searched; a longer one is found by its beginning.
const TEXT_BYTES: usize = 64 << 10;

/// Adds the words of one value.
pub(super) fn add(cell: &Cell<'_>, into: &mut String) {
    match cell {
        Cell::Text(text) => add_text(text, into),
        Cell::Json(raw) => {
            let mut json = serde_json::Deserializer::from_str(raw);
            // What is no JSON to this reader was kept as it stands, and has no words.
            let _no_words = Texts(into).deserialize(&mut json);
        }
        Cell::Null | Cell::Integer(_) | Cell::Real(_) => {}
    }
}

fn add_text(text: &str, into: &mut String) {
    if text.is_empty() || is_time(text) || is_digest(text) || into.len() >= TEXT_BYTES {
        return;
    }
    let mut end = text.len().min(TEXT_BYTES - into.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // Texts are kept apart, so that no phrase is found across two of them.
    into.push_str(&text[..end]);
    into.push('\n');
}

/// Whether it is a time as records write it.
pub(super) fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && bytes.len() <= 30
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes.ends_with(b"Z")
        && bytes[..4].iter().all(u8::is_ascii_digit)
}

/// Whether it is a digest in hex: MD5, SHA-1 or SHA-256.
pub(super) fn is_digest(text: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    matches!(text.len(), 32 | 40 | 64) && text.bytes().all(is_hex)
}

/// The texts inside a value, without the names of fields.
struct Texts<'t>(&'t mut String);

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        add_text(text, self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Texts(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key.ends_with("_b64") {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Texts(self.0))?;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_however_deep_and_nothing_else() {
        let mut text = String::new();
        add(
            &Cell::Json(r#"[{"path":"/a\nb","deleted":true,"path_b64":"eHg="},["c",null,1.5]]"#),
            &mut text,
        );
        for silent in ["2026-11-20T10:00:00.000000000Z", &"0a".repeat(32)] {
            add(&Cell::Text(silent.into()), &mut text);
        }
        add(&Cell::Text("web".into()), &mut text);
        assert_eq!(text, "/a\nb\nc\nweb\n");
        add(&Cell::Text("ü".repeat(TEXT_BYTES).into()), &mut text);
        assert!(text.len() <= TEXT_BYTES + 1);
    }
}
