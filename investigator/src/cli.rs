//! The command line as typed. It is parsed here and resolved in the commands.

mod form;
mod hunt;
mod keep;
mod kit;
mod policy;
mod recurring;

pub use policy::{DraftPolicy, Policy, PublishPolicy, RootDraft, RootKey, ShowPolicy, SignPolicy};

use std::path::PathBuf;

pub use form::Form;
pub use hunt::{Criteria, Hunt, size};
pub use keep::{
    Hold, LiftHold, ListHolds, PlaceHold, Retention, RetentionDue, SetRetention, ShowRetention,
};
pub use kit::{BuildKit, Kit};
pub use recurring::Recurring;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use evidence::ids::{AgentId, OrderId};
use protocol::{name::Name, policy::Role};

use crate::{health::Concern, span::Span};

/// The investigator's tool: order collections, fetch, check and open sealed evidence.
#[derive(Debug, Parser)]
#[command(name = "fieldseal", version, about, disable_help_subcommand = true)]
#[command(after_help = "\
Exit codes of every command: 0 done, or genuine and complete; 1 failed, refused, or not genuine;
2 done with gaps, or genuine with gaps, parts or receipts missing, or signer unknown; 64 usage: the command
line was not understood, or names a path, profile, host or collection that there is not.
FIELDSEAL_PASSPHRASE opens the signing key where no terminal can ask for it.")]
pub struct Cli {
    /// Where the tool keeps its settings and what it remembers of the server [default: ~/.config/fieldseal].
    #[arg(long, global = true, env = "FIELDSEAL_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One verb each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check evidence: whether it is what was sealed, by whom, and whether it is complete.
    ///
    /// Exit codes: 0 genuine and complete; 2 genuine, but with gaps, parts or receipts missing, contents
    /// unread or the signer unknown; 1 not genuine; 64 usage.
    Verify(Verify),
    /// Decrypt parts, each into part-0001.zip, and optionally extract them.
    ///
    /// Exit codes: 0 done; 2 done, but something is missing, damaged or not joined; 1 failed; 64 usage.
    Open(Open),
    /// Fill in the chain-of-custody form of a collection, out of what was verified, to be printed and signed.
    ///
    /// It names host, operator and place: make it where the vault's key is, and lay it on no stick.
    /// Evidence that is not genuine gets a form too, which says so in large letters.
    ///
    /// Exit codes: the form is written, and the evidence is 0 genuine and complete; 2 genuine with reservations; 1 not
    /// genuine, or nothing was written; 64 usage, a key that opens nothing included.
    Form(Form),
    /// Make keys: a person's, or a vault's.
    #[command(subcommand)]
    Keys(Keys),
    /// Tell the tool which server, which deployment and whose keys it works with.
    Setup(Setup),
    /// List the hosts of your agencies.
    Hosts(Hosts),
    /// Sign an order to collect from hosts, and hand it to the server.
    ///
    /// Exit codes: 0 handed in (with --watch: delivered by all); 1 failed (or refused by a host);
    /// 2 (with --watch) delivered with gaps or cut short; 64 usage.
    Collect(Box<Collect>),
    /// Ask hosts whether they have certain files, processes or connections: an order whose answer is records only.
    ///
    /// Exit codes: 0 handed in (with --watch: answered by all); 1 failed (or refused by a host);
    /// 2 (with --watch) answered with gaps or cut short; 64 usage.
    Hunt(Box<Hunt>),
    /// Show what a hunt found, out of verified parts.
    ///
    /// Exit codes: 0 shown; 2 parts are missing, not genuine or have serious gaps; 1 failed; 64 usage.
    Hits(Hits),
    /// Build what collects on hosts without network, and what people need with it.
    #[command(subcommand)]
    Kit(Kit),
    /// Sign another person's order, which is shown whole before (approvers).
    ///
    /// Exit codes: 0 signed; 1 failed, or hosts would refuse the order all the same; 64 usage.
    Approve(Approve),
    /// Sign a new order for the hosts on which another came to no good end; results of both stay together.
    ///
    /// Exit codes: as for collect; 64 also where no host is left to be asked again.
    Retry(Retry),
    /// Stop an order: no host begins it any more, and who is at it seals what there is.
    Cancel(Cancel),
    /// Follow an order until every host has delivered or refused.
    ///
    /// Exit codes: 0 delivered by all; 2 delivered with gaps, cut short, cancelled, or still running when
    /// the time given by --for was over; 1 refused, expired or failed; 64 usage.
    Watch(Watch),
    /// Show what hosts say of an order while they are at it; that you looked is in the custody log.
    ///
    /// The lines come in sealed pieces that your key opens. The archive's own log has every line.
    /// Exit codes: 0 shown; 2 pieces were missing, false, or could not be opened; 1 failed; 64 usage.
    Log(Log),
    /// List orders and what was collected on them.
    List(List),
    /// Download collections with all that proves them; what was cut off goes on where it stopped.
    ///
    /// Exit codes: 0 everything is there; 2 parts are still missing at the server, or set apart
    /// as not genuine; 1 failed; 64 usage.
    Fetch(Fetch),
    /// Serve the console: pages on this machine alone, for all that the commands do.
    ///
    /// Prints an address that counts once, opens it in a browser, and serves until Ctrl-C.
    ///
    /// Exit codes: 0 it was ended; 1 no contact with the server, or the port is taken; 64 usage.
    Console(Console),
    /// Load verified evidence into the database of its case, a table an artifact, to be searched and queried.
    ///
    /// A part that is not genuine is not loaded, and said; nor is one of which nothing shows who sealed it, unless
    /// with --allow-unknown. What is there already stays as it is.
    /// Exit codes: 0 everything is in the database; 2 loaded, but with reservations, or parts could not be opened,
    /// are of unknown signers or belong to another case, or lines are no records; 1 a part is not genuine, or failed;
    /// 64 usage.
    Load(Load),
    /// Ask a case's database: by SQL that reads, or for words in any record.
    ///
    /// Exit codes: 0 answered, with rows or without; 1 failed; 64 usage: no such case, or a statement
    /// that is none or would write.
    Query(Query),
    /// List the databases of cases on this machine.
    ///
    /// Exit codes: 0 listed; 2 one can't be read; 1 failed.
    Cases(Cases),
    /// Sign that an agent's certificates count no more (admins).
    Revoke(Revoke),
    /// Show and set how long evidence is kept, and see what expires when.
    #[command(subcommand)]
    Retention(Retention),
    /// Place, lift and list legal holds: what they cover does not expire.
    #[command(subcommand)]
    Hold(Hold),
    /// Download the custody log, recompute it and check every signature in it.
    ///
    /// Exit codes: 0 it holds; 1 it does not; 64 usage.
    Audit(Audit),
    /// Show, draft, sign and publish who may do what (admins, and the holders of the root keys).
    #[command(subcommand)]
    Policy(Policy),
    /// Validate the tools on this machine: collect from a disk of known answers, and compare everything with them.
    ///
    /// The folder gets validation.html to be filed, validation.json, the disk and the evidence.
    ///
    /// Exit codes: 0 everything is as expected; 1 something differs, or failed; 64 usage.
    Validate(Validate),
    /// Print the completions of this tool for a shell, as in `fieldseal completions bash`.
    ///
    /// For bash into ~/.local/share/bash-completion/completions/fieldseal, for fish into
    /// ~/.config/fish/completions/fieldseal.fish, for zsh into the file _fieldseal in a folder of its fpath.
    ///
    /// Exit codes: 0 printed; 1 failed; 64 usage.
    Completions(Completions),
}

