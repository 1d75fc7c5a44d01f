//! Rules of a CafeDeployment.

use super::{Rule, claims, shared};

/// All of them; the order is the order in the file.
pub(in super::super) const CAFE_DEPLOYMENT: &[Rule] = &[
    NAME_LENGTH,
    NAME_WITH_UNIT_LENGTH,
    POD_SET_TYPE_IMMUTABLE,
    shared::SELECTOR_IMMUTABLE,
    shared::SELECTOR_NOT_EMPTY,
    SELECTOR_KEYS_FREE,
    shared::EXPRESSION_VALUES,
    shared::EXPRESSION_KEY_FREE,
    LABELS_MATCH,
    shared::EXPRESSIONS_MATCH,
    shared::SELECTOR_LABEL_VALUES,
    shared::TEMPLATE_LABEL_VALUES,
    shared::TEMPLATE_LABELS_FREE,
    shared::TEMPLATE_ANNOTATIONS_FREE,
    shared::CONTAINERS_PRESENT,
    shared::RESTART_POLICY,
    claims::NAMES_UNIQUE,
    claims::NAME_SYNTAX,
    claims::LABELS_FREE,
    claims::ANNOTATIONS_FREE,
    claims::ACCESS_MODES,
    claims::STORAGE,
    shared::RESTART_AT,
    shared::PROTECTOR_NAME,
    BATCH_SIZE,
    MAX_UNAVAILABLE,
    DEADLINE_AFTER_READY,
    UNIT_TYPE_IMMUTABLE,
    NODE_LABEL_KEY_IMMUTABLE,
    NODE_LABEL_KEY_PLACES,
    NODE_LABEL_KEY_SYNTAX,
    VALUES_PRESENT,
    VALUES_COUNT,
    VALUE_SYNTAX,
    VALUES_UNIQUE,
    VALUES_KEEP_CASE,
    PINS_OF_KNOWN_UNITS,
    PIN_SYNTAX,
    PIN_PERCENTAGES,
    CONFIRM_TOKEN,
    ABORT_TOKEN,
    RETRY_TOKEN,
    ROLLBACK_MOVES,
];

const NAME_LENGTH: Rule = Rule::new(
    "",
    "self.metadata.name.size() <= 52",
    "'metadata.name ' + self.metadata.name + ' is too long: use at most 52 characters, such as web, so that the names of units and pods can be made from it'",
)
.blames(".metadata.name");

const NAME_WITH_UNIT_LENGTH: Rule = Rule::new(
    "",
    "!has(self.spec.topology) || !has(self.spec.topology.values) || self.spec.topology.values.all(unit, self.metadata.name.size() + 1 + unit.size() <= 63)",
    "'metadata.name ' + self.metadata.name + ' and the unit ' + self.spec.topology.values.filter(unit, self.metadata.name.size() + 1 + unit.size() > 63)[0] + ' make a name of more than 63 characters: shorten one of the two, such as web and CellA'",
)
.blames(".metadata.name");

const POD_SET_TYPE_IMMUTABLE: Rule =
    Rule::new("spec.podSetType", "self == oldSelf", "'spec.podSetType is immutable: keep ' + oldSelf");

const SELECTOR_KEYS_FREE: Rule = Rule::new(
    "spec.selector",
    "!has(self.matchLabels) || self.matchLabels.all(key, !key.startsWith('cafe.dev/'))",
    "'spec.selector.matchLabels has ' + self.matchLabels.filter(key, key.startsWith('cafe.dev/'))[0] + ': labels under cafe.dev/ belong to Cafe, choose your own, such as app'",
)
.blames(".matchLabels");

const LABELS_MATCH: Rule = Rule::new(
    "spec",
    "!has(self.selector.matchLabels) || self.selector.matchLabels.all(key, self.template.?metadata.?labels[?key].orValue('\\n') == self.selector.matchLabels[key])",
    "'spec.selector.matchLabels does not match spec.template.metadata.labels: add ' + self.selector.matchLabels.filter(key, self.template.?metadata.?labels[?key].orValue('\\n') != self.selector.matchLabels[key]).map(key, key + ': ' + self.selector.matchLabels[key])[0] + ' to the labels of the template'",
)
.blames(".template.metadata.labels");

