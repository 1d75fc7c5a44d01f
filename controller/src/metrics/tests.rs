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
        units: vec![("CellA".into(), ReplicaFigures { desired: 5, ..ReplicaFigures::default() })],
        group: 1,
        groups: 3,
        waiting_since: Some(1_700_000_000),
    }
}

#[test]
fn a_deployment_shows_its_replicas_units_and_release() {
    let metrics = Metrics::default();
    metrics.set_deployment(&"shop".into(), &"web".into(), shop());
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
    metrics.set_deployment(&"shop".into(), &"web".into(), shop());
    metrics.release_ended(&"shop".into(), &"web".into(), "completed");
    metrics.forget_deployment(&"shop".into(), &"web".into());
    assert!(!text(&metrics).contains("web"), "{}", text(&metrics));
}

#[test]
fn a_unit_that_is_gone_leaves_no_series() {
    let metrics = Metrics::default();
    metrics.set_deployment(&"shop".into(), &"web".into(), shop());
    metrics.set_deployment(&"shop".into(), &"web".into(), DeploymentFigures { units: Vec::new(), ..shop() });
    assert!(!text(&metrics).contains("CellA"));
}

#[test]
fn counters_end_in_total_and_carry_their_labels() {
    let metrics = Metrics::default();
    metrics.release_ended(&"shop".into(), &"web".into(), "completed");
    metrics.rescheduled(&"shop".into(), &"web".into(), (&"CellA".into(), &"CellB".into()), 2);
    metrics.release_took("completed", 100.0, 40.0);
    metrics.batch_took("beta", 12.0);
    metrics.pod_updated("in_place", "ok");
    metrics.pod_phase("in_place", "swap", Duration::from_millis(1500));
    metrics.drained("clean", Duration::from_millis(200));
    metrics.ordered("confirm", "webhook", "ok");
    metrics.decided("PatchPod", "Applied");
    metrics.planned("inplaceset", Duration::from_micros(5), Duration::from_micros(80));
    metrics.failed("inplaceset", "Forbidden");
    metrics.put_off("inplaceset");
    metrics.set_queue_depth("inplaceset", 2);
    metrics.api_request("patch", "pods", 200, Duration::from_millis(3));
    metrics.api_request("patch", "pods", 0, Duration::from_secs(10));
    metrics.watch_restarted("Pod");
    metrics.set_cache_objects("pods", 10);
    metrics.set_writes_in_flight(3);
    metrics.set_leader(true);
    for line in [
        r#"cafe_releases_total{namespace="shop",name="web",outcome="completed"} 1"#,
        r#"cafe_releases_total{namespace="shop",name="web",outcome="failed"} 0"#,
        r#"cafe_reschedules_total{namespace="shop",name="web",from_unit="CellA",to_unit="CellB"} 2"#,
        r#"cafe_release_duration_seconds_sum{outcome="completed"} 100.0"#,
        r#"cafe_release_active_seconds_sum{outcome="completed"} 60.0"#,
        r#"cafe_release_wait_seconds_sum{outcome="completed"} 40.0"#,
        r#"cafe_batch_duration_seconds_count{kind="beta"} 1"#,
        r#"cafe_pod_updates_total{mode="in_place",result="ok"} 1"#,
        r#"cafe_pod_update_duration_seconds_sum{mode="in_place",phase="swap"} 1.5"#,
        r#"cafe_traffic_drain_seconds_count{result="clean"} 1"#,
        r#"cafe_traffic_drain_seconds_count{result="timeout"} 0"#,
        r#"cafe_actions_total{action="confirm",via="webhook",result="ok"} 1"#,
        r#"cafe_decisions_total{decision="PatchPod",result="Applied"} 1"#,
        r#"cafe_reconcile_total{controller="inplaceset"} 1"#,
        r#"cafe_reconcile_total{controller="cafedeployment"} 0"#,
        r#"cafe_reconcile_errors_total{controller="inplaceset",error_class="Forbidden"} 1"#,
        r#"cafe_reconcile_duration_seconds_count{controller="inplaceset"} 1"#,
        r#"cafe_queue_depth{controller="inplaceset"} 2"#,
        r#"cafe_queue_latency_seconds_count{controller="inplaceset"} 1"#,
        r#"cafe_queue_retries_total{controller="inplaceset"} 1"#,
        r#"cafe_api_requests_total{verb="patch",resource="pods",code="200"} 1"#,
        r#"cafe_api_requests_total{verb="patch",resource="pods",code="0"} 1"#,
        r#"cafe_api_request_duration_seconds_count{verb="patch",resource="pods"} 2"#,
        r#"cafe_watch_restarts_total{kind="Pod"} 1"#,
        r#"cafe_cache_objects{kind="pods"} 10"#,
        "cafe_writes_in_flight 3",
        "cafe_leader 1",
        "# EOF",
    ] {
        assert_line(&metrics, line);
    }
}

#[test]
fn the_build_and_its_process_are_told() {
    let text = text(&Metrics::default());
    assert!(text.contains(concat!(
        r#"cafe_build_info{version=""#,
        env!("CARGO_PKG_VERSION"),
        r#"",revision=""#
    )));
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|value| value >= 0.0), "{name} in\n{text}");
    }
}