/// `fieldseal validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The new folder for the report, the disk and the evidence.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// The agent's program [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// Who validates, as it shall stand in the report.
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Parts (.zip or .zip.age), or folders that hold them.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// On what it rests.
    #[command(flatten)]
    pub grounds: Grounds,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write an acquisition report: HTML if the name ends in .html, else text.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Sign what was found in each part and hand it to the custody log (investigators).
    #[arg(long)]
    pub record: bool,
}

/// On what a check rests.
#[derive(Debug, Default, Args)]
pub struct Grounds {
    /// The root certificate that seals must lead to (PEM). Without it the signer is unknown.
    #[arg(long, value_name = "ROOT.crt")]
    pub trust: Option<PathBuf>,
    /// A root document (root.json): the policy then needs the threshold of its keys. May be given once a version.
    #[arg(long, value_name = "ROOT.json")]
    pub root: Vec<PathBuf>,
    /// A policy from outside (policy.json), signed by the trusted root: knows the log's key for parts that stay closed.
    #[arg(long, value_name = "POLICY.json")]
    pub policy: Vec<PathBuf>,
    /// The root certificate of the time-stamping authority (PEM). Without it no time rests on a stamp.
    #[arg(long, value_name = "TSA.crt")]
    pub tsa_trust: Option<PathBuf>,
    /// A file with age identities (AGE-SECRET-KEY-...) that open encrypted parts.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

/// `fieldseal load`. Where `fieldseal setup` was run, its root certificate and the person's own key are used too.
#[derive(Debug, Args)]
pub struct Load {
    /// Parts (.zip or .zip.age), or folders that hold them.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// The case of parts that name none. Without it each part goes to the case that its order names.
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// The database [default: one for each case in the folder `cases` below --home].
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// Load sound parts too of which nothing shows who sealed them, as of hosts without enrolment: under a host and a
    /// collection that are called by the signer.
    #[arg(long)]
    pub allow_unknown: bool,
    /// On what it rests.
    #[command(flatten)]
    pub grounds: Grounds,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal query`.
#[derive(Debug, Args)]
pub struct Query {
    /// The case's reference, or the file of a database.
    pub case: String,
    /// One statement of SQL that reads (SELECT). See --schema for what there is.
    #[arg(value_name = "SQL", required_unless_present_any = ["search", "schema"], conflicts_with_all = ["search", "schema"])]
    pub sql: Option<String>,
    /// Find records with all these words, a "phrase", the beginning of a word and *, or a digest.
    #[arg(long, value_name = "TEXT", conflicts_with = "schema")]
    pub search: Option<String>,
    /// With --search: in this table only.
    #[arg(long, value_name = "TABLE", requires = "search")]
    pub source: Option<String>,
    /// Print the tables and columns that there are, and what they mean.
    #[arg(long)]
    pub schema: bool,
    /// Print CSV. Cells that a spreadsheet would take for a formula begin with '.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    /// Stop after so many rows.
    #[arg(long, value_name = "ROWS")]
    pub limit: Option<u64>,
}

/// `fieldseal cases`.
#[derive(Debug, Args)]
pub struct Cases {
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal open`.
#[derive(Debug, Args)]
pub struct Open {
    /// Parts (.zip.age, or .zip to extract), or folders that hold them.
    #[arg(required = true)]
    pub parts: Vec<PathBuf>,
    /// A file with age identities (AGE-SECRET-KEY-...).
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// The folder for the opened parts; beside each part, where none is named.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Also extract each part, into a new folder of its own below this one, and join files in pieces below `joined`.
    ///
    /// Times of files are restored. Names that collide or that Windows can't hold are changed, and said.
    #[arg(long, value_name = "DIR")]
    pub extract: Option<PathBuf>,
}

/// `fieldseal keys`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a person's keys: to sign, to speak to the server, and to open evidence.
    New(NewKeys),
    /// Make a vault's key. Keep the file off line; its recipient goes into the policy.
    Vault {
        /// The new file for the key.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
}

/// `fieldseal keys new`.
#[derive(Debug, Args)]
pub struct NewKeys {
    /// A short name, unique in the deployment.
    #[arg(long)]
    pub id: Name,
    /// The name for people.
    #[arg(long, value_name = "TEXT")]
    pub name: String,
    /// investigator, approver, auditor or admin; may be given again.
    #[arg(long = "role", value_name = "ROLE", required = true, value_parser = role)]
    pub roles: Vec<Role>,
    /// The agency to act for; may be given again.
    #[arg(long = "agency", value_name = "NAME", required = true)]
    pub agencies: Vec<Name>,
    /// The new folder for the keys.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Leave the signing key without a passphrase.
    #[arg(long)]
    pub no_passphrase: bool,
}

fn role(text: &str) -> Result<Role, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| "write investigator, approver, auditor or admin".to_owned())
}

