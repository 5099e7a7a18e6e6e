//! The ZIP itself lies: its headers, its names, its directory.

use super::{
    super::{
        Case,
        deployment::Deployment,
        draft::{Draft, items, written},
        zip::{self, Item, Zip},
    },
    bytes::replaced,
};

/// Where in a local header, and where in a record of the directory, a field stands.
const FLAGS: (usize, usize) = (6, 8);
const METHOD: (usize, usize) = (8, 10);
const SIZE: (usize, usize) = (22, 24);
/// In the directory alone.
const OFFSET: usize = 42;
const DISK: usize = 34;

/// The genuine part's entries, to be written otherwise; the file is the second, after its folder.
fn genuine(world: &Deployment) -> Vec<Item> {
    items(&Draft::ordered(world).sealed(&world.agent))
}

fn case(
    world: &Deployment,
    name: &'static str,
    about: &'static str,
    zip: Vec<u8>,
    codes: &[&'static str],
    fault: &[&'static str],
) -> Case {
    let mut all = codes.to_vec();
    all.push("statement-mismatch");
    Case::forged(name, about, replaced(world, zip), &all).faults(fault)
}

/// Both headers of entry `index` get `bytes` in a field.
fn both(zip: Zip, index: usize, field: (usize, usize), bytes: &[u8]) -> Zip {
    let (local, central) = (zip.locals[index] + field.0, zip.centrals[index] + field.1);
    zip.patch(local, bytes).patch(central, bytes)
}

pub(super) fn cases(world: &Deployment) -> Vec<Case> {
    let mut cases = headers(world);
    cases.extend(directories(world));
    cases.extend(names(world));
    cases.extend(bombs(world));
    cases
}

fn headers(world: &Deployment) -> Vec<Case> {
    let structure = ["zip-structure"];
    let written = || zip::write(&genuine(world));
    let with = |change: fn(&mut Item)| {
        let mut items = genuine(world);
        change(&mut items[1]);
        zip::write(&items).bytes
    };
    let local_name = {
        let zip = written();
        let at = zip.locals[1] + 30;
        zip.patch(at, b"FS").bytes
    };
    let local_size = {
        let zip = written();
        let at = zip.locals[1] + SIZE.0;
        zip.patch(at, &9_u32.to_le_bytes()).bytes
    };
    let descriptor = {
        let zip = both(written(), 1, FLAGS, &[8, 0]);
        zip.bytes
    };
    vec![
        case(
            world,
            "zip-local-name",
            "The local header names another file than the directory: some tools would extract that.",
            local_name,
            &structure,
            &["zip-local-header"],
        ),
        case(
            world,
            "zip-local-size",
            "The local header claims another size than the directory.",
            local_size,
            &structure,
            &["zip-local-header"],
        ),
        case(
            world,
            "zip-descriptor-missing",
            "A data descriptor is announced and is not there.",
            descriptor,
            &["zip-structure", "sums-absent", "count-mismatch"],
            &["zip-descriptor", "zip-gap", "zip-overlap"],
        ),
        case(
            world,
            "zip-encryption-flag",
            "An entry claims to be encrypted inside the ZIP.",
            both(written(), 1, FLAGS, &[1, 0]).bytes,
            &structure,
            &["zip-flags"],
        ),
        case(
            world,
            "zip-method",
            "An entry is said to be compressed by bzip2.",
            both(written(), 1, METHOD, &[12, 0]).bytes,
            &[
                "zip-structure",
                "sums-absent",
                "file-absent",
                "count-mismatch",
            ],
            &["zip-method"],
        ),
        case(
            world,
            "zip-extra-unicode-path",
            "An extra field 0x7075 gives the entry a second name.",
            with(|i| i.extra[1] = unicode_path()),
            &structure,
            &["zip-extra-field"],
        ),
        case(
            world,
            "zip-extra-local",
            "The local header has an extra field that the directory does not show.",
            with(|i| i.extra[0] = vec![0x55, 0x54, 1, 0, 0]),
            &[
                "zip-structure",
                "sums-absent",
                "file-absent",
                "count-mismatch",
            ],
            &["zip-extra-field", "zip-gap"],
        ),
        case(
            world,
            "zip-entry-comment",
            "An entry has a comment.",
            with(|i| i.comment = b"hi".to_vec()),
            &structure,
            &["zip-comment"],
        ),
        case(
            world,
            "zip-symlink",
            "An entry is a symbolic link, which an extracting tool would follow.",
            with(|i| i.mode = 0o120_777),
            &structure,
            &["zip-file-type"],
        ),
        case(
            world,
            "zip-set-id",
            "A file would be extracted with the set-user-id bit.",
            with(|i| i.mode = 0o104_755),
            &structure,
            &["zip-file-type"],
        ),
        case(
            world,
            "zip-device",
            "An entry is a device.",
            with(|i| i.mode = 0o060_600),
            &structure,
            &["zip-file-type"],
        ),
        case(
            world,
            "zip-gap",
            "Bytes between two entries belong to none.",
            with(|i| i.gap = b"hidden".to_vec()),
            &structure,
            &["zip-gap"],
        ),
    ]
}

/// 0x7075: version, CRC-32 of the name, another name.
fn unicode_path() -> Vec<u8> {
    let name = b"fs/evil";
    let length = u16::try_from(5 + name.len()).unwrap();
    let crc = crc32fast::hash(b"fs/$rootfs$/etc/hostname");
    [
        &[0x75, 0x70][..],
        &length.to_le_bytes(),
        &[1],
        &crc.to_le_bytes(),
        name,
    ]
    .concat()
}

fn directories(world: &Deployment) -> Vec<Case> {
    let structure = ["zip-structure"];
    let written = || zip::write(&genuine(world));
    let (size, start) = {
        let zip = written();
        (zip.end - zip.centrals[0], zip.centrals[0])
    };
    let (size, start) = (size as u64, start as u64);
    let right = written().end as u64;
    let count = u64::try_from(genuine(world).len()).unwrap();
    let commented = {
        let zip = written();
        let at = zip.end + 20;
        [&zip.patch(at, &[5, 0]).bytes[..], b"hello"].concat()
    };
    let announced = {
        let zip = written();
        let at = zip.end + 8;
        zip.patch(at, &[99, 0, 99, 0]).bytes
    };
    let disks = {
        let zip = written();
        let at = zip.centrals[1] + DISK;
        zip.patch(at, &[1, 0]).bytes
    };
    vec![
        case(
            world,
            "zip-comment",
            "The archive has a comment.",
            commented,
            &structure,
            &["zip-comment", "zip-trailing-bytes"],
        ),
        case(
            world,
            "zip-count",
            "The end record announces more entries than there are.",
            announced,
            &structure,
            &["zip-count"],
        ),
        case(
            world,
            "zip-disks",
            "An entry claims to lie on another disk.",
            disks,
            &structure,
            &["zip-disks"],
        ),
        case(
            world,
            "zip-directory-order",
            "The directory lists entries in another order than the file.",
            reordered(world),
            &structure,
            &["zip-order"],
        ),
        case(
            world,
            "zip-overlap",
            "Two entries share the same bytes.",
            overlapping(world),
            &["zip-structure", "sums-absent", "count-mismatch"],
            &["zip-gap", "zip-overlap"],
        ),
        case(
            world,
            "zip64-contradicts",
            "The zip64 end record counts other entries than the end record.",
            written().with_end64(count + 1, size, start, right).bytes,
            &structure,
            &["zip-count", "zip-zip64"],
        ),
        case(
            world,
            "zip64-locator",
            "The zip64 locator points elsewhere, where another directory could lie.",
            written().with_end64(count, size, start, 3).bytes,
            &structure,
            &["zip-zip64"],
        ),
        case(
            world,
            "zip64-entries",
            "The zip64 end record announces 300,000 entries.",
            written().with_end64(300_000, size, start, right).bytes,
            &[
                "limit",
                "entry-order",
                "seal-missing",
                "sums-missing",
                "zip-structure",
            ],
            &["zip-gap", "zip-limit", "zip-zip64"],
        ),
    ]
}

/// Two records of the directory change places.
fn reordered(world: &Deployment) -> Vec<u8> {
    let zip = zip::write(&genuine(world));
    let (first, second, third) = (zip.centrals[1], zip.centrals[2], zip.centrals[3]);
    let swapped = [&zip.bytes[second..third], &zip.bytes[first..second]].concat();
    zip.patch(first, &swapped).bytes
}

/// The results' record points to the file's bytes.
fn overlapping(world: &Deployment) -> Vec<u8> {
    let zip = zip::write(&genuine(world));
    let (at, offset) = (zip.centrals[2] + OFFSET, zip.locals[1]);
    let offset = u32::try_from(offset).unwrap().to_le_bytes();
    zip.patch(at, &offset).bytes
}

fn names(world: &Deployment) -> Vec<Case> {
    // Sealed by the agent's own key, so that the name alone is at fault.
    let named = |entry: &str| {
        let mut draft = Draft::ordered(world);
        draft
            .content
            .insert(1, (entry.to_owned(), b"evil".to_vec()));
        draft.files.extend(super::super::draft::line(
            &super::super::draft::file_record("/evil", entry, b"evil"),
        ));
        draft
    };
    let name = |name, about, entry: &str, codes: &[&'static str]| {
        let files = named(entry).folder(&world.agent);
        Case::forged(name, about, files, codes).faults(&["zip-name"])
    };
    let unknown = [
        "zip-structure",
        "entry-unknown",
        "entry-order",
        "file-absent",
        "count-mismatch",
    ];
    let raw = |bytes: &[u8], flags: u16| {
        let mut items = genuine(world);
        items[1].name = bytes.to_vec();
        items[1].flags = flags;
        zip::write(&items).bytes
    };
    let renamed = [
        "zip-structure",
        "sums-absent",
        "sums-unlisted",
        "file-absent",
        "file-unlisted",
    ];
    let mut cases = vec![
        name(
            "name-upwards",
            "A name leads upwards out of the folder.",
            "fs/../../evil",
            &["zip-structure"],
        ),
        name("name-absolute", "A name is absolute.", "/evil", &unknown),
        name(
            "name-drive",
            "A name starts with a drive.",
            "C:/evil",
            &unknown,
        ),
        name(
            "name-backslash",
            "A name has backslashes, which Windows takes for separators.",
            "fs/$rootfs$/..\\evil",
            &["zip-structure", "sums-grammar", "sums-unlisted"],
        ),
        name(
            "name-control",
            "A name has a control character, which steers terminals.",
            "fs/$rootfs$/\u{1b}[2J",
            &["zip-structure"],
        ),
        case(
            world,
            "name-not-utf8",
            "A name is not UTF-8.",
            raw(b"fs/$rootfs$/etc/hostnam\xff", 1 << 11),
            &renamed,
            &["zip-name-encoding"],
        ),
        case(
            world,
            "name-unmarked",
            "A name that is not ASCII is not marked as UTF-8.",
            raw("fs/$rootfs$/etc/hostnämé".as_bytes(), 0),
            &renamed,
            &["zip-name-encoding"],
        ),
    ];
    cases.push(twice(world));
    cases.push(folder_unlisted(world));
    cases
}

/// Two entries of one name: tools differ in which one they extract.
fn twice(world: &Deployment) -> Case {
    let mut entries = Draft::ordered(world).sealed(&world.agent);
    entries.insert(1, ("fs/$rootfs$/etc/hostname".into(), b"evil-1\n".to_vec()));
    case(
        world,
        "zip-duplicate",
        "Two entries have one name.",
        written(&entries),
        &["zip-structure", "count-mismatch"],
        &["zip-duplicate"],
    )
}

/// A folder that no record lists: SHA256SUMS can't seal one.
fn folder_unlisted(world: &Deployment) -> Case {
    let mut entries = Draft::ordered(world).sealed(&world.agent);
    entries.insert(1, ("fs/$rootfs$/run/".into(), Vec::new()));
    case(
        world,
        "zip-folder-unlisted",
        "A folder is added that no record lists.",
        written(&entries),
        &["file-unlisted"],
        &[],
    )
}

fn bombs(world: &Deployment) -> Vec<Case> {
    let mut zeros = Draft::ordered(world);
    zeros.store("/var/zeros", &vec![0; 4_000_000]);
    let ratio = Case::genuine(
        "genuine-zeros",
        "A file of zeros, compressed 1,000:1: genuine evidence may be so.",
        zeros.folder(&world.agent),
    );
    let lying = {
        let entries = zeros.sealed(&world.agent);
        let zip = zip::write(&items(&entries));
        both(zip, 3, SIZE, &10_u32.to_le_bytes()).bytes
    };
    let huge = {
        let mut items = genuine(world);
        let wide = [9_u64 << 30, 7].map(u64::to_le_bytes).concat();
        let extra = [&[1, 0, 16, 0][..], &wide].concat();
        items[1].extra = [extra.clone(), [&[1, 0, 8, 0][..], &wide[..8]].concat()];
        let zip = zip::write(&items);
        both(zip, 1, SIZE, &[0xff; 4]).bytes
    };
    vec![
        ratio,
        case(
            world,
            "bomb-lying-size",
            "An entry inflates to 4 MB and claims 10 bytes.",
            lying,
            &[
                "zip-entry",
                "sums-digest",
                "file-digest",
                "file-size",
                "count-mismatch",
            ],
            &["zip-size"],
        ),
        case(
            world,
            "bomb-announced",
            "An entry announces 9 GiB.",
            huge,
            &["limit", "sums-absent", "file-absent", "count-mismatch"],
            &["zip-limit"],
        ),
    ]
}
