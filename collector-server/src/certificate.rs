//! The server's own TLS certificate: made at `init`, renewed by `serve` long before its end.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use evidence::{
    instant::Instant,
    seal::{Expected, Trust, certificates_from_pem, check_certificates},
};
use zeroize::Zeroizing;

use crate::{
    ca::{self, Authority, TLS_DAYS},
    folder::Folder,
    keyfile,
    serve::Shown,
};

/// With so many days left, a new one is made.
const RENEW_DAYS: i64 = TLS_DAYS / 3;
const DAY_S: i64 = 86_400;

/// How often the end is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// A new key with its certificate and chain, in one PEM text.
///
/// # Errors
/// A name is no DNS name or address, or there are no random numbers.
pub fn new_server(
    issuing: &Authority,
    names: &[String],
    now: Instant,
) -> anyhow::Result<Zeroizing<String>> {
    let key = Zeroizing::new(ca::new_key()?);
    let leaf = issuing.sign_server_tls(names, &ca::request(&key)?, now.seconds)?;
    let key = Zeroizing::new(key.serialize_pem());
    let whole = [key.as_str(), &leaf, issuing.certificate_pem()].concat();
    Ok(Zeroizing::new(whole))
}

/// The certificate to show, renewed first where it is time.
///
/// # Errors
/// It is missing or damaged, or a new one can't be made.
pub fn load(
    folder: &Folder,
    issuing: &Authority,
    names: &[String],
    now: Instant,
) -> anyhow::Result<Shown> {
    let shown = Shown::new(&read(&folder.server_pem())?)?;
    renew(folder, issuing, names, now, &shown)?;
    Ok(shown)
}

/// Makes and shows a new certificate if the one in the folder ends soon; says whether it did.
///
/// # Errors
/// It is missing or damaged, or a new one can't be made.
pub fn renew(
    folder: &Folder,
    issuing: &Authority,
    names: &[String],
    now: Instant,
    shown: &Shown,
) -> anyhow::Result<bool> {
    let path = folder.server_pem();
    if end_of(&read(&path)?)?.seconds > now.seconds + RENEW_DAYS * DAY_S {
        return Ok(false);
    }
    let new = new_server(issuing, names, now)?;
    keyfile::replace(&path, new.as_bytes(), 0o600)?;
    shown.exchange(&new)?;
    tracing::info!("the server's certificate was renewed");
    Ok(true)
}

/// When the first certificate of a PEM text ends.
///
/// # Errors
/// It holds none.
pub fn end_of(pem: &str) -> anyhow::Result<Instant> {
    let der = certificates_from_pem(pem)?;
    let trust = Trust::none();
    let expected = Expected {
        trust: &trust,
        agent: None,
        at: None,
    };
    // It is no seal's, so there are faults; its times are read all the same.
    let report = check_certificates(&der[..1], expected, Instant::now());
    let signer = report.signer;
    Ok(signer
        .context("The certificate does not read. Restore the file from a copy.")?
        .window
        .until)
}

/// A certificate and its key: wiped out of memory with the value.
fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(|| {
            format!(
                "{} could not be read. Check that it exists and belongs to the server's user.",
                path.display()
            )
        })
}
