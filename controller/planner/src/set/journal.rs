//! The journal: who may start now. A pod is touched only after `status.inFlight` names it, by compare-and-swap.

use cafe_crds::inplaceset::{InFlight, InPlaceSetStatus};

use crate::{
    identity::{RevisionHash, Uid},
    pod::{Gate, Pod},
    set::{
        Action, Plan, Snapshot, conditions,
        intent::{Intended, Intent},
        snapshot::Entry,
    },
    time::Millis,
    traffic,
};

/// Most reservations held at once; larger groups reserve in waves, so that the status stays small.
pub const MOST_ENTRIES: usize = 500;

/// How long counters may lag behind when nothing but counters has changed, in milliseconds. Those of its CafeDeployment, at which people
/// look, lag half as long.
const COUNTERS_LAG: u64 = 2000;
/// How long after the last write a small wave waits for more to join it, in milliseconds.
const WAVE_WAITS: u64 = 1000;

/// What the next write of the journal would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// The entries after it, sorted by uid.
    pub next: Vec<Entry>,
    /// Pods that are done but must be fenced before they are released.
    pub unfenced: Vec<Uid>,
    /// Pods out of service or reserved, after it.
    pub out: i32,
    /// It is worth a write of its own now.
    pub due: bool,
    /// A small wave could start, and will if nothing better comes within a second.
    pub later: bool,
}

impl Journal {
    /// The pod's reservation after the write.
    #[must_use]
    pub fn entry(&self, uid: Uid) -> Option<&Entry> {
        let at = self.next.binary_search_by_key(&uid, |e| e.uid);
        at.ok().and_then(|at| self.next.get(at))
    }

    /// Whether the pod stays reserved and may be acted on.
    #[must_use]
    pub fn holds(&self, uid: Uid) -> bool {
        self.entry(uid).is_some() && !self.unfenced.contains(&uid)
    }
}

/// Plans the next journal: drops what is done or gone, takes in lost drains, and reserves as far as the budget goes. While
/// a drain is `held`, a set that stands alone starts no further move; another is told by its CafeDeployment.
#[must_use]
pub fn plan(s: &Snapshot<'_>, pods: &[Intended<'_>], held: bool) -> Journal {
    let mut journal = Journal::default();
    for p in pods {
        keep_or_release(s, p, &mut journal);
    }
    journal.next.sort_unstable();
    let released = s.set.journal.len() > journal.next.len();
    let all_released = journal.next.is_empty() && released;
    journal.out = out_of_service(s, pods, &journal);
    let given_back = give_back(s, pods, &mut journal);
    let lost = take_in_lost_drains(s, pods, &mut journal);
    let paused = s.is_paused() || (held && s.set.owner.is_none());
    let (reserved, removals) = reserve(s, pods, paused, &mut journal);
    journal.due = given_back || lost || removals || reserved || all_released;
    journal
}

/// Whether a pod that got the target has turned unavailable: then no further pod is moved there, unless that is the way back.
fn is_sick(s: &Snapshot<'_>, pods: &[Intended<'_>]) -> bool {
    let Some(target) = s.target.filter(|t| s.base(t).uid != t.uid) else { return false };
    let turned = |p: &Intended<'_>| {
        let pod = p.view.pod;
        pod.revision == Some(target.hash) && pod.is_live() && pod.gate == Gate::True && !pod.is_ready()
    };
    pods.iter().any(|p| !p.reserved() && turned(p))
}

fn keep_or_release(s: &Snapshot<'_>, p: &Intended<'_>, journal: &mut Journal) {
    let Some(entry) = p.view.entry else { return };
    // A deletion cannot be undone; the missing pod counts as out without the entry.
    if p.intent == Intent::Gone {
        return;
    }
    if is_over(s, p, entry) {
        if p.view.fenced {
            return;
        }
        journal.unfenced.push(entry.uid);
    }
    journal.next.push(*entry);
}

/// Whether a reservation has served its purpose: the pod is back in full service, or was never touched and need not be.
fn is_over(s: &Snapshot<'_>, p: &Intended<'_>, entry: &Entry) -> bool {
    let pod = p.view.pod;
    if p.view.busy || p.intent != Intent::Keep {
        return false;
    }
    if pod.gate == Gate::Offline {
        // It serves again only when people say so: nothing more is to be waited for.
        return pod.offline && traffic::runs_what_it_wants(pod);
    }
    if pod.gate != Gate::True {
        return false;
    }
    let unneeded = pod.revision == entry.from && entry.from != entry.to;
    (unneeded && was_left_alone(pod, entry)) || is_done(s, pod)
}

