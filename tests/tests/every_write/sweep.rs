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
const TRIES: usize = 8;
/// A busy machine writes figures one by one that are written together later. Points that only such runs have are as many of all at most.
const PASSING: usize = 5;
/// After so many failures the rest of a story is not played any more.
const ENOUGH: usize = 5;
/// What `CAFE_CRASH` says for all stories.
const ALL: &str = "all";

/// Plays a story with a death between any two writes, before the first and after the last. With `CAFE_CRASH=all` on both sides of each:
/// dying after a write and before the next leave the same objects behind, and differ in what others do meanwhile.
pub(crate) async fn sweep<S: Story>() -> Result<()> {
    let asked = Asked::read()?;
    if asked.as_ref().is_some_and(|asked| asked.story != S::NAME && asked.story != ALL) {
        return Ok(());
    }
    let ground = ground().await?;
    let sweep = Sweep { ground, upstream: ground.bed.controller_client().await? };
    match asked {
        None => sweep.all::<S>(false).await,
        Some(Asked { story, .. }) if story == ALL => sweep.all::<S>(true).await,
        Some(Asked { point: Some(point), times, .. }) => {
            let passing = sweep.cases::<S>(vec![point; times]).await?;
            ensure!(passing.is_empty(), "{}:{point}: not run", S::NAME);
            Ok(())
        }
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
    async fn all<S: Story>(&self, both_sides: bool) -> Result<()> {
        let start = Instant::now();
        let shortest = futures::stream::iter(0..UNDISTURBED)
            .map(|_| self.undisturbed::<S>())
            .buffer_unordered(UNDISTURBED)
            .try_collect::<Vec<_>>()
            .await?;
        let writes = shortest.iter().map(Vec::len).min().unwrap_or_default();
        ensure!(writes > 0, "{}: the controller wrote nothing through the proxy", S::NAME);
        let points: Vec<Point> = (1..=writes)
            .flat_map(|write| [Moment::Before, Moment::After].map(|moment| Point { write, moment }))
            .filter(|point| both_sides || point.write == 1 || point.moment == Moment::After)
            .collect();
        let cases = points.len();
        let passing = self.cases::<S>(points).await?;
        if let Some(first) = passing.iter().map(|point| point.write).min() {
            // The shorter story is what there is, and each of its writes was reached; a story that has lost more is another one.
            ensure!(
                first + writes / PASSING > writes,
                "{}: undisturbed it had at least {writes} writes, and then {TRIES} times fewer than {first}",
                S::NAME
            );
        }
        tell(format_args!(
            "{}: the controller died around each of {writes} writes: {cases} cases{}, {:.1} s",
            S::NAME,
            if passing.is_empty() { String::new() } else { format!(", {} not met again", passing.len()) },
            start.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// Plays these cases side by side, as far as there are seats. The points that the story did not reach.
    async fn cases<S: Story>(&self, points: Vec<Point>) -> Result<Vec<Point>> {
        let cases = points.len();
        let mut passing = Vec::new();
        let failures: Vec<String> = futures::stream::iter(points)
            .map(async |point| (point, self.is_reached::<S>(point).await))
            .buffer_unordered(cases.max(1))
            .filter_map(|(point, result)| {
                passing.extend((matches!(result, Ok(false))).then_some(point));
                std::future::ready(result.err().map(|error| format!("{error:#}")))
            })
            .inspect(|failure| tell(failure.lines().next().unwrap_or_default()))
            .take(ENOUGH)
            .collect()
            .await;
        ensure!(
            failures.is_empty(),
            "{} of {cases} cases failed{}:\n\n{}",
            failures.len(),
            if failures.len() == ENOUGH { ", the rest was not played to the end" } else { "" },
            failures.join("\n\n")
        );
        Ok(passing)
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

    /// One case, tried again when its point was not reached. Whether it was.
    async fn is_reached<S: Story>(&self, point: Point) -> Result<bool> {
        let name = format!("CAFE_CRASH={}:{point}", S::NAME);
        for _ in 0..TRIES {
            let _seat = SEATS.acquire().await?;
            let played = case::play::<S>(self.ground, &self.upstream, Some(point)).await;
            if let Outcome::Died(_) = played.with_context(|| name.clone())? {
                return Ok(true);
            }
        }
        tell(format_args!("{name}: {TRIES} times the story was over before that write"));
        Ok(false)
    }
}

/// What `CAFE_CRASH` asks for: `all`, `release`, `release:17:before`, or `release:17:before:20` for twenty times.
struct Asked {
    story: String,
    point: Option<Point>,
    times: usize,
}

impl Asked {
    #[allow(clippy::disallowed_methods, reason = "a test runner takes no arguments of ours")]
    fn read() -> Result<Option<Self>> {
        let Ok(text) = std::env::var("CAFE_CRASH") else { return Ok(None) };
        let number =
            |word: &str| word.parse().with_context(|| format!("CAFE_CRASH={text}: {word:?} is no number"));
        let point = |write: &str, word: &str| {
            let moment = match word {
                "before" => Moment::Before,
                "after" => Moment::After,
                _ => bail!("CAFE_CRASH={text}: a death is `before` or `after` a write"),
            };
            Ok(Some(Point { write: number(write)?, moment }))
        };
        let (story, point, times) = match text.split(':').collect::<Vec<_>>().as_slice() {
            [story] => (*story, None, 1),
            [story, write, word] => (*story, point(write, word)?, 1),
            [story, write, word, times] => (*story, point(write, word)?, number(times)?),
            _ => bail!("CAFE_CRASH={text}: say `release`, `release:17:before` or `release:17:before:20`"),
        };
        Ok(Some(Self { story: story.to_owned(), point, times }))
    }
}

/// Long work shows progress: past the test runner, which keeps what a test prints.
fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
