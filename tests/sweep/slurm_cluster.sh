#!/usr/bin/env bash
# A real Slurm of one node on the loopback of this machine, for tests: no
# systemd, no cgroups, no accounting database, nothing outside one directory.
# Made for Slurm 22.05 and munge 0.5.15, the packages of Debian 12.
set -euo pipefail

readonly programs=(slurmctld slurmd munged sbatch squeue scancel scontrol)
readonly install='sudo apt-get install --no-install-recommends slurm-wlm munge'
readonly start_timeout=60 # seconds until the node has to be idle

# Debian keeps daemons in /usr/sbin, which an ordinary user's PATH lacks.
PATH=$PATH:/usr/sbin:/sbin

usage() {
  cat >&2 <<'HELP'
usage: slurm_cluster.sh start DIR [SETTING...]
           Start a cluster, all its files in DIR, which is empty or absent.
           eval "$(slurm_cluster.sh start DIR)" points the shell to it.
           Each SETTING is one more line for slurm.conf, such as MinJobAge=2.
       slurm_cluster.sh stop DIR
           End its jobs and daemons; DIR stays.
       slurm_cluster.sh available
           Exit with 0 if the programs are installed.
HELP
  exit 2
}

fail() {
  printf 'slurm_cluster.sh: %s\n' "$*" >&2
  exit 1
}

