//! `status`: whom this host is enrolled with, what runs and what waits. It only reads.

use std::{fmt::Write as _, path::Path};

use evidence::instant::Instant;
use protocol::{
    messages::{ErrorSeen, WaitsFor},
    policy::Policy,
    profile::Limits,
};
use serde_json::{Value, json};

use crate::{
    courier,
    halves::{self, reader_folder},
    harmless,
    platform::sandbox::Walls,
    reader::{
        orders,
        state::{Known, Running, State, StateError},
        trust::Trust,
        waits::Host,
    },
};

/// What there is to show.
#[derive(Debug)]
pub struct Status {
    known: Option<Known>,
    policy: Result<Policy, String>,
    courier: Result<Option<courier::status::Status>, String>,
    limits: Result<Limits, String>,
    now: Instant,
}

impl Status {
    /// Reads it from the agent's folder.
    ///
    /// # Errors
    /// The reader's state is there and can't be read.
    pub fn read(state: &Path, now: Instant) -> Result<Self, StateError> {
        let folder = reader_folder(state);
        let known = match State::look(&folder) {
            Ok(known) => Some(known),
            Err(StateError::Missing(_)) => None,
            Err(error) => return Err(error),
        };
        let trust = known.as_ref().map(Trust::of);
        Ok(Self {
            policy: match trust {
                Some(Ok(trust)) => Ok(trust.policy),
                Some(Err(error)) => Err(error.to_string()),
                None => Err("there is none before enrolment".to_owned()),
            },
            courier: courier::status::read(state).map_err(|e| e.to_string()),
            limits: halves::limits(&folder.join("limits.toml"))
                .map(|own| match &known {
                    Some(known) => known.stricter_limits(&own),
                    None => own,
                })
                .map_err(|e| e.to_string()),
            known,
            now,
        })
    }

    /// Whether the host is enrolled.
    pub fn is_enrolled(&self) -> bool {
        self.known.as_ref().is_some_and(|k| k.enrolment.is_some())
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let known = self.known.as_ref();
        let enrolment = known.and_then(|k| k.enrolment.as_ref());
        let policy = self.policy.as_ref().ok();
        let running = known.and_then(|k| k.running.as_ref());
        json!({
            "enrolled": enrolment.is_some(),
            "host": known.map(|k| k.host),
            "agent": enrolment.map(|e| e.agent),
            "enrolled_at": enrolment.map(|e| e.enrolled),
            "root_sha256": enrolment.map(|e| e.root_sha256),
            "seal_certificate_ends": enrolment.map(|e| e.seal_until),
            "deployment": policy.map(|p| &p.deployment),
            "policy_version": policy.map(|p| p.version),
            "policy_expires": policy.map(|p| p.expires),
            "policy_error": self.policy.as_ref().err(),
            "running": running.map(|r| json!({
                "order": r.order,
                "collection": r.collection,
                "attempt": r.attempt,
                "parts_durable": r.position.as_ref().map_or(0, |p| p.parts()),
            })),
            "aside": known.map(|k| k.aside.iter().map(|r| self.aside_json(r)).collect::<Vec<_>>()),
            "orders_used": known.map(|k| k.used.len()),
            "highest_signed_time": known.and_then(|k| k.highest_signed),
            "custody_checkpoint": known.and_then(|k| k.checkpoint.as_ref()),
            "custody_alarm": known.and_then(|k| k.log_alarm.as_ref()),
            "courier": self.courier.as_ref().ok().and_then(Option::as_ref),
            "courier_error": self.courier.as_ref().err(),
            "limits": self.limits.as_ref().ok(),
            "limits_error": self.limits.as_ref().err(),
            "walls": self.walls().map(|(half, walls)| json!({"half": half, "walls": walls})),
        })
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing into a string can't fail.
        let _ = self.write(&mut text);
        text.truncate(text.trim_end().len());
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        let known = self.known.as_ref();
        let Some((known, enrolment)) = known.and_then(|k| Some((k, k.enrolment.as_ref()?))) else {
            return writeln!(
                to,
                "This host is not enrolled. Run `fieldseal-agent enrol` with a deployment token."
            );
        };
        writeln!(to, "Agent       {}", enrolment.agent)?;
        writeln!(to, "Enrolled    {}", shown(enrolment.enrolled))?;
        match &self.policy {
            Ok(policy) => {
                let over = if policy.expires <= self.now {
                    " (EXPIRED: no order is obeyed)"
                } else {
                    ""
                };
                writeln!(to, "Deployment  {}", policy.deployment)?;
                writeln!(
                    to,
                    "Policy      version {}, until {}{over}",
                    policy.version,
                    shown(policy.expires)
                )?;
            }
            Err(why) => writeln!(to, "Policy      can't be read: {why}")?,
        }
        writeln!(to, "Root        {}", enrolment.root_sha256)?;
        writeln!(to, "Seal until  {}", shown(enrolment.seal_until))?;
        if let Some(alarm) = &known.log_alarm {
            writeln!(
                to,
                "ALARM       since {}: the custody log is not the one that was seen before: {}. Tell the deployment's auditors; --json has both notes.",
                shown(alarm.time),
                alarm.why
            )?;
        }
        self.write_courier(to)?;
        match &known.running {
            Some(running) => writeln!(
                to,
                "Running     order {} as {}, attempt {}, {} parts durable",
                running.order,
                running.collection,
                running.attempt,
                running.position.as_ref().map_or(0, |p| p.parts())
            )?,
            None => writeln!(to, "Running     nothing")?,
        }
        for aside in &known.aside {
            writeln!(
                to,
                "Put aside   order {} as {}, attempt {}, {} parts durable: {}",
                aside.order,
                aside.collection,
                aside.attempt,
                aside.position.as_ref().map_or(0, |p| p.parts()),
                self.aside_words(aside)
            )?;
        }
        match &self.limits {
            Ok(limits) if *limits == Limits::default() => {
                writeln!(
                    to,
                    "Limits      those of each order; the host has none of its own"
                )?;
            }
            Ok(limits) => writeln!(to, "Limits      {}", json!(limits))?,
            Err(why) => writeln!(to, "Limits      {why}")?,
        }
        for (half, walls) in self.walls() {
            match walls {
                Some(walls) => writeln!(
                    to,
                    "Walls       {half}: {}",
                    harmless::text(&walls.to_string())
                )?,
                None => writeln!(to, "Walls       {half}: it has not run yet")?,
            }
        }
        Ok(())
    }

