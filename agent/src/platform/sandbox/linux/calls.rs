//! The system calls by name: which end a half, and which it needs.
//!
//! Found by watching both halves at work (`strace`) on all artifacts, deliveries, watches and renewals, and completed by
//! what other versions of the C library use for the same.

use libc::{c_long as Call, *};

/// The calls that open files by name, and which argument holds the flags.
#[cfg(target_arch = "x86_64")]
pub(super) const OPENING: &[(Call, u8)] = &[(SYS_open, 1), (SYS_openat, 2)];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OPENING: &[(Call, u8)] = &[(SYS_openat, 2)];

/// What neither half ever does, and who has taken one over would want first.
#[rustfmt::skip]
pub(super) const DEADLY: &[Call] = &[
    // other programs, other processes
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
    SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_process_madvise, SYS_kcmp, SYS_tkill,
    SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
    // mounts, namespaces, roots
    SYS_mount, SYS_umount2, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig,
    SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_pivot_root, SYS_chroot, SYS_setns,
    SYS_unshare,
    // the kernel itself
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_bpf,
    SYS_perf_event_open, SYS_userfaultfd, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct,
    SYS_quotactl, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex,
    SYS_sethostname, SYS_setdomainname, SYS_personality,
    // keys
    SYS_keyctl, SYS_add_key, SYS_request_key,
    // ways around the filter and the look-up of names
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_open_by_handle_at,
    SYS_openat2,
    // another user, more rights
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid,
    SYS_setgroups, SYS_setfsuid, SYS_setfsgid, SYS_capset,
    // special files
    SYS_mknodat,
];

/// What the half that sees the host never does: talk to anybody new, and change what has a name.
#[rustfmt::skip]
pub(super) const DEADLY_TO_READER: &[Call] = &[
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4,
    SYS_sendmmsg, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_symlinkat,
    SYS_mkdirat, SYS_truncate, SYS_fchmod, SYS_fchmodat, SYS_fchmodat2, SYS_fchown,
    SYS_fchownat, SYS_utimensat, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_removexattr,
    SYS_lremovexattr, SYS_fremovexattr,
];

/// What both need, whatever the arguments.
#[rustfmt::skip]
pub(super) const NEEDED: &[Call] = &[
    // files by descriptor, and looking at names
    SYS_read, SYS_readv, SYS_pread64, SYS_preadv, SYS_write, SYS_writev, SYS_pwrite64,
    SYS_pwritev, SYS_close, SYS_openat, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs,
    SYS_fstatfs, SYS_lseek, SYS_getdents64, SYS_readlinkat, SYS_faccessat, SYS_faccessat2,
    SYS_getcwd, SYS_fsync, SYS_fdatasync, SYS_sync_file_range,
    SYS_fallocate, SYS_ftruncate, SYS_fadvise64, SYS_dup, SYS_dup3, SYS_pipe2,
    SYS_copy_file_range, SYS_sendfile,
    // memory
    SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_mlock, SYS_mlock2, SYS_munlock,
    SYS_membarrier,
    // threads and signals
    SYS_futex, SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_set_tid_address,
    SYS_sched_yield, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait,
    SYS_rt_sigpending, SYS_sigaltstack,
    SYS_restart_syscall, SYS_exit, SYS_exit_group,
    // waiting
    SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2,
    SYS_nanosleep, SYS_clock_nanosleep, SYS_timerfd_create, SYS_timerfd_settime,
    // sockets that are there
    SYS_recvmsg, SYS_recvfrom, SYS_getsockopt, SYS_setsockopt, SYS_getsockname,
    SYS_getpeername, SYS_shutdown,
    // who and when
    SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
    SYS_getresuid, SYS_getresgid, SYS_getgroups, SYS_capget, SYS_uname, SYS_sysinfo,
    SYS_getrusage, SYS_times, SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday,
    SYS_getrandom, SYS_getcpu,
];

/// What the reader needs beside.
#[rustfmt::skip]
pub(super) const NEEDED_BY_READER: &[Call] = &[
    SYS_flistxattr, SYS_fgetxattr, SYS_llistxattr, SYS_lgetxattr, SYS_listxattr, SYS_getxattr,
    SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
    // whether a process is there that the lists hide (`procfs::answers`)
    SYS_getpriority,
];

