"""Paths of objects in a store. Text only, no I/O.

Source: proto/FORMAT.md restates the layout for readers of other programs.
"""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, OperationId, format_epoch

COORDINATOR_PROBE = "_coordinator"
"""Name of the coordinator's probe object: no agent can have it."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The objects of one cluster in a store, all under `<cluster>/`."""

    cluster: ClusterName

    def of(self, source: str) -> Paths:
        """Those of the cluster `source` in the same store; "" is this very one."""
        return Paths(ClusterName(source)) if source else self

    @property
    def root(self) -> str:
        return f"{self.cluster}/"

    @property
    def format(self) -> str:
        return f"{self.cluster}/format.json"

    @property
    def data_keys(self) -> str:
        return f"{self.cluster}/keys/"

    def data_key(self, number: int, key_id: str) -> str:
        return f"{self.data_keys}{number:012d}-{key_id}.json"

    @property
    def owners(self) -> str:
        return f"{self.cluster}/owner/"

    def owner(self, number: int) -> str:
        return f"{self.owners}{number:012d}.json"

    @property
    def probes(self) -> str:
        return f"{self.cluster}/probe/"

    def probe(self, epoch: Epoch, name: str) -> str:
        return f"{self.probes}{format_epoch(epoch)}/{name}"

    @property
    def marks(self) -> str:
        return f"{self.cluster}/marks/"

    def mark(self, epoch: Epoch, name: str) -> str:
        """`name`: opened, published or ended."""
        return f"{self.marks}{format_epoch(epoch)}/{name}.json"

    def session_packs(self, epoch: Epoch, session_id: str) -> str:
        return f"{self.cluster}/packs/{format_epoch(epoch)}/{session_id}/"

    def pack(self, pack: str) -> str:
        """`pack` is the name blocks carry: `<epoch>/<session id>/<n>`."""
        return f"{self.cluster}/packs/{pack}"

    def recipe(self, digest: str) -> str:
        return f"{self.cluster}/recipes/{digest[:2]}/{digest}"

    def page(self, digest: str) -> str:
        return f"{self.cluster}/pages/{digest[:2]}/{digest}"

    def votes_documents(self, epoch: Epoch) -> str:
        return f"{self.cluster}/votes/{format_epoch(epoch)}/"

    def votes_document(self, epoch: Epoch, agent: AgentName, sha256: str) -> str:
        return f"{self.votes_documents(epoch)}{agent}/{sha256}.json"

    def staged(self, epoch: Epoch, sha256: str) -> str:
        return f"{self.cluster}/staged/{format_epoch(epoch)}/{sha256}.json"

    @property
    def groups(self) -> str:
        return f"{self.cluster}/groups/"

    def group(self, epoch: Epoch) -> str:
        return f"{self.groups}{format_epoch(epoch)}.json"

    def tombstone(self, epoch: Epoch) -> str:
        return f"{self.groups}{format_epoch(epoch)}.deleted"

    @property
    def holds(self) -> str:
        return f"{self.cluster}/holds/"

    def holds_of(self, epoch: Epoch) -> str:
        return f"{self.holds}{format_epoch(epoch)}/"

    def hold(self, epoch: Epoch, operation: OperationId) -> str:
        return f"{self.holds_of(epoch)}{operation}.json"

    @property
    def seeds(self) -> str:
        return f"{self.cluster}/seeds/"

    def seeds_of(self, epoch: Epoch) -> str:
        return f"{self.seeds}{format_epoch(epoch)}/"

    def seed(self, epoch: Epoch, sha256: str) -> str:
        return f"{self.seeds_of(epoch)}{sha256}.json"

    @property
    def sparse_lists(self) -> str:
        return f"{self.cluster}/sparse/"

    @property
    def ledgers(self) -> str:
        return f"{self.cluster}/ledger/"

    def ledger(self, epoch: Epoch) -> str:
        return f"{self.ledgers}{format_epoch(epoch)}/"

    @property
    def doomed_lists(self) -> str:
        return f"{self.cluster}/gc/"

    def doomed_list(self, name: str) -> str:
        return f"{self.doomed_lists}{name}.json"
