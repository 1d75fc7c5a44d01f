//! The table of bad input.

use serde_json::{Value, json};

/// A field of a good object, a bad value for it, and what the refusal must say: the field, the value, what is right.
/// A null takes the field away; the value of what is missing is nothing.
pub(crate) struct Bad {
    pub(crate) field: &'static str,
    pub(crate) value: Value,
    pub(crate) says: [&'static str; 3],
}

pub(crate) fn bad(field: &'static str, value: Value, says: [&'static str; 3]) -> Bad {
    Bad { field, value, says }
}

pub(crate) fn long(length: usize) -> Value {
    json!("a".repeat(length))
}

/// What both kinds refuse in the same words.
pub(crate) fn of_both_kinds() -> Vec<Bad> {
    let selector = "spec.selector";
    let labels = "spec.template.metadata.labels";
    vec![
        bad("/spec/replicas", json!(-1), ["spec.replicas", "-1", "greater than or equal to 0"]),
        bad("/spec/replicas", json!(100_001), ["spec.replicas", "100001", "less than or equal to 100000"]),
        bad("/spec/minReadySeconds", json!(-5), ["spec.minReadySeconds", "-5", "greater than or equal to 0"]),
        bad(
            "/spec/restartAt",
            json!("tomorrow"),
            ["spec.restartAt", "\"tomorrow\"", "\"2026-11-20T22:41:00Z\""],
        ),
        bad(
            "/spec/restartAt",
            json!("2026-11-21 00:41"),
            ["spec.restartAt", "\"2026-11-21 00:41\"", "\"2026-11-20T22:41:00Z\""],
        ),
        bad(
            "/spec/restartAt",
            json!("2026-11-21T00:41:00"),
            ["spec.restartAt", "with its zone", "\"2026-11-20T22:41:00Z\""],
        ),
        bad("/spec/selector", json!({}), [selector, "empty", "matchLabels: {app: web}"]),
        bad("/spec/selector", Value::Null, [selector, "Required value", ""]),
        bad(
            "/spec/selector/matchLabels",
            json!({ "app": "web site" }),
            ["spec.selector.matchLabels", "app: \"web site\"", "such as web"],
        ),
        bad(
            "/spec/selector/matchLabels/cafe.dev~1revision",
            json!("7"),
            ["spec.selector.matchLabels", "cafe.dev/revision", "such as app"],
        ),
        bad(
            "/spec/selector/matchExpressions",
            json!([{ "key": "app", "operator": "In" }]),
            ["spec.selector.matchExpressions", "app In needs values", "values: [web]"],
        ),
        bad(
            "/spec/selector/matchExpressions",
            json!([{ "key": "app", "operator": "Exists", "values": ["web"] }]),
            ["spec.selector.matchExpressions", "app Exists takes no values", "remove them"],
        ),
        bad(
            "/spec/selector/matchExpressions",
            json!([{ "key": "app", "operator": "Is", "values": ["web"] }]),
            ["matchExpressions[0].operator", "\"Is\"", "\"In\""],
        ),
        bad(
            "/spec/selector/matchExpressions",
            json!([{ "key": "cafe.dev/group", "operator": "Exists" }]),
            ["spec.selector.matchExpressions", "cafe.dev/group", "such as app"],
        ),
        bad(
            "/spec/selector/matchExpressions",
            json!([{ "key": "app", "operator": "NotIn", "values": ["web"] }]),
            ["spec.selector.matchExpressions", "requirement on app", "app: web for app In [web]"],
        ),
        bad(
            "/spec/template/metadata/labels",
            json!({ "app": "shop" }),
            [labels, "spec.selector.matchLabels", "add app: web"],
        ),
        bad(
            "/spec/template/metadata/labels",
            json!({ "app": "web", "team": "A & B" }),
            [labels, "team: \"A & B\"", "such as web"],
        ),
        bad(
            "/spec/template/metadata/labels",
            json!({ "app": "web", "cafe.dev/tier": "1" }),
            [labels, "cafe.dev/tier", "example.com/tier"],
        ),
        bad(
            "/spec/template/metadata/annotations",
            json!({ "cafe.dev/note": "x" }),
            ["spec.template.metadata.annotations", "cafe.dev/note", "example.com/note"],
        ),
        bad(
            "/spec/template/spec/restartPolicy",
            json!("Never"),
            ["spec.template.spec.restartPolicy", "Never", "write Always"],
        ),
        bad(
            "/spec/template/spec/containers",
            json!([]),
            ["spec.template.spec.containers", "[]", "{name: app, image: example.org/web:1.0.0}"],
        ),
        bad("/spec/template", Value::Null, ["spec.template", "Required value", ""]),
        bad("/spec/traffic/mode", json!("Drop"), ["spec.traffic.mode", "\"Drop\"", "\"Gate\", \"Unselect\""]),
        bad(
            "/spec/traffic/onDrainTimeout",
            json!("Wait"),
            ["spec.traffic.onDrainTimeout", "\"Wait\"", "\"Hold\", \"Force\""],
        ),
        bad(
            "/spec/traffic/graceSeconds",
            json!(-1),
            ["spec.traffic.graceSeconds", "-1", "greater than or equal to 0"],
        ),
        bad(
            "/spec/traffic/drainTimeoutSeconds",
            json!(0),
            ["spec.traffic.drainTimeoutSeconds", "0", "greater than or equal to 1"],
        ),
        bad(
            "/spec/traffic/protectors",
            json!(["load balancer"]),
            ["spec.traffic.protectors[0]", "\"load balancer\"", "such as slb"],
        ),
        bad("/spec/traffic/mode", json!("gate"), ["spec.traffic.mode", "\"gate\"", "\"Gate\", \"Unselect\""]),
        bad(
            "/spec/traffic/graceSeconds",
            json!(86_401),
            ["spec.traffic.graceSeconds", "86401", "less than or equal to 86400"],
        ),
        bad("/spec/traffic/graceSeconds", json!("3s"), ["spec.traffic.graceSeconds", "string", "integer"]),
        bad(
            "/spec/traffic/drainTimeoutSeconds",
            json!(-30),
            ["spec.traffic.drainTimeoutSeconds", "-30", "greater than or equal to 1"],
        ),
        bad("/spec/traffic/protectors", json!([""]), ["spec.traffic.protectors[0]", "\"\"", "such as slb"]),
        bad(
            "/spec/traffic/protectors",
            json!(["slb", "-dns"]),
            ["spec.traffic.protectors[1]", "\"-dns\"", "such as slb"],
        ),
        bad(
            "/spec/traffic/protectors",
            json!(["dns."]),
            ["spec.traffic.protectors[0]", "\"dns.\"", "such as slb"],
        ),
        bad(
            "/spec/traffic/protectors",
            json!(["protect.cafe.dev/slb"]),
            ["spec.traffic.protectors[0]", "\"protect.cafe.dev/slb\"", "what follows protect.cafe.dev/"],
        ),
        bad(
            "/spec/traffic/protectors",
            json!([long(64)]),
            ["spec.traffic.protectors[0]", "aaaa", "at most 63"],
        ),
        bad(
            "/spec/traffic/protectors",
            json!((0..17).map(|n| format!("lb-{n}")).collect::<Vec<_>>()),
            ["spec.traffic.protectors", "17", "at most 16"],
        ),
        bad(
            "/spec/traffic/protectors",
            json!(["slb", "slb"]),
            ["spec.traffic.protectors[1]", "\"slb\"", "Duplicate value"],
        ),
    ]
}

