//! The whole server over real TLS on loopback.

mod enrolment;
