#!/usr/bin/env bash
# One process in each of two network namespaces, which a link of limited bandwidth joins (Linux, root, MPICH):
#
#   benchmarks/lab/limited_link.sh 1gbit python -m benchmarks.lab.data_parallel --link
set -euo pipefail
rate=$1
shift
names=(jitmlp0 jitmlp1)
launcher=$(mktemp)
clean() {
    for name in "${names[@]}"; do ip netns del "$name" 2>/dev/null || true; done
    rm -f "$launcher"
}
trap clean EXIT
for name in "${names[@]}"; do ip netns add "$name"; done
ip link add jitmlp0 netns jitmlp0 type veth peer name jitmlp1 netns jitmlp1
for k in 0 1; do
    inside="ip netns exec ${names[k]}"
    $inside ip address add "10.77.0.$((k + 1))/24" dev "jitmlp$k"
    $inside ip link set "jitmlp$k" up
    $inside ip link set lo up
    $inside tc qdisc add dev "jitmlp$k" root tbf rate "$rate" burst 256kb latency 100ms
done
sleep 2 # until the interfaces are up
# in the place of ssh: [options] host command
cat > "$launcher" <<'END'
#!/usr/bin/env bash
while [ "${1#-}" != "$1" ]; do shift; done
k=$((${1##*.} - 1))
shift
exec ip netns exec "jitmlp$k" taskset -c "$k" env "UCX_NET_DEVICES=jitmlp$k" bash -c "$*"
END
chmod +x "$launcher"
ip netns exec jitmlp0 mpiexec -launcher ssh -launcher-exec "$launcher" -localhost 10.77.0.1 \
    -hosts 10.77.0.1,10.77.0.2 -n 2 -ppn 1 -env OMP_NUM_THREADS 1 \
    -env MPIR_CVAR_NOLOCAL 1 -env UCX_TLS tcp,self "$@" # else through memory, since the host is one
