//! Persistence: everything that the host starts by itself or for whoever logs in. A record for each file found, by
//! the way in which it would start, and the files themselves; private keys are recorded and never taken.

use std::path::Path;

use serde_json::Map;

use super::{Artifact, Class, Field, Request, Sink, Stopped};
use crate::platform::names::OsStrExt as _;
use crate::{
    artifacts::accounts::homes,
    files::{
        open::open_parent,
        private::{PRIVATE_KEY, is_private_key},
        record::{STAT_FIELDS, field, put_bytes, put_path, put_stat},
        rules::{Compiled, sweep_with},
        stat::{Kind, Stat},
    },
};

/// The way of starting, and where its files lie.
const WAYS: &[(&str, &[&str])] = &[
    (
        "cron",
        &[
            "/etc/{crontab,anacrontab,cron.allow,cron.deny}",
            "/etc/cron.*/**",
            "/var/spool/{cron,anacron}/**",
            "/var/cron/**",
            "/usr/lib/cron/**",
        ],
    ),
    (
        "at",
        &[
            "/var/spool/{at,atjobs,atspool}/**",
            "/var/at/**",
            "/etc/at.{allow,deny}",
        ],
    ),
    (
        "systemd",
        &[
            "/etc/systemd/**",
            "/run/systemd/{system,transient,generator,generator.early,generator.late,user,sessions}/**",
            "/usr/lib/systemd/{system,user,system-generators,user-generators,system-environment-generators,user-environment-generators,system-shutdown,system-sleep,system-preset,user-preset}/**",
            "/lib/systemd/{system,user,system-generators,user-generators,system-shutdown,system-sleep}/**",
            "/usr/local/lib/systemd/**",
            "/run/user/*/systemd/{transient,generator,user}/**",
            "~/.config/systemd/**",
            "~/.local/share/systemd/**",
            "/var/lib/systemd/linger/*",
            "/usr/lib/tmpfiles.d/*",
            "/etc/tmpfiles.d/*",
            "/etc/binfmt.d/*",
            "/usr/lib/binfmt.d/*",
        ],
    ),
    (
        "init",
        &[
            "/etc/{inittab,rc.local,rc.common,initscript}",
            "/etc/{init,init.d,rc.d,rc?.d,runit,sv,service,conf.d}/**",
            "/etc/rc*.d/**",
            "/etc/default/*",
        ],
    ),
    (
        "shell_startup",
        &[
            "/etc/{profile,bash.bashrc,bashrc,bash_logout,zshenv,zprofile,zshrc,zlogin,csh.cshrc,csh.login,environment,inputrc}",
            "/etc/{profile.d,bash_completion.d,zsh,fish}/**",
            "/etc/skel/**",
            "~/.{bashrc,bash_profile,bash_login,bash_logout,bash_aliases,profile,zshrc,zshenv,zprofile,zlogin,zlogout,cshrc,tcshrc,login,logout,kshrc,mkshrc,pam_environment,xprofile,xinitrc,xsession,xsessionrc}",
            "~/.config/{fish,environment.d,plasma-workspace}/**",
        ],
    ),
    (
        "ssh",
        &[
            "~/.ssh/**",
            "/etc/ssh/**",
            "~/.{rhosts,shosts}",
            "/etc/{hosts.equiv,shosts.equiv}",
        ],
    ),
    (
        "preload",
        &[
            "/etc/ld.so.preload",
            "/etc/ld.so.conf",
            "/etc/ld.so.conf.d/*",
        ],
    ),
    (
        "pam",
        &[
            "/etc/pam.conf",
            "/etc/pam.d/*",
            "/usr/lib/pam.d/*",
            "/usr/share/pam-configs/*",
        ],
    ),
    (
        "udev",
        &[
            "/etc/udev/**",
            "/run/udev/rules.d/*",
            "/usr/lib/udev/rules.d/*",
            "/lib/udev/rules.d/*",
        ],
    ),
    (
        "autostart",
        &[
            "/etc/xdg/{autostart,plasma-workspace}/**",
            "~/.config/{autostart,autostart-scripts}/**",
            "~/.kde*/Autostart/**",
            "/etc/X11/{xinit,Xsession.d,xdm}/**",
            "/usr/share/autostart/**",
            "/usr/share/gdm/autostart/**",
        ],
    ),
    (
        "kernel_modules",
        &[
            "/etc/{modules,modprobe.conf}",
            "/etc/{modprobe.d,modules-load.d,depmod.d,dkms}/**",
            "/usr/lib/{modprobe.d,modules-load.d}/*",
            "/run/{modprobe.d,modules-load.d}/*",
        ],
    ),
    (
        "initramfs",
        &[
            "/etc/initramfs-tools/**",
            "/etc/dracut.conf",
            "/etc/dracut.conf.d/*",
            "/usr/lib/dracut/modules.d/99*/**",
        ],
    ),
    (
        "hooks",
        &[
            "/etc/NetworkManager/dispatcher.d/**",
            "/usr/lib/NetworkManager/dispatcher.d/**",
            "/etc/{networkd-dispatcher,ppp,dhcp,dhclient.d,acpi,pm,update-motd.d,logrotate.d,kernel,grub.d,xinetd.d}/**",
            "/etc/network/{if-up.d,if-down.d,if-pre-up.d,if-post-down.d}/*",
            "/etc/apt/apt.conf",
            "/etc/apt/apt.conf.d/*",
            "/etc/{yum,dnf}/{pluginconf.d,plugins}/*",
            "/etc/{inetd.conf,sudo.conf}",
            "/etc/polkit-1/**",
            "/usr/share/polkit-1/rules.d/*",
            "/etc/dbus-1/**",
            "/usr/share/dbus-1/system-services/*",
            "/etc/audit/**",
            "/etc/rsyslog.conf",
            "/etc/rsyslog.d/*",
            "/usr/lib/python3*/{site,dist}-packages/{*.pth,sitecustomize.py,usercustomize.py}",
            "/usr/local/lib/python3*/{site,dist}-packages/{*.pth,sitecustomize.py,usercustomize.py}",
            "~/.local/lib/python3*/site-packages/{*.pth,usercustomize.py}",
            "~/.config/git/**",
            "~/.{gitconfig,vimrc,emacs,screenrc,tmux.conf}",
        ],
    ),
];

