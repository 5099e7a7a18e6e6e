//! Trees made to mislead: each ends in evidence or in a gap, never in a hang, a panic or a lie.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, symlink},
    },
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use evidence::{digest::Digest, gap::Reason};

use super::fixture::{Fixture, file, files, gaps, says};

#[test]
fn pipes_sockets_and_devices_are_recorded_and_never_opened() {
    let host = Fixture::new();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, host.path("fifo"), fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(host.path("socket")).unwrap();
    let parts = host.collect(&[files("test", &["/fifo", "/socket"])]);
    for path in ["/fifo", "/socket"] {
        let record = file(&parts, path);
        assert!(
            record.why_no_entry.is_some() && record.entry.is_none(),
            "{path}"
        );
    }
    assert!(gaps(&parts).is_empty());
}

#[test]
fn names_that_are_no_text_or_too_long_are_stored_with_their_exact_bytes() {
    let host = Fixture::new();
    let deep: PathBuf = (0..20).map(|_| "d".repeat(240)).collect();
    let long = deep.join("f");
    // Made level by level: the whole path is longer than one call takes.
    let mut folder = std::fs::File::open(host.host.path()).unwrap();
    for part in deep.iter() {
        rustix::fs::mkdirat(&folder, part, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        folder = rustix::fs::openat(&folder, part, flags, rustix::fs::Mode::empty())
            .unwrap()
            .into();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let made = rustix::fs::openat(&folder, "f", flags, rustix::fs::Mode::RWXU).unwrap();
    rustix::io::write(&made, b"deep").unwrap();
    let names: [&[u8]; 3] = [b"bad-\xff\xfe", b"new\nline", b"semi;1"];
    for name in names {
        fs::write(host.host.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let mut paths: Vec<PathBuf> = names
        .iter()
        .map(|n| PathBuf::from("/").join(OsStr::from_bytes(n)))
        .collect();
    paths.push(PathBuf::from("/").join(&long));
    let asks = paths.clone();
    let parts = host.collect(&[says("test", move |sink| {
        asks.iter().try_for_each(|p| sink.file(p))
    })]);
    assert!(gaps(&parts).is_empty(), "{:?}", gaps(&parts));
    for path in paths {
        let bytes = path.as_os_str().as_bytes();
        let record = file(&parts, &String::from_utf8_lossy(bytes));
        let exact = record
            .path_b64
            .as_ref()
            .map(|b| data_encoding::BASE64.decode(b.as_bytes()).unwrap());
        assert_eq!(exact.as_deref().unwrap_or(record.path.as_bytes()), bytes);
        let entry = record.entry.unwrap();
        let part = parts
            .iter()
            .find(|p| p.entries.contains_key(&entry))
            .unwrap();
        assert_eq!(record.sha256, Some(Digest::of(&part.entries[&entry])));
    }
}

#[test]
fn a_sparse_terabyte_is_stored_by_its_data() {
    let host = Fixture::new();
    let sparse = fs::File::create(host.path("sparse")).unwrap();
    sparse.write_all_at(b"middle", 1 << 39).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let parts = host.collect(&[files("test", &["/sparse"])]);
    let record = file(&parts, "/sparse");
    assert_eq!(record.only_extents.len(), 1);
    assert_eq!(record.claimed_size_bytes, Some(1 << 40));
    let entry = record.entry.unwrap();
    let part = parts
        .iter()
        .find(|p| p.entries.contains_key(&entry))
        .unwrap();
    let stored = &part.entries[&entry];
    assert_eq!(record.size_bytes, Some(stored.len() as u64));
    let at = (1_u64 << 39) - record.only_extents[0].offset_bytes;
    assert_eq!(&stored[at as usize..][..6], b"middle");
    assert!(gaps(&parts).is_empty());
}

#[test]
fn a_terabyte_of_hole_is_a_record_and_no_empty_entry() {
    let host = Fixture::new();
    let hole = fs::File::create(host.path("hole")).unwrap();
    hole.set_len(1 << 40).unwrap();
    let parts = host.collect(&[files("test", &["/hole"])]);
    let record = file(&parts, "/hole");
    assert_eq!((record.entry, record.sha256), (None, None));
    assert_eq!(record.claimed_size_bytes, Some(1 << 40));
    assert!(record.why_no_entry.unwrap().contains("hole"));
}

#[test]
fn files_that_vanish_or_are_swapped_for_links_are_gaps() {
    let host = Fixture::new();
    host.put("etc/shadow", b"secret");
    host.put("gone", b"x");
    host.put("dir/f", b"x");
    let root = host.host.path().to_owned();
    let parts = host.collect(&[says("test", move |sink| {
        fs::remove_file(root.join("gone")).unwrap();
        fs::remove_dir_all(root.join("dir")).unwrap();
        symlink("f", root.join("dir")).unwrap();
        sink.file("/gone".as_ref())?;
        sink.file("/dir/f".as_ref())
    })]);
    let mut reasons: Vec<Reason> = gaps(&parts).iter().map(|g| g.reason).collect();
    reasons.dedup();
    assert_eq!(reasons, [Reason::NotFound]);
    assert_eq!(parts.last().unwrap().record().counts_so_far.files, 0);
}

#[test]
fn a_file_cut_short_while_it_is_read_is_said_to_have_changed_and_is_a_gap() {
    let mut host = Fixture::new();
    host.limits.io_bytes_per_second = 4 << 20;
    let path = host.path("shrinks");
    fs::write(&path, vec![b'x'; 40 << 20]).unwrap();
    let parts = host.collect(&[says("test", move |sink| {
        sink.file("/shrinks".as_ref())?;
        while !is_being_read(&path) {
            std::thread::yield_now();
        }
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(1000).unwrap();
        Ok(())
    })]);
    let record = file(&parts, "/shrinks");
    let entry = record.entry.unwrap();
    let part = parts.iter().find(|p| p.entries.contains_key(&entry));
    let stored = &part.unwrap().entries[&entry];
    assert_eq!(record.size_bytes, Some(stored.len() as u64));
    assert_eq!(record.sha256, Some(Digest::of(stored)));
    assert!(stored.len() < 40 << 20);
    assert!(record.changed_while_read);
    let gaps = gaps(&parts);
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason, Reason::ReadError);
    assert!(gaps[0].text.contains("shrank"), "{}", gaps[0].text);
}

/// Whether this process has read something of the file at `path`.
fn is_being_read(path: &std::path::Path) -> bool {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == path))
        .filter_map(|fd| {
            fs::read_to_string(PathBuf::from("/proc/self/fdinfo").join(fd.file_name())).ok()
        })
        .any(|info| !info.starts_with("pos:\t0\n"))
}

#[test]
fn a_log_that_grows_all_the_while_is_stored_as_far_as_it_was_read() {
    let host = Fixture::new();
    host.put("log", &vec![b'x'; 1 << 20]);
    let path = host.path("log");
    let stop = AtomicBool::new(false);
    let parts = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = fs::OpenOptions::new().append(true).open(&path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                log.write_all(&[b'y'; 4096]).unwrap();
            }
        });
        let parts = host.collect(&[files("test", &["/log"])]);
        stop.store(true, Ordering::Relaxed);
        parts
    });
    let record = file(&parts, "/log");
    let entry = record.entry.unwrap();
    let part = parts.iter().find(|p| p.entries.contains_key(&entry));
    let stored = &part.unwrap().entries[&entry];
    assert_eq!(record.sha256, Some(Digest::of(stored)));
    assert!(stored.len() >= 1 << 20 && record.changed_while_read);
}

