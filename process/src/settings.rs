//! Settings from the environment. A name that nobody reads is a mistake that would otherwise be found much later.

use clap::Command;

/// What all names of Cafe begin with.
const OURS: &str = "CAFE_";

/// A variable that means nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the environment sets {name}, which {program} does not know: {advice}")]
pub struct Unknown {
    program: String,
    name: String,
    advice: String,
}

/// Refuses variables that begin with `CAFE_` and that no argument of `command` reads. What Kubernetes itself sets for a Service whose
/// name begins so (`CAFE_WEBHOOK_SERVICE_HOST` and the like) is left alone.
///
/// # Errors
/// There is such a variable; the nearest known name is given.
pub fn check<'a>(command: &Command, names: impl IntoIterator<Item = &'a str>) -> Result<(), Unknown> {
    let mut known: Vec<&str> = Vec::new();
    for command in std::iter::once(command).chain(command.get_subcommands()) {
        known.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()));
    }
    known.retain(|name| name.starts_with(OURS));
    let strange = |name: &&str| name.starts_with(OURS) && !known.contains(name) && !is_service_link(name);
    let Some(name) = names.into_iter().find(strange) else { return Ok(()) };
    let nearest = known.iter().min_by_key(|known| distance(known, name));
    let advice = match nearest {
        Some(nearest) => format!(
            "the nearest it knows is {nearest}; `{} run --help` or `serve --help` tells all",
            command.get_name()
        ),
        None => "take it away".to_owned(),
    };
    Err(Unknown { program: command.get_name().to_owned(), name: name.to_owned(), advice })
}

/// As [`check`], of the variables of this process.
///
/// # Errors
/// As [`check`].
pub fn check_environment(command: &Command) -> Result<(), Unknown> {
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    check(command, names.iter().map(String::as_str))
}

/// What the kubelet gives every container about every Service of its namespace.
fn is_service_link(name: &str) -> bool {
    let numbered = |rest: &str| {
        let mut words = rest.split('_');
        let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
        number && words.next().is_some_and(|word| ["TCP", "UDP", "SCTP"].contains(&word))
    };
    let port = name.rsplit_once("_PORT_").is_some_and(|(_, rest)| numbered(rest))
        || name.split("_PORT_").skip(1).any(numbered);
    port || name.ends_with("_PORT") || name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT_")
}

/// How many letters must change to get from one name to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((j, other), (above, diagonal)) in b.iter().enumerate().zip(row.iter().skip(1).zip(row.iter())) {
            let left = next.get(j).copied().unwrap_or_default();
            next.push((above + 1).min(left + 1).min(diagonal + usize::from(letter != *other)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn program() -> Command {
        let run = Command::new("run")
            .arg(Arg::new("a").long("lease-seconds").env("CAFE_LEASE_SECONDS"))
            .arg(Arg::new("b").long("log-format").env("CAFE_LOG_FORMAT"))
            .arg(Arg::new("c").long("namespace").env("POD_NAMESPACE"));
        Command::new("cafe-controller").subcommand(run)
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_that_is_known() {
        let error =
            check(&program(), ["PATH", "CAFE_LOG_FORMAT", "CAFE_LEASE_SECOND"]).unwrap_err().to_string();
        assert!(error.contains("CAFE_LEASE_SECOND,") && error.contains("CAFE_LEASE_SECONDS;"), "{error}");
        assert_eq!(check(&program(), ["PATH", "CAFE_LOG_FORMAT", "CAFETERIA", "POD_NAMESPACE"]), Ok(()));
    }

    #[test]
    fn what_kubernetes_sets_for_services_is_no_mistake() {
        let links = [
            "CAFE_WEBHOOK_SERVICE_HOST",
            "CAFE_WEBHOOK_SERVICE_PORT",
            "CAFE_WEBHOOK_SERVICE_PORT_WEBHOOK",
            "CAFE_WEBHOOK_PORT",
            "CAFE_WEBHOOK_PORT_443_TCP",
            "CAFE_WEBHOOK_PORT_443_TCP_ADDR",
            "CAFE_METRICS_PORT_8080_TCP_PROTO",
        ];
        assert_eq!(check(&program(), links), Ok(()));
    }
}
