"""What the demo claimed and what it saw: one line a claim, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Claim:
    text: str
    held: bool
    seen: str


@dataclass(slots=True)
class Ledger:
    console: Console
    claims: list[Claim] = field(default_factory=list)

    def check(self, text: str, held: bool, seen: str) -> None:
        """Note whether the claim held, and print it at once."""
        self.claims.append(Claim(text, held, seen))
        mark = "[green]✓[/]" if held else "[bold red]✗[/]"
        self.console.print(f"  {mark} {text} [dim]— {seen}[/]")

    @property
    def all_held(self) -> bool:
        return bool(self.claims) and all(claim.held for claim in self.claims)

    def table(self) -> Table:
        table = Table(title="What was shown", title_justify="left", show_edge=False)
        table.add_column("")
        table.add_column("claim")
        table.add_column("seen", style="dim")
        for claim in self.claims:
            table.add_row("[green]✓[/]" if claim.held else "[bold red]✗[/]", claim.text, claim.seen)
        return table
