#!/usr/bin/env bash
# A real SLURM with one node on loopback, with all its files in one private folder. Debian: apt-get install slurm-wlm munge
#   tests/cluster/slurm.sh start FOLDER    prints the variables that clients need, once the node is idle
#   tests/cluster/slurm.sh stop FOLDER
set -euo pipefail
action=$1 D=$(realpath -m "$2") H=$(hostname -s)

start() {
  mkdir -p "$D"/{munge,log,state,spool,run,bin}
  chmod 700 "$D/munge"
  head -c 1024 /dev/urandom >"$D/munge/key"
  chmod 400 "$D/munge/key"
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10))
  cat >"$D/slurm.conf" <<CONF
ClusterName=toy
SlurmctldHost=$H(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$D/munge/sock
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$D/log/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MinJobAge=3600
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=$H NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$H Default=YES MaxTime=01:00:00 State=UP
CONF
  # Jobs start steps with srun, whose environment Snakemake's plugin strips of SLURM_CONF: this srun sets it again.
  printf '#!/bin/sh\nexport SLURM_CONF=%s\nexec %s "$@"\n' "$D/slurm.conf" "$(command -v srun)" >"$D/bin/srun"
  chmod +x "$D/bin/srun"
  export SLURM_CONF=$D/slurm.conf
  munged --force --key-file="$D/munge/key" --socket="$D/munge/sock" --pid-file="$D/munge/pid" \
    --log-file="$D/munge/log" --seed-file="$D/munge/seed"
  slurmctld -c >&2
  slurmd -c >&2
  for _ in $(seq 100); do
    [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && break
    sleep 0.2
  done
  [ "$(sinfo -h -o %T)" = idle ] || { echo "slurm.sh: expected the node to become idle, got $(sinfo -h -o %T); logs in $D/log" >&2; exit 1; }
  echo "export SLURM_CONF=$D/slurm.conf PATH=$D/bin:\$PATH"
}

stop() {
  for pid in "$D/run/slurmd.pid" "$D/run/slurmctld.pid" "$D/munge/pid"; do
    [ -f "$pid" ] && kill "$(cat "$pid")" 2>/dev/null || true
  done
}

"$action"
