//! What each URL does, a file a noun. Who may ask was decided before: see `access` and `router`.

pub(crate) mod agent_orders;
pub(crate) mod cancels;
pub(crate) mod collections;
pub(crate) mod custody;
pub(crate) mod enrolment;
pub(crate) mod forks;
pub(crate) mod health;
pub(crate) mod holds;
pub(crate) mod hosts;
pub(crate) mod kits;
mod lacking;
pub(crate) mod logs;
mod message;
pub(crate) mod openapi;
pub(crate) mod order_parts;
pub(crate) mod orders;
mod page;
pub(crate) mod parts;
pub(crate) mod pending;
mod poll;
mod range;
pub(crate) mod reports;
pub(crate) mod retention;
pub(crate) mod signatures;
pub(crate) mod trust;

use std::sync::Arc;

use axum::{extract::State, response::Response};

use crate::{refusal::Refusal, state::Server};

pub(crate) use enrolment::check_facts;
pub(crate) use lacking::Lacking;
pub(crate) use message::{Message, json};
use page::{PAGE, cut};

/// The server, as handlers take it.
type App = State<Arc<Server>>;
/// What handlers answer.
type Answer = Result<Response, Refusal>;
