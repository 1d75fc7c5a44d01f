//! Rules that are the same in both kinds.
//!
//! A message may put numbers, lists and maps into `format`, but only as its outermost call: the API server takes the text of
//! a number for endless, and concatenating endless texts for too dear.

use super::Rule;

pub(super) const SELECTOR_IMMUTABLE: Rule = Rule::new(
    "spec.selector",
    "self == oldSelf",
    "'spec.selector is immutable and was %s: keep it, or create another object with the selector you want, such as {\"app\": \"web\"}'.format([has(oldSelf.matchLabels) ? oldSelf.matchLabels : {}])",
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

/// Whether the labels of the template fulfil the requirement `e`.
macro_rules! requirement_holds {
    () => {
        "(e.operator == 'In' ? self.template.?metadata.?labels[?e.key].hasValue() && has(e.values) && self.template.metadata.labels[e.key] in e.values : \
         e.operator == 'NotIn' ? !self.template.?metadata.?labels[?e.key].hasValue() || !has(e.values) || !(self.template.metadata.labels[e.key] in e.values) : \
         (e.operator == 'Exists') == self.template.?metadata.?labels[?e.key].hasValue())"
    };
}

pub(super) const EXPRESSIONS_MATCH: Rule = Rule::new(
    "spec",
    concat!("!has(self.selector.matchExpressions) || self.selector.matchExpressions.all(e, ", requirement_holds!(), ")"),
    concat!(
        "'spec.selector.matchExpressions has a requirement on %s, which spec.template.metadata.labels does not fulfil: change the labels, such as app: web for app In [web]'.format([self.selector.matchExpressions.filter(e, !",
        requirement_holds!(),
        ")[0].key])"
    ),
)
.blames(".selector.matchExpressions");

pub(super) const SELECTOR_LABEL_VALUES: Rule = Rule::new(
    "spec.selector.matchLabels",
    "self.all(key, !format.labelValue().validate(self[key]).hasValue())",
    "'spec.selector.matchLabels has ' + self.filter(key, format.labelValue().validate(self[key]).hasValue()).map(key, key + ': \"' + self[key] + '\"')[0] + ': the value of a label is at most 63 letters, digits and -_. between them, such as web'",
);

pub(super) const TEMPLATE_LABEL_VALUES: Rule = Rule::new(
    "spec.template.metadata.labels",
    "self.all(key, !format.labelValue().validate(self[key]).hasValue())",
    "'spec.template.metadata.labels has ' + self.filter(key, format.labelValue().validate(self[key]).hasValue()).map(key, key + ': \"' + self[key] + '\"')[0] + ': the value of a label is at most 63 letters, digits and -_. between them, such as web'",
);

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

pub(super) const CONTAINERS_PRESENT: Rule = Rule::new(
    "spec.template.spec",
    "self.containers.size() > 0",
    "'spec.template.spec.containers is []: give at least one, such as {name: app, image: example.org/web:1.0.0}'",
)
.blames(".containers");

/// Looked at here and not by a format, whose message has no example. What matches and is no day still is refused, by
/// `timestamp`.
pub(super) const RESTART_AT: Rule = Rule::new(
    "spec.restartAt",
    "self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$') && timestamp(self) > timestamp('0001-01-01T00:00:00Z')",
    "'spec.restartAt is \"' + self + '\": write a moment with its zone as in RFC 3339, such as \"2026-11-20T22:41:00Z\"'",
);
