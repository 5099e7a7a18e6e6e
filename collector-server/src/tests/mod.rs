//! The whole server over real TLS on loopback.

mod access;
mod agent_orders;
mod cancels;
mod crash;
mod enrolment;
mod evidence;
mod health;
mod hostile;
mod init;
mod order_parts;
mod orders;
mod rollout;
mod signatures;
mod stamp;
mod trust;
mod tuspy;
mod uploads;
