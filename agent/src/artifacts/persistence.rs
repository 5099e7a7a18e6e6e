//! Persistence: everything that the host starts by itself or for whoever logs in. A record for each file found, by
//! the way in which it would start, and the files themselves; private keys are recorded and never taken.

use std::path::Path;

use evidence::records::text_and_bytes;
use serde::Serialize;

use super::{Artifact, Field, Request, Sink, Stopped};
use crate::platform::names::OsStrExt as _;
use crate::{
    artifacts::accounts::homes,
    files::{
        open::open_parent,
        private::{PRIVATE_KEY, is_private_key},
        record::{STAT_FIELDS, StatRecord, field},
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
            "/lib/systemd/{system,user,system-generators,user-generators,system-environment-generators,user-environment-generators,system-shutdown,system-sleep,system-preset,user-preset}/**",
            "/usr/local/lib/systemd/**",
            "/run/user/*/systemd/{transient,generator,user}/**",
            "~/.config/systemd/**",
            "~/.local/share/systemd/**",
            "/var/lib/systemd/linger/*",
            "/etc/{tmpfiles.d,binfmt.d,environment.d}/*",
            "/run/{tmpfiles.d,binfmt.d,environment.d}/*",
            "/usr/lib/{tmpfiles.d,binfmt.d,environment.d}/*",
            "/usr/local/lib/{tmpfiles.d,binfmt.d,environment.d}/*",
            "/lib/{tmpfiles.d,binfmt.d,environment.d}/*",
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
            "/usr/local/lib/udev/rules.d/*",
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
            "/usr/local/lib/{modprobe.d,modules-load.d}/*",
            "/lib/{modprobe.d,modules-load.d}/*",
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
            sweep_with(request.place(), &compiled, sink, &mut |sink, path, stat| {
                finding(root, way, sink, path, stat)
            })?;
        }
        Ok(())
    }
}

/// A record.
#[derive(Debug, Serialize)]
struct Finding<'a> {
    way: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
    #[serde(flatten)]
    stat: StatRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<bool>,
}

