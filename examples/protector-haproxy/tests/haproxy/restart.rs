//! HAProxy is the one that goes.

use std::collections::BTreeSet;
use std::time::Duration;

use cafe_tests::child::Child;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::balancer::Balancer;
use crate::bed;

const PATIENCE: Duration = Duration::from_secs(30);
const LOCK: &str = "protect.cafe.dev/edge-0";

struct Ground {
    balancer: Balancer,
    pods: Api<Pod>,
    environment: [(&'static str, String); 4],
    protector: Option<Child>,
}

impl Ground {
    async fn new() -> Self {
        let mut ground = Self::without_protector().await;
        ground.protect();
        ground
    }

    async fn without_protector() -> Self {
        let (bed, balancer) = (bed().await, Balancer::start().await);
        let namespace = bed.namespace("restart").await.unwrap();
        let environment = [
            ("KUBECONFIG", bed.kubeconfig().display().to_string()),
            ("PROTECTOR_NAME", "edge-0".to_owned()),
            ("PROTECTOR_NAMESPACE", namespace.clone()),
            ("PROTECTOR_SELECTOR", "app=web".to_owned()),
        ];
        let pods = Api::namespaced(bed.client().await.unwrap(), &namespace);
        Self { balancer, pods, environment, protector: None }
    }

    fn protect(&mut self) {
        let log = self.balancer.file("protector.log");
        self.protector = Some(Child::start(&self.balancer.protect(), &self.environment, &log).unwrap());
    }

    /// What HAProxy answers.
    async fn ask(&self, command: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut socket = tokio::net::UnixStream::connect(self.balancer.socket()).await.unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer.trim().to_owned()
    }

    /// A pod at an address that answers.
    async fn pod(&self, name: &str, address: &str) {
        let pod = json!({
            "metadata": { "name": name, "labels": { "app": "web" } },
            "spec": {
                "schedulerName": "nobody",
                "readinessGates": [{ "conditionType": "cafe.dev/serving" }],
                "containers": [{ "name": "app", "image": "example.org/web:1" }],
            },
        });
        self.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        self.status(
            name,
            json!({
                "podIP": address, "podIPs": [{ "ip": address }],
                "conditions": [
                    { "type": "ContainersReady", "status": "True" },
                    { "type": "cafe.dev/serving", "status": "True", "reason": "Serving" },
                ],
            }),
        )
        .await;
    }

    async fn status(&self, name: &str, status: serde_json::Value) {
        let patch = Patch::Strategic(json!({ "status": status }));
        self.pods.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    fn table(&self) -> BTreeSet<String> {
        let output = std::process::Command::new("sh").args(["-c", &self.balancer.table()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let log = || std::fs::read_to_string(self.balancer.file("protector.log")).unwrap_or_default();
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never {what}\n{}", log());
    }

    async fn until_in_table(&self, addresses: &[&str]) {
        let wanted: BTreeSet<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
        self.until(&format!("{wanted:?} in the table"), async || self.table() == wanted).await;
    }

    async fn condition(&self, name: &str) -> (String, String) {
        let pod = self.pods.get(name).await.unwrap();
        let conditions = pod.status.unwrap().conditions.unwrap();
        let said = conditions.into_iter().find(|condition| condition.type_ == LOCK);
        said.map(|said| (said.status, said.reason.unwrap_or_default())).unwrap_or_default()
    }
}

/// Answers every request, for the health checks.
async fn app(address: &str) -> tokio::task::JoinHandle<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind((address, 8080)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                // A request of HAProxy's checks comes in one piece.
                if stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    stream.write_all(answer).await.ok();
                }
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_haproxy_that_was_restarted_gets_its_pods_again_and_drains_are_answered() {
    let mut ground = Ground::new().await;
    let (one, two) = ("127.79.0.1", "127.79.0.2");
    let _apps = (app(one).await, app(two).await);
    ground.pod("one", one).await;
    ground.pod("two", two).await;
    ground.until_in_table(&[one, two]).await;
    ground.balancer.restart().await;
    ground.until_in_table(&[one, two]).await;
    let drain = json!({ "type": "cafe.dev/serving", "status": "False", "reason": "Drain_00000001" });
    ground.status("one", json!({ "conditions": [drain] })).await;
    ground.until_in_table(&[two]).await;
    let answered = ("False".to_owned(), "Drain_00000001".to_owned());
    ground.until("answered", async || ground.condition("one").await == answered).await;
    ground.balancer.restart().await;
    // What was drained stays out.
    ground.until_in_table(&[two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_registered_only_after_a_good_check() {
    let ground = Ground::new().await;
    let late = "127.79.0.3";
    ground.pod("late", late).await;
    // It is in the table, checked and without requests; nobody listens yet.
    ground.until_in_table(&[late]).await;
    assert_eq!(ground.condition("late").await, ("False".to_owned(), "Registering".to_owned()));
    let _app = app(late).await;
    ground.until("registered", async || ground.condition("late").await.0 == "True").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_loses_its_label_is_let_go() {
    let ground = Ground::new().await;
    let address = "127.79.0.4";
    let _app = app(address).await;
    ground.pod("leaving", address).await;
    ground.until("registered", async || ground.condition("leaving").await.0 == "True").await;
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "app": null } } }));
    ground.pods.patch("leaving", &PatchParams::default(), &patch).await.unwrap();
    ground.until_in_table(&[]).await;
    let finalizers =
        async || ground.pods.get("leaving").await.unwrap().metadata.finalizers.unwrap_or_default();
    ground.until("let go", async || finalizers().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_pod_is_taken_out() {
    let ground = Ground::new().await;
    let (own, ghost) = ("127.79.0.5", "127.79.0.6");
    let _app = app(own).await;
    ground.pod("own", own).await;
    ground.until_in_table(&[own]).await;
    assert_eq!(ground.ask(&format!("add server web/ghost {ghost}:8080")).await, "New server registered.");
    ground.until_in_table(&[own]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_protector_left_half_done_is_finished() {
    let mut ground = Ground::without_protector().await;
    let steps = [&[][..], &["enable health"], &["drain"], &["enable health", "drain"]];
    let mut apps = Vec::new();
    for (steps, number) in steps.iter().zip(10..) {
        let (name, address) = (format!("half-{number}"), format!("127.79.0.{number}"));
        apps.push(app(&address).await);
        ground.pod(&name, &address).await;
        let uid = ground.pods.get(&name).await.unwrap().metadata.uid.unwrap();
        let server = format!("web/{name}_{uid}");
        let added = ground.ask(&format!("add server {server} {address}:8080 check inter 500ms rise 1")).await;
        assert_eq!(added, "New server registered.");
        for step in *steps {
            let command = match *step {
                "enable health" => format!("enable health {server}"),
                state => format!("set server {server} state {state}"),
            };
            ground.ask(&command).await;
        }
    }
    ground.protect();
    for (_, number) in steps.iter().zip(10..) {
        let name = format!("half-{number}");
        ground.until("registered", async || ground.condition(&name).await.0 == "True").await;
    }
}
