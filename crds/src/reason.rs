//! The one list of words for the reasons of conditions and events and for the labels of metrics.

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $word;)+
        /// All of them, in the order of this file.
        pub const ALL: &[&str] = &[$($word),+];
    };
}

words! {
    /// A release began: its groups are planned.
    RELEASE_STARTED = "ReleaseStarted";
    /// A group began to move.
    GROUP_STARTED = "GroupStarted";
    /// Every pod of a group runs the new revision and is available.
    GROUP_COMPLETED = "GroupCompleted";
    /// The release stands at a gate.
    WAITING_FOR_CONFIRMATION = "WaitingForConfirmation";
    /// A gate was opened.
    CONFIRMED = "Confirmed";
    /// A token in `spec.release.confirm` opens no gate now.
    CONFIRM_IGNORED = "ConfirmIgnored";
    /// `spec.strategy.pause` became true while a release ran.
    RELEASE_PAUSED = "ReleasePaused";
    /// `spec.strategy.pause` was lifted.
    RELEASE_RESUMED = "ReleaseResumed";
    /// `spec.release.abort` stopped the release where it was.
    RELEASE_ABORTED = "ReleaseAborted";
    /// An order in `spec.release` finds nothing that it could be carried out on.
    ORDER_IGNORED = "OrderIgnored";
    /// Pods move back to an earlier revision.
    ROLLBACK_STARTED = "RollbackStarted";
    /// Every pod is back on the earlier revision.
    ROLLBACK_COMPLETED = "RollbackCompleted";
    /// A newer template took the place of a running release.
    RELEASE_SUPERSEDED = "ReleaseSuperseded";
    /// Every pod runs the revision of the release and no gate is left.
    RELEASE_COMPLETED = "ReleaseCompleted";
    /// A group made no progress for `progressDeadlineSeconds`.
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded";
    /// The InPlaceSet of a unit was created.
    UNIT_CREATED = "UnitCreated";
    /// The InPlaceSet of a unit was removed.
    UNIT_REMOVED = "UnitRemoved";
    /// An unschedulable pod gave its place to another unit.
    POD_RESCHEDULED = "PodRescheduled";
    /// Pods were added.
    SCALED_OUT = "ScaledOut";
    /// Pods were taken away.
    SCALED_IN = "ScaledIn";
    /// A pod serves no traffic any more, and everybody concerned said so.
    TRAFFIC_DRAINED = "TrafficDrained";
    /// The new images were written into a pod.
    IN_PLACE_UPDATE_STARTED = "InPlaceUpdateStarted";
    /// The new containers of a pod are ready.
    IN_PLACE_UPDATE_SUCCEEDED = "InPlaceUpdateSucceeded";
    /// The new containers of a pod did not become ready in time.
    IN_PLACE_UPDATE_FAILED = "InPlaceUpdateFailed";
    /// A protector or an endpoint held a drain for longer than `drainTimeoutSeconds`.
    DRAIN_TIMED_OUT = "DrainTimedOut";
    /// A drain was cut short by `onDrainTimeout: Force` or by the annotation `cafe.dev/force-drain`.
    DRAIN_FORCED = "DrainForced";
    /// What somebody else wrote into a child was overwritten.
    CHILD_OVERWRITTEN = "ChildOverwritten";
    /// What nobody owned and what matches was taken over.
    CHILD_ADOPTED = "ChildAdopted";
    /// A pod whose labels no longer match was let go.
    CHILD_RELEASED = "ChildReleased";

    /// A new template was seen and has a revision.
    NEW_REVISION_AVAILABLE = "NewRevisionAvailable";
    /// Pods are moving.
    RELEASE_PROGRESSING = "ReleaseProgressing";
    /// The revision runs on every pod.
    REVISION_COMPLETED = "RevisionCompleted";
    /// `spec.strategy.pause` is true.
    PAUSED = "Paused";
    /// `spec.strategy.pause` is not true.
    NOT_PAUSED = "NotPaused";
    /// No gate waits.
    NOTHING_TO_CONFIRM = "NothingToConfirm";
    /// At least `replicas - maxUnavailable` pods serve.
    MINIMUM_REPLICAS_AVAILABLE = "MinimumReplicasAvailable";
    /// Fewer than `replicas - maxUnavailable` pods serve.
    MINIMUM_REPLICAS_UNAVAILABLE = "MinimumReplicasUnavailable";
    /// Pods are being created, deleted or moved.
    SCALING = "Scaling";
    /// Pods exist but do not serve yet.
    REPLICAS_NOT_READY = "ReplicasNotReady";
    /// All replicas run the desired revision and serve.
    ALL_REPLICAS_READY = "AllReplicasReady";
    /// Every unit has its pods and they are available.
    ALL_UNITS_HEALTHY = "AllUnitsHealthy";
    /// A unit lacks available pods.
    UNIT_DEGRADED = "UnitDegraded";
    /// The counts in `unitReplicas` do not add up to `spec.replicas`.
    PINS_DO_NOT_FIT = "PinsDoNotFit";
    /// An object with the name of a child exists and is not ours.
    NAME_TAKEN = "NameTaken";
    /// The spec contradicts itself or the cluster in a way that admission could not see.
    INVALID_SPEC = "InvalidSpec";
    /// The revision named in `spec.release` does not exist any more.
    REVISION_NOT_FOUND = "RevisionNotFound";
    /// The object is too young to say anything.
    NOT_OBSERVED = "NotObserved";
    /// An earlier revision serves, because that of the template was rolled back.
    ROLLED_BACK = "RolledBack";
    /// Pods older than `spec.restartAt` are being replaced.
    RESTARTING = "Restarting";
    /// Pods cannot be created, for example because of a quota.
    CREATE_FAILED = "CreateFailed";
    /// An older object selects pods of this one, or the other way round: this one does nothing.
    SELECTOR_OVERLAPS = "SelectorOverlaps";
    /// The object is being deleted, and its pods are drained first.
    DRAINING_BEFORE_DELETION = "DrainingBeforeDeletion";
    /// `podUpdatePolicy: InPlaceOnly` holds pods whose change cannot go in place.
    IN_PLACE_ONLY = "InPlaceOnly";
    /// No node carries the label value of a unit.
    NO_NODES = "NoNodes";
    /// A unit has nodes, and none of them is Ready.
    UNIT_LOST = "UnitLost";
    /// The InPlaceSet of a unit is being deleted, and something keeps it: the unit is made again once it is gone.
    UNIT_BEING_DELETED = "UnitBeingDeleted";
    /// Pods find no node in their unit, and no other unit may take them.
    NO_ROOM = "NoRoom";
    /// Pods find no node, and none is moved because the controller may not read nodes.
    NODES_UNKNOWN = "NodesUnknown";
    /// A unit has given places to other units and keeps a ceiling.
    UNIT_CAPPED = "UnitCapped";
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_reason_is_one_camel_case_word_and_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for word in super::ALL {
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()) && word.len() <= 128, "{word}");
            assert!(seen.insert(word), "{word} twice");
        }
    }
}
