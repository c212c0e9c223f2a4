#!/bin/bash
# Runs a study, or goes on with it, on machines reached by ssh: bash machines.sh submit|status|logs|down
# The machines get a copy of this file, and do there what is asked for: ready, node, driver, state, end, ...
hosts=(lab1)
ssh=(ssh -o BatchMode=yes -o ConnectTimeout=15)
there='/tmp/sweeper-$(id -u)-6f1622ac' # short, because sockets lie in it

# ------------------------------------------------------------------------------------------------------------------- from here
# A command on a machine, by whatever shell its user has; it holds no single quote.
on() { "${ssh[@]}" "$1" "bash -c 'folder=$there; $2'"; }

# What this file does on a machine; nothing where it never was.
ask() { on "$1" "[ ! -e \"\$folder/machines.sh\" ] || bash \"\$folder/machines.sh\" $2"; }

copy() {
    on "$1" 'mkdir -p -m 700 "$folder"; [ -O "$folder" ] && [ ! -L "$folder" ] || { echo "$folder belongs to another user"; exit 1; } >&2
        cat >"$folder/new" && mv "$folder/new" "$folder/machines.sh"' <"$0" && ask "$1" ready
}

submit() {
    local host number token address
    for host in "${hosts[@]}"; do
        copy "$host" || { echo "$host cannot be used: see above. Nothing was started." >&2; exit 1; }
    done
    if ! ask "${hosts[0]}" busy; then
        each end >/dev/null || exit 1 # what is left of an earlier run has another head
        on "${hosts[0]}" 'cat >"$folder/study.yaml"' <study.yaml || exit 1
        :
    fi
    token=$(ask "${hosts[0]}" token) && address=$(ask "${hosts[0]}" address) || exit 1
    for number in "${!hosts[@]}"; do
        ask "${hosts[number]}" "node $number $address" <<<"$token" || { echo "no Ray on ${hosts[number]}; see above" >&2; exit 1; }
    done
    ask "${hosts[0]}" "driver $address"
}

each() {
    local host failed=0
    for host in "${hosts[@]}"; do
        echo "$host:"
        ask "$host" "$1" || { echo "  it cannot be reached, or has failed" && failed=1; }
    done
    return "$failed"
}

case $1 in
submit) submit; exit ;;
status) each state; exit 0 ;;
logs) on "${hosts[0]}" 'tail -n 200 "$folder/driver.log"'; exit ;;
down) each end || { echo "it has not ended everywhere: run this again" >&2; exit 1; }; exit ;;
esac

# ---------------------------------------------------------------------------------------------------------------- on a machine
folder=$(dirname "$0")
source /opt/sweeper/bin/activate
unset RAY_AUTH_TOKEN RAY_ADDRESS
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$folder/token" RAY_memory_monitor_refresh_ms=0
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # Ray need not wait for its services to empty: the study has saved

# Whether a process that this file started lives; its arguments name the folder, so no other process is taken for it.
lives() { [ -e "$folder/$1.pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$folder/$1.pid")/cmdline" | grep -qF "$folder"; }

begin() { # name of a process, and what this file does as it; it outlives the connection
    setsid bash "$0" "${@:2}" >>"$folder/$1.log" 2>&1 </dev/null &
    echo $! >"$folder/$1.pid"
}

finish() { # name of a process, seconds that it has to end by itself
    lives "$1" || return 0
    local pid
    pid=$(cat "$folder/$1.pid")
    kill -TERM "$pid"
    timeout "$2" tail --pid="$pid" -f /dev/null
    kill -KILL -- "-$pid" 2>/dev/null # and what it left behind
    return 0
}

case $1 in
ready)
    for program in sweeper ray python setsid; do
        command -v "$program" >/dev/null && continue
        echo "$program is not on PATH on $(hostname): see the option setup of the kind machines" >&2
        exit 1
    done
    ;;
token)
    umask 077
    [ -s "$folder/token" ] || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/token"
    cat "$folder/token"
    ;;
address)
    if [ "${#hosts[@]}" -eq 1 ]; then echo 127.0.0.1; else { getent ahostsv4 lab1; hostname -I | tr ' ' '\n'; } | awk '$1 != "" && $1 !~ /^127\./ {print $1; exit}'; fi
    ;;
node) # number of the machine, address of the head; the token comes from standard input
    lives node && exit
    (umask 077 && cat >"$folder/token")
    begin node ray "$2" "$3"
    ;;
ray)
    place=(--address="$3:24440")
    if [ "$2" -eq 0 ]; then
        place=(--head --node-ip-address="$3" --port=24440 --dashboard-host=127.0.0.1 --dashboard-port=$((24440 + 1))
            --ray-client-server-port=$((24440 + 2)))
    fi
    stopping=
    trap 'stopping=yes; kill -TERM "$ray"' TERM
    for attempt in 1 2 3; do # Ray gives up after 30 s, which a busy machine may need
        ray start "${place[@]}" --block  --temp-dir="$folder/ray" \
            --dashboard-agent-listen-port=$((24440 + 3)) --disable-usage-stats &
        ray=$!
        wait "$ray" || wait "$ray"
        [ -z "$stopping" ] || break
        echo "Ray has ended, $attempt of 3"
    done
    ;;
busy) lives driver ;;
driver)
    lives driver && { echo "it runs already"; exit; }
    begin driver drive "$2"
    ;;
drive)
    export RAY_ADDRESS="$2:24440"
    cd || exit
    echo "machines: ${#hosts[@]}; started: $(date)"
    stopping=
    running=
    trap 'stopping=yes; [ -z "$running" ] || kill -TERM "$running" 2>/dev/null' TERM
    run() {
        [ -z "$stopping" ] || return 143
        "$@" &
        running=$!
        wait "$running"
        while kill -0 "$running" 2>/dev/null; do wait "$running"; done
        wait "$running" # what a signal interrupted gave another code
    }
    run python -m cluster._wait --address "$RAY_ADDRESS" --nodes "${#hosts[@]}" && run sweeper launch "$folder/study.yaml" --results /mnt/lab/results --cluster attach
    echo "ended with $?: $(date)"
    finish node 40 # the other machines end some minutes after their head is gone
    ;;
state)
    for name in node driver; do
        [ -e "$folder/$name.log" ] || continue
        lives "$name" && echo "  $name: it runs" || echo "  $name: it does not run; its last words: $(tail -n 1 "$folder/$name.log")"
    done
    ;;
end)
    finish driver 120 # it saves
    finish node 40
    rm -rf "$folder/ray" "$folder/token" "$folder/code" "$folder"/*.pid
    ;;
esac
