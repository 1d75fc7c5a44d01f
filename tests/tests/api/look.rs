//! Reading: names, lists and columns.

use super::ground::Ground;
use super::objects::{deployment, set};

fn header(table: &str) -> Vec<&str> {
    table.lines().next().unwrap_or_default().split_whitespace().collect()
}

fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    row.unwrap_or_else(|| panic!("no {name} in\n{table}")).split_whitespace().collect()
}

#[tokio::test]
async fn the_columns_of_a_cafe_deployment_tell_its_state() {
    let ground = Ground::new("columns").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let table = ground.kubectl(&["get", "cafed"]);
    assert_eq!(header(&table), ["NAME", "DESIRED", "UPDATED", "READY", "AVAILABLE", "GROUP", "PHASE", "AGE"]);
    let cells = row(&table, "web");
    assert_eq!(cells[..5], ["web", "4", "4", "4", "4"]);
    assert!(cells.contains(&"Healthy"), "{table}");
    let wide = ground.kubectl(&["get", "cafed", "--output=wide"]);
    for column in ["REVISION", "CONFIRM", "MESSAGE"] {
        assert!(header(&wide).contains(&column), "{wide}");
    }
}

#[tokio::test]
async fn the_columns_of_an_in_place_set_tell_its_state() {
    let ground = Ground::new("columns").await;
    ground.apply(&deployment(4));
    ground.until_healthy("web", 4).await;
    let table = ground.kubectl(&["get", "ips"]);
    let columns = ["NAME", "UNIT", "DESIRED", "UPDATED", "READY", "AVAILABLE", "PARTITION", "AGE"];
    assert_eq!(header(&table), columns);
    assert_eq!(row(&table, "web-cella")[..7], ["web-cella", "CellA", "2", "2", "2", "2", "0"]);
    assert_eq!(row(&table, "web-cellb")[..7], ["web-cellb", "CellB", "2", "2", "2", "2", "0"]);
    let wide = ground.kubectl(&["get", "ips", "--output=wide"]);
    for column in ["CURRENT", "UPDATE"] {
        assert!(header(&wide).contains(&column), "{wide}");
    }
}

#[tokio::test]
async fn every_name_of_a_kind_finds_it() {
    let ground = Ground::new("names").await;
    ground.apply(&deployment(0));
    ground.apply(&set(0));
    for (names, found) in [
        (
            ["cafed", "cafedeployment", "cafedeployments", "cafedeployments.cafe.dev"],
            "cafedeployment.cafe.dev/web\n",
        ),
        (
            ["ips/solo", "inplaceset/solo", "inplacesets/solo", "inplacesets.cafe.dev/solo"],
            "inplaceset.cafe.dev/solo\n",
        ),
    ] {
        for name in names {
            assert_eq!(ground.kubectl(&["get", name, "--output=name"]), found, "{name}");
        }
    }
}

#[tokio::test]
async fn both_categories_list_both_kinds() {
    let ground = Ground::new("categories").await;
    ground.apply(&deployment(0));
    ground.apply(&set(0));
    for category in ["cafe", "all"] {
        let listed = ground.kubectl(&["get", category, "--output=name"]);
        for name in ["cafedeployment.cafe.dev/web", "inplaceset.cafe.dev/solo"] {
            assert!(listed.lines().any(|line| line == name), "kubectl get {category}: {listed}");
        }
    }
}

#[tokio::test]
async fn kubectl_wait_understands_the_conditions() {
    let ground = Ground::new("conditions").await;
    ground.apply(&deployment(2));
    for condition in ["Ready", "Available"] {
        ground.kubectl(&["wait", "cafed/web", &format!("--for=condition={condition}"), "--timeout=90s"]);
    }
    for set in ["ips/web-cella", "ips/web-cellb"] {
        ground.kubectl(&["wait", set, "--for=condition=Ready", "--timeout=90s"]);
    }
    let found = ground.until_healthy("web", 2).await;
    for condition in found["status"]["conditions"].as_array().unwrap() {
        for field in ["type", "status", "reason", "lastTransitionTime", "message", "observedGeneration"] {
            assert!(condition.get(field).is_some(), "{condition:#} has no {field}");
        }
        assert_eq!(condition["observedGeneration"], found["metadata"]["generation"], "{condition:#}");
    }
}