available() {
  local program missing=()
  for program in "${programs[@]}"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  if ((${#missing[@]})); then
    echo "Slurm lacks ${missing[*]}: $install" >&2
    return 1
  fi
}

# The daemons' files, and the one word that tells the daemons of this
# directory from all other processes: each has it as an argument.
layout() {
  dir=$(realpath -m -- "$1")
  conf=$dir/slurm.conf
  key=$dir/munge/key
  socket=$dir/munge/socket
}

# True while the daemon $1 of this directory runs. A process number alone does
# not say so: another process may have it by now, or the daemon may be a zombie
# that no init reaps, whose command line is empty.
runs() {
  local pid word=$conf
  [[ $1 != munged ]] || word=--key-file=$key
  pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] &&
    grep -qszxF -e "$word" "/proc/$pid/cmdline"
}

# A signal for the daemon $2, which may have ended meanwhile.
signal() {
  ! runs "$2" || kill -s "$1" "$(cat "$dir/run/$2.pid")" 2>/dev/null || true
}

# Repeat the command until it succeeds, for $1 tenths of a second.
wait_until() {
  local left=$1
  shift
  until "$@"; do
    ((left-- > 0)) || return 1
    sleep 0.1
  done
}

# In the background, in a session of its own: the caller's terminal and shell
# may end, and the caller's stdout is not held open, so that $(...) returns.
# Not as a daemon that forks: so the process number is known at once.
launch() {
  local name=$1
  shift
  (
    cd "$dir/log" # not to hold the caller's directory; stop relies on it
    SLURM_CONF=$conf exec setsid -- "$@" </dev/null >"$dir/log/$name.log" 2>&1
  ) &
  echo $! >"$dir/run/$name.pid"
}

# A port at random on which nothing listens, below those that the kernel gives
# to clients: so two clusters that start at once hardly ever meet.
free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); do
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

configure() {
  local controller_port node_port user host
  controller_port=$(free_port)
  node_port=$controller_port
  while ((node_port == controller_port)); do node_port=$(free_port); done
  user=$(id -un)
  host=$(uname -n) # as the daemons ask for it; they cut it at the first dot

  umask 022
  mkdir -p "$dir"/{munge,run,log,state,spool,gpu}
  (umask 077 && head -c 128 /dev/urandom >"$key")

  cat >"$conf" <<CONF
# The name is in the environment of every process of a job: stop looks for it.
ClusterName=loopback_${controller_port}_$$
SlurmctldHost=${host%%.*}(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=$user
SlurmdUser=$user
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.pid
# slurmctld writes to stderr alone; the steps have no other log than slurmd's.
SlurmdLogFile=$dir/log/steps.log

AuthType=auth/munge
# A requeued job waits for cred_expire seconds (of itself 120) and one more.
AuthInfo=socket=$socket,cred_expire=5

# Nothing that needs cgroups or a database.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none

# Cores and GPUs are given out, memory is not.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core

# Look for jobs to start each second, not each minute.
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=2
ReturnToService=2

# A job in high that finds no room takes it from one in low: that one gets
# SIGCONT and SIGTERM, after GraceTime seconds SIGKILL, and is queued again. The
# scheduler looks each sixth second: 7 or 13 seconds pass with 5 of GraceTime.
# With SlurmctldParameters=preempt_send_user_signal as a SETTING, a job that was
# submitted with --signal gets that signal in place of SIGTERM.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1

# config_overrides: the node is what this says, though slurmd finds less memory
# or, in a container, other cores.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=localhost NodeHostname=${host%%.*} NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=1048576 Gres=gpu:2
PartitionName=low Nodes=localhost Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=5 MaxTime=1-0 DefaultTime=60
PartitionName=high Nodes=localhost PriorityTier=2 PreemptMode=OFF MaxTime=1-0 DefaultTime=60
CONF
  # Slurm takes the last of two values.
  (($# == 0)) || printf '%s\n' "$@" >>"$conf"

  # Unless told which, slurmd looks at /sys/fs/cgroup for the version of
  # cgroups, and does not start where none is mounted. It uses neither here.
  echo 'CgroupPlugin=cgroup/v1' >"$dir/cgroup.conf"

  # Slurm takes devices alone, and reads the numbers for CUDA_VISIBLE_DEVICES
  # from their names.
  ln -s /dev/null "$dir/gpu/gpu0"
  ln -s /dev/zero "$dir/gpu/gpu1"
  echo "NodeName=localhost Name=gpu File=$dir/gpu/gpu[0-1]" >"$dir/gres.conf"
}

node_is_idle() {
  scontrol --oneliner show node localhost 2>/dev/null | grep -q ' State=IDLE '
}

# Idle, or no longer to be waited for.
settled() {
  node_is_idle || ! runs munged || ! runs slurmctld || ! runs slurmd
}

give_up() {
  local log
  trap - EXIT
  for log in "$dir"/log/*.log; do
    printf -- '--- %s\n' "$log"
    tail -n 20 "$log"
  done >&2
  stop
  fail "the cluster in $dir did not start"
}

start() {
  available || exit 1
  # Slurm expands % in paths and splits its configuration at blanks, commas, #.
  [[ $dir =~ ^[A-Za-z0-9/._+@-]+$ ]] || fail "Slurm cannot use the path $dir"
  # The longest: DIR/spool/localhost_JOB.STEP, a socket, 107 characters at most.
  ((${#dir} <= 70)) || fail "$dir is too long, at most 70 characters are possible"
  [[ ! -e $dir || -d $dir && -z $(ls -A "$dir") ]] || fail "$dir is not empty"

  # Any end but the good one takes down what runs by then.
  trap give_up EXIT
  trap 'exit 1' HUP INT TERM
  configure "$@"
  export SLURM_CONF=$conf

  # --force: munged would refuse to run where others can write or cannot enter.
  launch munged munged --foreground --force "--key-file=$key" "--socket=$socket" \
    "--pid-file=$dir/run/munged.pid" "--seed-file=$dir/munge/seed"
  wait_until 100 test -S "$socket"
  launch slurmctld slurmctld -D -f "$conf"
  launch slurmd slurmd -D -f "$conf"
  wait_until $((start_timeout * 10)) settled
  node_is_idle
  trap - EXIT

  printf 'export SLURM_CONF=%q\n' "$conf"
}

# The numbers of the processes of this cluster's jobs, which have its name in
# their environment, and of Slurm's own that outlive the daemons (slurmstepd, one
# for each step). Those write over their environment, but stay in launch's directory.
members() {
  local cluster process comm
  cluster=$(sed -n 's/^ClusterName=//p' "$conf")
  [[ -n $cluster ]] || return 0
  grep -lszxF -e "SLURM_CLUSTER_NAME=$cluster" /proc/[0-9]*/environ | cut -d / -f 3 || true
  find /proc/[0-9]*/cwd -maxdepth 0 -lname "$dir/log" 2>/dev/null | cut -d / -f 3 |
    while read -r process; do
      read -r comm 2>/dev/null <"/proc/$process/comm" || continue
      [[ $comm != slurm* ]] || echo "$process"
    done || true
}

# One round of SIGKILL; true when there was nobody left to get it.
no_members() {
  local pid left=0
  for pid in $(members); do
    left=1
    kill -s KILL "$pid" 2>/dev/null || true
  done
  return "$left"
}

stopped() {
  ! runs slurmctld && ! runs slurmd && ! runs munged
}

stop() {
  local daemon
  [[ -f $conf ]] || return 0
  # The daemons first: they would start and requeue jobs meanwhile.
  for daemon in slurmctld slurmd munged; do signal TERM "$daemon"; done
  if ! wait_until 50 stopped; then
    for daemon in slurmctld slurmd munged; do signal KILL "$daemon"; done
    wait_until 50 stopped || fail "daemons of $dir do not end"
  fi
  wait_until 50 no_members || fail "these processes of $dir do not end:" "$(members | xargs)"
  rm -f "$dir"/run/*.pid
}

case "${1-} $#" in
  'available 1') available ;;
  'stop 2' | start\ [2-9])
    [[ -n $2 ]] || usage
    layout "$2"
    "$1" "${@:3}"
    ;;
  *) usage ;;
esac
