//! Who, what, when, on whose order: the facts of a collection as labelled lines, for any form.

use evidence::{instant::Instant, verify::CollectionReport};

/// A label and its value; values may be hostile text.
pub type Fact = (&'static str, String);

/// The facts, from the first part that has them.
pub fn facts(report: &CollectionReport) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    let mut say = |label, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            facts.push((label, value));
        }
    };
    say("Collection", report.collection.map(|id| id.to_string()));
    let records = || report.parts.iter().filter_map(|p| p.record.as_ref());
    let signer = report.parts.iter().find_map(|p| p.signer.as_ref());
    if let Some(record) = records().next() {
        let host = &record.host_identity;
        let system = host.os_version.as_deref().unwrap_or(&host.os);
        say(
            "Host",
            Some(format!("{} ({system}, {})", host.hostname, host.arch)),
        );
        say("Host id", record.host.map(|id| id.to_string()));
        say("Agent", record.agent.map(|id| id.to_string()));
        say("Agent version", Some(record.agent_version.clone()));
        say("Agent SHA-256", record.agent_sha256.map(|d| d.to_string()));
        say("Case", record.case.clone());
        let by = record
            .requester
            .as_ref()
            .map(|p| format!("{} (key {})", p.name, p.key_sha256));
        say(
            "Ordered by",
            by.or_else(|| {
                record
                    .order
                    .is_none()
                    .then(|| "nobody: a local collection".into())
            }),
        );
        let signers: Vec<_> = record.signers.iter().map(|p| p.name.as_str()).collect();
        say("Order signed by", Some(signers.join(", ")));
        say("Order", record.order.map(|id| id.to_string()));
        say("Order SHA-256", record.order_sha256.map(|d| d.to_string()));
        say(
            "Profile",
            record
                .profile
                .as_ref()
                .map(|p| format!("{} ({})", p.name, p.sha256)),
        );
        say("Started", time(record.started));
        say("Walls around the reader", Some(record.sandbox.clone()));
        say(
            "Host's clock",
            Some(record.clock.map_or_else(
                || "never compared with a signed time".to_owned(),
                |c| {
                    format!(
                        "{} ms against the server's signed time (within {} ms)",
                        c.offset_ms, c.bound_ms
                    )
                },
            )),
        );
    }
    say("Ended", records().next_back().and_then(|r| time(r.ended)));
    if let Some(signer) = signer {
        let known = if signer.trusted {
            "leads to the trusted root"
        } else {
            "nobody vouches for it here"
        };
        say(
            "Sealed by",
            Some(format!(
                "{} ({known})",
                signer
                    .agent
                    .map_or_else(|| "an unnamed key".to_owned(), |a| format!("agent {a}"))
            )),
        );
        say(
            "Seal certificate SHA-256",
            Some(signer.certificate_sha256.to_string()),
        );
        say(
            "Sealed at",
            signer
                .claimed
                .and_then(time)
                .map(|t| format!("{t} (the signer's own claim)")),
        );
    }
    let (files, bytes) = report.parts.iter().fold((0, 0), |(f, b), p| {
        (f + p.counts.files, b + p.counts.file_bytes)
    });
    let read = report.parts.iter().filter(|p| p.opened).count();
    say(
        "Parts",
        Some(format!("{} ({read} opened)", report.parts.len())),
    );
    say("Files", Some(format!("{files} with {bytes} bytes")));
    facts
}

fn time(at: Instant) -> Option<String> {
    at.to_rfc3339()
}
