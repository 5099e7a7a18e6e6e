//! Ports of loopback for programs that are told theirs before they listen.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;

/// Below those that systems give to whoever asks for any: between this choice and the program's start neither a
/// connection nor another listener can be given the same.
const FROM: u32 = 12_000;
const COUNT: u32 = 20_000;

/// How many were given by this process.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// A port that nobody holds now, and that this process gives once.
///
/// # Errors
/// None is free.
pub fn free() -> anyhow::Result<SocketAddr> {
    // Processes that run side by side begin far from each other.
    let start = process::id().wrapping_mul(7919);
    (0..COUNT)
        .find_map(|_| {
            let next = start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let port = u16::try_from(FROM + next).ok()?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            listener.local_addr().ok()
        })
        .context("no port of loopback is free")
}