const BATCH_SIZE: Rule = Rule::new(
    "spec.strategy.batchSize",
    "type(self) == int ? self >= 1 : string(self).matches('^([1-9][0-9]?|0[1-9]|100)%$')",
    "'spec.strategy.batchSize is ' + string(self) + ': give at least 1, such as 4 or \"25%\", or leave it out to update everything after the beta group at once'",
);

const MAX_UNAVAILABLE: Rule = Rule::new(
    "spec.strategy.maxUnavailable",
    "type(self) == int ? self >= 1 : string(self).matches('^([1-9][0-9]?|0[1-9]|100)%$')",
    "'spec.strategy.maxUnavailable is ' + string(self) + ': give at least 1, such as 1 or \"25%\"; to hold a release write spec.strategy.pause: true'",
);

const DEADLINE_AFTER_READY: Rule = Rule::new(
    "spec",
    "!has(self.strategy) || !has(self.minReadySeconds) || self.strategy.?progressDeadlineSeconds.orValue(600) > self.minReadySeconds",
    "'spec.strategy.progressDeadlineSeconds is %d, which is not larger than spec.minReadySeconds, %d: no pod could become available in time, give more, such as 600 for minReadySeconds: 30'.format([self.strategy.?progressDeadlineSeconds.orValue(600), self.minReadySeconds])",
)
.blames(".strategy.progressDeadlineSeconds");

const UNIT_TYPE_IMMUTABLE: Rule = Rule::new(
    "spec.topology.unitType",
    "self == oldSelf",
    "'spec.topology.unitType is ' + self + ' and was ' + oldSelf + ', but is immutable: keep ' + oldSelf + ', or create another CafeDeployment'",
);

const NODE_LABEL_KEY_IMMUTABLE: Rule = Rule::new(
    "spec.topology",
    "has(self.nodeLabelKey) ? has(oldSelf.nodeLabelKey) && self.nodeLabelKey == oldSelf.nodeLabelKey : !has(oldSelf.nodeLabelKey)",
    "'spec.topology.nodeLabelKey ' + (has(self.nodeLabelKey) ? 'is ' + self.nodeLabelKey : 'is absent') + ' and was ' + (has(oldSelf.nodeLabelKey) ? oldSelf.nodeLabelKey : 'absent') + ', but is immutable: keep it as it was, or create another CafeDeployment'",
)
.blames(".nodeLabelKey");

const NODE_LABEL_KEY_PLACES: Rule = Rule::new(
    "spec.topology",
    "!has(self.nodeLabelKey) || self.?unitType.orValue('None') != 'None'",
    "'spec.topology.nodeLabelKey is ' + self.nodeLabelKey + ', but unitType None places no pods: write unitType: Cell or Zone, or leave nodeLabelKey out'",
)
.blames(".nodeLabelKey");

const NODE_LABEL_KEY_SYNTAX: Rule = Rule::new(
    "spec.topology.nodeLabelKey",
    "!format.qualifiedName().validate(self).hasValue()",
    "'spec.topology.nodeLabelKey is \"' + self + '\", which is no key of a label: write one such as datacenter or example.com/rack'",
);

const VALUES_PRESENT: Rule = Rule::new(
    "spec.topology",
    "(self.?unitType.orValue('None') == 'None') == (!has(self.values) || self.values.size() == 0)",
    "self.?unitType.orValue('None') == 'None' ? 'spec.topology.values is [' + self.values.join(', ') + '], but unitType None has one unit without a name: write unitType: Cell or Zone, or leave values out' : 'spec.topology.values is empty: name the units of unitType ' + self.unitType + ', such as values: [CellA, CellB]'",
)
.blames(".values");

const VALUES_COUNT: Rule = Rule::new(
    "spec.topology.values",
    "self.size() <= 64",
    "'spec.topology.values has %d units: give at most 64, such as [CellA, CellB], and put the others into another CafeDeployment'.format([self.size()])",
);

const VALUE_SYNTAX: Rule = Rule::new(
    "spec.topology.values[]",
    "self.size() <= 40 && self.matches('^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$')",
    "'spec.topology.values has \"' + self + '\": a unit is at most 40 letters, digits and hyphens between them, such as CellA'",
);

