//! The rights that a process needs, asked for before it begins: each that is missing is named, with the commands that grant it. Without one
//! that only a feature needs the process goes on, and says what does not work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{ANSWER_TIMEOUT, PAUSE, SETTLING};

/// Questions on their way at once.
const AT_ONCE: usize = 16;

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Where; none for all namespaces, or for what has none.
    pub namespace: Option<String>,
    /// The only object that is meant; none for all.
    pub name: Option<String>,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name, with a subresource after a slash.
    pub resource: String,
    /// `get`, `list`, ...
    pub verb: String,
}

/// Rights that one feature needs.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural name, with a subresource after a slash.
    pub resource: &'static str,
    /// What is done with it.
    pub verbs: &'static [&'static str],
    /// What does not work without them, for people.
    pub without: &'static str,
}

impl Wanted {
    /// Whether this right is one of them.
    #[must_use]
    pub fn is(&self, right: &Right) -> bool {
        (self.group, self.resource) == (&*right.group, &*right.resource) && self.verbs.contains(&&*right.verb)
    }
}

/// Why a process cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// Rights are missing.
    #[error("{0}")]
    Missing(Lack),
    /// The API server does not say.
    #[error("cannot ask the API server for this account's rights (SelfSubjectAccessReview)")]
    Ask(#[from] Box<kube::Error>),
    /// It does not answer.
    #[error(
        "the API server does not answer a question about this account's rights (SelfSubjectAccessReview)"
    )]
    Silence,
    /// A table of rules is none.
    #[error("the rules of this binary cannot be read: a bug")]
    Rules(#[from] serde_saphyr::Error),
}

/// Rights that an account lacks.
#[derive(Debug)]
pub struct Lack {
    program: String,
    /// Name of the roles that would grant them.
    role: String,
    user: String,
    rights: Vec<Right>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// The rights in the rules of a Role, as YAML, for a namespace or (none) for all.
///
/// # Errors
/// The text is no list of rules.
pub fn of_rules(yaml: &str, namespace: Option<&str>) -> Result<Vec<Right>, RightsError> {
    let rules: Vec<Rule> = serde_saphyr::from_str(yaml)?;
    let mut rights = Vec::new();
    for rule in rules {
        let names: Vec<Option<String>> = match rule.resource_names.is_empty() {
            true => vec![None],
            false => rule.resource_names.into_iter().map(Some).collect(),
        };
        for (group, resource) in pairs(&rule.api_groups, &rule.resources) {
            for (name, verb) in pairs(&names, &rule.verbs) {
                let namespace = namespace.map(str::to_owned);
                rights.push(Right {
                    namespace,
                    name,
                    group: group.clone(),
                    resource: resource.clone(),
                    verb,
                });
            }
        }
    }
    Ok(rights)
}

fn pairs<A: Clone, B: Clone>(a: &[A], b: &[B]) -> Vec<(A, B)> {
    a.iter().flat_map(|a| b.iter().map(|b| (a.clone(), b.clone()))).collect()
}

/// Those of `rights` that this process's account does not have now.
///
/// # Errors
/// The API server does not say.
async fn missing(client: &Client, rights: Vec<Right>) -> Result<Vec<Right>, RightsError> {
    let api: &Api<SelfSubjectAccessReview> = &Api::all(client.clone());
    let ask = |right: Right| async move {
        let (post, question) = (PostParams::default(), question(&right));
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, api.create(&post, &question)).await;
        let answer = answer.map_err(|_| RightsError::Silence)?.map_err(Box::new)?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        Ok((!allowed).then_some(right))
    };
    let answers = stream::iter(rights).map(ask).buffered(AT_ONCE);
    answers.try_filter_map(future::ok).try_collect().await
}

