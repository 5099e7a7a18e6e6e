//! All three packages on one machine: the server by its own unit, an agent that enrols there by itself, an order, evidence.

use std::fs;

use fieldseal_tests::{
    distribution::Suite,
    machine::{Image, Machine},
    packaged::Packaged,
};

const PACKAGES: [&str; 3] = ["fieldseal-server", "fieldseal-agent", "fieldseal"];

/// As `docs/packages.md` has it.
const SERVER: &str = "export HOME=/root; cd /; dpkg --install /mnt/fieldseal-server.deb /mnt/fieldseal.deb; \
    fieldseal keys new --id ann --name Ann --role investigator --role admin --agency lab --no-passphrase --output /root/keys; \
    one=$(fieldseal keys vault --output /root/one.txt); two=$(fieldseal keys vault --output /root/two.txt); \
    install -m 644 /root/keys/person.json /var/tmp/person.json; \
    runuser -u fieldseal-server -- fieldseal-server init /var/lib/fieldseal-server/deployment --deployment lab --agency lab \
        --name 127.0.0.1 --listen 127.0.0.1:8443 --person /var/tmp/person.json --vault $one --vault $two; \
    systemctl start fieldseal-server";

/// As `docs/rollout.md` has it; the folders were removed as in an image that is made of a machine with an agent.
const AGENT: &str = "export HOME=/root; dpkg --install /mnt/fieldseal-agent.deb; rm -r /var/lib/fieldseal; \
    fieldseal-server deployment --dir /var/lib/fieldseal-server/deployment --key /root/keys/signing.key --as ann --agency lab \
        --uses 1 --days 1 --server https://127.0.0.1:8443 --output /root/deployment.json; \
    install -m 600 /root/deployment.json /etc/fieldseal/deployment.json; \
    fieldseal setup --server https://127.0.0.1:8443 --trust /var/lib/fieldseal-server/deployment/trust --keys /root/keys";

/// The server is as its unit says, and is not killed or refused anything.
const IN_FORCE: [&str; 7] = [
    "ActiveState=active",
    "Restart=always",
    "MemoryMax=2147483648",
    "CPUQuotaPerSecUSec=4s",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "User=fieldseal-server",
];

#[test]
#[ignore = "it takes four minutes; each part of it has tests of its own"]
fn all_packages_work_together_and_a_killed_server_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let suite = Suite::other("debian", "trixie").unwrap();
    let (image, packaged) = (Image::of(&suite).unwrap(), Packaged::make().unwrap());
    let brought = dir.path().join("brought");
    fs::create_dir(&brought).unwrap();
    for name in PACKAGES {
        let package = packaged.package(name, "deb").unwrap();
        fs::copy(package, brought.join(format!("{name}.deb"))).unwrap();
    }
    let small = "v: 1\nname: small\nabout: the system alone\nartifacts: [{name: system}]\n";
    fs::write(brought.join("small.yaml"), small).unwrap();
    let mut machine = Machine::boot(&image, &brought, &dir.path().join("machine")).unwrap();
    machine.shell(SERVER).unwrap();
    machine
        .wait_until(
            "test \"$(systemctl show --property=SubState --value fieldseal-server)\" = running",
        )
        .unwrap();
    machine.shell(AGENT).unwrap();
    // The folders come back by a boot, and so does the server.
    machine.shell("sync").unwrap();
    machine.cut_power().unwrap();
    machine.switch_on().unwrap();
    machine
        .wait_until("export HOME=/root; fieldseal hosts --json | grep '\"last_seen\": *\"'")
        .unwrap();
    let mode = "stat -c '%a %U %G' /etc/fieldseal/deployment.json /var/lib/fieldseal/reader";
    let modes = machine.shell(mode).unwrap();
    assert_eq!(
        modes,
        "640 root fieldseal\n700 fieldseal-reader fieldseal\n"
    );
    collects(&machine, "one");

    machine
        .shell("systemctl kill --signal KILL fieldseal-server")
        .unwrap();
    let again = "test \"$(systemctl show --property=NRestarts --value fieldseal-server)\" = 1";
    machine.wait_until(again).unwrap();
    machine
        .wait_until("export HOME=/root; fieldseal hosts --json")
        .unwrap();
    collects(&machine, "two");
    let shown = machine.shell("systemctl show fieldseal-server").unwrap();
    for line in IN_FORCE {
        assert!(shown.lines().any(|shown| shown == line), "{line}");
    }
}

/// Evidence is had by an order, and holds.
fn collects(machine: &Machine, name: &str) {
    let order = "export HOME=/root; fieldseal collect --where '*' --profile /mnt/small.yaml --case C-1 --reason r --watch";
    let ordered = machine.run(order).unwrap();
    // What this kernel has not got is told as gaps.
    assert!([0, 2].contains(&ordered.code), "{ordered:#?}");
    let order = ordered.order().unwrap();
    let fetch = format!(
        "export HOME=/root; fieldseal fetch {order} --output /root/{name}; \
         fieldseal verify /root/{name}/c-* --trust /var/lib/fieldseal-server/deployment/trust/root.crt"
    );
    let judged = machine.run(&fetch).unwrap();
    let is_so = [0, 2].contains(&judged.code) && judged.out.contains("GENUINE");
    assert!(is_so, "{judged:#?}");
}
