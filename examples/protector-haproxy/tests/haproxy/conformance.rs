use std::time::Duration;

use cafe_tests::conformance::{self, Subject};

use crate::balancer::Balancer;
use crate::bed;

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_to_the_protocol_and_loses_no_request() {
    let balancer = Balancer::start().await;
    let subject = Subject {
        name: "edge-0".into(),
        command: balancer.protect(),
        table_command: Some(balancer.table()),
        front: Some(balancer.front()),
        port: 8080,
        patience: Duration::from_secs(30),
    };
    let mut failed = Vec::new();
    let all = conformance::run(bed().await, subject, &[], |verdict| {
        println!("{verdict:?}");
        failed.extend(verdict.failure.clone());
    })
    .await
    .unwrap();
    assert!(all && failed.is_empty(), "{failed:#?}");
}
