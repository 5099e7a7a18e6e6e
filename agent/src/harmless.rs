//! What a stranger may have written (a server, a proxy, a half that was taken over), for root's terminal.

/// `text` without what a terminal would obey.
pub(crate) fn text(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    text.chars()
        .map(|c| if is_plain(c) { c } else { '?' })
        .collect()
}

/// The same JSON without a character that a terminal obeys or that turns the order of what is read.
pub(crate) fn json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            plain.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            plain.push_str(&format!("\\u{unit:04x}"));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_a_strangers_text_is_plain_and_the_same() {
        let told = serde_json::json!({"text": "a\u{9b}2J \u{202e}é😀"});
        let plain = json(&told.to_string());
        assert!(plain.is_ascii());
        let read: serde_json::Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(read, told);
    }
}
