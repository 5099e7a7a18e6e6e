//! The committed vectors, extracted: genuine ones whole, hostile ones never outside their folder.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Extracted, extract, join};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/vectors")
}

fn all_parts(vector: &str, root: &Path) -> (Vec<Extracted>, Vec<String>) {
    let mut said = Vec::new();
    let mut extracted = Vec::new();
    for number in 1.. {
        let zip = vectors().join(vector).join(format!("part-{number:04}.zip"));
        if !zip.exists() {
            break;
        }
        let mut say = |line: &str| {
            said.push(line.to_owned());
            Ok(())
        };
        extracted.push(extract(&zip, root, &mut say).unwrap());
    }
    (extracted, said)
}

fn below(folder: &Path) -> Vec<PathBuf> {
    if !folder.exists() {
        return Vec::new();
    }
    let found = walkdir::WalkDir::new(folder).min_depth(1);
    found.into_iter().map(|e| e.unwrap().into_path()).collect()
}

#[test]
fn three_parts_come_out_with_their_times_and_a_file_joined_from_its_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let (parts, _) = all_parts("genuine-three-parts", dir.path());
    assert!(parts.len() == 3 && parts.iter().all(|p| p.is_whole));
    let hostname = dir.path().join("part-0001/fs/$rootfs$/etc/hostname");
    assert_eq!(fs::read(&hostname).unwrap(), b"host-1\n");
    let modified = fs::metadata(&hostname).unwrap().modified().unwrap();
    let wanted = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_168_800 - 500);
    assert_eq!(modified, wanted);
    let joined = dir.path().join("joined");
    assert!(join(&parts, &joined, &mut |_| Ok(())).unwrap());
    let whole = fs::read(joined.join("fs/$rootfs$/var/big")).unwrap();
    assert_eq!(whole, b"bbbbbbbbbbcccccccccc");
}

#[test]
fn what_does_not_join_is_said_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut parts, _) = all_parts("genuine-three-parts", dir.path());
    let joined = dir.path().join("joined");
    let refused = |parts: &[Extracted]| {
        let mut said = String::new();
        let whole = join(parts, &joined, &mut |line| {
            said.push_str(line);
            Ok(())
        });
        assert!(!whole.unwrap());
        assert!(below(&joined).iter().all(|p| p.is_dir()), "{said}");
        said
    };
    let second = parts[1].pieces[0].file.take();
    assert!(refused(&parts).contains("piece 2 is missing"));
    parts[1].pieces[0].file = parts[0].pieces[0].file.clone();
    assert!(refused(&parts).contains("stands for several"));
    parts[1].pieces[0].file = second.clone();
    parts[1].pieces[0].piece.offset_bytes = 11;
    assert!(refused(&parts).contains("does not fit"));
    parts[1].pieces[0].piece.offset_bytes = 10;
    fs::write(second.unwrap(), b"other bytes").unwrap();
    assert!(refused(&parts).contains("not what was recorded"));
}

#[test]
fn hostile_archives_never_leave_their_folder() {
    for vector in fs::read_dir(vectors()).unwrap() {
        let vector = vector.unwrap().file_name().into_string().unwrap();
        if !vectors().join(&vector).join("part-0001.zip").exists() {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let (parts, _) = all_parts(&vector, &root);
        let joined = join(&parts, &root.join("joined"), &mut |_| Ok(()));
        assert!(joined.is_ok(), "{vector}");
        let outside = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(outside, 1, "{vector} wrote beside its folder");
        for path in below(&root) {
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            assert!(kind.is_file() || kind.is_dir(), "{vector}: {path:?}");
        }
        if [
            "name-upwards",
            "name-absolute",
            "zip-duplicate",
            "bytes-half",
        ]
        .contains(&&*vector)
        {
            assert!(parts.iter().any(|p| !p.is_whole), "{vector} looked whole");
        }
    }
}