fn finding(
    root: &Path,
    way: &str,
    sink: &mut dyn Sink,
    path: &Path,
    stat: &Stat,
) -> Result<(), Stopped> {
    let (shown, path_b64) = text_and_bytes(path.as_os_str().as_bytes());
    let is_key = is_private_key(root, path, stat);
    let mut finding = Finding {
        way,
        path: shown,
        path_b64,
        stat: StatRecord::from(stat),
        target: None,
        target_b64: None,
        private_key: is_key.then_some(true),
    };
    if stat.kind == Kind::Link {
        let target = open_parent(root, path).and_then(|(folder, name)| folder.target(&name));
        match target {
            Ok(target) => {
                let (shown, exact) = text_and_bytes(target.as_bytes());
                (finding.target, finding.target_b64) = (Some(shown), exact);
            }
            Err(error) => sink.gap(&finding.path, error.reason(), &error.to_string())?,
        }
    }
    sink.record(finding)?;
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

    /// A sample of each place that a way has, told apart by nothing but the pattern that finds it.
    const PLACES: &[(&str, &str)] = &[
        (
            "cron",
            "/etc/crontab /etc/anacrontab /etc/cron.allow /etc/cron.deny /etc/cron.d/x /etc/cron.daily/x \
             /var/spool/cron/crontabs/bob /var/spool/anacron/cron.daily /var/cron/tabs/bob /usr/lib/cron/x",
        ),
        (
            "at",
            "/var/spool/at/x /var/spool/atjobs/x /var/spool/atspool/x /var/at/jobs/x /etc/at.allow /etc/at.deny",
        ),
        (
            "systemd",
            "/etc/systemd/system/x.service /etc/systemd/system-generators/x /etc/systemd/user/x.service \
             /run/systemd/system/x /run/systemd/transient/x /run/systemd/generator/x \
             /run/systemd/generator.early/x /run/systemd/generator.late/x /run/systemd/user/x \
             /run/systemd/sessions/1 \
             /usr/lib/systemd/system/x.service /usr/lib/systemd/user/x.service \
             /usr/lib/systemd/system-generators/x /usr/lib/systemd/user-generators/x \
             /usr/lib/systemd/system-environment-generators/x /usr/lib/systemd/user-environment-generators/x \
             /usr/lib/systemd/system-shutdown/x /usr/lib/systemd/system-sleep/x \
             /usr/lib/systemd/system-preset/x /usr/lib/systemd/user-preset/x \
             /lib/systemd/system/x.service /lib/systemd/user/x.service \
             /lib/systemd/system-generators/x /lib/systemd/user-generators/x \
             /lib/systemd/system-environment-generators/x /lib/systemd/user-environment-generators/x \
             /lib/systemd/system-shutdown/x /lib/systemd/system-sleep/x \
             /lib/systemd/system-preset/x /lib/systemd/user-preset/x \
             /usr/local/lib/systemd/system/x.service \
             /run/user/1000/systemd/transient/x /run/user/1000/systemd/generator/x /run/user/1000/systemd/user/x \
             ~/.config/systemd/user/x.service ~/.local/share/systemd/user/x.service /var/lib/systemd/linger/bob \
             /etc/tmpfiles.d/x /etc/binfmt.d/x /etc/environment.d/x \
             /run/tmpfiles.d/x /run/binfmt.d/x /run/environment.d/x \
             /usr/lib/tmpfiles.d/x /usr/lib/binfmt.d/x /usr/lib/environment.d/x \
             /usr/local/lib/tmpfiles.d/x /usr/local/lib/binfmt.d/x /usr/local/lib/environment.d/x \
             /lib/tmpfiles.d/x /lib/binfmt.d/x /lib/environment.d/x",
        ),
        (
            "init",
            "/etc/inittab /etc/rc.local /etc/rc.common /etc/initscript /etc/init/x.conf /etc/init.d/x \
             /etc/rc.d/rc.local /etc/rc3.d/S01x /etc/rcS.d/S01x /etc/rcfoo.d/x /etc/runit/1 /etc/sv/x/run \
             /etc/service/x/run /etc/conf.d/x /etc/default/x",
        ),
        (
            "shell_startup",
            "/etc/profile /etc/bash.bashrc /etc/bashrc /etc/bash_logout /etc/zshenv /etc/zprofile /etc/zshrc \
             /etc/zlogin /etc/csh.cshrc /etc/csh.login /etc/environment /etc/inputrc /etc/profile.d/x.sh \
             /etc/bash_completion.d/x /etc/zsh/zshrc /etc/fish/config.fish /etc/skel/.bashrc \
             ~/.bashrc ~/.bash_profile ~/.bash_login ~/.bash_logout ~/.bash_aliases ~/.profile ~/.zshrc ~/.zshenv \
             ~/.zprofile ~/.zlogin ~/.zlogout ~/.cshrc ~/.tcshrc ~/.login ~/.logout ~/.kshrc ~/.mkshrc \
             ~/.pam_environment ~/.xprofile ~/.xinitrc ~/.xsession ~/.xsessionrc \
             ~/.config/fish/config.fish ~/.config/environment.d/x.conf ~/.config/plasma-workspace/env/x.sh",
        ),
        (
            "ssh",
            "~/.ssh/authorized_keys ~/.ssh/rc /etc/ssh/sshd_config /etc/ssh/sshrc ~/.rhosts ~/.shosts \
             /etc/hosts.equiv /etc/shosts.equiv",
        ),
        (
            "preload",
            "/etc/ld.so.preload /etc/ld.so.conf /etc/ld.so.conf.d/x.conf",
        ),
        (
            "pam",
            "/etc/pam.conf /etc/pam.d/sshd /usr/lib/pam.d/sshd /usr/share/pam-configs/x",
        ),
        (
            "udev",
            "/etc/udev/rules.d/x.rules /run/udev/rules.d/x.rules /usr/lib/udev/rules.d/x.rules \
             /usr/local/lib/udev/rules.d/x.rules /lib/udev/rules.d/x.rules",
        ),
        (
            "autostart",
            "/etc/xdg/autostart/x.desktop /etc/xdg/plasma-workspace/env/x.sh ~/.config/autostart/x.desktop \
             ~/.config/autostart-scripts/x.sh ~/.kde4/Autostart/x /etc/X11/xinit/xinitrc /etc/X11/Xsession.d/x \
             /etc/X11/xdm/Xsetup /usr/share/autostart/x.desktop /usr/share/gdm/autostart/LoginWindow/x.desktop",
        ),
        (
            "kernel_modules",
            "/etc/modules /etc/modprobe.conf /etc/modprobe.d/x.conf /etc/modules-load.d/x.conf \
             /etc/depmod.d/x.conf /etc/dkms/x.conf /usr/lib/modprobe.d/x.conf /usr/lib/modules-load.d/x.conf \
             /usr/local/lib/modprobe.d/x.conf /usr/local/lib/modules-load.d/x.conf /lib/modprobe.d/x.conf \
             /lib/modules-load.d/x.conf /run/modprobe.d/x.conf /run/modules-load.d/x.conf",
        ),
        (
            "initramfs",
            "/etc/initramfs-tools/hooks/x /etc/dracut.conf /etc/dracut.conf.d/x.conf \
             /usr/lib/dracut/modules.d/99x/module-setup.sh",
        ),
        (
            "hooks",
            "/etc/NetworkManager/dispatcher.d/x /usr/lib/NetworkManager/dispatcher.d/x \
             /etc/networkd-dispatcher/routable.d/x /etc/ppp/ip-up /etc/dhcp/dhclient-exit-hooks.d/x \
             /etc/dhclient.d/x /etc/acpi/x.sh /etc/pm/sleep.d/x /etc/update-motd.d/x /etc/logrotate.d/x \
             /etc/kernel/postinst.d/x /etc/grub.d/x /etc/xinetd.d/x /etc/network/if-up.d/x \
             /etc/network/if-down.d/x /etc/network/if-pre-up.d/x /etc/network/if-post-down.d/x \
             /etc/apt/apt.conf /etc/apt/apt.conf.d/x /etc/yum/pluginconf.d/x /etc/yum/plugins/x \
             /etc/dnf/pluginconf.d/x /etc/dnf/plugins/x /etc/inetd.conf /etc/sudo.conf \
             /etc/polkit-1/rules.d/x /usr/share/polkit-1/rules.d/x /etc/dbus-1/system.d/x \
             /usr/share/dbus-1/system-services/x /etc/audit/audit.rules /etc/rsyslog.conf /etc/rsyslog.d/x \
             /usr/lib/python3.11/site-packages/x.pth /usr/lib/python3/dist-packages/sitecustomize.py \
             /usr/local/lib/python3.11/dist-packages/usercustomize.py \
             ~/.local/lib/python3.11/site-packages/x.pth ~/.config/git/config ~/.gitconfig ~/.vimrc ~/.emacs \
             ~/.screenrc ~/.tmux.conf",
        ),
    ];

    #[test]
    fn every_place_of_every_way_is_looked_at() {
        let tree = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let at = tree.path().join(&path[1..]);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        };
        put("/etc/passwd", "bob:x:1:1::/home/bob:/bin/sh\n");
        let all: Vec<(&str, String)> = PLACES
            .iter()
            .flat_map(|(way, places)| places.split_whitespace().map(move |p| (*way, p)))
            .map(|(way, place)| (way, place.replacen('~', "/home/bob", 1)))
            .collect();
        all.iter().for_each(|(_, path)| put(path, "x"));
        let sink = MemorySink::run(&Persistence, tree.path(), serde_json::Value::Null);
        let missing: Vec<_> = all
            .iter()
            .filter(|(way, path)| {
                let found = |r: &&crate::artifacts::Record| r["way"] == *way && r["path"] == **path;
                !sink.records.iter().any(|r| found(&r))
                    || !sink.files.contains(&PathBuf::from(path))
            })
            .collect();
        assert_eq!(missing, Vec::<&(&str, String)>::new());
        let ways: Vec<&str> = WAYS.iter().map(|(way, _)| *way).collect();
        let tried: Vec<&str> = PLACES.iter().map(|(way, _)| *way).collect();
        assert_eq!(ways, tried);
    }

    /// A pattern without a sample could be dropped, and no test would miss it.
    #[test]
    fn every_pattern_finds_a_place_of_its_own_way() {
        for ((_, patterns), (way, places)) in WAYS.iter().zip(PLACES) {
            for pattern in *patterns {
                let tree = tempfile::tempdir().unwrap();
                for place in places.split_whitespace() {
                    let at = tree
                        .path()
                        .join(place.replacen("~/", "home/bob/", 1).trim_start_matches('/'));
                    fs::create_dir_all(at.parent().unwrap()).unwrap();
                    fs::write(at, "x").unwrap();
                }
                let compiled = Compiled::new(
                    tree.path(),
                    std::iter::once(*pattern),
                    &["/home/bob".into()],
                );
                let mut found = 0;
                let mut sink = MemorySink::default();
                sweep_with((tree.path(), None), &compiled, &mut sink, &mut |_, _, _| {
                    found += 1;
                    Ok(())
                })
                .unwrap();
                assert!(found > 0, "{way}: {pattern}");
            }
        }
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