/// Whether the pod has not been drained under this reservation: its gate is older. A pod that was drained and put back
/// unchanged looks alike but for this, and is done only once everybody has it back.
fn was_left_alone(pod: &Pod, entry: &Entry) -> bool {
    pod.gate_since < entry.since
}

fn is_done(s: &Snapshot<'_>, pod: &Pod) -> bool {
    let available =
        traffic::available_from(pod, s.set.spec.min_ready_seconds).is_some_and(|at| at <= s.now.wall);
    available && traffic::is_back(pod, &s.set.spec.traffic.protectors)
}

/// `replicas - |Ready, gate True, not terminating, not reserved|`. Of the pods in service the next journal holds only such as the one before it.
fn out_of_service(s: &Snapshot<'_>, pods: &[Intended<'_>], journal: &Journal) -> i32 {
    let stays = |p: &Intended<'_>| p.reserved() && journal.entry(p.view.pod.uid).is_some();
    let serving = pods.iter().filter(|p| p.view.pod.in_service() && !stays(p)).count();
    s.set.spec.replicas.saturating_sub(i32::try_from(serving).unwrap_or(i32::MAX))
}

/// Gives reservations back that the budget no longer bears: it shrank, or a pod reserved for free has come into service.
/// Only pods that nothing has been done to yet; the last in order go first.
fn give_back(s: &Snapshot<'_>, pods: &[Intended<'_>], journal: &mut Journal) -> bool {
    let mut any = false;
    for p in pods.iter().rev().filter(|p| p.reserved() && p.intent.drains()) {
        if journal.out <= s.grant() {
            break;
        }
        if p.view.busy || !p.view.pod.in_service() {
            continue;
        }
        if !p.view.fenced {
            journal.unfenced.push(p.view.pod.uid);
            continue;
        }
        journal.next.retain(|e| e.uid != p.view.pod.uid);
        journal.out -= 1;
        any = true;
    }
    any
}

/// A pod that is drained although no journal holds it (restored from a backup, edited by hand) is taken in, above the
/// budget and in a pause if need be, and brought back. A cache that lags shows such pods as well, so a write of this process to
/// the pod must have been acknowledged.
fn take_in_lost_drains(s: &Snapshot<'_>, pods: &[Intended<'_>], journal: &mut Journal) -> bool {
    let lost = |p: &&Intended<'_>| {
        !p.reserved() && !p.view.busy && p.view.pod.is_live() && matches!(p.view.pod.gate, Gate::Draining(_))
    };
    let unsure = pods.iter().filter(lost).filter(|p| !p.view.fenced);
    journal.unfenced.extend(unsure.map(|p| p.view.pod.uid));
    let known = pods.iter().filter(lost).filter(|p| p.view.fenced);
    let entries: Vec<Entry> = known.map(|p| entry_of(s, p)).collect();
    let any = !entries.is_empty();
    journal.next.extend(entries);
    journal.next.sort_unstable();
    any
}

fn entry_of(s: &Snapshot<'_>, p: &Intended<'_>) -> Entry {
    let pod = p.view.pod;
    let to = match p.intent {
        Intent::Remove | Intent::Bury | Intent::Gone => None,
        Intent::Keep | Intent::Release => pod.revision,
        Intent::Relabel | Intent::Update | Intent::Recreate => s.target.map(|t| t.hash),
    };
    Entry { uid: pod.uid, from: pod.revision, to, since: s.now.wall }
}

/// Reserves pods for what they are to do. Whether (a wave of moves, any removal) was added that deserves a write.
fn reserve(s: &Snapshot<'_>, pods: &[Intended<'_>], paused: bool, journal: &mut Journal) -> (bool, bool) {
    let grant = s.grant();
    let sick = is_sick(s, pods);
    let is_new = |pod: &Pod| s.target.is_some_and(|t| pod.revision == Some(t.hash));
    let (mut moves, mut removals, mut waiting) = (Vec::new(), Vec::new(), false);
    let mut out = journal.out;
    let wanted = |p: &&Intended<'_>| {
        // A lost drain has just been taken in; it is reserved already.
        let is_taken_in =
            matches!(p.view.pod.gate, Gate::Draining(_)) && journal.entry(p.view.pod.uid).is_some();
        p.intent.drains() && !p.reserved() && !p.view.busy && !is_taken_in
    };
    // The surplus goes first: pods beyond `replicas` leave `out` below zero and pay for themselves, and what they do not
    // use up must not be spent on a move as well.
    let by_class =
        |surplus: bool| pods.iter().filter(wanted).filter(move |p| (p.intent == Intent::Remove) == surplus);
    for p in by_class(true).chain(by_class(false)) {
        if journal.next.len() + moves.len() + removals.len() >= MOST_ENTRIES {
            waiting = true;
            break;
        }
        let surplus = p.intent == Intent::Remove;
        if !surplus && (paused || (sick && !is_new(p.view.pod))) {
            continue;
        }
        // An unavailable pod costs nothing more.
        let costs = p.view.pod.in_service();
        if costs && out >= grant {
            waiting |= !surplus;
            continue;
        }
        out += i32::from(costs);
        if surplus { removals.push(entry_of(s, p)) } else { moves.push(entry_of(s, p)) }
    }
    // One write reserves a whole wave: do not start a small one while a large one is still under way, unless it stalls.
    let wave = usize::try_from(grant).unwrap_or(0).min(MOST_ENTRIES).div_ceil(2);
    let stalled = s.now.mono >= since_write(s, WAVE_WAITS);
    let large = journal.next.is_empty() || !waiting || moves.len() >= wave;
    let worth_it = !moves.is_empty() && (large || stalled);
    journal.later = !moves.is_empty() && !worth_it;
    if worth_it {
        journal.next.extend(moves);
        journal.out = out;
    }
    let removing = !removals.is_empty();
    journal.next.extend(removals);
    journal.next.sort_unstable();
    (worth_it, removing)
}

