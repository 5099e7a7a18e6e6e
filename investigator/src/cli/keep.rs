//! The command line of retention rules and legal holds.

use clap::{Args, Subcommand};
use evidence::ids::{CollectionId, HoldId, OrderId};
use protocol::{name::Name, retention::MAX_KEEP_DAYS};

use crate::span::Span;

/// `fieldseal retention`.
#[derive(Debug, Subcommand)]
pub enum Retention {
    /// Show the rules that are in force, and whether an admin has signed them.
    ///
    /// Exit codes: 0 shown; 1 failed, or a rule is signed by nobody who may; 64 usage.
    Show(ShowRetention),
    /// Sign how long evidence is kept (admins). A newer rule takes the place of an older one.
    ///
    /// Exit codes: 0 in force; 1 failed, or somebody else has set one meanwhile; 64 usage.
    Set(SetRetention),
    /// Show what will expire, and what a hold keeps.
    ///
    /// Exit codes: 0 shown; 1 failed; 64 usage.
    Due(RetentionDue),
}

/// `fieldseal retention show`.
#[derive(Debug, Args)]
pub struct ShowRetention {
    /// Show those that were replaced too.
    #[arg(long)]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal retention set`.
#[derive(Debug, Args)]
pub struct SetRetention {
    /// Whose evidence; may be given again [default: each agency of yours].
    #[arg(long = "agency", value_name = "NAME")]
    pub agencies: Vec<Name>,
    /// For this case alone: its reference to the letter. It goes before the agency's rule.
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// Keep a collection for so many days after its last part was received.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_KEEP_DAYS)))]
    pub days: Option<u32>,
    /// Keep it for ever.
    #[arg(long, conflicts_with = "days", required_unless_present = "days")]
    pub for_ever: bool,
    /// Why; it is signed and stays in the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal retention due`.
#[derive(Debug, Args)]
pub struct RetentionDue {
    /// Only what expires within this time, as in 30d.
    #[arg(long, value_name = "TIME")]
    pub within: Option<Span>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal hold`.
#[derive(Debug, Subcommand)]
pub enum Hold {
    /// Sign that evidence must not expire (investigators, approvers, admins).
    ///
    /// Exit codes: 0 placed; 1 failed; 64 usage.
    Place(PlaceHold),
    /// Sign that a hold ends (admins, and not who placed it).
    ///
    /// Exit codes: 0 lifted; 1 failed; 64 usage, or there is no such hold.
    Lift(LiftHold),
    /// List the holds, and whether somebody who may has signed them.
    ///
    /// Exit codes: 0 listed; 1 failed, or a hold is signed by nobody who may; 64 usage.
    List(ListHolds),
}

/// `fieldseal hold place`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("covers").required(true))]
pub struct PlaceHold {
    /// Keep all of this case: its reference to the letter.
    #[arg(long, value_name = "CASE", group = "covers")]
    pub case: Option<String>,
    /// Keep all that was collected on this order.
    #[arg(long, value_name = "ORDER", group = "covers")]
    pub order: Option<OrderId>,
    /// Keep all from this host, by its agent's id or its name.
    #[arg(long, value_name = "HOST", group = "covers")]
    pub host: Option<String>,
    /// Keep this collection.
    #[arg(long, value_name = "COLLECTION", group = "covers")]
    pub collection: Option<CollectionId>,
    /// Whose evidence [default: your agency, where you have one].
    #[arg(long, value_name = "NAME")]
    pub agency: Option<Name>,
    /// The legal basis; it is signed and stays in the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal hold lift`.
#[derive(Debug, Args)]
pub struct LiftHold {
    /// The hold's id (l-...).
    pub hold: HoldId,
    /// Why; it is signed and stays in the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `fieldseal hold list`.
#[derive(Debug, Args)]
pub struct ListHolds {
    /// List those that were lifted too.
    #[arg(long)]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
