//! The standard commands that check a part without this program.

use evidence::verify::{CollectionReport, PartReport};

/// One command a line, for the first part that was opened; `FILE` is its plain ZIP.
pub fn without_us(report: &CollectionReport) -> Vec<String> {
    let Some(part) = report.parts.iter().find(|p| p.opened) else {
        return Vec::new();
    };
    let zip = quote(plain_name(part));
    let mut commands = vec![
        format!("unzip -t {zip}"),
        format!("unzip -q {zip} -d part && cd part && sha256sum -c SHA256SUMS"),
    ];
    let at = part.signer.as_ref().and_then(|s| s.claimed);
    let at = at.map_or_else(String::new, |t| format!(" -attime {}", t.seconds));
    commands.push(format!(
        "openssl cms -verify -binary -inform DER -in SHA256SUMS.p7s -content SHA256SUMS \
         -CAfile root.crt -no-CApath -no-CAstore{at} -out /dev/null"
    ));
    commands
}

fn plain_name(part: &PartReport) -> &str {
    part.file.strip_suffix(".age").unwrap_or(&part.file)
}

/// Quoted for a POSIX shell, so that a hostile file name stays one word.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        return word.to_owned();
    }
    let dash = if word.starts_with('-') { "./" } else { "" };
    format!("'{dash}{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_file_names_stay_one_word() {
        assert_eq!(quote("a/part-0001.zip"), "a/part-0001.zip");
        assert_eq!(quote("a b;rm"), "'a b;rm'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote("-x"), "'./-x'");
    }
}