const VALUES_UNIQUE: Rule = Rule::new(
    "spec.topology.values",
    "self.all(unit, self.exists_one(other, other.lowerAscii() == unit.lowerAscii()))",
    "'spec.topology.values has ' + self.filter(unit, !self.exists_one(other, other.lowerAscii() == unit.lowerAscii()))[0] + ' more than once: units must differ by more than case, such as CellA and CellB'",
);

/// The old unit could not be emptied before the new one is there, nor the new one be made before the old one is gone: both have one
/// name of an InPlaceSet.
const VALUES_KEEP_CASE: Rule = Rule::new(
    "spec.topology.values",
    "self.all(unit, unit in oldSelf || !oldSelf.exists(old, old.lowerAscii() == unit.lowerAscii()))",
    "'spec.topology.values has ' + self.filter(unit, !(unit in oldSelf) && oldSelf.exists(old, old.lowerAscii() == unit.lowerAscii()))[0] + ', which differs from a unit of before only by case: choose another name, or take the old unit out first and wait until its InPlaceSet is gone, such as values: [CellA] and then [CellA, CELLB]'",
);

const PINS_OF_KNOWN_UNITS: Rule = Rule::new(
    "spec.topology",
    "!has(self.unitReplicas) || self.unitReplicas.all(unit, has(self.values) && unit in self.values)",
    "'spec.topology.unitReplicas has ' + self.unitReplicas.filter(unit, !has(self.values) || !(unit in self.values))[0] + ': pin only units of spec.topology.values, which are ' + (has(self.values) ? self.values.join(', ') : 'none')",
)
.blames(".unitReplicas");

const PIN_SYNTAX: Rule = Rule::new(
    "spec.topology.unitReplicas",
    "self.all(unit, type(self[unit]) == int ? self[unit] >= 0 : string(self[unit]).matches('^(100|[0-9]{1,2})%$'))",
    "'spec.topology.unitReplicas has ' + self.filter(unit, type(self[unit]) == int ? self[unit] < 0 : !string(self[unit]).matches('^(100|[0-9]{1,2})%$')).map(unit, unit + ': ' + string(self[unit]))[0] + ': give a number of pods such as 4, or a percentage such as 40%'",
);

/// The sum of the percentages; what is no percentage is for another rule.
macro_rules! percentages {
    () => {
        "self.map(unit, type(self[unit]) == string && string(self[unit]).matches('^[0-9]{1,3}%$') ? int(string(self[unit]).replace('%', '')) : 0).sum()"
    };
}

const PIN_PERCENTAGES: Rule = Rule::new(
    "spec.topology.unitReplicas",
    concat!(percentages!(), " <= 100"),
    concat!(
        "'spec.topology.unitReplicas has percentages that add up to %d%%: give counts, or percentages that add up to at most 100%%, such as {CellA: 40%%, CellB: 60%%}'.format([",
        percentages!(),
        "])"
    ),
);

const CONFIRM_TOKEN: Rule = Rule::new(
    "spec.release.confirm",
    "self.matches('^[1-9][0-9]{0,17}/([1-9][0-9]{0,8}|all)$')",
    "'spec.release.confirm is \"' + self + '\": write what status.release.confirmToken shows, \"<revision>/<gate>\" such as \"7/2\", or \"7/all\" for all gates of revision 7'",
);

const ABORT_TOKEN: Rule = Rule::new(
    "spec.release.abort",
    "self.matches('^[1-9][0-9]{0,17}$')",
    "'spec.release.abort is \"' + self + '\": write the number of the revision whose release shall stop, such as \"7\"; status.release.revision shows it'",
);

const RETRY_TOKEN: Rule = Rule::new(
    "spec.release.retry",
    "self.matches('^[1-9][0-9]{0,17}$')",
    "'spec.release.retry is \"' + self + '\": write the number of the revision to take up again, such as \"7\"'",
);

const ROLLBACK_MOVES: Rule = Rule::new(
    "spec.release.rollback",
    "self.abandon != self.to",
    "'spec.release.rollback names the same revision in abandon and to, %d: name an earlier one to serve, such as {abandon: 7, to: 6}'.format([self.to])",
);
