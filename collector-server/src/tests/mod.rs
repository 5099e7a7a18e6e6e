//! The whole server over real TLS on loopback.

mod access;
mod agent_orders;
mod cancels;
mod clones;
mod crash;
mod enrolment;
mod evidence;
mod health;
mod holds;
mod hostile;
mod init;
mod openapi;
mod order_parts;
mod orders;
mod rates;
mod removal;
mod retention;
mod rollout;
mod schemathesis;
mod siem;
mod signatures;
mod stamp;
mod tenancy;
mod trust;
mod tuspy;
mod uploads;
