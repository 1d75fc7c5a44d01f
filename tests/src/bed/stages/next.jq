# What a kubelet does next with this pod, as one word. Stages run when it is theirs; a word with a delay (stop, run,
# crash, probe, delete) comes after all words without one, so that waiting never holds back what is due now.
def annotation($name): .metadata.annotations["sim.cafe.dev/" + $name] // "";
def says($name): annotation($name) == "true";

# A duration as Go writes it ("1m30s", "500ms"), in milliseconds; 0 when there is none.
def milliseconds($name): [annotation($name) | scan("([0-9.]+)(ms|s|m|h)")
    | (.[0] | tonumber) * {"ms": 1, "s": 1000, "m": 60000, "h": 3600000}[.[1]]] | add // 0;
# The pod's own part of the spread: the last four digits of its uid, of all that there could be.
def spread: milliseconds("spread") * ((.metadata.uid // "0000")[-4:]
    | explode | reduce .[] as $digit (0; . * 16 + $digit - (if $digit < 97 then 48 else 87 end))) / 65536;
def in_milliseconds: [., 0] | max | floor | "\(.)ms";
# The containers that run for long, by name, with their images: native sidecars too.
def wanted: [(.spec.initContainers // [])[] | select(.restartPolicy == "Always")] + .spec.containers
    | [.[] | {key: .name, value: .image}] | from_entries;
def statuses: wanted as $wanted
    | [((.status.initContainerStatuses // []) + (.status.containerStatuses // []))[] | select($wanted[.name] != null)];
def changed: wanted as $wanted | [statuses[] | select(.state.running != null and .image != $wanted[.name])];

def pulling_in_vain: .state.waiting.reason == "ImagePullBackOff";
# A pull is tried again when it may succeed, or when it is for another image than the one that failed.
def pull_again: says("image-pull-error") as $fails | wanted as $wanted | any(statuses[] | select(pulling_in_vain);
    $wanted[.name] as $image | ($fails | not) or (.state.waiting.message | contains("\"\($image)\"") | not));
def stopped: any(statuses[]; .state.terminated != null) or pull_again
    or any(statuses[]; .state.waiting.reason == "CrashLoopBackOff");
def crashing: any(statuses[]; .state.running != null and .started != true);
def unprobed: [statuses[] | select(.state.running != null and .started and (.ready | not))];

def condition($type): first((.status.conditions // [])[] | select(.type == $type)) // {};
# The kubelet's own words about readiness gates; empty when all of them are open.
def gates: . as $pod | [(.spec.readinessGates // [])[].conditionType as $type | $pod | condition($type).status as $status
    | if $status == null then "corresponding condition of pod readiness gate \"\($type)\" does not exist."
      elif $status != "True" then "the status of pod readiness gate \"\($type)\" is not \"True\", but \($status)"
      else empty end] | join(", ");
def ready_is_stale: gates as $gates | condition("ContainersReady").status as $containers | condition("Ready") as $ready
    | if $containers == "True" and $gates == "" then $ready.status != "True"
      elif $containers != "True" then $ready.status != "False" or $ready.reason != "ContainersNotReady"
      else $ready.status != "False" or $ready.reason != "ReadinessGatesNotReady" or $ready.message != $gates end
      or $ready.lastTransitionTime == null or $ready.observedGeneration == null;

def next:
    if says("lost") then "nothing"
    elif .metadata.deletionTimestamp != null then
        if (.metadata.finalizers // []) == [] then "delete"
        elif any(statuses[]; .state.running != null) then "terminate"
        else "nothing" end
    elif .status.podIP == null then "start"
    elif .status.phase == "Succeeded" or .status.phase == "Failed" then "nothing"
    elif changed != [] and annotation("stop") == "" then "stop"
    elif .status.observedGeneration != .metadata.generation or ready_is_stale then "refresh"
    elif changed != [] then "stop"
    elif stopped then "run"
    elif crashing then "crash"
    elif unprobed != [] then "probe"
    else "nothing" end;
