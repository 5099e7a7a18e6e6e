//! The standard commands that check a part without this program.

use std::path::Path;

use evidence::verify::{CollectionReport, PartReport};

/// Steps in words, each with its command lines; for the first part, the others go the same way.
///
/// They are to be run in the part's folder, with `root.crt`, `tsa.crt` and `vault.txt` there.
pub fn without_us(report: &CollectionReport) -> Vec<(String, Vec<String>)> {
    let opened = report.parts.iter().find(|p| p.opened);
    let Some(part) = opened.or(report.parts.first()) else {
        return Vec::new();
    };
    let name = Path::new(&part.file).file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let zip = name.strip_suffix(".age").unwrap_or(&name).to_owned();
    let stem = zip.strip_suffix(".zip").unwrap_or(&zip).to_owned();
    let mut steps = Vec::new();
    if part.cipher_sha256.is_some() {
        let age = quote(&format!("{zip}.age"));
        steps.push((
            "The encrypted file is the one named above (compare the digest), and opens with the vault's key:".to_owned(),
            vec![
                format!("sha256sum {age}"),
                format!("age -d -i vault.txt -o {} {age}", quote(&zip)),
            ],
        ));
    }
    steps.extend(inside(part, &zip, &stem));
    if let Some(stamp) = &part.stamp {
        let (statement, tsr) = (format!("{stem}.statement.json"), format!("{stem}.tsr"));
        steps.push((
            "The outside authority stamped the statement then (tsa.crt: its root):".to_owned(),
            vec![format!(
                "openssl ts -verify -data {} -in {} -CAfile tsa.crt -attime {}",
                quote(&statement),
                quote(&tsr),
                stamp.at.seconds
            )],
        ));
    }
    steps
}

fn inside(part: &PartReport, zip: &str, stem: &str) -> Vec<(String, Vec<String>)> {
    let (zip, folder) = (quote(zip), quote(&format!("check-{stem}")));
    let at = part
        .time
        .map_or_else(String::new, |t| format!(" -attime {}", t.at.seconds));
    let rests = part.time.map_or_else(String::new, |t| {
        format!(" (the time after -attime is known {})", t.basis.in_words())
    });
    vec![
        (
            "The archive is whole, and every file in it is the one that was sealed:".to_owned(),
            vec![
                format!("unzip -t {zip}"),
                format!("unzip -q {zip} -d {folder}"),
                format!("(cd {folder} && sha256sum -c SHA256SUMS)"),
            ],
        ),
        (
            format!("The seal holds under your own copy of root.crt{rests}:"),
            vec![format!(
                "openssl cms -verify -binary -inform DER -in {folder}/SHA256SUMS.p7s \
                 -content {folder}/SHA256SUMS -CAfile root.crt -no-CApath -no-CAstore{at} -out /dev/null"
            )],
        ),
    ]
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
