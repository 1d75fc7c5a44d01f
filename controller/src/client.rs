//! What came of one call to the API server.
//!
//! Nothing is retried here: a retry inside the client would fire again minutes later, perhaps after the claim is lost.
//! The outcome of a write has three values (applied, not applied, unknown); whoever gets `Unknown` must read the
//! object before anything else is decided about it.

use std::future::Future;
use std::time::Duration;

use kube::core::Status;

use crate::wire;

/// How long one call may take. Watches are not bounded by it.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// When 429 comes without a `retryAfterSeconds`.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// Why a call gave no answer to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer in time; the request may still be carried out.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Refused by the API server, or the connection failed.
    #[error(transparent)]
    Kube(#[from] Box<kube::Error>),
}

impl CallError {
    /// The HTTP code as metric label, 0 when there was no answer.
    pub(crate) fn code(&self) -> u16 {
        self.status().map_or(0, |status| status.code)
    }

    fn status(&self) -> Option<&Status> {
        match self {
            Self::Kube(error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Timeout(_) => None,
        }
    }

    /// True when there was an answer that makes no sense to this process.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Kube(error) if matches!(error.as_ref(), kube::Error::SerdeError(_)))
    }

    /// True when the request never left this process.
    fn is_unsent(&self) -> bool {
        let Self::Kube(error) = self else { return false };
        match error.as_ref() {
            kube::Error::BuildRequest(_) => true,
            error => wire::is_unsent(error),
        }
    }
}

/// Awaits one call for at most [`CALL_TIMEOUT`]: kube's client has no read timeout of its own.
///
/// # Errors
/// The time is up, or the call failed.
pub(crate) async fn call<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    call_within(CALL_TIMEOUT, request).await
}

/// As [`call`], with another bound.
///
/// # Errors
/// The time is up, or the call failed.
pub(crate) async fn call_within<T>(
    bound: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(bound, request).await {
        Ok(answer) => answer.map_err(|error| CallError::Kube(Box::new(error))),
        Err(_) => Err(CallError::Timeout(bound)),
    }
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The same request fails again until somebody changes something.
    Never,
    /// At once, from a fresh look at the object.
    Soon,
    /// After a growing pause.
    Backoff,
    /// After this long.
    After(Duration),
}

/// What came of one write.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    /// The API server acknowledged it.
    Applied(T),
    /// The API server refused it; nothing was changed.
    NotApplied(Refusal),
    /// The object is no longer what the decision was made on, or already exists: look again, decide again.
    Conflict,
    /// There is no such object. On a delete this is success.
    Gone,
    /// Refused for now: the API server protects itself, or a disruption budget protects the pod.
    TooManyRequests {
        /// How long the server wants to be left alone.
        retry_after: Duration,
    },
    /// Nobody knows whether it was applied: read the object before deciding anything about it.
    Unknown(CallError),
}

/// Why the API server refused a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP code, 0 if the request could not even be built.
    pub(crate) code: u16,
    /// What the server said.
    pub(crate) message: String,
}

impl<T> From<Result<T, CallError>> for Outcome<T> {
    fn from(answer: Result<T, CallError>) -> Self {
        let error = match answer {
            Ok(value) => return Self::Applied(value),
            Err(error) => error,
        };
        if error.is_unsent() {
            return Self::NotApplied(Refusal { code: 0, message: error.to_string() });
        }
        let Some(status) = error.status() else {
            return Self::Unknown(error);
        };
        match status.code {
            404 => Self::Gone,
            409 => Self::Conflict,
            429 => Self::TooManyRequests { retry_after: retry_after(status) },
            // A request that took the server too long: it may have been carried out.
            408 => Self::Unknown(error),
            code @ 400..=499 => Self::NotApplied(Refusal { code, message: status.message.clone() }),
            _ => Self::Unknown(error),
        }
    }
}

