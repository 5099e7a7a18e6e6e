//! `token`: what an admin signs so that hosts may enrol. No server is needed for it.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER;
use evidence::{
    envelope::{self, Envelope},
    instant::Instant,
    keys::{SigningKey, is_encrypted_pem},
};
use ipnet::IpNet;
use protocol::{enrolment::Token, name::Name, policy::Policy, version::VERSION};
use zeroize::Zeroizing;

/// The environment variable that holds the key's passphrase.
pub const PASSPHRASE: &str = "FIELDSEAL_PASSPHRASE";

/// What a token is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The admin.
    pub issuer: Name,
    /// The agency that the hosts belong to.
    pub agency: Name,
    /// The labels that they carry.
    pub labels: BTreeSet<Name>,
    /// How many hosts may use it.
    pub uses: u64,
    /// For how many days.
    pub days: u32,
    /// From where alone; from anywhere where empty.
    pub networks: BTreeSet<IpNet>,
    /// Whether each host waits until an admin lets it in.
    pub held: bool,
}

impl Plan {
    /// When what is made now ends.
    pub fn expires(&self, now: Instant) -> Instant {
        Instant {
            seconds: now.seconds + i64::from(self.days) * 86_400,
            ns: now.ns,
        }
    }
}

/// Reads the signing key; the passphrase is needed where the key is protected by one.
///
/// # Errors
/// It is no key, or the passphrase is missing or wrong.
pub fn read_key(path: &Path, passphrase: Option<&str>) -> anyhow::Result<SigningKey> {
    let at = path.display();
    let pem = fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(|| format!("{at} could not be read. Give the signing key's PEM file."))?;
    if !is_encrypted_pem(&pem) {
        return SigningKey::from_pem(&pem)
            .with_context(|| format!("{at} is no signing key. Give the key's PEM file."));
    }
    let Some(passphrase) = passphrase else {
        bail!("{at} is protected by a passphrase. Set {PASSPHRASE} for this command.");
    };
    SigningKey::from_encrypted_pem(&pem, passphrase)
        .with_context(|| format!("{at} can't be opened. Check the passphrase in {PASSPHRASE}."))
}

/// Reads a policy as it lies in `trust/`, without its root: who uses the token has it checked.
///
/// # Errors
/// It is no policy.
pub fn read_policy(path: &Path) -> anyhow::Result<Policy> {
    let at = path.display();
    let json = fs::read(path)
        .with_context(|| format!("{at} could not be read. Give the deployment's policy.json."))?;
    let envelope = Envelope::parse(&json)?;
    Ok(protocol::version::read(
        &envelope,
        envelope::POLICY,
        "policy",
    )?)
}

/// The signed token, as JSON.
///
/// # Errors
/// The policy would not let this person issue it with this key, or it would let nobody in.
pub fn make(
    plan: &Plan,
    key: &SigningKey,
    policy: &Policy,
    now: Instant,
) -> anyhow::Result<String> {
    if plan.uses == 0 || plan.days == 0 {
        bail!("The token would let nobody in. Give `--uses` and `--days` of at least 1.");
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| anyhow::anyhow!("No random numbers: {e}"))?;
    let token = Token {
        v: VERSION,
        id: HEXLOWER.encode(&id),
        deployment: policy.deployment.clone(),
        agency: plan.agency.clone(),
        labels: plan.labels.clone(),
        uses: plan.uses,
        expires: plan.expires(now),
        issuer: plan.issuer.clone(),
        networks: plan.networks.clone(),
        held: plan.held,
    };
    let signed = Envelope::sign_document(envelope::TOKEN, &token, key)?;
    Token::open(&signed, policy, now).with_context(|| {
        format!(
            "{} can't let hosts of {} in with this key. The policy must name the key as theirs, with the role `admin` for that agency.",
            plan.issuer, plan.agency
        )
    })?;
    Ok(String::from_utf8(signed.to_json()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Deployment;

    fn plan() -> Plan {
        Plan {
            issuer: "eve".parse().unwrap(),
            agency: "lab".parse().unwrap(),
            labels: BTreeSet::from(["dc".parse().unwrap()]),
            uses: 1,
            days: 1,
            networks: BTreeSet::new(),
            held: false,
        }
    }

    #[tokio::test]
    async fn an_admin_alone_makes_tokens() {
        let d = Deployment::new().await;
        let policy = read_policy(&d.folder().policy()).unwrap();
        let now = Instant::now();
        let eve = &d.person("eve").signing;
        let json = make(&plan(), eve, &policy, now).unwrap();
        let token = Token::open(&Envelope::parse(json.as_bytes()).unwrap(), &policy, now).unwrap();
        assert_eq!(token.uses, 1);
        let by_ann = Plan {
            issuer: "ann".parse().unwrap(),
            ..plan()
        };
        assert!(make(&by_ann, &d.person("ann").signing, &policy, now).is_err());
        let elsewhere = Plan {
            agency: "navy".parse().unwrap(),
            ..plan()
        };
        assert!(make(&elsewhere, eve, &policy, now).is_err());
        assert!(make(&Plan { uses: 0, ..plan() }, eve, &policy, now).is_err());
    }

    #[test]
    fn a_protected_key_needs_its_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        let key = SigningKey::generate().unwrap();
        fs::write(&path, &*key.to_encrypted_pem("open").unwrap()).unwrap();
        let missing = read_key(&path, None).unwrap_err().to_string();
        assert!(missing.contains(PASSPHRASE), "{missing}");
        assert!(read_key(&path, Some("wrong")).is_err());
        let read = read_key(&path, Some("open")).unwrap();
        assert_eq!(read.public(), key.public());
    }
}
