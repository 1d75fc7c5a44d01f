//! Scaling through the scale subresource, as kubectl and autoscalers do.

use serde_json::json;

use super::ground::Ground;
use super::objects::{deployment, set};

#[tokio::test]
async fn kubectl_scales_a_cafe_deployment_out_and_in() {
    let ground = Ground::new("scale").await;
    ground.apply(&deployment(2));
    ground.until_healthy("web", 2).await;
    for replicas in [5, 3, 0] {
        ground.kubectl(&["scale", "cafed/web", &format!("--replicas={replicas}")]);
        ground.until_healthy("web", replicas).await;
        ground.until_all("Pod", "as many as asked for", |pods| pods.len() as i64 == replicas).await;
    }
    let said = ground.try_kubectl(&["scale", "cafed/web", "--current-replicas=7", "--replicas=1"], &[], "");
    assert!(!said.succeeded, "the precondition does not hold: {said:?}");
}

#[tokio::test]
async fn kubectl_scales_an_in_place_set_out_and_in() {
    let ground = Ground::new("scale").await;
    ground.apply(&set(1));
    for replicas in [3, 1, 0] {
        ground.kubectl(&["scale", "ips/solo", &format!("--replicas={replicas}")]);
        ground
            .until("InPlaceSet", "solo", "scaled", |set| {
                set["status"]["readyReplicas"].as_i64().unwrap_or(0) == replicas
                    && set["status"]["replicas"] == replicas
                    && set["status"]["observedGeneration"] == set["metadata"]["generation"]
            })
            .await;
    }
}

#[tokio::test]
async fn an_autoscaler_finds_replicas_and_selector_in_the_scale_of_both_kinds() {
    let ground = Ground::new("scale").await;
    ground.apply(&deployment(2));
    ground.until_healthy("web", 2).await;
    let path = |kind: &str, name: &str| {
        format!("/apis/cafe.dev/v1alpha1/namespaces/{}/{kind}/{name}/scale", ground.namespace)
    };
    for (kind, name, replicas, selector) in [
        ("cafedeployments", "web", 2, "app=web"),
        ("inplacesets", "web-cella", 1, "app=web,cafe.dev/unit=CellA"),
    ] {
        let text = ground.kubectl(&["get", "--raw", &path(kind, name)]);
        let scale: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(scale["spec"]["replicas"], json!(replicas), "{scale:#}");
        assert_eq!(scale["status"]["replicas"], json!(replicas), "{scale:#}");
        assert_eq!(scale["status"]["selector"], json!(selector), "{scale:#}");
        let pods = ground.kubectl(&["get", "pods", "--selector", selector, "--output=name"]);
        assert_eq!(pods.lines().count(), replicas, "{pods}");
    }
}