/// Returns when this process's account has all of `rights`. What was granted a moment ago is waited for.
///
/// # Errors
/// Some are missing for good: each is named.
pub async fn require(client: &Client, program: &str, rights: Vec<Right>) -> Result<(), RightsError> {
    let end = Instant::now() + SETTLING;
    let mut rights = rights;
    loop {
        match missing(client, rights.clone()).await {
            Ok(lacking) if lacking.is_empty() => return Ok(()),
            Ok(lacking) if Instant::now() >= end => {
                return Err(RightsError::Missing(Lack {
                    program: program.to_owned(),
                    role: format!("{program}-more"),
                    user: who_am_i(client).await,
                    rights: lacking,
                }));
            }
            Ok(lacking) => {
                tracing::warn!(missing = lacking.len(), "waits for rights that its account lacks");
                rights = lacking;
            }
            // Not even the question is allowed: what is missing shows where it is needed.
            Err(RightsError::Ask(error)) if is_forbidden(&error) => {
                tracing::warn!(error = &*error as &dyn std::error::Error, "cannot ask which rights it has");
                return Ok(());
            }
            // A server that is busy or starting answers the next time.
            Err(error) if Instant::now() >= end => return Err(error),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "waits for an answer about its rights"
                );
            }
        }
        tokio::time::sleep(PAUSE * 4).await;
    }
}

