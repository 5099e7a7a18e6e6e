//! The kit's key, its certificate, and the order that names it.

use anyhow::{Context as _, ensure};
use evidence::{
    custody::event::{Action, Event},
    ids::{KitId, OrderId},
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    kit::{CertifyKit, KitTerms},
    messages::HostRow,
    name::Name,
    policy::Role,
    target::Expression,
    version::VERSION,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use zeroize::Zeroizing;

use super::waiting::Waiting;
use crate::{
    cli::BuildKit,
    draft::{self, Wish},
    exit::misuse,
    keys::passphrase,
    ordering,
    session::Session,
    targets::Chosen,
};

/// Has a new kit certified, and hands its order in.
///
/// # Errors
/// The order makes no sense, or the server does not take one of the two.
pub fn draw_up(session: &Session, args: &BuildKit, now: Instant) -> anyhow::Result<OrderId> {
    let agency = agency(session, args)?;
    let profile = draft::profile_text(args.profile.as_deref().unwrap_or_default())?;
    let kit = KitId::random().context("The system gave no random numbers.")?;
    let key = SigningKey::generate()?;
    let terms = KitTerms {
        kit,
        key: key.public().key_id(),
        agency: agency.clone(),
        hosts: args.hosts.iter().cloned().collect(),
        uses: args.uses,
    };
    terms.validate().map_err(misuse)?;
    let key_pem = key_pem(&key, args.passphrase)?;
    let (waiting, row) = certify(session, &terms, &key, key_pem)?;
    waiting.keep(&session.home)?;
    let wish = Wish {
        profile,
        paths: args.paths.clone(),
        scope: ordering::scope(&args.scope),
        chosen: Chosen {
            expression: expression(&row)?,
            hosts: vec![&row],
        },
        open: false,
        case: args.case.clone().unwrap_or_default(),
        reason: args.reason.clone().unwrap_or_default(),
        expires: args.expires,
        predecessor: None,
        rollout: None,
        recurrence: None,
        kit: Some(terms),
    };
    ordering::place(session, &wish, args.json, now)
}

fn expression(row: &HostRow) -> anyhow::Result<Expression> {
    Ok(format!("id={}", row.agent).parse()?)
}

/// The agency that was named; else the person's only one.
fn agency(session: &Session, args: &BuildKit) -> anyhow::Result<Name> {
    let mine: Vec<_> = session.me.agencies.iter().collect();
    let agency = match (&args.agency, mine.as_slice()) {
        (Some(named), _) => named.clone(),
        (None, [only]) => (*only).clone(),
        (None, _) => {
            return Err(misuse(
                "You are of several agencies. Name one with --agency.",
            ));
        }
    };
    ensure!(
        session.me.may(Role::Investigator, &agency),
        "The policy does not name you as an investigator of {agency}. Ask an admin of the deployment."
    );
    Ok(agency)
}

fn key_pem(key: &SigningKey, locked: bool) -> anyhow::Result<Zeroizing<String>> {
    Ok(match locked {
        true => key.to_encrypted_pem(&passphrase::for_kit()?)?,
        false => key.to_pem()?,
    })
}

/// Asks for the certificate, and believes it once the custody log proves it; gives the kit's identity too, as the
/// server lists it.
fn certify(
    session: &Session,
    terms: &KitTerms,
    key: &SigningKey,
    key_pem: Zeroizing<String>,
) -> anyhow::Result<(Waiting, HostRow)> {
    let answer = session.remote.certify_kit(&CertifyKit {
        v: VERSION,
        kit: terms.kit,
        agency: terms.agency.clone(),
        seal_csr: csr(key)?,
    })?;
    let proven = session.prove_logged(&answer.receipt)?;
    let (leaf, event) = Event::read(&proven.leaf)?;
    let said = Action::KitCertified {
        agent: answer.agent,
        kit: terms.kit,
        seal_key: terms.key,
        by_key: session.me.signing_key.key_id(),
    };
    let by_server = !leaf.verify(&session.believed.policy.time_keys).is_empty();
    ensure!(
        by_server && event.action == said,
        "The server gave a receipt for something else. Tell its operator."
    );
    let mut hosts = session.remote.hosts()?.hosts.into_iter();
    let row = hosts.find(|row| row.agent == answer.agent).context(
        "The server does not list the kit that it has just certified. Tell its operator.",
    )?;
    let waiting = Waiting {
        kit: terms.kit,
        agent: answer.agent,
        seal_chain: answer.seal_chain,
        certified: answer.receipt,
        intake: answer.intake,
        key_pem,
    };
    Ok((waiting, row))
}

/// The request for the seal certificate: its names are the server's to give.
fn csr(key: &SigningKey) -> anyhow::Result<String> {
    let der = key.to_pkcs8_der()?;
    let pair = KeyPair::try_from(der.as_slice())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&pair)?.pem()?)
}