/// Takes the journal out of a status that was read, sorted by uid. When an entry makes no sense all of it stays there as
/// well: the status then differs from what it should be, and is written.
pub fn read(status: &mut InPlaceSetStatus) -> Vec<Entry> {
    let entry = |e: &InFlight| {
        let hash = |text: &str| text.parse().ok();
        let uid = e.pod_uid.parse().ok()?;
        Some(Entry { uid, from: e.from.as_deref().and_then(hash), to: hash(&e.to), since: e.since })
    };
    let mut entries: Vec<Entry> = status.in_flight.iter().filter_map(entry).collect();
    entries.sort_unstable();
    if entries.len() == status.in_flight.len() {
        status.in_flight = Vec::new();
    }
    entries
}

/// Writes the status when it differs: at once when the journal, the observed generation or a goal moves, else every two
/// seconds.
pub fn write(s: &Snapshot<'_>, journal: &Journal, plan: &mut Plan) {
    if journal.later {
        plan.wake.at(since_write(s, WAVE_WAITS));
    }
    let status = status(s, journal, plan);
    if s.busy || (journal.next == s.set.journal && status == s.set.status) {
        return;
    }
    let c = &plan.census;
    let settled = c.updated_available == c.replicas || c.available == s.set.spec.replicas;
    let urgent = journal.due || status.observed_generation != s.set.status.observed_generation || settled;
    let counted = since_write(s, COUNTERS_LAG);
    if urgent || s.now.mono >= counted {
        push(s, journal, status, plan);
    } else {
        plan.wake.at(counted);
    }
}

/// Writes the status, with the journal as text.
fn push(s: &Snapshot<'_>, journal: &Journal, status: InPlaceSetStatus, plan: &mut Plan) {
    let status = InPlaceSetStatus { in_flight: in_flight(journal), ..status };
    plan.actions.push(Action::WriteStatus { rv: s.set.rv, status: Box::new(status) });
}

/// So many milliseconds after the last write of the status.
fn since_write(s: &Snapshot<'_>, pause: u64) -> Millis {
    s.status_written.map_or(Millis(0), |at| Millis(at.0.saturating_add(pause)))
}

/// All but the journal, whose text is made only when it is written.
fn status(s: &Snapshot<'_>, journal: &Journal, plan: &Plan) -> InPlaceSetStatus {
    let c = &plan.census;
    let target = s.target.map(|t| t.name.to_string()).filter(|name| !name.is_empty());
    let all_updated = c.updated == c.replicas && c.updated >= s.set.spec.replicas;
    let current = if all_updated { target.clone() } else { s.set.status.current_revision.clone() };
    InPlaceSetStatus {
        observed_generation: Some(s.set.generation),
        replicas: c.replicas,
        ready_replicas: c.ready,
        available_replicas: c.available,
        updated_replicas: c.updated,
        updated_ready_replicas: c.updated_ready,
        updated_available_replicas: c.updated_available,
        selector: s.set.spec.selector.as_query(),
        current_revision: current.or_else(|| target.clone()),
        update_revision: target,
        conditions: conditions::all(s, c, journal.next.len()),
        in_flight: Vec::new(),
        ..s.set.status.clone()
    }
}

fn in_flight(journal: &Journal) -> Vec<InFlight> {
    let text = |hash: Option<RevisionHash>| hash.map(|h| h.to_string());
    let written = |e: &Entry| InFlight {
        pod_uid: e.uid.to_string(),
        from: text(e.from),
        to: text(e.to).unwrap_or_default(),
        since: e.since,
    };
    journal.next.iter().map(written).collect()
}