const OWN_FIELDS: [Field; 4] = [
    field(
        "way",
        "string",
        "how it would start: cron, at, systemd, init, shell_startup, ssh, preload, pam, udev, autostart, kernel_modules, initramfs, hooks",
    ),
    field("target", "string", "where a link points"),
    field(
        "target_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field(
        "private_key",
        "boolean",
        "true where it is a private key: recorded, never taken",
    ),
];

const FIELDS: [Field; STAT_FIELDS.len() + 4] = {
    let mut all = [OWN_FIELDS[0]; STAT_FIELDS.len() + 4];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < 4 {
            OWN_FIELDS[at]
        } else {
            STAT_FIELDS[at - 4]
        };
        at += 1;
    }
    all
};

/// The artifact.
#[derive(Debug)]
pub struct Persistence;

impl Artifact for Persistence {
    fn name(&self) -> &'static str {
        "persistence"
    }

    fn about(&self) -> &'static str {
        "Everything that the host starts by itself or for whoever logs in."
    }

    fn class(&self) -> Class {
        Class::Triage
    }

    fn files(&self) -> Vec<&'static str> {
        WAYS.iter()
            .flat_map(|(_, patterns)| patterns.iter().copied())
            .collect()
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let root = request.root;
        let (homes, error) = homes(root);
        if let Some(error) = error {
            let text = format!("{error} Homes other than root's are missing.");
            sink.gap("/etc/passwd", error.reason(), &text)?;
        }
        for (way, patterns) in WAYS {
            let compiled = Compiled::new(root, patterns.iter().copied(), &homes);
            sweep_with(root, &compiled, sink, &mut |sink, path, stat| {
                finding(root, way, sink, path, stat)
            })?;
        }
        Ok(())
    }
}

fn finding(
    root: &Path,
    way: &str,
    sink: &mut dyn Sink,
    path: &Path,
    stat: &Stat,
) -> Result<(), Stopped> {
    let mut record = Map::new();
    record.insert("way".to_owned(), way.into());
    put_path(&mut record, path);
    put_stat(&mut record, stat);
    if stat.kind == Kind::Link {
        let target = open_parent(root, path).and_then(|(folder, name)| folder.target(&name));
        match target {
            Ok(target) => put_bytes(&mut record, "target", target.as_bytes()),
            Err(error) => sink.gap(&path.to_string_lossy(), error.reason(), &error.to_string())?,
        }
    }
    let is_key = is_private_key(root, path, stat);
    if is_key {
        record.insert("private_key".to_owned(), true.into());
    }
    sink.record(record)?;
    match is_key {
        true => sink.left_out(path, PRIVATE_KEY),
        false => sink.file(path),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    use super::*;
    use crate::artifacts::testing::MemorySink;

    #[test]
    fn finds_each_way_and_leaves_private_keys() {
        let tree = tempfile::tempdir().unwrap();
        let files = [
            ("etc/passwd", "bob:x:1:1::/home/bob:/bin/sh\n"),
            ("etc/crontab", "* * * * * root id\n"),
            ("etc/ld.so.preload", "/tmp/x.so\n"),
            ("home/bob/.ssh/authorized_keys", "ssh-ed25519 A\n"),
            (
                "home/bob/.ssh/id_ed25519",
                "-----BEGIN OPENSSH PRIVATE KEY-----\n",
            ),
            ("home/bob/.config/systemd/user/x.service", "[Service]\n"),
        ];
        for (path, text) in files {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(tree.path().join("etc/systemd/system")).unwrap();
        symlink("/dev/null", tree.path().join("etc/systemd/system/x.timer")).unwrap();
        let sink = MemorySink::run(&Persistence, tree.path(), serde_json::Value::Null);
        let ways: Vec<&str> = sink
            .records
            .iter()
            .map(|r| r["way"].as_str().unwrap())
            .collect();
        assert_eq!(
            ways,
            ["cron", "systemd", "systemd", "ssh", "ssh", "preload"]
        );
        assert!(
            sink.records
                .iter()
                .any(|r| r.get("target").is_some_and(|t| t == "/dev/null"))
        );
        assert_eq!(
            sink.records
                .iter()
                .filter(|r| r.contains_key("private_key"))
                .count(),
            1
        );
        assert!(
            !sink
                .files
                .contains(&PathBuf::from("/home/bob/.ssh/id_ed25519"))
        );
        assert_eq!(sink.files.len(), 5);
        assert!(sink.undeclared(&Persistence).is_empty());
    }

    #[test]
    fn every_pattern_is_absolute_and_a_pattern() {
        for pattern in WAYS.iter().flat_map(|(_, patterns)| *patterns) {
            assert!(
                pattern.starts_with('/') || pattern.starts_with("~/"),
                "{pattern}"
            );
            for part in pattern.split('/').filter(|p| *p != "**") {
                assert!(globset::Glob::new(part).is_ok(), "{pattern}");
            }
        }
    }
}