/// `fieldseal setup`.
#[derive(Debug, Args)]
pub struct Setup {
    /// The server's address, as in `https://evidence.example.org:8443`.
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// The folder with the deployment's root.crt and root.json.
    #[arg(long, value_name = "DIR")]
    pub trust: PathBuf,
    /// The folder that `fieldseal keys new` made.
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
}

/// `fieldseal hosts`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Hosts {
    /// What is done but for listing.
    #[command(subcommand)]
    pub action: Option<HostsAction>,
    /// Only the hosts that were removed; else they are left out.
    #[arg(long, conflicts_with = "filter")]
    pub removed: bool,
    /// Only the hosts for which every term holds, as in "label=dc os=linux seen<24h".
    #[arg(long = "where", value_name = "EXPR", id = "filter")]
    pub filter: Option<String>,
    /// Only the hosts that there is this reason to look after.
    #[arg(long, value_name = "WHY", conflicts_with = "removed")]
    pub only: Option<Concern>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `fieldseal hosts` does but for listing.
#[derive(Debug, Subcommand)]
pub enum HostsAction {
    /// Sign that hosts are looked after no more (admins): their agents are let in no more, no order is for them, and what
    /// was collected stays. Who shall come back is enrolled anew.
    Remove(RemoveHosts),
    /// List the hosts that a token holds for approval (admins): nobody has checked what they say of themselves.
    Pending {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Sign that hosts which wait may enrol (admins): they are let in when they ask next, within minutes.
    Approve(DecideHosts),
    /// Sign that hosts which wait may not enrol (admins).
    Reject(DecideHosts),
}

/// `fieldseal hosts approve` and `reject`.
#[derive(Debug, Args)]
pub struct DecideHosts {
    /// Hosts that wait, each by its name, its id, or the first eight or more digits of its seal key.
    #[arg(required = true, value_name = "HOST|KEY")]
    pub hosts: Vec<String>,
}

/// `fieldseal hosts remove`.
#[derive(Debug, Args)]
pub struct RemoveHosts {
    /// Hosts, each by its name or its agent's id.
    #[arg(required = true, value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Why: kept at the server, and its digest in the custody log.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `fieldseal collect`.
#[derive(Debug, Args)]
pub struct Collect {
    /// What to gather: a built-in profile's name, or a YAML file.
    #[arg(long, value_name = "NAME|FILE")]
    pub profile: String,
    /// A folder or file to walk in place of the profile's; may be given again. With --from-hunt: the paths of the hits,
    /// where none is given.
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// How it goes on.
    #[command(flatten)]
    pub recurring: Recurring,
    /// Where, why and by what right.
    #[command(flatten)]
    pub ordering: Ordering,
}

/// What every order says: which hosts, why, by what right, how long.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Ordering {
    /// A host, by its agent's id or its name; may be given again.
    #[arg(
        long = "host",
        value_name = "ID|NAME",
        required_unless_present_any = ["filter", "from_hunt"],
        conflicts_with_all = ["filter", "from_hunt"]
    )]
    pub hosts: Vec<String>,
    /// The hosts for which every term holds: `*`, or as in "label=dc os=linux seen<24h".
    #[arg(
        long = "where",
        value_name = "EXPR",
        id = "filter",
        conflicts_with = "from_hunt"
    )]
    pub filter: Option<String>,
    /// With --where: hosts that are enrolled later join (the signed expression holds no `seen<`).
    #[arg(long, requires = "filter", conflicts_with = "hosts")]
    pub open: bool,
    /// The hosts with hits of this hunt, whose parts lie below --fetched. The order names the hunt's as the one before.
    #[arg(long, value_name = "ORDER", requires = "fetched")]
    pub from_hunt: Option<OrderId>,
    /// With --from-hunt: the folder into which the hunt was fetched.
    #[arg(long, value_name = "DIR", requires = "from_hunt")]
    pub fetched: Option<PathBuf>,
    /// The case's reference.
    #[arg(long, value_name = "CASE")]
    pub case: String,
    /// Why; it is signed and stays in the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// What may be gathered at all, and by what right.
    #[command(flatten)]
    pub scope: Scope,
    /// How long hosts may begin the order; with --every or --on-change: how long it goes on.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub expires: Span,
    /// So many hosts get the order in a minute, at times that are spread by chance [default: all at once].
    #[arg(
        long,
        value_name = "HOSTS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub per_minute: u32,
    /// The order stops by itself once more than this share of the hosts that answered has failed, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub stop_past: u8,
    /// What follows once it is handed in.
    #[command(flatten)]
    pub after: After,
}

