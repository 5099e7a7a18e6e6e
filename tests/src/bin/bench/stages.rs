//! Each stage of the pipeline alone, on one core: read, SHA-256, deflate, age, file; and all of them as a part.

use std::{
    fs::{self, File},
    io::{self, Cursor, Read as _, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use evidence::{
    archive::{PartLimits, PartWriter},
    digest::Digest,
    wrap::{Identity, WrapWriter},
};
use flate2::{Compression, write::DeflateEncoder};

use crate::{hashing::megabytes, report::Section};

/// How much of each kind is measured.
const SAMPLE_BYTES: usize = 128 << 20;
/// The length of a file in the part that is measured.
const FILE_BYTES: usize = 1 << 20;

struct Sample {
    name: &'static str,
    bytes: Vec<u8>,
}

/// Measures all stages.
///
/// # Errors
/// The samples can't be read, or the work folder can't be written.
pub(crate) fn measure(work: &Path, runs: u32) -> anyhow::Result<Section> {
    let mut section = Section::new("Stages, one core, MB of plain input a second");
    let programs = files_of(Path::new("/usr/bin"));
    let samples = [
        Sample {
            name: "log text",
            bytes: log_text(SAMPLE_BYTES),
        },
        Sample {
            name: "programs",
            bytes: joined(&programs)?,
        },
    ];
    let mut rates: Vec<(String, f64)> = Vec::new();
    let reading = several(runs, || read_all(&programs))?;
    rates.push(figure(&mut section, "read, warm (/usr/bin)", reading));
    for sample in &samples {
        for (stage, measured) in [
            ("SHA-256", several(runs, || sha256(sample))?),
            ("deflate, level 1", several(runs, || deflate(sample))?),
            ("age", several(runs, || age(sample))?),
            ("file, made durable", several(runs, || file(sample, work))?),
        ] {
            let name = format!("{stage}: {}", sample.name);
            rates.push(figure(&mut section, &name, measured));
        }
    }
    let slowest = rates.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((name, rate)) = slowest {
        section.note(format!("the slowest stage is {name} with {rate:.0} MB/s"));
    }
    for sample in &samples {
        let name = format!("all, as one part: {}", sample.name);
        let measured = several(runs, || part(sample, work))?;
        figure(&mut section, &name, measured);
    }
    Ok(section)
}

fn figure(section: &mut Section, name: &str, runs: Vec<f64>) -> (String, f64) {
    let median = section.figure(name, "MB/s", runs);
    (name.to_owned(), median)
}

/// Runs `stage`, which gives how many bytes went in, and makes rates of it.
fn several(runs: u32, mut stage: impl FnMut() -> anyhow::Result<u64>) -> anyhow::Result<Vec<f64>> {
    let mut rates = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let bytes = stage()?;
        rates.push(megabytes(bytes) / start.elapsed().as_secs_f64());
    }
    Ok(rates)
}

fn read_all(files: &[PathBuf]) -> anyhow::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    for path in files {
        let mut file = File::open(path)?;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            total += count as u64;
        }
    }
    Ok(total)
}

fn sha256(sample: &Sample) -> anyhow::Result<u64> {
    std::hint::black_box(Digest::of(&sample.bytes));
    Ok(sample.bytes.len() as u64)
}

fn deflate(sample: &Sample) -> anyhow::Result<u64> {
    let mut encoder = DeflateEncoder::new(io::sink(), Compression::new(1));
    encoder.write_all(&sample.bytes)?;
    encoder.finish()?;
    Ok(sample.bytes.len() as u64)
}

fn age(sample: &Sample) -> anyhow::Result<u64> {
    let mut writer = WrapWriter::new(&[Identity::generate().recipient()], io::sink())?;
    writer.write_all(&sample.bytes)?;
    writer.finish()?;
    Ok(sample.bytes.len() as u64)
}

fn file(sample: &Sample, work: &Path) -> anyhow::Result<u64> {
    let path = work.join("stage.tmp");
    let mut file = File::create(&path)?;
    file.write_all(&sample.bytes)?;
    file.sync_all()?;
    fs::remove_file(path)?;
    Ok(sample.bytes.len() as u64)
}

/// The sample as files of 1 MiB in one part: hashed, deflated, encrypted, written.
fn part(sample: &Sample, work: &Path) -> anyhow::Result<u64> {
    let path = work.join("stage.tmp");
    let below = io::BufWriter::with_capacity(256 * 1024, File::create(&path)?);
    let wrap = WrapWriter::new(&[Identity::generate().recipient()], below)?;
    let now = evidence::instant::Instant::now();
    let mut part = PartWriter::new(wrap, PartLimits::default(), now);
    for (number, bytes) in sample.bytes.chunks(FILE_BYTES).enumerate() {
        part.content(&format!("fs/$rootfs$/{number}"), Cursor::new(bytes))?;
    }
    drop(part);
    fs::remove_file(path)?;
    Ok(sample.bytes.len() as u64)
}

/// The regular files of a folder up to the sample's length, the same order every time.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = listed
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .filter(|path| File::open(path).is_ok())
        .collect();
    files.sort();
    let mut total = 0;
    files.retain(|path| {
        let length = fs::metadata(path).map_or(0, |m| m.len());
        let fits = total + length <= SAMPLE_BYTES as u64;
        total += if fits { length } else { 0 };
        fits
    });
    files
}

fn joined(files: &[PathBuf]) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::with_capacity(SAMPLE_BYTES);
    for path in files {
        File::open(path)?.read_to_end(&mut all)?;
    }
    Ok(all)
}

/// Lines as a log has them, the same every time.
fn log_text(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 200);
    let mut number = 1_u32;
    while text.len() < length {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (second, port, user) = (number >> 26, number >> 16, number >> 24 & 7);
        // Writing to a Vec can't fail.
        let _ = writeln!(
            text,
            "Nov 24 11:{:02}:{:02} web{user} sshd[{}]: Failed password for invalid user u{user} from 10.{}.{}.7 port {port} ssh2",
            second & 59,
            second % 60,
            number >> 12 & 0x7FFF,
            number >> 5 & 255,
            number >> 9 & 255,
        );
    }
    text.truncate(length);
    text
}
