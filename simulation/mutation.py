"""Mutation of production code: a rule broken on purpose for the length of one history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from simulation.runner import play_lean
from simulation.scenario import Plan, Result

MUTANT_SEEDS, RARE_SEEDS = 150, 1500
"""How many histories of its kind are looked through before a mutant counts as missed."""


@dataclass(frozen=True, slots=True)
class Patch:
    """`owner`: a module, a class or a dict of production code; `name`: what of it is replaced."""

    owner: Any
    name: Any
    value: Any

    @contextmanager
    def applied(self) -> Iterator[None]:
        if isinstance(self.owner, dict):
            before = self.owner[self.name]
            self.owner[self.name] = self.value
            try:
                yield
            finally:
                self.owner[self.name] = before
            return
        before = vars(self.owner)[self.name]
        setattr(self.owner, self.name, self.value)
        try:
            yield
        finally:
            setattr(self.owner, self.name, before)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`rule`: what it breaks. `checkers`: any of these may be the one that finds it. `needs`: which
    histories can show it, by the fields of their plans. `rare`: why so few show it that tests do
    not look for it. `first`: the seed that showed it once, from which on it is looked for."""

    rule: str
    checkers: tuple[str, ...]
    patches: tuple[Patch, ...]
    needs: Mapping[str, bool | str]
    rare: str = ""
    first: int = 1

    def shown_by(self, seed: int) -> bool:
        plan = Plan.of(seed)
        return all(getattr(plan, name) == value for name, value in self.needs.items())

    def play(self, seed: int) -> Result:
        """The history of `seed` with this rule broken."""
        with ExitStack() as stack:
            for patch in self.patches:
                stack.enter_context(patch.applied())
            return play_lean(seed)


def find(mutant: Mutant) -> tuple[int | None, str]:
    """The seed that shows it by a checker that stands for its rule, and what that says."""
    seed, left = mutant.first, RARE_SEEDS if mutant.rare else MUTANT_SEEDS
    while left:
        if mutant.shown_by(seed):
            left -= 1
            for wrong in mutant.play(seed).wrong:
                if wrong.partition(":")[0] in mutant.checkers:
                    return seed, wrong
        seed += 1
    return None, "missed"
