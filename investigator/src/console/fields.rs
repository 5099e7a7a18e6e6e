//! The fields of a form as posted. What they say is checked by whoever reads them.

use std::convert::Infallible;

use axum::body::Bytes;
use futures_util::stream;
use multer::Multipart;
use url::form_urlencoded;
use zeroize::Zeroize as _;

/// Names and values in their order; forgotten with zeros, since one of them may be a passphrase.
#[derive(Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `name=value&...`.
    pub fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// Reads `multipart/form-data`, as a form sends it that takes files; `None` where it is malformed or not text.
    pub async fn parse_files(body: Bytes, boundary: String) -> Option<Self> {
        let whole = stream::once(async { Ok::<_, Infallible>(body) });
        let mut parts = Multipart::new(whole, boundary);
        let mut fields = Self::default();
        while let Some(part) = parts.next_field().await.ok()? {
            let name = part.name()?.to_owned();
            let value = String::from_utf8(part.bytes().await.ok()?.into()).ok()?;
            fields.0.push((name, value));
        }
        Some(fields)
    }

    /// The first value called `name`, without blanks around it; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.raw(name).unwrap_or_default().trim()
    }

    /// The first value called `name`, to the letter.
    pub fn raw(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Every value called `name`.
    pub fn all(&self, name: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(n, _)| n == name);
        found.map(|(_, value)| value.clone()).collect()
    }

    /// Whether a box called `name` was ticked.
    pub fn is_set(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The lines of a value that hold something.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.get(name).lines().map(str::trim);
        lines.filter(|l| !l.is_empty()).map(str::to_owned).collect()
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_as_they_were_typed() {
        let fields = Fields::parse(b"a=1&b=+x%0Ay+%0A&b=2&c=&p=+s+");
        assert_eq!(fields.get("a"), "1");
        assert_eq!(fields.all("b").len(), 2);
        assert_eq!(fields.lines("b"), ["x", "y"]);
        assert!(fields.is_set("c") && !fields.is_set("d"));
        assert_eq!(fields.raw("p"), Some(" s "));
    }

    #[tokio::test]
    async fn a_file_in_a_form_is_a_field_of_text() {
        let form = |file: &[u8]| {
            let mut body =
                b"--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nsecret\r\n--x\r\n\
                Content-Disposition: form-data; name=\"list\"; filename=\"a\"\r\n\r\n"
                    .to_vec();
            body.extend_from_slice(file);
            body.extend_from_slice(b"\r\n--x--\r\n");
            Fields::parse_files(body.into(), "x".to_owned())
        };
        let fields = form(b"abc\ndef\n").await.unwrap();
        assert_eq!(fields.raw("csrf"), Some("secret"));
        assert_eq!(fields.lines("list"), ["abc", "def"]);
        assert!(form(b"\xff").await.is_none());
        assert!(
            Fields::parse_files("--x".into(), "x".into())
                .await
                .is_none()
        );
    }
}
