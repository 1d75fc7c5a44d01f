//! Rules of an InPlaceSet.

use super::{Rule, claims, shared};

/// All of them; the order is the order in the file.
pub(in super::super) const IN_PLACE_SET: &[Rule] = &[
    NAME_LENGTH,
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
    PARTITION,
    MAX_UNAVAILABLE,
    shared::PROTECTOR_NAME,
    GROUP_SYNTAX,
    PLACEMENT_IS_WHOLE,
];

const NAME_LENGTH: Rule = Rule::new(
    "",
    "self.metadata.name.size() <= 63",
    "'metadata.name ' + self.metadata.name + ' is too long: use at most 63 characters, such as web, so that the names of pods can be made from it'",
)
.blames(".metadata.name");

const SELECTOR_KEYS_FREE: Rule = Rule::new(
    "spec",
    "!has(self.selector.matchLabels) || self.selector.matchLabels.all(key, !key.startsWith('cafe.dev/') || (key == 'cafe.dev/unit' && self.?placement.?unit.orValue('') == self.selector.matchLabels[key]))",
    "'spec.selector.matchLabels has ' + self.selector.matchLabels.filter(key, key.startsWith('cafe.dev/'))[0] + ': of the labels under cafe.dev/ only cafe.dev/unit may be selected on, with the value of spec.placement.unit; choose your own, such as app'",
)
.blames(".selector.matchLabels");

/// The label of the unit comes from the placement and not from the template.
const LABELS_MATCH: Rule = Rule::new(
    "spec",
    "!has(self.selector.matchLabels) || self.selector.matchLabels.all(key, key.startsWith('cafe.dev/') || self.template.?metadata.?labels[?key].orValue('\\n') == self.selector.matchLabels[key])",
    "'spec.selector.matchLabels does not match spec.template.metadata.labels: add ' + self.selector.matchLabels.filter(key, !key.startsWith('cafe.dev/') && self.template.?metadata.?labels[?key].orValue('\\n') != self.selector.matchLabels[key]).map(key, key + ': ' + self.selector.matchLabels[key])[0] + ' to the labels of the template'",
)
.blames(".template.metadata.labels");

const PARTITION: Rule = Rule::new(
    "spec.updateStrategy.partition",
    "type(self) == int ? self >= 0 : string(self).matches('^(100|[0-9]{1,2})%$')",
    "'spec.updateStrategy.partition is ' + string(self) + ': give the number of pods to keep on the base revision, such as 4 or \"25%\"'",
);

const MAX_UNAVAILABLE: Rule = Rule::new(
    "spec.updateStrategy.maxUnavailable",
    "type(self) == int ? self >= 0 : string(self).matches('^(100|[0-9]{1,2})%$')",
    "'spec.updateStrategy.maxUnavailable is ' + string(self) + ': give a number of pods such as 1 or \"25%\"; 0 touches nothing that serves'",
);

const GROUP_SYNTAX: Rule = Rule::new(
    "spec.updateStrategy.group",
    "self.matches('^[1-9][0-9]*-[1-9][0-9]*$')",
    "'spec.updateStrategy.group is \"' + self + '\": write <revision>-<group>, such as 7-2, or leave it out'",
);

const PLACEMENT_IS_WHOLE: Rule = Rule::new(
    "spec.placement",
    "has(self.nodeLabelKey) == has(self.value)",
    "'spec.placement of the unit ' + self.unit + ' has only one of nodeLabelKey and value: give both, such as {nodeLabelKey: cafe.dev/cell, value: CellA}, or neither'",
);
