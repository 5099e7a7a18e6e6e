//! The deployment file: all that an agent of one agency needs to enrol by itself, signed by an admin.
//!
//! It is dropped beside a package that is the same for everybody. What it pins is believed because it was installed, as
//! with a trust folder; that an admin made it shows only once the policy is there, and is judged then.

use evidence::{
    envelope::{self, Envelope},
    instant::Instant,
};
use serde::{Deserialize, Serialize};

use crate::{
    enrolment::Token,
    error::DocumentError,
    name::Name,
    policy::{Policy, Role},
    profile::Limits,
    version,
};

const KIND: &str = "deployment file";

/// No URL in it is longer.
const MAX_URL_BYTES: usize = 1024;

/// What an admin gives to those who install agents: the token, and all that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The document's format.
    pub v: u64,
    /// The deployment.
    pub deployment: Name,
    /// The agency that the hosts belong to.
    pub agency: Name,
    /// The server: `https://HOST[:PORT]`.
    pub server: String,
    /// An HTTP proxy between hosts and server: `http://[USER:PASSWORD@]HOST:PORT`.
    pub proxy: Option<String>,
    /// The root document to pin: its envelope, as JSON text.
    pub root: String,
    /// The root certificate, PEM.
    pub root_certificate: String,
    /// The token's envelope, as JSON text; labels are the token's.
    pub token: String,
    /// What any run may cost on these hosts, whatever is ordered.
    #[serde(default)]
    pub limits: Limits,
    /// From then on it enrols nobody.
    pub expires: Instant,
    /// The admin.
    pub issuer: Name,
}

impl Deployment {
    /// Reads a file without believing it: its form alone is judged.
    ///
    /// # Errors
    /// It is malformed or makes no sense.
    pub fn read(envelope: &Envelope) -> Result<Self, DocumentError> {
        let file: Self = version::read(envelope, envelope::DEPLOYMENT, KIND)?;
        file.validate()?;
        Ok(file)
    }

    /// Reads a file that its issuer, an admin for its agency, has signed, that has not ended, and that agrees with its token.
    ///
    /// # Errors
    /// It is malformed, forged, foreign or expired, or its token is.
    pub fn open(envelope: &Envelope, policy: &Policy, now: Instant) -> Result<Self, DocumentError> {
        let file = Self::read(envelope)?;
        if !policy.is_signed_by(envelope, &file.issuer, &[Role::Admin], &file.agency) {
            return Err(DocumentError::NotAuthorised(KIND));
        }
        let foreign = |what| Err(DocumentError::Foreign { kind: KIND, what });
        if file.deployment != policy.deployment {
            return foreign("deployment");
        }
        if now >= file.expires {
            return Err(DocumentError::ended(KIND, file.expires));
        }
        let token = Token::open(&Envelope::parse(file.token.as_bytes())?, policy, now)?;
        match token.agency == file.agency {
            true => Ok(file),
            false => foreign("agency than its token"),
        }
    }

    fn validate(&self) -> Result<(), DocumentError> {
        let invalid = |why: &str| Err(DocumentError::invalid(KIND, why));
        if !is_server(&self.server) {
            return invalid("its server is not https://HOST[:PORT]");
        }
        if !self.proxy.as_deref().is_none_or(is_proxy) {
            return invalid("its proxy is not http://[USER:PASSWORD@]HOST:PORT");
        }
        match self.limits.validate() {
            Ok(()) => Ok(()),
            Err(error) => invalid(&error.to_string()),
        }
    }
}

/// Whether this is the bare address of a server.
pub fn is_server(url: &str) -> bool {
    let plain = url.strip_prefix("https://").is_some_and(is_authority);
    plain && !url.contains('@')
}

/// Whether this is the address of a proxy that is asked to CONNECT.
pub fn is_proxy(url: &str) -> bool {
    let rest = url.strip_prefix("http://");
    let has_port = |rest: &str| {
        let (_, port) = rest.rsplit_once(':')?;
        port.parse().ok().filter(|port: &u16| *port != 0)
    };
    rest.is_some_and(|rest| is_authority(rest) && has_port(rest).is_some())
}