pub(crate) fn of_a_cafe_deployment() -> Vec<Bad> {
    vec![
        bad(
            "/metadata/name",
            long(53),
            ["metadata.name", "aaaaaaaaaa", "at most 52 characters, such as web"],
        ),
        bad(
            "/spec/podSetType",
            json!("StatefulSet"),
            ["spec.podSetType", "\"StatefulSet\"", "\"InPlaceSet\""],
        ),
        bad("/spec/historyLimit", json!(1001), ["spec.historyLimit", "1001", "less than or equal to 1000"]),
        bad(
            "/spec/minReadySeconds",
            json!(700),
            [
                "spec.strategy.progressDeadlineSeconds",
                "600, which is not larger than spec.minReadySeconds, 700",
                "such as 600",
            ],
        ),
    ]
}

pub(crate) fn of_the_strategy() -> Vec<Bad> {
    let batch = "spec.strategy.batchSize";
    let budget = "spec.strategy.maxUnavailable";
    vec![
        bad(
            "/spec/strategy/upgradeType",
            json!("Canary"),
            ["spec.strategy.upgradeType", "\"Canary\"", "\"Beta\", \"Batch\""],
        ),
        bad("/spec/strategy/batchSize", json!(0), [batch, "is 0", "such as 4 or \"25%\""]),
        bad("/spec/strategy/batchSize", json!(-2), [batch, "is -2", "such as 4 or \"25%\""]),
        bad("/spec/strategy/batchSize", json!("4"), [batch, "\"4\"", "such as 4 or \"25%\""]),
        bad("/spec/strategy/batchSize", json!("0%"), [batch, "is 0%", "such as 4 or \"25%\""]),
        bad("/spec/strategy/batchSize", json!("150%"), [batch, "is 150%", "such as 4 or \"25%\""]),
        bad("/spec/strategy/maxUnavailable", json!(0), [budget, "is 0", "spec.strategy.pause: true"]),
        bad("/spec/strategy/maxUnavailable", json!("half"), [budget, "is half", "such as 1 or \"25%\""]),
        bad(
            "/spec/strategy/podUpdatePolicy",
            json!("InPlace"),
            [
                "spec.strategy.podUpdatePolicy",
                "\"InPlace\"",
                "\"InPlaceIfPossible\", \"InPlaceOnly\", \"Recreate\"",
            ],
        ),
        bad(
            "/spec/strategy/onFailure",
            json!("Stop"),
            ["spec.strategy.onFailure", "\"Stop\"", "\"Hold\", \"Rollback\""],
        ),
        bad(
            "/spec/strategy/progressDeadlineSeconds",
            json!(0),
            ["spec.strategy.progressDeadlineSeconds", "0", "greater than or equal to 1"],
        ),
    ]
}

