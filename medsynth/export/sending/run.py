"""Send what was exported: say what would go where, or ask whether the archive is there, send, and list what failed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from medsynth.data.progress import progress_bar
from medsynth.errors import MedsynthError
from medsynth.export.sending.deliver import deliver
from medsynth.export.sending.destinations import Destination
from medsynth.export.sending.items import Item, listed_items, load
from medsynth.export.sending.journal import Journal
from medsynth.export.sending.lines import Sender
from medsynth.export.sending.outcomes import Outcome
from medsynth.identity.export_names import SENT_FILE

CONFIRMED = "send"
_SHOWN = 10
_MISSING = "sending needs more packages: pip install '.[pacs]' in the folder of medsynth's source"


@dataclass(frozen=True)
class SendReport:
    """What was sent, or would be.

    Args:
        destination: its name.
        address: for people.
        objects: of the export, by modality.
        earlier: how many of them the archive had from an earlier call.
        sent: how many it took now.
        noted: how many of those with a note.
        failed: path and reason of what did not get through.
        derived: how many objects are real in part.
        confirmed: whether anything was sent at all.
    """

    destination: str
    address: str
    objects: tuple[tuple[str, int], ...]
    earlier: int
    sent: int = 0
    noted: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    derived: int = 0
    confirmed: bool = False

    @property
    def exit_code(self) -> int:
        """1 where something did not get through."""
        return 1 if self.failed else 0

    @property
    def summary(self) -> str:
        """For the terminal."""
        total = sum(count for _, count in self.objects)
        if not self.confirmed:
            kinds = ", ".join(f"{count} {modality}" for modality, count in self.objects)
            said = (
                f"nothing was sent. To {self.destination} would go {total - self.earlier} objects of {total} ({kinds})"
            )
            said += f"; {self.earlier} are there already" if self.earlier else ""
            said += f"; {self.derived} objects are in part a patient's" if self.derived else ""
            return f"{said}\n{self.address}\nTo send them, add confirm={CONFIRMED}"
        said = f"{self.destination}: {self.sent} objects sent"
        said += f", {self.earlier} were there already" if self.earlier else ""
        said += f", {self.noted} with a note in {SENT_FILE}" if self.noted else ""
        if not self.failed:
            return f"{said}; all {total} are there"
        lines = [f"  {path}: {reason}" for path, reason in self.failed[:_SHOWN]]
        rest = len(self.failed) - _SHOWN
        lines += [f"  and {rest} more, in {SENT_FILE}"] if rest > 0 else []
        return "\n".join([f"{said}; {len(self.failed)} did not get through:", *lines])


def require_packages() -> None:
    """Refuse early where a package of the extra `pacs` is missing.

    Raises:
        MedsynthError: one is.
    """
    if not all(find_spec(name) for name in ("pynetdicom", "dicomweb_client", "requests")):
        raise MedsynthError(_MISSING)


def send(out: Path, export_file: str, to: Destination, confirm: str | None = None, progress: bool = True) -> SendReport:
    """Send the objects of an exported folder that the destination does not have yet.

    Only what export.json lists goes, each checked against its hash on the way.

    Args:
        out: a folder that export wrote.
        export_file: name of the list of its objects.
        to: where to.
        confirm: "send", or None to be told what would be sent: then nothing is even connected.
        progress: whether to show a bar.

    Raises:
        MedsynthError: the archive is not there or does not let us in, with the reason; a folder that was changed; a
            login that cannot be read.
    """
    require_confirmed(confirm)
    items, journal = listed_items(out, export_file), Journal(out, to)
    missing = [item for item in items if not journal.has(item)]
    counts = tuple(Counter(item.modality for item in items).items())
    derived, earlier = sum(item.derived for item in items), len(items) - len(missing)
    if confirm is None:
        return SendReport(to.name, to.address, counts, earlier, derived=derived)
    noted: list[str] = []
    failed: list[tuple[Item, str]] = []
    if missing:
        sender = _sender(to, missing)
        sender.echo()
        failed = _deliver(out, missing, sender, to, journal, noted, progress)
    return SendReport(
        destination=to.name,
        address=to.address,
        objects=counts,
        earlier=earlier,
        sent=len(missing) - len(failed),
        noted=len(noted),
        failed=tuple((item.path, reason) for item, reason in failed),
        derived=derived,
        confirmed=True,
    )


def require_confirmed(confirm: str | None) -> None:
    """Refuse any other word.

    Raises:
        MedsynthError: neither "send" nor None.
    """
    if confirm not in (None, CONFIRMED):
        raise MedsynthError(f"confirm is {CONFIRMED} or null")


def _sender(to: Destination, items: Sequence[Item]) -> Sender:
    require_packages()
    if to.kind == "dicomweb":
        from medsynth.export.sending.stow import StowSender

        return StowSender(to, items[0].study)
    from medsynth.export.sending.dimse import DimseSender

    return DimseSender(to, items)


def _deliver(
    out: Path,
    items: Sequence[Item],
    sender: Sender,
    to: Destination,
    journal: Journal,
    noted: list[str],
    progress: bool,
) -> list[tuple[Item, str]]:
    failed: list[tuple[Item, str]] = []
    with progress_bar(progress) as bar:
        task = bar.add_task("sending", total=len(items), note=f"to {to.name}")

        def tell(item: Item, outcome: Outcome) -> None:
            if outcome.state == "sent":
                journal.sent(item, outcome.said)
                noted.extend([item.uid] if outcome.said else [])
            bar.update(task, advance=1, note=f"to {to.name}")

        def waiting(seconds: float, left: int) -> None:
            bar.update(task, note=f"{left} again in {seconds:g} s")

        try:
            failed = deliver(items, sender.line, lambda item: load(out, item), to.pace, tell, waiting)
        finally:
            journal.write(failed)
    return failed