fn is_authority(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '?' | '#' | '\\');
    (1..=MAX_URL_BYTES).contains(&text.len()) && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use evidence::keys::SigningKey;

    use super::*;
    use crate::fixtures::{World, at};

    fn token(world: &World, agency: &str) -> String {
        let token = Token {
            v: 1,
            id: "00".repeat(16),
            deployment: "lab".parse().unwrap(),
            agency: agency.parse().unwrap(),
            labels: BTreeSet::new(),
            uses: 5,
            expires: at(1000),
            issuer: "eve".parse().unwrap(),
            networks: BTreeSet::new(),
            held: false,
        };
        let signed = Envelope::sign_document(envelope::TOKEN, &token, &world.eve).unwrap();
        String::from_utf8(signed.to_json().unwrap()).unwrap()
    }

    fn file(world: &World) -> Deployment {
        Deployment {
            v: 1,
            deployment: "lab".parse().unwrap(),
            agency: "lab".parse().unwrap(),
            server: "https://server:8443".into(),
            proxy: Some("http://hosts:secret@proxy:3128".into()),
            root: String::new(),
            root_certificate: String::new(),
            token: token(world, "lab"),
            limits: Limits::default(),
            expires: at(900),
            issuer: "eve".parse().unwrap(),
        }
    }

    fn sign(file: &Deployment, key: &SigningKey) -> Envelope {
        Envelope::sign_document(envelope::DEPLOYMENT, file, key).unwrap()
    }

    #[test]
    fn only_an_admins_file_counts_and_only_in_time() {
        let world = World::new();
        let open = |file: &Deployment, key, now| {
            Deployment::open(&sign(file, key), &world.policy, at(now))
        };
        let good = file(&world);
        assert_eq!(open(&good, &world.eve, 899).unwrap(), good);
        assert!(matches!(
            open(&good, &world.eve, 900),
            Err(DocumentError::Expired { .. })
        ));
        assert!(matches!(
            open(&good, &world.ann, 1),
            Err(DocumentError::NotAuthorised(_))
        ));
        let by_ann = Deployment {
            issuer: "ann".parse().unwrap(),
            ..good.clone()
        };
        assert!(open(&by_ann, &world.ann, 1).is_err());
        let elsewhere = Deployment {
            deployment: "other".parse().unwrap(),
            ..good
        };
        assert!(matches!(
            open(&elsewhere, &world.eve, 1),
            Err(DocumentError::Foreign { .. })
        ));
    }

    #[test]
    fn file_and_token_agree() {
        let mut world = World::new();
        for person in &mut world.policy.people {
            person.agencies.insert("navy".parse().unwrap());
        }
        let other = Deployment {
            token: token(&world, "navy"),
            ..file(&world)
        };
        let refused = Deployment::open(&sign(&other, &world.eve), &world.policy, at(1));
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("another agency than its token"), "{told}");
        let forged = Deployment {
            token: token(&world, "lab").replacen("\"sig\":\"ME", "\"sig\":\"MA", 1),
            ..file(&world)
        };
        assert!(Deployment::open(&sign(&forged, &world.eve), &world.policy, at(1)).is_err());
    }

    #[test]
    fn addresses_and_limits_that_make_no_sense_are_refused() {
        let world = World::new();
        let reads = |file: &Deployment| Deployment::read(&sign(file, &world.eve)).is_ok();
        let good = file(&world);
        assert!(reads(&good));
        for server in ["http://s", "https://", "https://u@s", "https://s/x", "s"] {
            let server = server.to_owned();
            assert!(!reads(&Deployment {
                server,
                ..good.clone()
            }));
        }
        for proxy in [
            "p:3128",
            "https://p:1",
            "http://p",
            "http://p:0",
            "http://p:1/x",
        ] {
            let proxy = Some(proxy.to_owned());
            assert!(!reads(&Deployment {
                proxy,
                ..good.clone()
            }));
        }
        let limits = Limits {
            cpu_percent: 101,
            ..Limits::default()
        };
        assert!(!reads(&Deployment { limits, ..good }));
    }
}
