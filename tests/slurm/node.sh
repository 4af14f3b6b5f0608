#!/usr/bin/env bash
# A throw-away SLURM of one node on this machine, without systemd and accounting, for tests. Run as root.
#
#     node.sh install    packages of Debian or Ubuntu
#     node.sh start      munged, slurmctld and slurmd; does nothing where they run
#     node.sh stop       ends what `start` started
#
# Memory is enforced by polling (jobacct_gather/linux with OverMemoryKill), so no cgroups are needed.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
DAEMONS=(slurmd slurmctld munged)

pid_file() { case $1 in munged) echo /run/munge/munged.pid ;; *) echo "/run/slurm/$1.pid" ;; esac; }

running() {
    local file pid
    file=$(pid_file "$1")
    [ -s "$file" ] && pid=$(cat "$file") && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}

# until SECONDS COMMAND...: waits for the command to succeed
until_true() {
    local tries=$(($1 * 5))
    shift
    for ((i = 0; i < tries; i++)); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
    return 1
}

configure() {
    local cpus memory
    cpus=${SLURM_TEST_CPUS:-4}   # may be more than there are: tests wait more than they compute
    memory=${SLURM_TEST_MEMORY_MB:-16000}
    install -d /etc/slurm
    install -d -o slurm -g slurm /run/slurm /var/log/slurm /var/lib/slurm/slurmctld /var/lib/slurm/slurmd
    install -d -o munge -g munge -m 755 /run/munge
    cat >/etc/slurm/slurm.conf <<CONF
ClusterName=test
SlurmctldHost=localhost
NodeName=localhost CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AuthType=auth/munge
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
OverTimeLimit=0
KillWait=2
InactiveLimit=0
MinJobAge=3600
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SlurmUser=slurm
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
CONF
}

case ${1:-} in
install)
    for program in munged slurmctld slurmd sbatch; do
        command -v "$program" >/dev/null || missing=yes
    done
    [ -z "${missing:-}" ] && exit
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        munge slurm-client slurmctld slurmd
    ;;
start)
    if ! running slurmctld || ! running slurmd; then
        configure
        running munged || runuser -u munge -- munged
        until_true 10 munge -n
        running slurmctld || slurmctld -c
        running slurmd || slurmd -N localhost
    fi
    if ! until_true 20 timeout 10 srun --quiet true; then
        tail -n 20 /var/log/slurm/*.log >&2
        exit 1
    fi
    ;;
stop)
    for daemon in "${DAEMONS[@]}"; do
        running "$daemon" || continue
        pid=$(cat "$(pid_file "$daemon")")
        kill "$pid"
        until_true 10 test ! -e "/proc/$pid" || true
    done
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
