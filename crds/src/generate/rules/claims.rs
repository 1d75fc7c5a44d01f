//! Rules of `volumeClaimTemplates`, the same in both kinds: what the API server would otherwise refuse when the claim, or the
//! pod with its volume, is created.

use super::Rule;

pub(super) const NAMES_UNIQUE: Rule = Rule::new(
    "spec.volumeClaimTemplates",
    "self.all(claim, self.exists_one(other, other.metadata.name == claim.metadata.name))",
    "'spec.volumeClaimTemplates has the names %s: give each template a name of its own, such as data and logs'.format([self.map(claim, claim.metadata.name)])",
);

pub(super) const NAME_SYNTAX: Rule = Rule::new(
    "spec.volumeClaimTemplates[].metadata.name",
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "'spec.volumeClaimTemplates has the name \"' + self + '\": it is also the name of a volume, so use at most 63 small letters, digits and hyphens between them, such as data'",
);

pub(super) const LABELS_FREE: Rule = Rule::new(
    "spec.volumeClaimTemplates[].metadata.labels",
    "self.all(key, !key.startsWith('cafe.dev/'))",
    "'spec.volumeClaimTemplates has the label ' + self.filter(key, key.startsWith('cafe.dev/'))[0] + ': labels under cafe.dev/ belong to Cafe, remove them or choose your own prefix, such as example.com/tier'",
);

pub(super) const ANNOTATIONS_FREE: Rule = Rule::new(
    "spec.volumeClaimTemplates[].metadata.annotations",
    "self.all(key, !key.startsWith('cafe.dev/'))",
    "'spec.volumeClaimTemplates has the annotation ' + self.filter(key, key.startsWith('cafe.dev/'))[0] + ': annotations under cafe.dev/ belong to Cafe, remove them or choose your own prefix, such as example.com/note'",
);

pub(super) const ACCESS_MODES: Rule = Rule::new(
    "spec.volumeClaimTemplates[]",
    "has(self.spec.accessModes) && self.spec.accessModes.size() > 0",
    "'spec.volumeClaimTemplates: ' + self.metadata.name + ' has no accessModes: say how the volume is mounted, such as accessModes: [ReadWriteOnce]'",
)
.blames(".spec.accessModes");

pub(super) const STORAGE: Rule = Rule::new(
    "spec.volumeClaimTemplates[]",
    "has(self.spec.resources) && has(self.spec.resources.requests) && 'storage' in self.spec.resources.requests",
    "'spec.volumeClaimTemplates: ' + self.metadata.name + ' asks for no storage: say how much, such as resources: {requests: {storage: 10Gi}}'",
)
.blames(".spec.resources");
