//! Rules that are the same in both kinds.

use super::Rule;

pub(super) const SELECTOR_IMMUTABLE: Rule = Rule::new(
    "spec.selector",
    "self == oldSelf",
    "'spec.selector is immutable: keep it as it was, or create another object with the selector you want'",
);

pub(super) const SELECTOR_NOT_EMPTY: Rule = Rule::new(
    "spec.selector",
    "(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)",
    "'spec.selector is empty: give at least one label that only these pods carry, such as matchLabels: {app: web}'",
);

pub(super) const EXPRESSION_VALUES: Rule = Rule::new(
    "spec.selector.matchExpressions[]",
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
    "'spec.selector.matchExpressions: ' + self.key + ' ' + self.operator + (has(self.values) && self.values.size() > 0 ? ' takes no values: remove them' : ' needs values, such as values: [web]')",
);

pub(super) const EXPRESSION_KEY_FREE: Rule = Rule::new(
    "spec.selector.matchExpressions[]",
    "!self.key.startsWith('cafe.dev/')",
    "'spec.selector.matchExpressions has the key ' + self.key + ': keys under cafe.dev/ belong to Cafe, choose your own, such as app'",
);

pub(super) const EXPRESSIONS_MATCH: Rule = Rule::new(
    "spec",
    "!has(self.selector.matchExpressions) || self.selector.matchExpressions.all(e, \
     e.operator == 'In' ? self.template.?metadata.?labels[?e.key].hasValue() && has(e.values) && self.template.metadata.labels[e.key] in e.values : \
     e.operator == 'NotIn' ? !self.template.?metadata.?labels[?e.key].hasValue() || !has(e.values) || !(self.template.metadata.labels[e.key] in e.values) : \
     (e.operator == 'Exists') == self.template.?metadata.?labels[?e.key].hasValue())",
    "'spec.selector.matchExpressions does not match spec.template.metadata.labels: change the labels so that every requirement holds'",
)
.blames(".selector.matchExpressions");

pub(super) const TEMPLATE_LABELS_FREE: Rule = Rule::new(
    "spec.template.metadata.labels",
    "self.all(key, !key.startsWith('cafe.dev/'))",
    "'spec.template.metadata.labels has ' + self.filter(key, key.startsWith('cafe.dev/'))[0] + ': labels under cafe.dev/ belong to Cafe, remove them or choose your own prefix, such as example.com/tier'",
);

pub(super) const TEMPLATE_ANNOTATIONS_FREE: Rule = Rule::new(
    "spec.template.metadata.annotations",
    "self.all(key, !key.startsWith('cafe.dev/'))",
    "'spec.template.metadata.annotations has ' + self.filter(key, key.startsWith('cafe.dev/'))[0] + ': annotations under cafe.dev/ belong to Cafe, remove them or choose your own prefix, such as example.com/note'",
);

pub(super) const RESTART_POLICY: Rule = Rule::new(
    "spec.template.spec",
    "!has(self.restartPolicy) || self.restartPolicy == 'Always'",
    "'spec.template.spec.restartPolicy is ' + self.restartPolicy + ': pods of a service always restart, write Always or leave it out'",
)
.blames(".restartPolicy");

pub(super) const PROTECTOR_NAME: Rule = Rule::new(
    "spec.traffic.protectors[]",
    "self.size() <= 63 && self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
    "'spec.traffic.protectors has \"' + self + '\": give what follows protect.cafe.dev/ in the finalizer, at most 63 letters, digits and -_. between them, such as slb'",
);
