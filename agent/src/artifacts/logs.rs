//! Logs: /var/log whole (journal, audit and login records among them), /run/log, and the spools of mail and jobs.

use super::{Artifact, Extent, Field, Request, Sink, Stopped};
use crate::files::rules::{Rule, rule, sweep};

const RULES: &[Rule] = &[
    rule("/var/log/**"),
    rule("/run/log/**"),
    rule("/var/adm/**"),
    rule("/var/audit/**"),
    rule("/run/utmp"),
    rule("/var/run/utmp"),
    rule("/var/lib/{lastlog,wtmpdb}/**"),
    rule("/var/lib/systemd/{coredump,pstore,timers}/**"),
    rule("/var/crash/**"),
    rule("/var/lib/waagent/**/*.log"),
    rule("/var/lib/amazon/ssm/**/*.log"),
    rule("/opt/*/{log,logs}/**"),
    rule("/usr/local/{log,logs}/**"),
    rule("/usr/local/*/{log,logs}/**"),
    rule("/srv/*/{log,logs}/**"),
];

/// The artifact.
#[derive(Debug)]
pub struct Logs;

impl Artifact for Logs {
    fn name(&self) -> &'static str {
        "logs"
    }

    fn about(&self) -> &'static str {
        "Logs of the system and its services: /var/log, journals, audit."
    }

    fn files(&self) -> Vec<&'static str> {
        RULES.iter().map(|r| r.pattern).collect()
    }

    fn extent(&self) -> Extent {
        Extent::Files
    }

    fn fields(&self) -> &'static [Field] {
        &[]
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        sweep(request.place(), RULES, &[], sink)
    }
}