/// What the courier needs beside.
#[rustfmt::skip]
pub(super) const NEEDED_BY_COURIER: &[Call] = &[
    SYS_connect, SYS_bind, SYS_recvmmsg, SYS_flock, SYS_unlinkat, SYS_renameat,
    SYS_renameat2, SYS_linkat, SYS_mkdirat, SYS_fchmod, SYS_fchmodat, SYS_utimensat,
];

/// What a process asks of itself: its threads' names, its memory's.
#[rustfmt::skip]
pub(super) const PRCTL: &[u64] = &[
    PR_SET_NAME as u64, PR_GET_NAME as u64, PR_SET_VMA as u64, PR_GET_DUMPABLE as u64,
    PR_CAPBSET_READ as u64, PR_GET_NO_NEW_PRIVS as u64, PR_GET_SECCOMP as u64,
];

/// Whether it is a terminal, how much there is to read, and to wait or not.
#[rustfmt::skip]
pub(super) const IOCTL: &[u64] = &[
    TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX,
];

/// Those about a process's place among others, and the argument that says of whom: 0 is oneself. Of others they would tell
/// that there are any.
pub(super) const OF_ITSELF: &[(Call, u8)] = &[
    (SYS_sched_getaffinity, 0),
    (SYS_sched_getscheduler, 0),
    (SYS_sched_setscheduler, 0),
    (SYS_sched_getparam, 0),
    (SYS_getpriority, 1),
    (SYS_setpriority, 1),
    (SYS_ioprio_get, 1),
    (SYS_ioprio_set, 1),
];

/// Flags and copies of descriptors; no locks, which would hold up others, and no signals.
#[rustfmt::skip]
pub(super) const FCNTL: &[u64] = &[
    F_GETFD as u64, F_SETFD as u64, F_GETFL as u64, F_SETFL as u64, F_DUPFD as u64,
    F_DUPFD_CLOEXEC as u64,
];

/// Family, kind and protocol of the sockets that may be made: TCP to the server and UDP to name servers, the network's
/// tables by which names are looked up, and look-up services on this host. Not Multipath TCP, which Landlock lets pass.
#[rustfmt::skip]
pub(super) const SOCKETS: &[(c_int, c_int, c_int)] = &[
    (AF_INET, SOCK_STREAM, 0), (AF_INET, SOCK_STREAM, IPPROTO_TCP),
    (AF_INET, SOCK_DGRAM, 0), (AF_INET, SOCK_DGRAM, IPPROTO_UDP),
    (AF_INET6, SOCK_STREAM, 0), (AF_INET6, SOCK_STREAM, IPPROTO_TCP),
    (AF_INET6, SOCK_DGRAM, 0), (AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
    (AF_UNIX, SOCK_STREAM, 0), (AF_UNIX, SOCK_DGRAM, 0),
    (AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), (AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE),
];

/// What these processors have beside, from before each such call took a folder or flags.
#[cfg(target_arch = "x86_64")]
pub(super) mod old {
    use libc::{c_long as Call, *};

    #[rustfmt::skip]
    pub(in super::super) const DEADLY: &[Call] = &[
        SYS_fork, SYS_vfork, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_mknod,
    ];
    #[rustfmt::skip]
    pub(in super::super) const DEADLY_TO_READER: &[Call] = &[
        SYS_creat, SYS_unlink, SYS_rename, SYS_link, SYS_symlink, SYS_mkdir, SYS_rmdir,
        SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat,
    ];
    #[rustfmt::skip]
    pub(in super::super) const NEEDED: &[Call] = &[
        SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_dup2,
        SYS_pipe, SYS_arch_prctl, SYS_poll, SYS_select, SYS_epoll_wait, SYS_epoll_create,
        SYS_time, SYS_getrlimit,
    ];
    #[rustfmt::skip]
    pub(in super::super) const NEEDED_BY_COURIER: &[Call] = &[
        SYS_unlink, SYS_rename, SYS_link, SYS_mkdir, SYS_rmdir, SYS_chmod,
    ];
}

/// Younger processors have none of them.
#[cfg(not(target_arch = "x86_64"))]
pub(super) mod old {
    use libc::c_long as Call;

    pub(in super::super) const DEADLY: &[Call] = &[];
    pub(in super::super) const DEADLY_TO_READER: &[Call] = &[];
    pub(in super::super) const NEEDED: &[Call] = &[];
    pub(in super::super) const NEEDED_BY_COURIER: &[Call] = &[];
}