#[test]
fn distant_file_systems_are_told_and_not_even_looked_at() {
    let host = Fixture::new();
    // What lies there stands for a server that doesn't answer: a look would find it.
    host.put("mnt/nfs/secret", b"x");
    host.put("mnt/local", b"x");
    symlink("/mnt/nfs/secret", host.path("mnt/link")).unwrap();
    let table = b"22 27 0:21 / /mnt/nfs rw - nfs4 server:/ rw\n";
    host.put("proc/self/mountinfo", table);
    let root = host.host.path().to_owned();
    let rules = [crate::files::rules::rule("/mnt/**")];
    let parts = host.collect(&[says("test", move |sink| {
        crate::files::sweep((&root, None), &rules, &[], sink)
    })]);
    let mut told: Vec<_> = gaps(&parts)
        .into_iter()
        .map(|g| (g.subject, g.reason))
        .collect();
    told.sort();
    let expected = ["/mnt/link", "/mnt/nfs"].map(|p| (p.to_owned(), Reason::OtherFileSystem));
    assert_eq!(told, expected);
    assert_eq!(parts.last().unwrap().record().counts_so_far.files, 1);
}

#[test]
fn extended_attributes_of_a_stored_file_keep_names_that_are_no_text() {
    let host = Fixture::new();
    let open = fs::File::create(host.path("f")).unwrap();
    for (name, value) in [
        (&b"user.note"[..], &b"a\0"[..]),
        (b"user.\xff", b"not text"),
    ] {
        rustix::fs::fsetxattr(&open, name, value, rustix::fs::XattrFlags::CREATE).unwrap();
    }
    let parts = host.collect(&[files("test", &["/f"])]);
    let b64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let found = file(&parts, "/f").xattrs;
    let of = |exact: Option<String>| found.iter().find(|x| x.name_b64 == exact).unwrap();
    assert_eq!(of(None).name, "user.note");
    assert_eq!(of(None).value_b64, b64(b"a\0"));
    assert_eq!(of(Some(b64(b"user.\xff"))).value_b64, b64(b"not text"));
}