pub(crate) fn of_the_topology() -> Vec<Bad> {
    let (values, pins) = ("spec.topology.values", "spec.topology.unitReplicas");
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| format!("cell-{n}")).collect() };
    let all_pinned: std::collections::BTreeMap<String, i32> =
        many(65).into_iter().map(|unit| (unit, 1)).collect();
    vec![
        bad(
            "/spec/topology/unitType",
            json!("Rack"),
            ["spec.topology.unitType", "\"Rack\"", "\"Cell\", \"Zone\", \"None\""],
        ),
        bad(
            "/spec/topology",
            json!({ "nodeLabelKey": "datacenter" }),
            ["spec.topology.nodeLabelKey", "is datacenter", "unitType: Cell or Zone"],
        ),
        bad(
            "/spec/topology/nodeLabelKey",
            json!("data center"),
            ["spec.topology.nodeLabelKey", "\"data center\"", "datacenter or example.com/rack"],
        ),
        bad("/spec/topology/values", json!([]), [values, "is empty", "values: [CellA, CellB]"]),
        bad("/spec/topology/values", Value::Null, [values, "is empty", "values: [CellA, CellB]"]),
        bad("/spec/topology/unitType", json!("None"), [values, "is [CellA, CellB]", "leave values out"]),
        bad(
            "/spec/topology/values",
            json!(["Cell_A"]),
            ["spec.topology.values[0]", "\"Cell_A\"", "such as CellA"],
        ),
        bad(
            "/spec/topology/values",
            json!(["CellA", "-b"]),
            ["spec.topology.values[1]", "\"-b\"", "such as CellA"],
        ),
        bad(
            "/spec/topology/values",
            json!([long(41)]),
            ["spec.topology.values[0]", "aaaaaaaaaa", "at most 40"],
        ),
        bad(
            "/spec/topology/values",
            json!([long(128)]),
            ["spec.topology.values[0]", "aaaaaaaaaa", "at most 40"],
        ),
        bad(
            "/spec/topology/values",
            json!(["CellA", ""]),
            ["spec.topology.values[1]", "\"\"", "such as CellA"],
        ),
        bad(
            "/spec/topology/values",
            json!(["CellA", "cella"]),
            [values, "CellA more than once", "such as CellA and CellB"],
        ),
        bad(
            "/spec/topology/values",
            json!(many(65)),
            [values, "has 65 units", "at most 64, such as [CellA, CellB]"],
        ),
        bad(
            "/spec/topology/values",
            json!(many(200)),
            [values, "has 200 units", "at most 64, such as [CellA, CellB]"],
        ),
        bad("/spec/topology/unitReplicas", json!(all_pinned), [pins, "has cell-", "which are CellA, CellB"]),
        bad("/spec/topology/unitReplicas", json!({ "CellC": 1 }), [pins, "CellC", "which are CellA, CellB"]),
        bad(
            "/spec/topology/unitReplicas",
            json!({ "CellA": "60%", "CellB": "60%" }),
            [pins, "120%", "{CellA: 40%, CellB: 60%}"],
        ),
        bad(
            "/spec/topology/unitReplicas",
            json!({ "CellA": "most" }),
            [pins, "CellA: most", "such as 4, or a percentage such as 40%"],
        ),
        bad(
            "/spec/topology/unitReplicas",
            json!({ "CellA": -3 }),
            [pins, "CellA: -3", "such as 4, or a percentage such as 40%"],
        ),
        bad(
            "/spec/topology/values",
            json!(["CellA", "CellB", "CellA"]),
            [values, "CellA more than once", "such as CellA and CellB"],
        ),
        bad(
            "/spec/topology/values",
            json!(["CellA", "b-"]),
            ["spec.topology.values[1]", "\"b-\"", "such as CellA"],
        ),
        bad(
            "/spec/topology/values",
            json!(["Cell A"]),
            ["spec.topology.values[0]", "\"Cell A\"", "such as CellA"],
        ),
        bad(
            "/spec/topology/values",
            json!(["zone.a"]),
            ["spec.topology.values[0]", "\"zone.a\"", "such as CellA"],
        ),
        bad(
            "/spec/topology/values",
            json!(["Zürich"]),
            ["spec.topology.values[0]", "\"Zürich\"", "such as CellA"],
        ),
        // Units are told apart by case nowhere, but a pin is of the unit as it is written.
        bad("/spec/topology/unitReplicas", json!({ "cella": 1 }), [pins, "cella", "which are CellA, CellB"]),
        bad(
            "/spec/topology",
            json!({ "unitReplicas": { "default": 1 } }),
            [pins, "has default", "pin only units of spec.topology.values, which are none"],
        ),
        bad(
            "/spec/topology/unitReplicas",
            json!({ "CellA": "101%" }),
            [pins, "CellA: 101%", "such as 4, or a percentage such as 40%"],
        ),
        bad(
            "/spec/topology/unitReplicas",
            json!({ "CellA": "100%", "CellB": "1%" }),
            [pins, "101%", "{CellA: 40%, CellB: 60%}"],
        ),
        bad(
            "/spec/topology/unitReplicas",
            json!({ "CellA": "4" }),
            [pins, "CellA: 4", "such as 4, or a percentage such as 40%"],
        ),
        bad(
            "/spec/topology/unitReplicas",
            json!({ "CellA": "-5%" }),
            [pins, "CellA: -5%", "such as 4, or a percentage such as 40%"],
        ),
        bad(
            "/spec/topology/autoReschedule",
            json!({ "initialDelaySeconds": -1 }),
            ["spec.topology.autoReschedule.initialDelaySeconds", "-1", "greater than or equal to 0"],
        ),
    ]
}