/// Says which of `rights` this process's account does not have now, what does not work without them, and how to grant them: one line for each of
/// `wanted`. Answers those that are missing.
///
/// # Errors
/// The API server does not say.
pub async fn tell_missing(
    client: &Client,
    program: &str,
    wanted: &[Wanted],
    rights: Vec<Right>,
) -> Result<Vec<Right>, RightsError> {
    let end = Instant::now() + SETTLING;
    let lacking = loop {
        match missing(client, rights.clone()).await {
            Ok(lacking) => break lacking,
            // As above: it is told there.
            Err(RightsError::Ask(error)) if is_forbidden(&error) => return Ok(Vec::new()),
            Err(error) if Instant::now() >= end => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE * 4).await,
        }
    };
    if lacking.is_empty() {
        return Ok(lacking);
    }
    let user = who_am_i(client).await;
    for wanted in wanted {
        let rights: Vec<Right> = lacking.iter().filter(|right| wanted.is(right)).cloned().collect();
        if rights.is_empty() {
            continue;
        }
        let role = format!("{program}-{}", wanted.resource.replace('/', "-"));
        let lack = Lack { program: program.to_owned(), role, user: user.clone(), rights };
        tracing::warn!(
            missing = lack.told(),
            grant = lack.commands().join("; "),
            "goes on without a right: {}",
            wanted.without
        );
    }
    Ok(lacking)
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn question(right: &Right) -> SelfSubjectAccessReview {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let attributes = ResourceAttributes {
        namespace: right.namespace.clone(),
        name: right.name.clone(),
        group: Some(right.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(right.verb.clone()),
        ..ResourceAttributes::default()
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

async fn who_am_i(client: &Client) -> String {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok();
    let name = review.and_then(|review| review.status?.user_info?.username);
    name.unwrap_or_else(|| "USER".to_owned())
}

impl Right {
    /// As kubectl wants it.
    fn resource_argument(&self) -> String {
        let (resource, rest) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let rest = if rest.is_empty() { String::new() } else { format!("/{rest}") };
        format!("{resource}{group}{rest}")
    }
}

/// Where, and which object.
type Scope = (Option<String>, Option<String>);

impl Lack {
    /// Resources with the same missing verbs, in each place.
    fn groups(&self) -> Vec<(Scope, BTreeSet<String>, BTreeSet<String>)> {
        let mut verbs: BTreeMap<(Scope, String), BTreeSet<String>> = BTreeMap::new();
        for right in &self.rights {
            let scope = (right.namespace.clone(), right.name.clone());
            verbs.entry((scope, right.resource_argument())).or_default().insert(right.verb.clone());
        }
        let mut groups: BTreeMap<(Scope, BTreeSet<String>), BTreeSet<String>> = BTreeMap::new();
        for ((scope, resource), verbs) in verbs {
            groups.entry((scope, verbs)).or_default().insert(resource);
        }
        groups.into_iter().map(|((scope, verbs), resources)| (scope, verbs, resources)).collect()
    }

    fn subject(&self) -> String {
        let account = self.user.strip_prefix("system:serviceaccount:");
        account
            .map_or_else(|| format!("--user={}", self.user), |account| format!("--serviceaccount={account}"))
    }
}

fn list(words: &BTreeSet<String>, between: &str) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(between)
}

impl Lack {
    /// Each right, in words.
    fn lines(&self) -> Vec<String> {
        let line = |((namespace, name), verbs, resources): (Scope, BTreeSet<String>, BTreeSet<String>)| {
            let name = name.map(|name| format!(" named {name}")).unwrap_or_default();
            let place = match namespace {
                Some(namespace) => format!("namespace {namespace}"),
                None => "the whole cluster".to_owned(),
            };
            format!("{} {}{name} in {place}", list(&verbs, ", "), list(&resources, ", "))
        };
        self.groups().into_iter().map(line).collect()
    }

    /// All of them, in one text.
    fn told(&self) -> String {
        self.lines().join("; ")
    }

    /// The commands that grant them.
    fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        for (number, ((namespace, name), verbs, resources)) in self.groups().into_iter().enumerate() {
            let role = format!("{}-{}", self.role, number + 1);
            let (kind, place) = match &namespace {
                Some(namespace) => ("role", format!(" --namespace={namespace}")),
                None => ("clusterrole", String::new()),
            };
            let name = name.map(|name| format!(" --resource-name={name}")).unwrap_or_default();
            let (verbs, resources, subject) = (list(&verbs, ","), list(&resources, ","), self.subject());
            commands.push(format!(
                "kubectl create {kind} {role}{place} --verb={verbs} --resource={resources}{name}"
            ));
            commands.push(format!("kubectl create {kind}binding {role}{place} --{kind}={role} {subject}"));
        }
        commands
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lacks rights that {} needs:", self.user, self.program)?;
        for line in self.lines() {
            write!(f, "\n  {line}")?;
        }
        write!(f, "\nthe chart grants them (helm upgrade with rbac.create=true); to grant them by hand:")?;
        for command in self.commands() {
            write!(f, "\n  {command}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "
- apiGroups: [\"\"]
  resources: [pods, pods/status]
  verbs: [get, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [cafe-controller]
  verbs: [get]
";

    #[test]
    fn what_is_missing_is_named_with_the_commands_that_grant_it() {
        let mut rights = of_rules(RULES, Some("shop")).unwrap();
        assert_eq!(rights.len(), 5);
        rights.retain(|right| right.resource != "pods" || right.verb != "get");
        let user = "system:serviceaccount:cafe-system:cafe-controller".to_owned();
        let text =
            Lack { program: "cafe-controller".into(), role: "cafe-controller-more".into(), user, rights }
                .to_string();
        for line in [
            "  patch pods in namespace shop",
            "  get, patch pods/status in namespace shop",
            "  get leases.coordination.k8s.io named cafe-controller in namespace shop",
            "  kubectl create role cafe-controller-more-1 --namespace=shop --verb=get,patch --resource=pods/status",
            "  kubectl create rolebinding cafe-controller-more-1 --namespace=shop --role=cafe-controller-more-1 \
             --serviceaccount=cafe-system:cafe-controller",
            "--verb=get --resource=leases.coordination.k8s.io --resource-name=cafe-controller",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn rights_for_all_namespaces_are_granted_by_a_cluster_role() {
        let rights = of_rules(RULES, None).unwrap();
        let text =
            Lack { program: "p".into(), role: "p-more".into(), user: "jane".into(), rights }.to_string();
        assert!(
            text.contains("kubectl create clusterrolebinding p-more-1 --clusterrole=p-more-1 --user=jane"),
            "{text}"
        );
    }
}
