//! A log line as a JSON object: `ts`, `level`, `msg`, then the fields of the event, then who said it: in which look at which kind of object.

use std::error::Error;
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::Look;

/// Formats events.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    #[allow(clippy::disallowed_methods, reason = "a log says when; nothing is decided by it")]
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = meta.level().as_str().to_ascii_lowercase();
        write!(writer, r#"{{"ts":"{:.3}","level":"{level}","msg":{}"#, Timestamp::now(), fields.message())?;
        writer.write_str(&fields.rest)?;
        if let Some(Look { controller, id }) = Look::now() {
            write!(writer, r#","controller":"{controller}","reconcile_id":{id}"#)?;
        }
        writeln!(writer, r#","target":{}}}"#, Value::from(meta.target()))
    }
}

/// The fields of one event, written as members of an object.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    rest: String,
}

impl Fields {
    fn message(&mut self) -> Value {
        self.message.take().unwrap_or_default().into()
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = Some(text),
            // Where a line of another log library came from.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => {
                // Writing into a String cannot fail.
                let _ = write!(self.rest, ",{}:{value}", Value::from(name));
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.put(field, text.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Paper {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What the log says of this.
    fn written(say: impl FnOnce()) -> String {
        let paper = Paper::default();
        let layer = tracing_subscriber::fmt::layer().event_format(Lines).with_writer(paper.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_of_a_look_at_an_object_bear_its_kind_and_number_and_others_do_not() {
        let text = written(|| {
            let outer = Look { controller: "cafedeployment", id: 7 }.enter();
            tracing::info!("planned");
            drop(Look { controller: "inplaceset", id: 3 }.enter());
            tracing::info!("after a look within the look");
            drop(outer);
            tracing::info!("stands by");
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let look = |line: &Value| (line["controller"].clone(), line["reconcile_id"].clone());
        assert_eq!(look(&lines[0]), ("cafedeployment".into(), 7.into()), "{text}");
        assert_eq!(look(&lines[1]), look(&lines[0]), "{text}");
        assert_eq!(look(&lines[2]), (Value::Null, Value::Null), "{text}");
    }

    #[test]
    fn a_line_is_an_object_with_time_level_and_message_and_the_fields_beside_them() {
        let text = written(|| {
            let error = std::io::Error::other(fmt::Error);
            let error = &error as &dyn Error;
            tracing::warn!(namespace = "shop", name = "web", pods = 3, held = true, error, "says \"{}\"", 1);
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        assert!(text.starts_with(r#"{"ts":""#) && text.ends_with("}\n"), "{text}");
        assert!(line["ts"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{text}");
        assert_eq!((&line["level"], &line["msg"]), (&"warn".into(), &"says \"1\"".into()));
        assert_eq!((&line["namespace"], &line["name"]), (&"shop".into(), &"web".into()));
        assert_eq!((&line["pods"], &line["held"]), (&3.into(), &true.into()));
        assert!(line["error"].as_str().unwrap().contains("error"), "{text}");
    }
}