pub(crate) fn of_the_orders() -> Vec<Bad> {
    let confirm = "spec.release.confirm";
    vec![
        bad("/spec/release/confirm", json!("yes"), [confirm, "\"yes\"", "\"7/2\""]),
        bad("/spec/release/confirm", json!("7"), [confirm, "\"7\"", "\"7/all\""]),
        bad("/spec/release/confirm", json!("7/0"), [confirm, "\"7/0\"", "\"7/2\""]),
        bad("/spec/release/confirm", json!("7/ALL"), [confirm, "\"7/ALL\"", "\"7/all\""]),
        bad("/spec/release/confirm", json!(7), [confirm, "integer", "must be of type string"]),
        bad("/spec/release/abort", json!("7/2"), ["spec.release.abort", "\"7/2\"", "such as \"7\""]),
        bad("/spec/release/retry", json!("last"), ["spec.release.retry", "\"last\"", "such as \"7\""]),
        bad(
            "/spec/release/rollback",
            json!({ "abandon": 7, "to": 7 }),
            ["spec.release.rollback", "7: name an earlier one", "{abandon: 7, to: 6}"],
        ),
        bad(
            "/spec/release/rollback",
            json!({ "abandon": 7, "to": 0 }),
            ["spec.release.rollback.to", "0", "greater than or equal to 1"],
        ),
        bad(
            "/spec/release/rollback",
            json!({ "to": 6 }),
            ["spec.release.rollback.abandon", "Required value", ""],
        ),
    ]
}

