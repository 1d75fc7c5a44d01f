use super::*;

fn text(metrics: &Metrics) -> String {
    metrics.encode().unwrap()
}

fn assert_line(metrics: &Metrics, line: &str) {
    let text = text(metrics);
    assert!(text.lines().any(|got| got == line), "no line {line} in\n{text}");
}

fn shop() -> DeploymentFigures {
    let replicas =
        ReplicaFigures { desired: 10, current: 10, updated: 2, ready: 9, available: 9, out_of_traffic: 1 };
    DeploymentFigures {
        upgrade_type: "Beta",
        phase: "Waiting",
        replicas,
        units: [("CellA".into(), ReplicaFigures { desired: 5, ..ReplicaFigures::default() })].into(),
        group: 1,
        groups: 3,
        waiting_since: Some(1_700_000_000),
    }
}

#[test]
fn a_deployment_shows_its_replicas_units_and_release() {
    let metrics = Metrics::default();
    metrics.set_deployment("shop", "web", shop());
    for line in [
        r#"cafe_deployment_info{namespace="shop",name="web",strategy="Beta",phase="Waiting"} 1"#,
        r#"cafe_deployment_replicas{namespace="shop",name="web",state="out_of_traffic"} 1"#,
        r#"cafe_unit_replicas{namespace="shop",name="web",unit="CellA",state="desired"} 5"#,
        r#"cafe_release_group{namespace="shop",name="web"} 1"#,
        r#"cafe_release_groups{namespace="shop",name="web"} 3"#,
        r#"cafe_release_waiting_since_timestamp_seconds{namespace="shop",name="web"} 1700000000"#,
    ] {
        assert_line(&metrics, line);
    }
}

#[test]
fn a_deployment_that_is_gone_leaves_no_series() {
    let metrics = Metrics::default();
    let empty = text(&metrics);
    metrics.set_deployment("shop", "web", shop());
    metrics.release_ended("shop", "web", "completed");
    metrics.forget_deployment("shop", "web");
    assert_eq!(text(&metrics), empty);
}

#[test]
fn a_unit_that_is_gone_leaves_no_series() {
    let metrics = Metrics::default();
    metrics.set_deployment("shop", "web", shop());
    metrics.set_deployment("shop", "web", DeploymentFigures { units: [].into(), ..shop() });
    assert!(!text(&metrics).contains("CellA"));
}

#[test]
fn counters_end_in_total_and_carry_their_labels() {
    let metrics = Metrics::default();
    metrics.release_ended("shop", "web", "completed");
    metrics.pod_updated("in_place", "ok");
    metrics.action("PatchPod", "Applied");
    metrics.planned("InPlaceSet", Duration::from_micros(80));
    metrics.api_request("patch", "pods", 200, Duration::from_millis(3));
    metrics.api_request("patch", "pods", 0, Duration::from_secs(10));
    metrics.watch_restarted("Pod");
    metrics.set_world_objects("Pod", 10);
    metrics.set_queue_depth(2);
    metrics.set_writes_in_flight(3);
    metrics.set_leader(true);
    for line in [
        r#"cafe_releases_total{namespace="shop",name="web",outcome="completed"} 1"#,
        r#"cafe_pod_updates_total{mode="in_place",result="ok"} 1"#,
        r#"cafe_actions_total{action="PatchPod",result="Applied"} 1"#,
        r#"cafe_plan_total{kind="InPlaceSet"} 1"#,
        r#"cafe_plan_duration_seconds_count{kind="InPlaceSet"} 1"#,
        r#"cafe_api_requests_total{verb="patch",resource="pods",code="200"} 1"#,
        r#"cafe_api_requests_total{verb="patch",resource="pods",code="0"} 1"#,
        r#"cafe_api_request_duration_seconds_count{verb="patch",resource="pods"} 2"#,
        r#"cafe_watch_restarts_total{kind="Pod"} 1"#,
        r#"cafe_world_objects{kind="Pod"} 10"#,
        "cafe_queue_depth 2",
        "cafe_writes_in_flight 3",
        "cafe_leader 1",
        &format!(
            r#"cafe_build_info{{version="{}",revision="{}"}} 1"#,
            crate::version::VERSION,
            crate::version::REVISION
        ),
        "# EOF",
    ] {
        assert_line(&metrics, line);
    }
}
