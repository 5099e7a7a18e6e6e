//! Who may come in: the one-time token, the session's cookie, the page's CSRF token, and which requests are the console's own.
//!
//! Pure decisions over header values; [`super::guard`] asks them for every request.

use std::sync::Mutex;

use anyhow::Context as _;
use data_encoding::BASE32_NOPAD;
use evidence::digest::Digest;
use zeroize::Zeroizing;

/// Bytes of every secret: 160 bits, 32 letters.
const SECRET_BYTES: usize = 20;

/// The secrets of one run of the console, and its address.
pub struct Gate {
    host: String,
    cookie: String,
    token: Mutex<Option<Zeroizing<String>>>,
    session: Zeroizing<String>,
    csrf: Zeroizing<String>,
}

/// A random secret in letters that a URL and a cookie can hold.
///
/// # Errors
/// The system gives no random numbers.
pub fn secret() -> anyhow::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(&mut *bytes).context("The system gave no random numbers. Try again.")?;
    Ok(Zeroizing::new(
        BASE32_NOPAD.encode(&*bytes).to_ascii_lowercase(),
    ))
}

impl Gate {
    /// A gate for the console that listens on `port` of 127.0.0.1.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(port: u16) -> anyhow::Result<Self> {
        Ok(Self {
            host: format!("127.0.0.1:{port}"),
            // Cookies know no ports: two consoles beside each other need two names.
            cookie: format!("fieldseal-{port}"),
            token: Mutex::new(Some(secret()?)),
            session: secret()?,
            csrf: secret()?,
        })
    }

    /// The console's own origin.
    pub fn origin(&self) -> String {
        format!("http://{}", self.host)
    }

    /// The address with the one-time token; none once that was used.
    pub fn entrance(&self) -> Option<Zeroizing<String>> {
        let token = self.token.lock().ok()?;
        let token = token.as_ref()?;
        let url = format!("{}/enter?token={}", self.origin(), token.as_str());
        Some(Zeroizing::new(url))
    }

    /// Takes the token, which counts once: gives the cookie of the session.
    pub fn enter(&self, token: &str) -> Option<String> {
        let mut held = self.token.lock().ok()?;
        if !is_same(token, held.as_ref()?) {
            return None;
        }
        *held = None;
        Some(format!(
            "{}={}; Path=/; HttpOnly; SameSite=Strict",
            self.cookie,
            self.session.as_str()
        ))
    }

    /// Whether a `Host` header names this console: a page of a stranger whose name was made to point here does not.
    pub fn is_host(&self, host: Option<&str>) -> bool {
        host == Some(self.host.as_str())
    }

    /// Whether one of the `Cookie` headers holds the session.
    pub fn has_session<'c>(&self, cookies: impl Iterator<Item = &'c str>) -> bool {
        cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == self.cookie && is_same(value, &self.session))
    }

    /// Whether a POST comes from a page of the console, by what only the browser itself can say.
    ///
    /// Under `no-referrer` a browser sends `Origin: null` with a form, and names the site in `Sec-Fetch-Site`.
    pub fn is_own_post(&self, origin: Option<&str>, site: Option<&str>) -> bool {
        match (origin, site) {
            (Some(origin), None) => origin == self.origin(),
            (None | Some("null"), Some(site)) => site == "same-origin",
            (Some(origin), Some(site)) => origin == self.origin() && site == "same-origin",
            (None, None) => false,
        }
    }

    /// What every form carries.
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form carries it.
    pub fn is_csrf(&self, told: Option<&str>) -> bool {
        told.is_some_and(|told| is_same(told, &self.csrf))
    }
}

/// Compares digests, so that time tells nothing of the secret.
fn is_same(told: &str, secret: &str) -> bool {
    Digest::of(told.as_bytes()) == Digest::of(secret.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(gate: &Gate) -> String {
        let url = gate.entrance().unwrap();
        url.split_once("token=").unwrap().1.to_owned()
    }

    #[test]
    fn the_token_counts_once_and_gives_a_session() {
        let gate = Gate::new(7).unwrap();
        let token = token(&gate);
        assert!(token.len() * 5 >= 128, "bits");
        assert!(gate.enter("").is_none());
        assert!(gate.enter(&token[1..]).is_none());
        let cookie = gate.enter(&token).unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"));
        assert!(gate.enter(&token).is_none());
        assert!(gate.entrance().is_none());
        let pair = cookie.split(';').next().unwrap();
        assert!(pair.split_once('=').unwrap().1.len() * 5 >= 128, "bits");
        assert!(gate.has_session([pair].into_iter()));
        let among = format!("a=b; {pair}; c=d");
        assert!(gate.has_session(["x=y", &among].into_iter()));
        assert!(!gate.has_session(["fieldseal-7=", "fieldseal-7"].into_iter()));
        assert!(!gate.has_session(std::iter::empty()));
        let other = Gate::new(7).unwrap();
        assert!(!other.has_session([pair].into_iter()));
    }

    #[test]
    fn only_the_own_address_is_a_host() {
        let gate = Gate::new(7).unwrap();
        assert!(gate.is_host(Some("127.0.0.1:7")));
        for other in ["127.0.0.1", "127.0.0.1:8", "localhost:7", "evil.example:7"] {
            assert!(!gate.is_host(Some(other)), "{other}");
        }
        assert!(!gate.is_host(None));
    }

    #[test]
    fn a_post_is_the_consoles_own_or_refused() {
        let gate = Gate::new(7).unwrap();
        let own = Some("http://127.0.0.1:7");
        assert!(gate.is_own_post(own, None));
        assert!(gate.is_own_post(own, Some("same-origin")));
        assert!(gate.is_own_post(Some("null"), Some("same-origin")));
        for (origin, site) in [
            (None, None),
            (Some("null"), None),
            (Some("null"), Some("cross-site")),
            (own, Some("same-site")),
            (own, Some("none")),
            (Some("http://127.0.0.1:8"), Some("same-origin")),
            (Some("https://127.0.0.1:7"), None),
        ] {
            assert!(!gate.is_own_post(origin, site), "{origin:?} {site:?}");
        }
        assert!(gate.is_csrf(Some(gate.csrf())));
        assert!(!gate.is_csrf(Some("")) && !gate.is_csrf(None));
    }
}