pub(crate) fn of_an_in_place_set() -> Vec<Bad> {
    let (partition, budget) = ("spec.updateStrategy.partition", "spec.updateStrategy.maxUnavailable");
    vec![
        bad(
            "/metadata/name",
            long(64),
            ["metadata.name", "aaaaaaaaaa", "at most 63 characters, such as web"],
        ),
        bad(
            "/spec/revisionHistoryLimit",
            json!(-1),
            ["spec.revisionHistoryLimit", "-1", "greater than or equal to 0"],
        ),
        bad(
            "/spec/selector/matchLabels/cafe.dev~1unit",
            json!("CellA"),
            ["spec.selector.matchLabels", "cafe.dev/unit", "such as app"],
        ),
        bad("/spec/updateStrategy/partition", json!(-1), [partition, "is -1", "such as 4 or \"25%\""]),
        bad("/spec/updateStrategy/partition", json!("all"), [partition, "is all", "such as 4 or \"25%\""]),
        bad("/spec/updateStrategy/maxUnavailable", json!("1"), [budget, "\"1\"", "such as 1 or \"25%\""]),
        bad(
            "/spec/updateStrategy/podUpdatePolicy",
            json!("OnDelete"),
            ["spec.updateStrategy.podUpdatePolicy", "\"OnDelete\"", "\"InPlaceIfPossible\""],
        ),
        bad(
            "/spec/updateStrategy/group",
            json!("7/2"),
            ["spec.updateStrategy.group", "\"7/2\"", "such as 7-2"],
        ),
        bad(
            "/spec/placement",
            json!({ "unit": "CellA", "value": "CellA" }),
            ["spec.placement", "CellA", "{nodeLabelKey: cafe.dev/cell, value: CellA}"],
        ),
        bad("/spec/placement", json!({ "value": "CellA" }), ["spec.placement.unit", "Required value", ""]),
    ]
}

/// What both kinds refuse of claim templates.
pub(crate) fn of_the_claims() -> Vec<Bad> {
    let field = "/spec/volumeClaimTemplates";
    let templates = "spec.volumeClaimTemplates";
    let good = |name: &str| {
        json!({
            "metadata": { "name": name },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        })
    };
    let with = |pointer: &str, value: Value| {
        let mut template = good("data");
        *template.pointer_mut(pointer).unwrap() = value;
        json!([template])
    };
    let metadata = |value: Value| with("/metadata", value);
    let policy = "spec.persistentVolumeClaimRetentionPolicy";
    vec![
        bad(
            field,
            json!([good("data"), good("data")]),
            [templates, "[\"data\", \"data\"]", "such as data and logs"],
        ),
        bad(
            field,
            json!([good("Data")]),
            ["spec.volumeClaimTemplates[0].metadata.name", "\"Data\"", "such as data"],
        ),
        bad(field, json!([good("my.data")]), [templates, "\"my.data\"", "such as data"]),
        bad(field, json!([good("")]), ["spec.volumeClaimTemplates[0].metadata.name", "\"\"", "such as data"]),
        bad(field, json!([good(&"a".repeat(64))]), [templates, "metadata.name", "63"]),
        bad(field, metadata(json!({})), ["spec.volumeClaimTemplates[0].metadata.name", "Required value", ""]),
        bad(
            field,
            metadata(json!({ "name": "data", "labels": { "cafe.dev/set": "x" } })),
            [templates, "cafe.dev/set", "example.com/tier"],
        ),
        bad(
            field,
            metadata(json!({ "name": "data", "annotations": { "cafe.dev/note": "x" } })),
            [templates, "cafe.dev/note", "example.com/note"],
        ),
        bad(
            field,
            with("/spec/accessModes", json!([])),
            [templates, "data has no accessModes", "[ReadWriteOnce]"],
        ),
        bad(
            field,
            with("/spec/resources", json!({})),
            [templates, "data asks for no storage", "storage: 10Gi"],
        ),
        bad(
            "/spec/persistentVolumeClaimRetentionPolicy",
            json!({ "whenScaled": "Keep" }),
            [policy, "\"Keep\"", "\"Retain\", \"Delete\""],
        ),
    ]
}