/// `fieldseal log`.
#[derive(Debug, Args)]
pub struct Log {
    /// The order.
    pub order: OrderId,
    /// Only of this host, by its agent's id or its name.
    #[arg(long, value_name = "ID|NAME")]
    pub host: Option<String>,
    /// Go on until no host is at it any more.
    #[arg(long)]
    pub follow: bool,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal hits`.
#[derive(Debug, Args)]
pub struct Hits {
    /// The hunt's order.
    pub order: OrderId,
    /// The folder into which it was fetched; without it the parts come from the server, and are kept nowhere.
    #[arg(long, value_name = "DIR")]
    pub fetched: Option<PathBuf>,
    /// A file with age identities in place of the person's own.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Print JSON, one hit a line.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print a table with commas.
    #[arg(long)]
    pub csv: bool,
}

/// The scope of an order. Agents read nothing outside it; what it leaves out is a gap.
#[derive(Debug, Default, Args)]
#[group(skip)]
pub struct Scope {
    /// The legal basis of the scope: a warrant's number, a statute, a consent.
    #[arg(long = "legal-basis", id = "basis", value_name = "TEXT")]
    pub basis: Option<String>,
    /// Only what is this user's (name or number on the host); may be given again.
    #[arg(
        long = "scope-user",
        id = "scope-user",
        value_name = "USER",
        requires = "basis"
    )]
    pub users: Vec<String>,
    /// Only what lies here; may be given again.
    #[arg(
        long = "scope-path",
        id = "scope-path",
        value_name = "PATH",
        requires = "basis"
    )]
    pub paths: Vec<String>,
    /// Only what may have happened at or after this time (RFC 3339).
    #[arg(long = "scope-from", id = "scope-from", value_name = "TIME", requires = "basis", value_parser = instant)]
    pub from: Option<evidence::instant::Instant>,
    /// Only what may have happened before this time (RFC 3339).
    #[arg(long = "scope-until", id = "scope-until", value_name = "TIME", requires = "basis", value_parser = instant)]
    pub until: Option<evidence::instant::Instant>,
}

/// `fieldseal approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// The order's id.
    pub order: OrderId,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What follows once an order is handed in.
#[derive(Debug, Args)]
#[group(skip)]
pub struct After {
    /// Stay and follow the order.
    #[arg(long)]
    pub watch: bool,
    /// With --watch: stop following after this time.
    #[arg(long = "for", value_name = "TIME", requires = "watch")]
    pub at_most: Option<Span>,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// The order's id.
    pub order: OrderId,
    /// The hosts that refused, were cut short, or never began. It is the only choice, and said so that nobody errs.
    #[arg(long, required = true)]
    pub failed: bool,
    /// Why; it is signed and stays in the record.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = crate::retry::REASON
    )]
    pub reason: String,
    /// How long hosts may begin the order.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub expires: Span,
    /// What follows once it is handed in.
    #[command(flatten)]
    pub after: After,
}

