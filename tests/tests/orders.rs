//! Orders that a stolen server hands on: the agent obeys none of them, and the investigator sees its signed reason.
//!
//! The thief is whoever can write into the server's index; the agent, the server and the investigator's
//! tool are the real programs over real TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

use evidence::{
    envelope::{self, Envelope},
    ids::{AgentId, OrderId},
    instant::Instant,
    keys::SigningKey,
};
use fieldseal_tests::{args, stage::Stage};
use protocol::{
    order::Order,
    policy::Policy,
    profile::{self, Parameters},
    target::{TargetList, TargetProof},
};
use serde_json::Value;

const PROFILE: &str =
    "v: 1\nname: small\nabout: Who has an account\nartifacts:\n- name: accounts\n";

fn quiet(_: &str) {}

fn in_seconds(seconds: i64) -> Instant {
    Instant {
        seconds: Instant::now().seconds + seconds,
        ns: 0,
    }
}

/// A deployment whose server somebody else writes into.
struct Stolen {
    stage: Stage,
    agent: AgentId,
    policy: Policy,
    ann: SigningKey,
    bob: SigningKey,
}

/// An order, and what the thief hands on beside it.
struct Planted {
    id: OrderId,
    why: &'static str,
    envelope: String,
    proof: Option<TargetProof>,
}

impl Stolen {
    fn new(dir: &Path) -> Self {
        let mut stage = Stage::new(dir, quiet).unwrap();
        let roles = ["investigator", "admin"];
        stage.make_person("ann", "Ann Example", &roles).unwrap();
        let vaults = ["one", "two"].map(|name| stage.make_vault(name).unwrap());
        stage
            .make_person("bob", "Bob Example", &["approver"])
            .unwrap();
        stage.init(&["ann", "bob"], &vaults, &[]).unwrap();
        stage.serve().unwrap();
        stage.enrol("ann", &["stolen"]).unwrap();
        stage.run_agent().unwrap();
        stage.set_up("ann").unwrap();
        let state = stage.path("agent");
        let arguments = args!["status", "--state", state, "--json"];
        let status = stage.must(&[0], "fieldseal-agent", &arguments).unwrap();
        let status: Value = serde_json::from_str(&status.out).unwrap();
        let policy = fs::read(stage.path("server/trust/policy.json")).unwrap();
        let policy = Envelope::parse(policy.trim_ascii()).unwrap();
        let key = |id: &str| {
            let file = stage.path("keys").join(id).join("signing.key");
            SigningKey::from_pem(&fs::read_to_string(file).unwrap()).unwrap()
        };
        Self {
            agent: status["agent"].as_str().unwrap().parse().unwrap(),
            policy: policy.document(envelope::POLICY).unwrap(),
            ann: key("ann"),
            bob: key("bob"),
            stage,
        }
    }

    /// A good order for this host, to be spoilt.
    fn order(&self) -> Order {
        let agency = "lab".parse().unwrap();
        Order {
            v: 1,
            id: OrderId::random().unwrap(),
            deployment: self.policy.deployment.clone(),
            policy_version: self.policy.version,
            profile: PROFILE.to_owned(),
            profile_digest: profile::digest(PROFILE),
            parameters: Parameters::default(),
            targets: self.list().targets("*".parse().unwrap(), false),
            not_before: in_seconds(-60),
            expires: in_seconds(3600),
            nonce: "0c".repeat(16),
            case: "STOLEN".into(),
            requester: "ann".parse().unwrap(),
            reason: "none".into(),
            recipients: self.policy.vaults[&agency].clone(),
            predecessor: None,
            rollout: None,
            recurrence: None,
            kit: None,
        }
    }

    fn list(&self) -> TargetList {
        TargetList::new([self.agent])
    }

    /// `order` signed by `key`, with the proof that this host is on its list.
    fn planted(&self, why: &'static str, order: &Order, key: &SigningKey) -> Planted {
        let signed = Envelope::sign_document(envelope::ORDER, order, key).unwrap();
        Planted {
            id: order.id,
            why,
            envelope: String::from_utf8(signed.to_json().unwrap()).unwrap(),
            proof: self.list().prove(&self.agent),
        }
    }

    /// Every way to cheat with an order that a server has.
    fn cheats(&self) -> Vec<Planted> {
        // By somebody whom the policy knows, in ann's name.
        let forged = self.planted("its requester has not signed it", &self.order(), &self.bob);
        let mut order = self.order();
        order.expires = in_seconds(-5);
        let expired = self.planted("the order has expired", &order, &self.ann);
        let mut order = self.order();
        let other = TargetList::new([AgentId::random().unwrap()]);
        order.targets = other.targets("*".parse().unwrap(), false);
        // The proof is of the list that this host would like to be on.
        let foreign = self.planted("not meant for this host", &order, &self.ann);
        let mut order = self.order();
        order.profile = PROFILE.replace("accounts", "logs");
        let swapped = self.planted("does not fit its digest", &order, &self.ann);
        let mut order = self.order();
        order.recipients[0] = evidence::wrap::Identity::generate().recipient();
        let leaked = self.planted(
            "a recipient that the policy does not know",
            &order,
            &self.ann,
        );
        let mut order = self.order();
        order.deployment = "another".parse().unwrap();
        let strange = self.planted("belongs to another deployment", &order, &self.ann);
        vec![forged, expired, foreign, swapped, leaked, strange]
    }

    /// No order at all, under a good signature.
    fn garbage(&self) -> Planted {
        let nothing = serde_json::json!({"v": 1, "order": "rm -rf /"});
        let signed = Envelope::sign_document(envelope::ORDER, &nothing, &self.ann).unwrap();
        Planted {
            id: OrderId::random().unwrap(),
            why: "malformed",
            envelope: String::from_utf8(signed.to_json().unwrap()).unwrap(),
            proof: None,
        }
    }

