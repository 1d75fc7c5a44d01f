//! All cases of a story.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use cafe_tests::crash::{Moment, Point, Write};
use futures::{StreamExt, TryStreamExt};
use kube::Client;

use crate::case::{self, Outcome};
use crate::ground::{Ground, SEATS, ground};
use crate::story::Story;

/// Stories without a death that tell how many writes there are: figures may be written together or one by one.
const UNDISTURBED: usize = 3;
/// A run may make a write less than another. A point that was not reached is tried so often.
const TRIES: usize = 3;
/// After so many failures the rest of a story is not played any more.
const ENOUGH: usize = 5;

/// Plays a story with a death at every write, on both sides of it.
pub(crate) async fn sweep<S: Story>() -> Result<()> {
    let asked = Asked::read()?;
    if asked.as_ref().is_some_and(|asked| asked.story != S::NAME) {
        return Ok(());
    }
    let ground = ground().await?;
    let sweep = Sweep { ground, upstream: ground.bed.controller_client().await? };
    match asked {
        None => sweep.all::<S>().await,
        Some(Asked { point: Some(point), .. }) => sweep.one::<S>(point).await,
        Some(Asked { point: None, .. }) => {
            for (n, write) in sweep.undisturbed::<S>().await?.iter().enumerate() {
                tell(format_args!("{}:{} {write}", S::NAME, n + 1));
            }
            Ok(())
        }
    }
}

struct Sweep {
    ground: &'static Ground,
    upstream: Client,
}

impl Sweep {
    async fn all<S: Story>(&self) -> Result<()> {
        let start = Instant::now();
        let shortest = futures::stream::iter(0..UNDISTURBED)
            .map(|_| self.undisturbed::<S>())
            .buffer_unordered(UNDISTURBED)
            .try_collect::<Vec<_>>()
            .await?;
        let writes = shortest.iter().map(Vec::len).min().unwrap_or_default();
        ensure!(writes > 0, "{}: the controller wrote nothing through the proxy", S::NAME);
        let points = (1..=writes)
            .flat_map(|write| [Moment::Before, Moment::After].map(|moment| Point { write, moment }));
        let failures: Vec<String> = futures::stream::iter(points)
            .map(|point| self.one::<S>(point))
            .buffer_unordered(64)
            .filter_map(async |result| result.err().map(|error| format!("{error:#}")))
            .take(ENOUGH)
            .collect()
            .await;
        if !failures.is_empty() {
            bail!("{} of {} cases failed, or more:\n\n{}", failures.len(), writes * 2, failures.join("\n\n"));
        }
        tell(format_args!(
            "{}: the controller died before and after each of {writes} writes: {} cases, {:.1} s",
            S::NAME,
            writes * 2,
            start.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// The writes of the story without a death.
    async fn undisturbed<S: Story>(&self) -> Result<Vec<Write>> {
        let _seat = SEATS.acquire().await?;
        let played = case::play::<S>(self.ground, &self.upstream, None).await;
        match played.with_context(|| format!("{} without a death", S::NAME))? {
            Outcome::Lived(writes) => Ok(writes),
            Outcome::Died(write) => bail!("{}: died at {write} although it was not to", S::NAME),
        }
    }

    async fn one<S: Story>(&self, point: Point) -> Result<()> {
        let name = format!("CAFE_CRASH={}:{point}", S::NAME);
        for _ in 0..TRIES {
            let _seat = SEATS.acquire().await?;
            let played = case::play::<S>(self.ground, &self.upstream, Some(point)).await;
            if let Outcome::Died(_) = played.with_context(|| name.clone())? {
                return Ok(());
            }
        }
        bail!("{name}: not run: {TRIES} times the story was over before that write")
    }
}

/// What `CAFE_CRASH` asks for: `release`, or `release:17:before`.
struct Asked {
    story: String,
    point: Option<Point>,
}

impl Asked {
    #[allow(clippy::disallowed_methods, reason = "a test runner takes no arguments of ours")]
    fn read() -> Result<Option<Self>> {
        let Ok(text) = std::env::var("CAFE_CRASH") else { return Ok(None) };
        let parts: Vec<&str> = text.split(':').collect();
        let moment = |word: &str| match word {
            "before" => Ok(Moment::Before),
            "after" => Ok(Moment::After),
            _ => bail!("CAFE_CRASH={text}: a death is `before` or `after` a write"),
        };
        let (story, point) = match parts.as_slice() {
            [story] => (*story, None),
            [story, write, word] => {
                let write =
                    write.parse().with_context(|| format!("CAFE_CRASH={text}: {write} is no number"))?;
                (*story, Some(Point { write, moment: moment(word)? }))
            }
            _ => bail!("CAFE_CRASH={text}: say `release` or `release:17:before`"),
        };
        Ok(Some(Self { story: story.to_owned(), point }))
    }
}

/// Long work shows progress: past the test runner, which keeps what a test prints.
fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
