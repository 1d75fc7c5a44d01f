use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Orders to the release in hand. Each names the revision it is meant for, so that an order that was left behind does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseControls {
    /// Opens gates: `"<revision>/<gate>"`, such as `"7/2"`, opens the gate after group 2 of revision 7; `"7/all"` opens all
    /// gates of revision 7. `status.release.confirmToken` shows what to write. A passed gate stays passed when the token is
    /// taken away; the same token twice is the same as once; a token for any other gate changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub confirm: Option<String>,
    /// Stops the release of this revision, such as `"7"`, where it is: pods in flight finish, no further pod is moved, what
    /// runs goes on running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub abort: Option<String>,
    /// Takes an aborted, failed or abandoned revision, such as `"7"`, up again as a new release under the next revision
    /// number; tokens of the old number are dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub retry: Option<String>,
    /// Serves an earlier revision while the template is still that of the abandoned one: without gates, within
    /// `maxUnavailable`, from any state. A new template ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackTo>,
}

/// Which revision to leave, and which one to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackTo {
    /// Number of the revision to leave, which is that of the present template.
    #[schemars(range(min = 1))]
    pub abandon: i64,
    /// Number of the revision to serve.
    #[schemars(range(min = 1))]
    pub to: i64,
}
