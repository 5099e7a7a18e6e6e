//! What somebody tries who has taken a half over, each by the calls that he would use.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    os::unix::{net::UnixDatagram, process::CommandExt as _},
    process::Command,
    ptr,
};

/// Tries it on a subject: a path, a port or a process.
pub(crate) type Act = fn(&str) -> io::Result<()>;

/// The act of this name.
pub(crate) fn find(name: &str) -> Option<Act> {
    ACTS.iter()
        .find(|(known, _)| *known == name)
        .map(|(_, act)| *act)
}

const ACTS: &[(&str, Act)] = &[
    ("nothing", |_| Ok(())),
    ("read", |path| {
        File::open(path)?.read_to_end(&mut Vec::new()).map(drop)
    }),
    ("link", |path| fs::read_link(path).map(drop)),
    ("list", |path| {
        fs::read_dir(path)?.next().transpose().map(drop)
    }),
    ("exec", |_| Err(Command::new("/bin/true").exec())),
    ("spawn", |_| Command::new("/bin/true").status().map(drop)),
    ("append", |path| {
        File::options().append(true).open(path)?.write_all(b"x")
    }),
    ("empty", |path| opened(path, libc::O_RDONLY | libc::O_TRUNC)),
    ("create", |path| {
        opened(path, libc::O_RDONLY | libc::O_CREAT)
    }),
    ("nameless", |path| {
        opened(path, libc::O_RDWR | libc::O_TMPFILE)
    }),
    ("overwrite", |path| {
        File::options().write(true).open(path).map(drop)
    }),
    ("remove", |path| fs::remove_file(path)),
    ("rename", |path| fs::rename(path, format!("{path}.moved"))),
    ("mode", |path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o4755))
    }),
    ("times", times),
    ("attribute", attribute),
    ("folder", |path| fs::create_dir(format!("{path}.d"))),
    ("special", special),
    ("by_struct", by_struct),
    ("remove_at", |path| at(libc::SYS_unlinkat, path, 0)),
    ("mode_at", |path| at(libc::SYS_fchmodat, path, 0o4755)),
    ("owner_at", |path| at(libc::SYS_fchownat, path, 0)),
    ("folder_at", |path| {
        at(libc::SYS_mkdirat, &format!("{path}.d"), 0o700)
    }),
    ("special_at", |path| {
        let fifo = libc::S_IFIFO | 0o600;
        at(libc::SYS_mknodat, &format!("{path}.fifo"), fifo.into())
    }),
    ("rename_at", |path| two_names(path, libc::SYS_renameat2)),
    ("second_name", |path| two_names(path, libc::SYS_linkat)),
    ("pointer", |path| {
        std::os::unix::fs::symlink(path, format!("{path}.link"))
    }),
    ("shorten", |path| {
        let path = text(path);
        // SAFETY: the path ends with a zero byte.
        checked(unsafe { libc::truncate(path.as_ptr(), 0) }.into())
    }),
    #[cfg(target_arch = "x86_64")]
    ("overwrite_of_old", |path| {
        let write = i64::from(libc::O_WRONLY);
        by_name(libc::SYS_open, path, [write, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("create_of_old", |path| {
        by_name(libc::SYS_creat, path, [0o600, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("times_of_old", |path| {
        by_name(libc::SYS_utimes, path, [0, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("mode_of_old", |path| {
        by_name(libc::SYS_chmod, path, [0o4755, 0])
    }),
    ("by_handle", |_| {
        called(libc::SYS_open_by_handle_at, [0, 0, 0])
    }),
    ("socket", |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("local_socket", |path| {
        UnixDatagram::unbound()?.connect(path)
    }),
    ("listen", |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    // No attack: what the courier finds its server by.
    ("look_up", |name| {
        (name, 0)
            .to_socket_addrs()?
            .next()
            .map(drop)
            .ok_or_else(|| io::Error::other("no address"))
    }),
    ("connect", |port| connect([127, 0, 0, 1], port)),
    ("connect_beside", |port| connect([127, 0, 0, 2], port)),
    ("multipath", |port| {
        reached(port, IPPROTO_MPTCP, by_connecting)
    }),
    ("fast_open", |port| reached(port, 0, by_first_bytes)),
    ("connector", |_| {
        socket(libc::AF_NETLINK, libc::SOCK_DGRAM, NETLINK_CONNECTOR).map(drop)
    }),
    ("open", |path| File::open(path).map(drop)),
    ("priority", |process| {
        called(
            libc::SYS_getpriority,
            [libc::PRIO_PROCESS.into(), number(process), 0],
        )
    }),
    ("trace", |process| {
        called(
            libc::SYS_ptrace,
            [libc::PTRACE_ATTACH.into(), number(process), 0],
        )
    }),
    ("write_memory", |process| {
        called(libc::SYS_process_vm_writev, [number(process), 0, 0])
    }),
    ("take_descriptor", |_| {
        called(libc::SYS_pidfd_getfd, [0, 0, 0])
    }),
    ("signal", |process| {
        called(libc::SYS_kill, [number(process), libc::SIGSTOP.into(), 0])
    }),
    ("mount", |_| called(libc::SYS_mount, [0, 0, 0])),
    ("namespace", |_| {
        called(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0])
    }),
    ("module", |_| called(libc::SYS_init_module, [0, 0, 0])),
    ("bpf", |_| called(libc::SYS_bpf, [0, 0, 0])),
    ("ring", |_| called(libc::SYS_io_uring_setup, [1, 0, 0])),
    ("keys", |_| called(libc::SYS_keyctl, [0, 0, 0])),
    ("user", |_| called(libc::SYS_setuid, [0, 0, 0])),
    ("code", |_| code(libc::PROT_READ | libc::PROT_EXEC)),
    ("writable_code", |_| {
        code(libc::PROT_WRITE | libc::PROT_EXEC)
    }),
];

/// Multipath TCP (RFC 8684), which falls back to plain TCP with whoever knows nothing of it.
const IPPROTO_MPTCP: libc::c_int = 262;
/// Where the kernel tells of processes that begin and end.
const NETLINK_CONNECTOR: libc::c_int = 11;

fn socket(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor, or none.
    match unsafe { libc::socket(family, kind, protocol) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just given it to us, and nobody else has it.
        made => Ok(unsafe { OwnedFd::from_raw_fd(made) }),
    }
}

/// Reaches a port of this host by a socket of its own kind.
fn reached(
    port: &str,
    protocol: libc::c_int,
    reach: fn(&OwnedFd, &libc::sockaddr_in) -> io::Result<()>,
) -> io::Result<()> {
    let port: u16 = port.parse().map_err(io::Error::other)?;
    // SAFETY: all zeroes are an address.
    let mut place: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    place.sin_family = libc::AF_INET as libc::sa_family_t;
    place.sin_port = port.to_be();
    place.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    reach(&socket(libc::AF_INET, libc::SOCK_STREAM, protocol)?, &place)
}

fn by_connecting(socket: &OwnedFd, place: &libc::sockaddr_in) -> io::Result<()> {
    let length = size_of_val(place) as libc::socklen_t;
    let place = std::ptr::from_ref(place).cast();
    // SAFETY: the address is as long as is said.
    checked(unsafe { libc::connect(socket.as_raw_fd(), place, length) }.into())
}

fn by_first_bytes(socket: &OwnedFd, place: &libc::sockaddr_in) -> io::Result<()> {
    let length = size_of_val(place) as libc::socklen_t;
    let place = std::ptr::from_ref(place).cast();
    let (bytes, flags) = (c"x".as_ptr().cast(), libc::MSG_FASTOPEN);
    // SAFETY: bytes and address are as long as is said.
    checked(
        unsafe { libc::sendto(socket.as_raw_fd(), bytes, 1, flags, place, length) } as libc::c_long,
    )
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or(1)
}

fn called(call: libc::c_long, [one, two, three]: [i64; 3]) -> io::Result<()> {
    // SAFETY: none of these calls is given an address that it could write to.
    checked(unsafe { libc::syscall(call, one, two, three, 0, 0) })
}

fn checked(answer: libc::c_long) -> io::Result<()> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn text(path: &str) -> CString {
    CString::new(path).unwrap_or_default()
}

fn opened(path: &str, flags: libc::c_int) -> io::Result<()> {
    let path = text(path);
    // SAFETY: the path ends with a zero byte and outlives the call.
    checked(unsafe { libc::openat(libc::AT_FDCWD, path.as_ptr(), flags, 0o600) }.into())
}

/// A call whose first argument is a name.
#[cfg(target_arch = "x86_64")]
fn by_name(call: libc::c_long, path: &str, [one, two]: [i64; 2]) -> io::Result<()> {
    let path = text(path);
    // SAFETY: the path ends with a zero byte and outlives the call, which is given no other address.
    checked(unsafe { libc::syscall(call, path.as_ptr(), one, two) })
}

/// A call on a name in the folder that it is started in.
fn at(call: libc::c_long, path: &str, more: i64) -> io::Result<()> {
    let path = text(path);
    // SAFETY: the path ends with a zero byte and outlives the call, which is given no other address.
    checked(unsafe { libc::syscall(call, libc::AT_FDCWD, path.as_ptr(), more, 0, 0) })
}

/// A call that gives what is at `path` another name.
fn two_names(path: &str, call: libc::c_long) -> io::Result<()> {
    let (from, to) = (text(path), text(&format!("{path}.moved")));
    // SAFETY: both names end with a zero byte and outlive the call.
    checked(unsafe {
        libc::syscall(
            call,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            0,
        )
    })
}

fn connect(host: [u8; 4], port: &str) -> io::Result<()> {
    let port: u16 = port.parse().map_err(io::Error::other)?;
    TcpStream::connect((Ipv4Addr::from(host), port)).map(drop)
}

fn times(path: &str) -> io::Result<()> {
    let path = text(path);
    // SAFETY: the path ends with a zero byte; no times are given.
    checked(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), ptr::null(), 0) }.into())
}

fn attribute(path: &str) -> io::Result<()> {
    let (path, name) = (text(path), c"user.x");
    // SAFETY: both names end with a zero byte; the value is as long as is said.
    checked(
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), c"1".as_ptr().cast(), 1, 0) }.into(),
    )
}

fn special(path: &str) -> io::Result<()> {
    let path = text(&format!("{path}.fifo"));
    // SAFETY: the path ends with a zero byte.
    checked(unsafe { libc::mknod(path.as_ptr(), libc::S_IFIFO | 0o600, 0) }.into())
}

/// `openat2`, whose flags no filter sees.
fn by_struct(path: &str) -> io::Result<()> {
    let (path, how) = (text(path), [u64::from(libc::O_WRONLY.unsigned_abs()), 0, 0]);
    // SAFETY: the path ends with a zero byte, and `how` is as long as is said.
    checked(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            how.as_ptr(),
            size_of_val(&how),
        )
    })
}

/// Memory that can be run.
fn code(protection: libc::c_int) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping that nothing points to.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0) };
    match mapped {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