impl<T> Outcome<T> {
    /// One word for metric labels, events and conditions.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Applied(_) => "Applied",
            Self::NotApplied(refusal) => refusal.reason(),
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::TooManyRequests { .. } => "TooManyRequests",
            Self::Unknown(CallError::Timeout(_)) => "Timeout",
            Self::Unknown(error) if error.code() >= 400 => "ServerError",
            Self::Unknown(_) => "ConnectionFailed",
        }
    }

    /// The HTTP code as metric label, 0 when there was no answer.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Applied(_) => 200,
            Self::NotApplied(refusal) => refusal.code,
            Self::Conflict => 409,
            Self::Gone => 404,
            Self::TooManyRequests { .. } => 429,
            Self::Unknown(error) => error.code(),
        }
    }

    /// When to try again; `None` once it is applied.
    pub(crate) fn retry(&self) -> Option<Retry> {
        match self {
            Self::Applied(_) => None,
            Self::NotApplied(refusal) => Some(refusal.retry()),
            Self::Conflict | Self::Gone => Some(Retry::Soon),
            Self::TooManyRequests { retry_after } => Some(Retry::After(*retry_after)),
            Self::Unknown(_) => Some(Retry::Backoff),
        }
    }
}

impl Refusal {
    /// One word for metric labels, events and conditions.
    pub(crate) fn reason(&self) -> &'static str {
        match self.code {
            401 => "Unauthorized",
            403 => "Forbidden",
            413 => "RequestTooLarge",
            422 => "Invalid",
            _ => "Refused",
        }
    }

    /// Rights and tokens are mended from outside without any change to the object, so those are worth another try.
    pub(crate) fn retry(&self) -> Retry {
        match self.code {
            401 | 403 => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}

fn retry_after(status: &Status) -> Duration {
    match status.details.as_ref().map_or(0, |details| details.retry_after_seconds) {
        0 => RETRY_AFTER_DEFAULT,
        seconds => Duration::from_secs(seconds.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::response::StatusDetails;

    fn answered(code: u16) -> Outcome<()> {
        let status = Status::failure("said the server", "Some").with_code(code);
        Outcome::from(Err(CallError::Kube(Box::new(kube::Error::Api(status.boxed())))))
    }

    #[test]
    fn every_answer_has_one_outcome_reason_and_retry() {
        let expected = [
            (400, "Refused", Retry::Never),
            (401, "Unauthorized", Retry::Backoff),
            (403, "Forbidden", Retry::Backoff),
            (404, "Gone", Retry::Soon),
            (408, "ServerError", Retry::Backoff),
            (409, "Conflict", Retry::Soon),
            (413, "RequestTooLarge", Retry::Never),
            (422, "Invalid", Retry::Never),
            (429, "TooManyRequests", Retry::After(RETRY_AFTER_DEFAULT)),
            (500, "ServerError", Retry::Backoff),
            (503, "ServerError", Retry::Backoff),
            (504, "ServerError", Retry::Backoff),
            (0, "ConnectionFailed", Retry::Backoff),
        ];
        for (code, reason, retry) in expected {
            let outcome = answered(code);
            assert_eq!((outcome.reason(), outcome.retry()), (reason, Some(retry)), "{code}");
        }
    }

    #[test]
    fn what_the_server_refused_keeps_its_words() {
        let Outcome::NotApplied(refusal) = answered(422) else { panic!("refused") };
        assert_eq!(refusal, Refusal { code: 422, message: "said the server".into() });
    }

    #[test]
    fn an_error_of_the_server_leaves_the_outcome_unknown() {
        for code in [408, 500, 502, 503, 504] {
            assert!(matches!(answered(code), Outcome::Unknown(_)), "{code}");
        }
    }

    #[test]
    fn a_busy_server_says_how_long_to_wait() {
        let mut status = Status::failure("busy", "TooManyRequests").with_code(429);
        status.details = Some(StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 7,
        });
        let outcome = Outcome::<()>::from(Err(CallError::Kube(Box::new(kube::Error::Api(status.boxed())))));
        assert_eq!(outcome.retry(), Some(Retry::After(Duration::from_secs(7))));
    }

    #[test]
    fn a_request_that_could_not_be_built_was_not_applied() {
        let error = kube::Error::BuildRequest(kube::core::request::Error::Validation("no name".into()));
        let outcome = Outcome::<()>::from(Err(CallError::Kube(Box::new(error))));
        assert!(matches!(outcome, Outcome::NotApplied(Refusal { code: 0, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_and_its_outcome_is_unknown() {
        let error = call(std::future::pending::<kube::Result<()>>()).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.code()), ("no answer within 10s", 0));
        assert_eq!(Outcome::<()>::from(Err(error)).reason(), "Timeout");
    }
}
