//! `deployment`: a token and all that goes with it in one file, so that an install needs nobody at the host.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use evidence::{
    envelope::{self, Envelope},
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    deployment::{Deployment, is_proxy, is_server},
    policy::Policy,
    profile::Limits,
    root::Root,
    version::VERSION,
};

use crate::token;

/// What goes with the token.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server, as hosts reach it.
    pub server: String,
    /// The proxy between.
    pub proxy: Option<String>,
    /// What any run may cost on these hosts.
    pub limits: Limits,
    /// The root document that they pin: its envelope, as JSON text.
    pub root: String,
    /// The root certificate, PEM.
    pub root_certificate: String,
}

impl Plan {
    /// With what lies in the trust folder at `trust`, and the limits in the file at `limits`.
    ///
    /// # Errors
    /// A file can't be read, or an address makes no sense.
    pub fn new(
        server: String,
        proxy: Option<String>,
        limits: Option<&Path>,
        trust: &Path,
    ) -> anyhow::Result<Self> {
        ensure!(
            is_server(&server),
            "`--server` is no bare address. Give https://HOST or https://HOST:PORT."
        );
        // It may hold a password, so it is not shown.
        ensure!(
            proxy.as_deref().is_none_or(is_proxy),
            "`--proxy` can't be used. Give http://HOST:PORT or http://USER:PASSWORD@HOST:PORT."
        );
        Ok(Self {
            server,
            proxy,
            limits: limits.map(read_limits).transpose()?.unwrap_or_default(),
            root: read(trust.join("root.json"))?.trim().to_owned(),
            root_certificate: read(trust.join("root.crt"))?,
        })
    }
}

fn read(path: PathBuf) -> anyhow::Result<String> {
    fs::read_to_string(&path).with_context(|| {
        let at = path.display();
        format!("{at} could not be read. Keep the policy in the deployment's trust folder.")
    })
}

fn read_limits(path: &Path) -> anyhow::Result<Limits> {
    let at = path.display();
    let text = fs::read_to_string(path)
        .with_context(|| format!("{at} could not be read. Give a file of limits, as TOML."))?;
    toml::from_str(&text)
        .with_context(|| format!("{at} can't be understood. Correct the line that is named below."))
}

/// The signed file, as JSON, with a token of its own.
///
/// # Errors
/// The policy would not let this person issue it with this key, or it would let nobody in.
pub fn make(
    plan: &Plan,
    token: &token::Plan,
    key: &SigningKey,
    policy: &Policy,
    now: Instant,
) -> anyhow::Result<String> {
    let root = Root::open(&Envelope::parse(plan.root.as_bytes())?)
        .context("The root document does not hold. Give the deployment's trust folder.")?;
    ensure!(
        root.deployment == policy.deployment,
        "The root document is of another deployment than the policy. Keep both in one trust folder."
    );
    let file = Deployment {
        v: VERSION,
        deployment: policy.deployment.clone(),
        agency: token.agency.clone(),
        server: plan.server.clone(),
        proxy: plan.proxy.clone(),
        root: plan.root.clone(),
        root_certificate: plan.root_certificate.clone(),
        token: token::make(token, key, policy, now)?,
        limits: plan.limits.clone(),
        expires: token.expires(now),
        issuer: token.issuer.clone(),
    };
    let signed = Envelope::sign_document(envelope::DEPLOYMENT, &file, key)?;
    Deployment::open(&signed, policy, now)?;
    Ok(String::from_utf8(signed.to_json()?)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::Deployment as Lab;

    fn token() -> token::Plan {
        token::Plan {
            issuer: "eve".parse().unwrap(),
            agency: "lab".parse().unwrap(),
            labels: BTreeSet::new(),
            uses: 3,
            days: 1,
            networks: BTreeSet::new(),
            held: false,
        }
    }

    fn plan(lab: &Lab, limits: Option<&Path>) -> anyhow::Result<Plan> {
        let server = "https://localhost:8443".to_owned();
        Plan::new(server, None, limits, &lab.folder().trust())
    }

    #[tokio::test]
    async fn an_admins_file_holds_what_its_hosts_need_and_no_one_elses_is_made() {
        let lab = Lab::new().await;
        let policy = token::read_policy(&lab.folder().policy()).unwrap();
        let limits = lab.folder().path().join("limits.toml");
        fs::write(&limits, "cpu_percent = 20\n").unwrap();
        let (plan, now) = (plan(&lab, Some(&limits)).unwrap(), Instant::now());
        let made = make(&plan, &token(), &lab.person("eve").signing, &policy, now).unwrap();
        let envelope = Envelope::parse(made.as_bytes()).unwrap();
        let file = Deployment::open(&envelope, &policy, now).unwrap();
        assert_eq!(file.limits.cpu_percent, 20);
        assert_eq!(file.root, plan.root);
        let by_ann = token::Plan {
            issuer: "ann".parse().unwrap(),
            ..token()
        };
        assert!(make(&plan, &by_ann, &lab.person("ann").signing, &policy, now).is_err());
    }

    #[tokio::test]
    async fn what_hosts_could_not_use_is_refused_before_it_is_signed() {
        let lab = Lab::new().await;
        let trust = lab.folder().trust();
        let new = |server: &str, proxy: Option<&str>| {
            Plan::new(server.into(), proxy.map(Into::into), None, &trust)
        };
        assert!(new("localhost:8443", None).is_err());
        let told = new("https://s", Some("socks://u:secret@p:1")).unwrap_err();
        assert!(!told.to_string().contains("secret"), "{told}");
        let limits = lab.folder().path().join("limits.toml");
        fs::write(&limits, "cpu_percents = 20\n").unwrap();
        assert!(plan(&lab, Some(&limits)).is_err());
    }
}
