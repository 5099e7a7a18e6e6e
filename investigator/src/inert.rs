//! Makes hostile text harmless to show: a name in evidence must not steer a terminal or a page.

use std::fmt::{self, Write as _};

/// Most characters shown of one string; the rest is counted.
const MOST_CHARS: usize = 400;

/// `text` with control, bidirectional and invisible characters written out as `\u{...}`.
pub fn inert(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MOST_CHARS));
    for (at, c) in text.chars().enumerate() {
        if at == MOST_CHARS {
            let _infallible = write!(shown, "… ({} more)", text.chars().count() - at);
            break;
        }
        push(&mut shown, c);
    }
    shown
}

/// [`inert`], and nothing of it left out: for what a person signs, and must see to the end.
pub fn inert_whole(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut shown, c));
    shown
}

fn push(shown: &mut String, c: char) {
    if is_dangerous(c) {
        let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(c));
    } else {
        shown.push(c);
    }
}

/// [`inert`], and escaped for HTML text and quoted attributes.
pub fn inert_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    // Writing to a string does not fail.
    let _infallible = write_html(&mut html, &inert(text));
    html
}

/// Writes `text` whole, inert, and escaped for HTML text and quoted attributes.
///
/// # Errors
/// Those of `out`.
pub fn write_html(mut out: impl fmt::Write, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '"' => out.write_str("&quot;")?,
            '\'' => out.write_str("&#39;")?,
            c if is_dangerous(c) => write!(out, "\\u{{{:x}}}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}

fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_or_a_page() {
        assert_eq!(inert("a\x1b[2J\nb"), "a\\u{1b}[2J\\u{a}b");
        assert_eq!(
            inert("gpj.\u{202e}exe\u{200b}"),
            "gpj.\\u{202e}exe\\u{200b}"
        );
        assert_eq!(inert("Grüße/日本"), "Grüße/日本");
        assert_eq!(
            inert_html("<script>'\"&\u{2066}"),
            "&lt;script&gt;&#39;&quot;&amp;\\u{2066}"
        );
        assert!(inert(&"x".repeat(100_000)).len() < 500);
        assert_eq!(inert_whole(&"x".repeat(1000)).len(), 1000);
        assert_eq!(inert_whole("a\u{202e}b"), "a\\u{202e}b");
    }
}
