//! Where the server is, and which proxy leads there: what is taken, and nothing else.

use ureq::{Proxy, ProxyProtocol, http::Uri};

use crate::courier::tls::TlsError;

/// The client can't be made from what is configured.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The server's URL.
    #[error("{0:?} is no address of a server. Give https://HOST or https://HOST:PORT.")]
    Server(String),
    /// The proxy's URL; it may hold a password, so it is not shown.
    #[error(
        "the proxy's address can't be used. Give http://HOST:PORT or http://USER:PASSWORD@HOST:PORT."
    )]
    Proxy,
    /// Key or certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// `https://HOST[:PORT]`, as every path is put behind.
pub(super) fn base(server: &str) -> Result<String, AccessError> {
    let bad = || AccessError::Server(server.chars().take(200).collect());
    let uri: Uri = server.parse().map_err(|_| bad())?;
    let authority = uri.authority().ok_or_else(bad)?;
    let is_plain = uri.scheme_str() == Some("https")
        && uri.path_and_query().is_none_or(|p| p.as_str() == "/")
        && !authority.as_str().contains('@')
        && !authority.host().is_empty();
    if !is_plain {
        return Err(bad());
    }
    Ok(format!("https://{authority}"))
}

/// A proxy that is asked to CONNECT.
pub(super) fn proxy(text: &str) -> Result<Proxy, AccessError> {
    let proxy = Proxy::new(text).map_err(|_| AccessError::Proxy)?;
    match proxy.protocol() {
        ProxyProtocol::Http if text.starts_with("http://") => Ok(proxy),
        _ => Err(AccessError::Proxy),
    }
}

/// A host and a TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name or address, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A proxy, and what it wants to hear.
#[derive(Clone)]
pub struct ProxyPlace {
    /// Where it is.
    pub place: Place,
    /// `USER:PASSWORD`.
    pub credentials: Option<String>,
}

/// The way to a server: straight, or by a proxy.
pub struct Way {
    /// The server.
    pub server: Place,
    /// The proxy that is asked to CONNECT.
    pub proxy: Option<ProxyPlace>,
}

impl Way {
    /// What is connected to first.
    pub fn first(&self) -> &Place {
        let proxy = self.proxy.as_ref();
        proxy.map_or(&self.server, |proxy| &proxy.place)
    }

    /// The TCP ports that it needs.
    pub fn ports(&self) -> Vec<u16> {
        let proxy = self.proxy.as_ref().map(|proxy| proxy.place.port);
        [self.server.port].into_iter().chain(proxy).collect()
    }
}

/// The way to `server`, through `proxy` or not.
///
/// # Errors
/// An address can't be used.
pub fn way(server: &str, proxy_url: Option<&str>) -> Result<Way, AccessError> {
    let bad = || AccessError::Server(server.chars().take(200).collect());
    let uri: Uri = base(server)?.parse().map_err(|_| bad())?;
    let server = Place {
        host: bare(uri.host().ok_or_else(bad)?),
        port: uri.port_u16().unwrap_or(443),
    };
    let proxy = proxy_url.map(proxy).transpose()?.map(|proxy| ProxyPlace {
        place: Place {
            host: bare(proxy.host()),
            port: proxy.port(),
        },
        credentials: proxy
            .username()
            .map(|user| format!("{user}:{}", proxy.password().unwrap_or_default())),
    });
    Ok(Way { server, proxy })
}

/// Without the brackets that an IPv6 address has in a URL.
fn bare(host: &str) -> String {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bare_address_of_a_server_is_taken() {
        for good in [
            "https://s",
            "https://s:8443",
            "https://[::1]:1",
            "https://s/",
        ] {
            assert!(base(good).is_ok(), "{good}");
        }
        assert_eq!(base("https://s:1/").unwrap(), "https://s:1");
        for bad in [
            "",
            "s",
            "http://s",
            "https://",
            "https://u@s",
            "https://s/x",
            "https://s?x",
            "ftp://s",
        ] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ports_of_server_and_proxy_are_known_before_anything_connects() {
        let ports = |server, proxy| way(server, proxy).map(|way| way.ports());
        assert_eq!(ports("https://s", None).unwrap(), [443]);
        let both = way("https://[::1]:8443", Some("http://u:p@h:3128")).unwrap();
        assert_eq!(
            (both.ports(), &*both.server.host),
            (vec![8443, 3128], "::1")
        );
        let proxy = both.proxy.unwrap();
        assert_eq!(
            (&*proxy.place.host, proxy.credentials.as_deref()),
            ("h", Some("u:p"))
        );
        assert_eq!(ports("https://s", Some("http://h")).unwrap(), [443, 80]);
        assert!(ports("s", None).is_err());
    }

    #[test]
    fn only_http_proxies_are_taken_and_their_passwords_stay_hidden() {
        assert!(proxy("http://u:secret@p:3128").is_ok());
        for bad in ["", "https://p", "socks5://p", "p:3128"] {
            let told = proxy(bad).map(|_| ()).unwrap_err().to_string();
            assert!(told.contains("http://HOST"), "{bad}");
        }
    }
}
