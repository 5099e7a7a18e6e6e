//! One line of a record file as its fields, each as it stands in the line: nothing is copied that need not be.

use std::{borrow::Cow, fmt};

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A field of a record: its name, and its value's text.
pub(super) type Field<'l> = (Cow<'l, str>, &'l RawValue);

/// Reads a line; its fields in their order.
///
/// # Errors
/// It is no JSON object; in words.
pub(super) fn fields<'l>(line: &'l [u8], into: &mut Vec<Field<'l>>) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let read = (&mut json).deserialize_map(Object(into));
    let told = |error: serde_json::Error| error.to_string();
    read.and_then(|()| json.end()).map_err(told)
}

struct Object<'o, 'l>(&'o mut Vec<Field<'l>>);

impl<'l> Visitor<'l> for Object<'_, 'l> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record, which is a JSON object")
    }

    fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Text)? {
            if self.0.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom("a field stands twice"));
            }
            self.0.push((key, map.next_value()?));
        }
        Ok(())
    }
}

/// A text, borrowed where it has no escapes.
struct Text;

impl<'l> DeserializeSeed<'l> for Text {
    type Value = Cow<'l, str>;

    fn deserialize<D: Deserializer<'l>>(self, from: D) -> Result<Cow<'l, str>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'l> Visitor<'l> for Text {
    type Value = Cow<'l, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'l str) -> Result<Cow<'l, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'l, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A value as it stands in a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'l> {
    /// Nothing, or null.
    Null,
    /// A whole number, or 0 and 1 for false and true.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A text.
    Text(Cow<'l, str>),
    /// An array or object, as JSON.
    Json(&'l str),
}

impl<'l> Cell<'l> {
    /// The cell for a value. A number that SQLite can't hold exactly stays as its digits.
    pub(super) fn of(value: &'l RawValue) -> Self {
        let raw = value.get();
        match raw.as_bytes().first() {
            Some(b'"') => Self::text(raw),
            Some(b'{' | b'[') => Self::Json(raw),
            Some(b't') => Self::Integer(1),
            Some(b'f') => Self::Integer(0),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::number(raw),
        }
    }

    fn text(raw: &'l str) -> Self {
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        if !inner.contains('\\') {
            return Self::Text(Cow::Borrowed(inner));
        }
        match serde_json::from_str::<String>(raw) {
            Ok(text) => Self::Text(Cow::Owned(text)),
            // A lone surrogate is no text; what stands in the line is kept.
            Err(_) => Self::Json(raw),
        }
    }

    fn number(raw: &'l str) -> Self {
        if let Ok(whole) = raw.parse() {
            return Self::Integer(whole);
        }
        let is_whole = raw.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match raw.parse::<f64>() {
            Ok(real) if !is_whole && real.is_finite() => Self::Real(real),
            _ => Self::Text(Cow::Borrowed(raw)),
        }
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Json(raw) => ValueRef::Text(raw.as_bytes()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<(String, Cell<'_>)>, String> {
        let mut found = Vec::new();
        fields(line.as_bytes(), &mut found)?;
        let cells = found.into_iter();
        Ok(cells
            .map(|(key, raw)| (key.into_owned(), Cell::of(raw)))
            .collect())
    }

    #[test]
    fn values_come_as_they_stand() {
        let line = r#"{"a":"x","b":"\u0041\n","c":18446744073709551615,"d":-1.5,"e":[1,"y"],"f":true,"g":null,"h":1e999}"#;
        let text = |t: &'static str| Cell::Text(Cow::Borrowed(t));
        let wanted = [
            ("a", text("x")),
            ("b", text("A\n")),
            ("c", text("18446744073709551615")),
            ("d", Cell::Real(-1.5)),
            ("e", Cell::Json("[1,\"y\"]")),
            ("f", Cell::Integer(1)),
            ("g", Cell::Null),
            ("h", text("1e999")),
        ];
        let found = read(line).unwrap();
        assert_eq!(found.len(), wanted.len());
        for ((name, cell), (wanted_name, wanted)) in found.iter().zip(&wanted) {
            assert_eq!((name.as_str(), cell), (*wanted_name, wanted));
        }
    }

    #[test]
    fn what_is_no_record_says_why() {
        for wrong in [
            "",
            "[]",
            "{",
            "{\"a\":1,\"a\":2}",
            "{} {}",
            "\u{0}",
            "{\"a\":NaN}",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
