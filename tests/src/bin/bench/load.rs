//! Work that a host does beside the agent, and how much of it gets done.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use evidence::digest::Digest;

use crate::report::cores;

/// What one round of the processors' work hashes.
const ROUND_BYTES: usize = 1 << 16;
/// The files that the disk's work reads and writes, past every cache.
const FILE_BYTES: usize = 1 << 29;
const BLOCK_BYTES: usize = 1 << 16;
const MIB: f64 = (1 << 20) as f64;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Every processor is busy.
    Processors,
    /// Blocks are read from the disk, one after the other, past the cache.
    Reads,
    /// Blocks are written to the disk in the same way, each durable before the next.
    Writes,
}

impl Load {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processors => "a program on every core",
            Self::Reads => "a program that reads the disk",
            Self::Writes => "a program that writes to the disk",
        }
    }

    /// Whether it works on the disk.
    pub(crate) fn is_on_disk(self) -> bool {
        self != Self::Processors
    }

    /// What it gets done in `time`: MiB a second, hashed, read or written.
    ///
    /// # Errors
    /// The disk can't be used past the cache.
    pub(crate) fn throughput(self, work: &Path, time: Duration) -> anyhow::Result<f64> {
        match self {
            Self::Processors => Ok(hash(time)),
            Self::Reads => on_disk(&file(work, "load-v1")?, time, |file, block, at| {
                file.read_exact_at(block, at)
            }),
            Self::Writes => on_disk(&file(work, "load-written-v1")?, time, |file, block, at| {
                file.write_all_at(block, at)?;
                file.sync_data()
            }),
        }
    }
}

fn hash(time: Duration) -> f64 {
    let (is_over, begun) = (AtomicBool::new(false), Instant::now());
    let rounds: u64 = thread::scope(|scope| {
        let one = || {
            let (block, mut rounds) = (vec![7; ROUND_BYTES], 0_u64);
            while !is_over.load(Ordering::Relaxed) {
                std::hint::black_box(Digest::of(&block));
                rounds += 1;
            }
            rounds
        };
        let all: Vec<_> = (0..cores()).map(|_| scope.spawn(one)).collect();
        thread::sleep(time);
        is_over.store(true, Ordering::Relaxed);
        all.into_iter().filter_map(|one| one.join().ok()).sum()
    });
    rounds as f64 * ROUND_BYTES as f64 / MIB / begun.elapsed().as_secs_f64()
}

/// Made where it is missing.
fn file(work: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = work.join(name);
    if !path.is_file() {
        let mut file = File::create(&path)?;
        let block: Vec<u8> = (0..BLOCK_BYTES).map(|n| n as u8).collect();
        for _ in 0..FILE_BYTES / BLOCK_BYTES {
            file.write_all(&block)?;
        }
        file.sync_all()?;
    }
    Ok(path)
}

/// Has `work` done on one block after the other of the file at `path`.
fn on_disk(
    path: &Path,
    time: Duration,
    work: impl Fn(&File, &mut [u8], u64) -> io::Result<()>,
) -> anyhow::Result<f64> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .context("this file system knows no way past the cache")?;
    // Aligned, as that wants it.
    let mut room = vec![0; 2 * BLOCK_BYTES];
    let skip = room.as_ptr().align_offset(BLOCK_BYTES);
    let block = &mut room[skip..skip + BLOCK_BYTES];
    let (begun, mut bytes) = (Instant::now(), 0_u64);
    while begun.elapsed() < time {
        work(&file, block, bytes % FILE_BYTES as u64)?;
        bytes += BLOCK_BYTES as u64;
    }
    Ok(bytes as f64 / MIB / begun.elapsed().as_secs_f64())
}