/// `fieldseal cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The order's id.
    pub order: OrderId,
    /// Why; it is signed and stays in the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// The order's id.
    pub order: OrderId,
    /// Stop following after this time, as in 90s, 30m, 24h, 7d.
    #[arg(long = "for", value_name = "TIME")]
    pub at_most: Option<Span>,
    /// Print JSON, one object for each change.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only this case.
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// A collection (c-...), or an order (o-...) for all of its collections and those of its retries.
    #[arg(value_name = "COLLECTION|ORDER")]
    pub which: String,
    /// The folder in which each collection gets a folder of its own.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Of an order: go on until every host has settled, and take parts as they arrive; with --load, collections are
    /// loaded as soon as they are whole.
    #[arg(long)]
    pub follow: bool,
    /// Verify what was fetched and load it into the database of its case, as `fieldseal load` does.
    #[arg(long)]
    pub load: bool,
    /// With --load: a further file with age identities that open the parts.
    #[arg(long, value_name = "FILE", requires = "load")]
    pub identity: Option<PathBuf>,
}

/// `fieldseal console`.
#[derive(Debug, Args)]
pub struct Console {
    /// The port on 127.0.0.1; 0 takes one that is free.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// Open no browser.
    #[arg(long)]
    pub no_browser: bool,
    /// The folder that evidence is fetched into [default: evidence, in the tool's own folder].
    #[arg(long, value_name = "DIR")]
    pub evidence: Option<PathBuf>,
    /// Print the address as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The agent's id.
    pub agent: AgentId,
    /// Seals made from this time on are refused (RFC 3339, as in 2026-11-24T00:00:00Z).
    #[arg(long = "from", value_name = "TIME", value_parser = instant)]
    pub from: evidence::instant::Instant,
}

