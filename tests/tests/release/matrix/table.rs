//! What must come of every order in every state.
//!
//! Orders are levels, read in the order rollback, abort, pause, confirm. One that cannot be followed yet waits, one that comes too
//! late is ignored, and an event or the message says so.

use super::Action::{Abort, Confirm, NewTemplate, Pause, Restart, Resume, Retry, Rollback, Scale};
use super::State::{Aborted, Complete, Executing, Failed, Paused, RollingBack, Waiting};
use super::{Action, Cell, State};

const fn cell(
    state: State,
    action: Action,
    then: &'static str,
    says: &'static str,
    told: &'static str,
    end: &'static str,
) -> Cell {
    Cell { state, action, then, says, told, end }
}

const GATE: &str = "WaitingForConfirmation";
const RESTARTS_LATER: &str = "spec.restartAt waits until a release has completed";

#[rustfmt::skip]
pub(super) const CELLS: [Cell; 63] = [
    cell(Complete,    Confirm,     "Completed",   "revision 2 serves on 4 of 4 pods",                "ConfirmIgnored",    "v2"),
    cell(Complete,    Pause,       "Completed",   "spec.strategy.pause holds what comes next",       "",                  "next"),
    cell(Complete,    Resume,      "Completed",   "revision 2 serves on 4 of 4 pods",                "",                  "v2"),
    cell(Complete,    Abort,       "Completed",   "revision 2 serves on 4 of 4 pods",                "OrderIgnored",      "v2"),
    cell(Complete,    Rollback,    "Completed",   "revision 1 serves on 4 of 4 pods in place of revision 2", "RollbackCompleted", "v1"),
    cell(Complete,    Retry,       "Completed",   "revision 2 serves on 4 of 4 pods",                "OrderIgnored",      "v2"),
    cell(Complete,    NewTemplate, GATE,          "gate 3/1 waits",                                  "ReleaseStarted",    "next"),
    cell(Complete,    Scale,       "Completed",   "revision 2 serves on 6 of 6 pods",                "ScaledOut",         "v2"),
    cell(Complete,    Restart,     "Completed",   "pods created before spec.restartAt are yet to be replaced", "",        "v2"),

    cell(Executing,   Confirm,     "Executing",   "gate 2/1 is confirmed already",                   "",                  "v2"),
    cell(Executing,   Pause,       "Paused",      "paused in group 1/2 of revision 2",               "ReleasePaused",     "v2"),
    cell(Executing,   Resume,      "Executing",   "group 1/2 of revision 2",                         "",                  "v2"),
    cell(Executing,   Abort,       "Aborted",     "the release of revision 2 was aborted",           "ReleaseAborted",    "v2"),
    cell(Executing,   Rollback,    "Completed",   "revision 1 serves on 4 of 4 pods in place of revision 2", "RollbackCompleted", "v1"),
    cell(Executing,   Retry,       "Executing",   "group 1/2 of revision 2",                         "OrderIgnored",      "v2"),
    cell(Executing,   NewTemplate, "Executing",   "group 1/2 of revision 3",                         "ReleaseSuperseded", "next"),
    cell(Executing,   Scale,       "Executing",   "group 1/2 of revision 2",                         "ScaledOut",         "v2"),
    cell(Executing,   Restart,     "Executing",   RESTARTS_LATER,                                    "",                  "v2"),

    cell(Waiting,     Confirm,     "Completed",   "revision 2 serves on 4 of 4 pods",                "Confirmed",         "v2"),
    cell(Waiting,     Pause,       "Paused",      "paused in group 1/2 of revision 2",               "ReleasePaused",     "v2"),
    cell(Waiting,     Resume,      GATE,          "gate 2/1 waits",                                  "",                  "v2"),
    cell(Waiting,     Abort,       "Aborted",     "the release of revision 2 was aborted",           "ReleaseAborted",    "v2"),
    cell(Waiting,     Rollback,    "Completed",   "revision 1 serves on 4 of 4 pods in place of revision 2", "RollbackCompleted", "v1"),
    cell(Waiting,     Retry,       GATE,          "gate 2/1 waits",                                  "OrderIgnored",      "v2"),
    cell(Waiting,     NewTemplate, GATE,          "gate 3/1 waits",                                  "ReleaseSuperseded", "next"),
    cell(Waiting,     Scale,       GATE,          "gate 2/1 waits",                                  "ScaledOut",         "v2"),
    cell(Waiting,     Restart,     GATE,          RESTARTS_LATER,                                    "",                  "v2"),

    cell(Paused,      Confirm,     "Paused",      "gate 2/1 is confirmed already",                   "",                  "v2"),
    cell(Paused,      Pause,       "Paused",      "paused in group 1/2 of revision 2",               "",                  "v2"),
    cell(Paused,      Resume,      GATE,          "gate 2/1 waits",                                  "ReleaseResumed",    "v2"),
    cell(Paused,      Abort,       "Aborted",     "the release of revision 2 was aborted",           "ReleaseAborted",    "v2"),
    cell(Paused,      Rollback,    "Completed",   "revision 1 serves on 4 of 4 pods in place of revision 2", "RollbackCompleted", "v1"),
    cell(Paused,      Retry,       "Paused",      "paused in group 1/2 of revision 2",               "OrderIgnored",      "v2"),
    cell(Paused,      NewTemplate, "Paused",      "paused in group 1/2 of revision 3",               "ReleaseSuperseded", "next"),
    cell(Paused,      Scale,       "Paused",      "paused in group 1/2 of revision 2",               "ScaledOut",         "v2"),
    cell(Paused,      Restart,     "Paused",      RESTARTS_LATER,                                    "",                  "v2"),

    cell(RollingBack, Confirm,     "RollingBack", "rolling back to revision 1",                      "ConfirmIgnored",    "v1"),
    cell(RollingBack, Pause,       "RollingBack", "spec.strategy.pause does not hold a rollback",    "",                  "v1"),
    cell(RollingBack, Resume,      "RollingBack", "rolling back to revision 1",                      "",                  "v1"),
    cell(RollingBack, Abort,       "RollingBack", "rolling back to revision 1",                      "OrderIgnored",      "v1"),
    cell(RollingBack, Rollback,    "RollingBack", "rolling back to revision 2",                      "RollbackStarted",   "v2"),
    // The rollback comes first; then the revision that it has left is taken up again, with its gates.
    cell(RollingBack, Retry,       "RollingBack", "rolling back to revision 1",                      "OrderIgnored",      "v3"),
    cell(RollingBack, NewTemplate, "Executing",   "group 1/2 of revision 4",                         "ReleaseSuperseded", "next"),
    cell(RollingBack, Scale,       "RollingBack", "rolling back to revision 1",                      "ScaledOut",         "v1"),
    cell(RollingBack, Restart,     "RollingBack", RESTARTS_LATER,                                    "",                  "v1"),

    // What an abort leaves is taken up again by the retry that the message offers first.
    cell(Aborted,     Confirm,     "Aborted",     "the release of revision 2 was aborted",           "ConfirmIgnored",    "v2"),
    cell(Aborted,     Pause,       "Aborted",     "the release of revision 2 was aborted",           "",                  "v2"),
    cell(Aborted,     Resume,      "Aborted",     "the release of revision 2 was aborted",           "",                  "v2"),
    cell(Aborted,     Abort,       "Aborted",     "the release of revision 2 was aborted",           "",                  "v2"),
    cell(Aborted,     Rollback,    "Completed",   "revision 1 serves on 4 of 4 pods in place of revision 2", "RollbackCompleted", "v1"),
    cell(Aborted,     Retry,       GATE,          "gate 3/1 waits",                                  "ReleaseStarted",    "v2"),
    cell(Aborted,     NewTemplate, GATE,          "gate 3/1 waits",                                  "ReleaseSuperseded", "next"),
    cell(Aborted,     Scale,       "Aborted",     "the release of revision 2 was aborted",           "ScaledOut",         "v2"),
    cell(Aborted,     Restart,     "Aborted",     RESTARTS_LATER,                                    "",                  "v2"),

    // The way out of an image that cannot be pulled, which the message shows, is back to revision 1.
    cell(Failed,      Confirm,     "Failed",      "gate 2/1 is confirmed already",                   "",                  "v1"),
    cell(Failed,      Pause,       "Paused",      "paused in group 1/2 of revision 2",               "ReleasePaused",     "v1"),
    cell(Failed,      Resume,      "Failed",      "group 1/2 of revision 2 made no progress",        "",                  "v1"),
    cell(Failed,      Abort,       "Aborted",     "the release of revision 2 was aborted",           "ReleaseAborted",    "v1"),
    cell(Failed,      Rollback,    "Completed",   "revision 1 serves on 4 of 4 pods in place of revision 2", "RollbackCompleted", "v1"),
    cell(Failed,      Retry,       "Executing",   "group 1/2 of revision 3",                         "ReleaseStarted",    "v1"),
    cell(Failed,      NewTemplate, GATE,          "gate 3/1 waits",                                  "ReleaseSuperseded", "next"),
    cell(Failed,      Scale,       "Failed",      "of revision 2 made no progress",                  "ScaledOut",         "v1"),
    cell(Failed,      Restart,     "Failed",      RESTARTS_LATER,                                    "",                  "v1"),
];
