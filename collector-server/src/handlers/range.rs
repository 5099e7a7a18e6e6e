//! One range of bytes, as RFC 9110 has it; several at once are answered by the whole.

use std::ops::Range;

use axum::http::{HeaderMap, header};

use crate::refusal::Refusal;

/// What of a part is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes, at least one.
    Span(Range<u64>),
}

impl Wanted {
    /// The bytes of a part of this size.
    pub(super) fn bytes(&self, size: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..size,
            Self::Span(span) => span.clone(),
        }
    }
}

/// Reads Range and If-Range; what is no range of bytes is passed over.
///
/// # Errors
/// The range lies outside the part.
pub(super) fn wanted(headers: &HeaderMap, tag: &str, size: u64) -> Result<Wanted, Refusal> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let is_other = text(header::IF_RANGE).is_some_and(|held| held != tag);
    let spec = text(header::RANGE).and_then(|r| r.strip_prefix("bytes="));
    let Some(spec) = spec.filter(|_| !is_other) else {
        return Ok(Wanted::Whole);
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Ok(Wanted::Whole);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // Past u64 is past any part.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let span = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Ok(Wanted::Whole),
    };
    if span.start >= span.end {
        return Err(Refusal::Range(size));
    }
    Ok(Wanted::Span(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str, if_range: Option<&str>) -> Result<Wanted, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        if let Some(tag) = if_range {
            headers.insert(header::IF_RANGE, tag.parse().unwrap());
        }
        wanted(&headers, "\"t\"", 10)
    }

    #[test]
    fn one_range_is_read_as_the_rfc_has_it() {
        for (text, span) in [
            ("bytes=0-0", 0..1),
            ("bytes=3-", 3..10),
            ("bytes=3-99999999999999999999999", 3..10),
            ("bytes=-4", 6..10),
            ("bytes=-40", 0..10),
        ] {
            assert_eq!(of(text, None).unwrap(), Wanted::Span(span), "{text}");
        }
        for text in [
            "bytes=1-2,4-5",
            "bytes=a-b",
            "bytes=5-3",
            "lines=1-2",
            "bytes=",
            "bytes=--1",
        ] {
            assert_eq!(of(text, None).unwrap(), Wanted::Whole, "{text}");
        }
        for text in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
            assert!(matches!(of(text, None), Err(Refusal::Range(10))), "{text}");
        }
    }

    #[test]
    fn a_range_of_another_part_is_passed_over() {
        assert_eq!(of("bytes=3-", Some("\"u\"")).unwrap(), Wanted::Whole);
        assert_eq!(of("bytes=3-", Some("\"t\"")).unwrap(), Wanted::Span(3..10));
    }
}
