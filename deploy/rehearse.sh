#!/bin/sh
# Rehearses a restore after a total loss: the newest backup of FROM, into the cluster that
# CLEANCUT_COORDINATOR leads to. Run it against a separate, empty cluster: of FROM it leaves all as it
# is, but for the record that its newest backup was checked.
#   CLEANCUT_COORDINATOR=rehearsal:7400 sh rehearse.sh prod s3://backups/qdrant
set -eu
from=${1:?"usage: rehearse.sh CLUSTER STORE"} store=${2:?"usage: rehearse.sh CLUSTER STORE"}
: "${CLEANCUT_COORDINATOR:?the coordinator of the rehearsal cluster}"
began=$(date +%s)
step() { printf '%5d s  %s\n' "$(($(date +%s) - began))" "$1"; }
fail() {
	step "FAIL: $1"
	exit 1
}

step "the store can be read, with neither etcd nor Qdrant"
env -u CLEANCUT_COORDINATOR cleancut --store "$store" --cluster "$from" backup verify latest --quick ||
	fail "the newest backup of $from is not whole, or the store cannot be read"
step "the rehearsal cluster is ready"
cleancut doctor || fail "doctor found errors in the rehearsal cluster"
step "the plan has no blocker"
cleancut restore plan latest --from-cluster "$from" || fail "the restore is refused"
step "the restore"
cleancut restore start latest --from-cluster "$from" --yes || fail "the restore did not succeed"
step "PASS: restored. Now query it as your application does, note this time, and delete the cluster"