    /// Writes orders into the index of the server, which must not run.
    fn plant(&self, planted: &[Planted]) {
        let rows: Vec<Value> = planted
            .iter()
            .map(|p| {
                let signed = Envelope::parse(p.envelope.as_bytes()).unwrap();
                serde_json::json!([
                    p.id,
                    signed.digest(),
                    p.envelope,
                    p.proof.as_ref().map(|p| serde_json::to_string(p).unwrap())
                ])
            })
            .collect();
        self.in_index(
            "for id, sha, envelope, proof in json.loads(sys.argv[2]):\n    \
             db.execute(\"INSERT INTO orders (id, sha256, envelope, requester, reference, submitted_ns, begins_ns, \
             expires_ns, open) VALUES (?, ?, ?, 'ann', 'STOLEN', 1, 1, 1 << 62, 0)\", (id, sha, envelope))\n    \
             db.execute('INSERT INTO order_hosts (order_id, agent, proof) VALUES (?, ?, ?)', (id, sys.argv[3], proof))",
            &Value::Array(rows).to_string(),
        );
    }

    /// Makes the server forget that the agent has answered `order`.
    fn forget_answer(&self, order: &str) {
        self.in_index(
            "db.execute(\"UPDATE order_hosts SET answered = 0, state = 'waiting' WHERE order_id = ?\", (sys.argv[2],))",
            order,
        );
    }

    fn in_index(&self, script: &str, argument: &str) {
        let script = format!(
            "import json, sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n{script}\ndb.commit()\ndb.close()"
        );
        let output = Command::new("python3")
            .arg("-c")
            .arg(script)
            .arg(self.stage.path("server/index.sqlite"))
            .arg(argument)
            .arg(self.agent.to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn start(&mut self) {
        self.stage.serve().unwrap();
        self.stage.run_agent().unwrap();
    }

    /// Follows `order` to its end: the exit code, and the one host's last row.
    fn watch(&self, order: &str) -> (i32, Value) {
        let arguments = args!["watch", order, "--for", "3m", "--json"];
        let outcome = self.stage.fieldseal(&arguments).unwrap();
        let last = outcome.out.lines().last().unwrap_or_default();
        let last: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {outcome:?}"));
        (outcome.code, last["hosts"][0].clone())
    }

    /// The investigator is shown this reason, and that the agent's seal key has signed it.
    fn expect_refusal(&self, order: &str, why: &str) {
        let (exit, host) = self.watch(order);
        assert_eq!(host["state"], "refused", "{why}: {host}");
        assert_eq!(exit, 1, "{why}");
        let refusal = &host["refusal"];
        assert_eq!(refusal["signed"], true, "{why}: {refusal}");
        let text = refusal["text"].as_str().unwrap();
        assert!(text.contains(why), "{why}: {text}");
    }

    fn collections(&self) -> usize {
        let listed = self.stage.fieldseal(&args!["list", "--json"]).unwrap();
        let listed: Value = serde_json::from_str(&listed.out).unwrap();
        listed["collections"].as_array().unwrap().len()
    }
}

#[test]
fn a_stolen_server_makes_the_agent_do_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut stolen = Stolen::new(&dir.path().join("stage"));
    // One good order first: to be replayed.
    let good = obeyed(&stolen, dir.path());
    assert_eq!(stolen.collections(), 1);
    stolen.stage.stop().unwrap();
    let (cheats, garbage) = (stolen.cheats(), stolen.garbage());
    stolen.plant(std::slice::from_ref(&garbage));
    stolen.plant(&cheats);
    stolen.forget_answer(&good);
    stolen.start();
    stolen.expect_refusal(&garbage.id.to_string(), garbage.why);
    for cheat in &cheats {
        stolen.expect_refusal(&cheat.id.to_string(), cheat.why);
    }
    stolen.expect_refusal(&good, "used before");
    assert_eq!(stolen.collections(), 1);
    // Handed on again, after a new start of all: the same refusals, and still nothing is done.
    stolen.stage.stop().unwrap();
    stolen.forget_answer(&cheats[0].id.to_string());
    stolen.start();
    stolen.expect_refusal(&cheats[0].id.to_string(), cheats[0].why);
    assert_eq!(stolen.collections(), 1);
    stolen.stage.stop().unwrap();
    let log = fs::read_to_string(stolen.stage.path("agent.log")).unwrap();
    let told = |order: &str| {
        let is_refusal = |l: &&str| l.contains(order) && l.contains("is refused");
        log.lines().filter(is_refusal).count()
    };
    for cheat in &cheats {
        assert_eq!(told(&cheat.id.to_string()), 1, "{}: {log}", cheat.why);
    }
    assert_eq!(told(&good), 1, "{log}");
}

/// An order by the investigator's own tool, delivered.
fn obeyed(stolen: &Stolen, dir: &Path) -> String {
    let profile = dir.join("small.yaml");
    fs::write(&profile, PROFILE).unwrap();
    let arguments = args![
        "collect",
        "--where",
        "label=stolen",
        "--profile",
        profile,
        "--case",
        "GOOD",
        "--reason",
        "to be replayed",
        "--json"
    ];
    let ordered = stolen.stage.fieldseal(&arguments).unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    let ordered: Value = serde_json::from_str(&ordered.out).unwrap();
    let order = ordered["order"].as_str().unwrap().to_owned();
    let (_, host) = stolen.watch(&order);
    assert_eq!(host["state"], "delivered", "{host}");
    order
}