    /// An error with its age.
    fn error(&self, error: &ErrorSeen) -> String {
        let ago = |at: Instant| age(self.now.seconds.saturating_sub(at.seconds));
        let about = if error.way { "the server" } else { "the host" };
        let over = if error.over { "over" } else { "not over" };
        let often = match error.times {
            0 | 1 => ago(error.last),
            times => format!(
                "{}, {times} times since {}",
                ago(error.last),
                ago(error.first)
            ),
        };
        format!(
            "{often}, of {about}, {over}: {}",
            harmless::text(&error.text)
        )
    }

    fn aside_json(&self, aside: &Running) -> Value {
        json!({
            "order": aside.order,
            "collection": aside.collection,
            "attempt": aside.attempt,
            "parts_durable": aside.position.as_ref().map_or(0, |p| p.parts()),
            "cancelled": aside.cancelled,
            "waits_for": self.waits_for(aside),
        })
    }

    fn aside_words(&self, aside: &Running) -> &'static str {
        match self.waits_for(aside) {
            _ if aside.cancelled.is_some() || aside.cut_short.is_some() => "ends soon",
            Some(waits) => waits.words(),
            None => "goes on when nothing else runs",
        }
    }

    /// What holds it in this moment; none where that can't be said.
    fn waits_for(&self, begun: &Running) -> Option<WaitsFor> {
        let own = self.limits.as_ref().ok()?;
        let waits = orders::waits(&begun.handed, own, Host::default()).ok()?;
        waits.why()
    }

    /// The walls around each half, as it told them at its last start.
    fn walls(&self) -> [(&'static str, Option<&Walls>); 2] {
        let courier = self.courier.as_ref().ok().and_then(Option::as_ref);
        let told = |which: fn(&courier::status::Status) -> Option<&Walls>| courier.and_then(which);
        [
            ("reader", told(|s| s.reader_walls.as_ref())),
            ("courier", told(|s| s.courier_walls.as_ref())),
        ]
    }

    fn write_courier(&self, to: &mut String) -> std::fmt::Result {
        let courier = match &self.courier {
            Ok(Some(courier)) => courier,
            Ok(None) => return writeln!(to, "Server      the courier has not run yet"),
            Err(why) => return writeln!(to, "Server      {why}"),
        };
        // The courier's file is a stranger's word, should it have been taken over.
        writeln!(to, "Server      {}", harmless::text(&courier.server))?;
        let contact = courier.last_contact.map_or("never".to_owned(), shown);
        writeln!(to, "Contact     {contact}")?;
        if let Some(since) = courier.revoked {
            writeln!(
                to,
                "REVOKED     the server takes nothing from this agent any more ({}). Ask an admin why; enrol the host anew if it shall go on.",
                shown(since)
            )?;
        }
        if let Some(error) = &courier.last_error {
            writeln!(
                to,
                "Trouble     {} ({})",
                harmless::text(&error.text),
                shown(error.time)
            )?;
        }
        for error in courier.errors.newest_first() {
            writeln!(to, "Error       {}", self.error(error))?;
        }
        if let Some(clock) = courier.clock {
            let how = if clock.ahead_ms < 0 {
                "behind"
            } else {
                "ahead of"
            };
            writeln!(
                to,
                "Clock       {:.3} s {how} the server's ({})",
                clock.ahead_ms.unsigned_abs() as f64 / 1000.0,
                shown(clock.time)
            )?;
        }
        if let Some(ends) = courier.certificate_ends {
            writeln!(to, "TLS until   {}", shown(ends))?;
        }
        writeln!(
            to,
            "Waiting     {} parts, {} bytes",
            courier.parts_waiting, courier.bytes_waiting
        )?;
        match courier.used {
            Some(used) => writeln!(
                to,
                "Used        {:.1} s of a processor in the last day or since the start, at most {} MiB of memory",
                used.cpu_ms as f64 / 1000.0,
                used.memory_peak_bytes >> 20
            ),
            None => Ok(()),
        }
    }
}

fn age(seconds: i64) -> String {
    match seconds {
        ..60 => "just now".to_owned(),
        60..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn shown(time: Instant) -> String {
    let text = time.to_rfc3339();
    text.map_or_else(
        || format!("{} s", time.seconds),
        |t| format!("{}Z", &t[..19]),
    )
}
