//! Events from what the API server shows: objects of a watch, lines of an audit log.

pub mod audit;

mod deployment;
mod json;
mod others;
mod pod;
mod set;

use serde_json::Value;

use crate::record::Identity;
use crate::{Event, Kind};

/// The event of one version of an object; none for kinds that no rule looks at.
#[must_use]
pub fn object(kind: Kind, value: &Value) -> Option<Event> {
    Some(match kind {
        Kind::Deployment => Event::Deployment(Box::new(deployment::read(value))),
        Kind::Set => Event::Set(Box::new(set::read(value))),
        Kind::Pod => Event::Pod(Box::new(pod::read(value))),
        Kind::Slice => Event::Slice(others::slice(value)),
        Kind::Node => Event::Node(others::node(value)),
        _ => return None,
    })
}

/// Who an object is.
#[must_use]
pub fn identity(value: &Value) -> Identity {
    json::identity(value)
}
