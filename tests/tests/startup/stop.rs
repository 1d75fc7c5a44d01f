//! The word to stop that comes before the work has begun: it is followed at once, and probes are answered meanwhile.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::ask;
use super::ground::{BOTH, Program, Running, altered, bed, taken_port};

#[tokio::test]
async fn a_process_that_waits_for_the_api_server_answers_probes_and_follows_the_word_to_stop() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let (listener, address) = taken_port()?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // It takes connections and says nothing, as a server behind a balancer that has lost it.
    let silent = altered(bed, "mute.kubeconfig", |config| {
        config["clusters"][0]["cluster"]["server"] = json!(format!("https://{address}"));
    })?;
    for program in BOTH {
        let mut running = Running::start(program.with(&silent).await?)?;
        let (line, field) = match program {
            Program::Controller => ("serves probes and metrics", "address"),
            Program::Webhook => ("\"listens\"", "admin"),
        };
        let said = running.until_said(line).await?;
        let admin = said[field].as_str().context("an address")?;
        let connection = listener.accept().await?;
        assert!(ask(admin, "GET", "/livez", "").await?.starts_with("HTTP/1.1 200"), "{program:?}");
        assert!(ask(admin, "GET", "/readyz", "").await?.starts_with("HTTP/1.1 503"), "{program:?}");
        assert!(
            ask(admin, "GET", "/metrics", "").await?.contains("process_start_time_seconds"),
            "{program:?}"
        );
        running.terminate()?;
        // An end by the signal itself has no code. The first process of a container would not even end.
        assert_eq!(running.code().await?, Some(0), "{program:?}: {}", running.log());
        assert!(
            running.log().contains("told to stop before the work began"),
            "{program:?}: {}",
            running.log()
        );
        drop(connection);
    }
    Ok(())
}

#[tokio::test]
async fn a_process_that_waits_for_rights_follows_the_word_to_stop() -> Result<()> {
    let (bed, _turn) = bed().await?;
    let namespace = bed.namespace("stop").await?;
    bed.apply(&super::account(&namespace, "poor"), None).await?;
    let poor = bed.account(&namespace, "poor").await?;
    for program in BOTH {
        let mut running = Running::start(program.with(&poor).await?)?;
        running.until_said("waits for rights that its account lacks").await?;
        running.terminate()?;
        assert_eq!(running.code().await?, Some(0), "{program:?}: {}", running.log());
    }
    Ok(())
}
