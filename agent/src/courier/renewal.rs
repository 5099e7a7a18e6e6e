//! Renews certificates before they end: the courier's own for its key at half its life, the reader's when it asks.

use std::time::{Duration, Instant};

use evidence::{instant::Instant as WallTime, seal::Window};
use protocol::{
    enrolment::{RenewRequest, RenewResponse},
    messages::MAX_MESSAGE_BYTES,
};

use super::{
    context::{Context, CourierError},
    failed::Failed,
    http::HttpError,
    pause::{Backoff, Tray},
    tls,
};
use crate::link::FromSpool;

/// A chain that doesn't fit the link with room to spare is none of ours.
const CHAIN_BYTES_MAX: usize = 32 * 1024;
/// Clocks are set and hosts sleep: it is looked again at least so often.
const LOOK: Duration = Duration::from_secs(3600);

/// What the reader wants renewed.
pub(super) type Requests = Tray<String>;

/// An empty tray of requests.
pub(super) fn requests() -> Requests {
    Tray::of(4)
}

/// Takes a request; the reader asks again while it has no answer, so one too many may be passed over.
pub(super) fn ask(context: &Context, requests: &Requests, envelope: String) {
    let _ = requests.put(envelope, &context.bell);
}

/// Renews until the courier ends.
pub(super) fn serve(context: &Context, requests: &Requests) -> Result<(), CourierError> {
    let mut backoff = Backoff::default();
    let mut wanted: Option<String> = None;
    while !context.has_ended() {
        while let Some(newer) = requests.take() {
            wanted = Some(newer);
        }
        let outcome = match &wanted {
            Some(envelope) => renew_seal(context, envelope),
            None if is_due(context)? => renew_tls(context),
            None => {
                let deadline = Instant::now() + LOOK;
                context.wait_until(Some(deadline), || !requests.is_empty());
                continue;
            }
        };
        match outcome {
            Ok(()) => {
                wanted = None;
                backoff.reset();
            }
            Err(failed) => {
                if failed.is_refusal() {
                    wanted = None;
                }
                failed.rest(context, "a certificate was not renewed", &mut backoff)?;
            }
        }
    }
    Ok(())
}

fn is_due(context: &Context) -> Result<bool, CourierError> {
    let chain = context
        .folder
        .text(&context.folder.chain(context.settings.agent))?;
    Ok(is_past_half(tls::window(&chain)?, WallTime::now()))
}

/// Whether half of the certificate's life is over.
fn is_past_half(window: Window, now: WallTime) -> bool {
    let half = window.from.seconds / 2 + window.until.seconds / 2;
    now.seconds >= half
}

fn renew_tls(context: &Context) -> Result<(), Failed> {
    let request = RenewRequest {
        v: 1,
        tls_csr: Some(tls::request(context.key_pem())?),
        seal_csr: None,
    };
    let chain = ask_server(context, &request)?.tls_chain;
    let chain = chain.ok_or(HttpError::Answer("no certificate"))?;
    context.take_certificate(chain)?;
    tracing::info!("the TLS certificate is renewed");
    Ok(())
}

fn renew_seal(context: &Context, envelope: &str) -> Result<(), Failed> {
    let request = RenewRequest {
        v: 1,
        tls_csr: None,
        seal_csr: Some(envelope.to_owned()),
    };
    let chain = ask_server(context, &request)?.seal_chain;
    let chain_pem = chain.ok_or(HttpError::Answer("no certificate"))?;
    if chain_pem.len() > CHAIN_BYTES_MAX {
        return Err(HttpError::Answer("a certificate that is too long").into());
    }
    Ok(context.say(&FromSpool::SealRenewed { chain_pem }, None)?)
}

fn ask_server(context: &Context, request: &RenewRequest) -> Result<RenewResponse, HttpError> {
    let answer = context
        .client()
        .post("/v1/agent/renew", request, MAX_MESSAGE_BYTES)?;
    context.heard();
    answer.message("answer to the renewal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_from_half_its_life_on() {
        let at = |seconds| WallTime { seconds, ns: 0 };
        let window = Window {
            from: at(1000),
            until: at(2000),
        };
        assert!(!is_past_half(window, at(1499)));
        assert!(is_past_half(window, at(1500)));
        assert!(is_past_half(window, at(3000)));
    }
}