fn instant(text: &str) -> Result<evidence::instant::Instant, String> {
    evidence::instant::Instant::parse(text)
        .ok_or_else(|| "write an RFC 3339 time, as in 2026-11-24T00:00:00Z".to_owned())
}

/// `fieldseal completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
}

/// `fieldseal audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Show only what concerns this case; everything is checked all the same.
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_order_names_hosts_in_one_way() {
        let base = [
            "fieldseal",
            "collect",
            "--profile",
            "triage",
            "--case",
            "1",
            "--reason",
            "r",
        ];
        let with = |more: &[&str]| Cli::try_parse_from(base.iter().chain(more)).is_ok();
        assert!(!with(&[]));
        assert!(with(&["--host", "web-1", "--host", "web-2"]));
        assert!(with(&["--where", "*", "--open"]));
        let hunt = "o-aucqkbifaucqkbifaucqkbifau";
        assert!(with(&["--from-hunt", hunt, "--fetched", "x"]));
        assert!(!with(&["--from-hunt", hunt]));
        assert!(!with(&[
            "--from-hunt",
            hunt,
            "--fetched",
            "x",
            "--host",
            "web-1"
        ]));
        assert!(!with(&["--host", "web-1", "--where", "*"]));
        assert!(!with(&["--host", "web-1", "--open"]));
        assert!(!with(&["--host", "web-1", "--expires", "soon"]));
    }

    #[test]
    fn roles_are_those_of_the_policy() {
        assert_eq!(role("admin"), Ok(Role::Admin));
        assert!(role("root").is_err());
    }
}
